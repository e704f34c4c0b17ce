//! Which worker a request goes to, if any: translate_name and map_to_storage (reference: apache-side.md section 2.2 to section 2.6).
//!
//! Not here: the rules (`crate::uri_map`). The surprising thing: a request is mapped in whichever of the two hooks comes to it first,
//! and the worker's name is left as a note, because other modules read and preset it.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use super::apr::PoolText;
use super::hooks::{DECLINED, OK};
use super::request::{DIRECTORY_HANDLER, Env, HANDLER, Request};
use super::server_config::Indicator;
use super::vhost::Vhost;
use super::{apr, ffi};
use crate::log::{Level, Shown, log_at};
use crate::runtime::Worker;
use crate::uri_map::normalize::{AutoAlias, NormalizeError, auto_alias, is_plain, normalize, strip_session};
use crate::uri_map::{Lookup, Rule, RuleOptions};

const HTTP_OK: c_int = 200;
const BAD_REQUEST: c_int = 400;
const FORBIDDEN: c_int = 403;
const NOT_FOUND: c_int = 404;

/// Note with the worker's name; also read when another module set it.
pub(super) const NOTE_WORKER: &CStr = c"JK_WORKER_NAME";
/// Environment variable that keeps the module out.
pub(super) const NO_JK: &CStr = c"no-jk";

/// Our record of one request, in the request's pool. Each hook finds it where it lies and changes what it must.
pub(super) struct State {
    /// The handler took it: it is written to the request log.
    pub(super) handled: Cell<bool>,
    /// A rule of the map matched, in a hook that comes before httpd's access rules; `options` is what the rule says.
    mapped: Cell<bool>,
    /// Place of the rule's worker, when `noted` is not null.
    place: Cell<u32>,
    /// The text that we noted as the worker's name, which is the runtime's own. A note that lies elsewhere is somebody else's.
    noted: Cell<*const c_char>,
    /// URI before the map replaced it; null when it was not replaced.
    original_uri: Cell<*const c_char>,
    /// Options of the matched rule; null when it has none.
    options: Cell<*const RuleOptions>,
    /// Room for the text of the note of the duration, NUL behind it.
    duration: Cell<[u8; 16]>,
}

impl State {
    fn fresh() -> Self {
        Self {
            handled: Cell::new(false),
            mapped: Cell::new(false),
            place: Cell::new(0),
            noted: Cell::new(std::ptr::null()),
            original_uri: Cell::new(std::ptr::null()),
            options: Cell::new(std::ptr::null()),
            duration: Cell::new([0; 16]),
        }
    }

    /// The text of the note of the duration: empty until [`Self::set_duration`].
    #[inline]
    pub(super) fn duration_text(&self) -> PoolText {
        // SAFETY: our record lies in the request's pool; its last byte is always NUL.
        unsafe { PoolText::from_ptr(self.duration.as_ptr().cast::<c_char>()) }
    }

    /// Writes that text; the last byte must be NUL.
    #[inline]
    pub(super) fn set_duration(&self, text: [u8; 16]) {
        self.duration.set(text);
    }

    /// URI that is forwarded.
    pub(super) fn original_uri<'r>(&self) -> Option<&'r [u8]> {
        // SAFETY: null or a URI of this request, which lives in its pool.
        unsafe { apr::text(self.original_uri.get()) }.map(CStr::to_bytes)
    }

    /// Options of the matched rule.
    pub(super) fn options<'r>(&self) -> Option<&'r RuleOptions> {
        // SAFETY: null or what `keep_rule` put into the request's pool.
        unsafe { self.options.get().as_ref() }
    }

    /// Whether a rule of the map matched before httpd asked its access rules, so that they have seen the normalised URI.
    pub(super) fn is_mapped_early(&self) -> bool {
        self.mapped.get()
    }

    /// The worker of the rule that matched, and its name, when `note` is still the one that says so.
    #[inline]
    pub(super) fn worker_of_note<'v>(&self, note: *const c_char, vhost: &'v Vhost) -> Option<(&'v [u8], &'v Worker)> {
        if note.is_null() || !std::ptr::eq(note, self.noted.get()) || !self.mapped.get() {
            return None;
        }
        let (name, worker) = vhost.runtime.at(self.place.get())?;
        Some((name.to_bytes(), worker))
    }
}

impl<'r> Request<'r> {
    /// Our record, when an earlier hook made one.
    #[inline]
    pub(super) fn jk(self) -> Option<&'r State> {
        // SAFETY: the slot holds what `begin_jk` put there, a `State` in the request's pool, of this thread's alone (rules 1, 8).
        self.state().map(|state| unsafe { state.cast::<State>().as_ref() })
    }

    /// Our record, a new one if need be.
    #[inline]
    pub(super) fn jk_or_new(self) -> &'r State {
        self.jk().unwrap_or_else(|| self.begin_jk())
    }

    /// A new record.
    #[inline]
    fn begin_jk(self) -> &'r State {
        let state = self.pool().plain(State::fresh());
        self.set_state(state.cast());
        // SAFETY: made above, in the request's pool, which lives as long as the request.
        unsafe { &*state }
    }

    /// Request id for the log: JkRequestIdIndicator's variable, else UNIQUE_ID; empty when there is none.
    #[inline]
    pub(super) fn id<'i>(self, vhost: &Vhost) -> &'i [u8] {
        self.id_in(self.env(), vhost)
    }

    /// The same where the environment is at hand.
    #[inline]
    pub(super) fn id_in<'i>(self, env: Env, vhost: &Vhost) -> &'i [u8] {
        if env.is_empty() {
            return b"";
        }
        let named = env.get(vhost.indicator(Indicator::RequestId)).map(CStr::to_bytes).filter(|id| !id.is_empty());
        named.or_else(|| env.get(c"UNIQUE_ID").map(CStr::to_bytes)).unwrap_or_default()
    }
}

/// One request on its way to a worker.
#[derive(Clone, Copy)]
pub(super) struct Mapping<'r> {
    pub(super) request: Request<'r>,
    pub(super) vhost: &'r Vhost,
}

impl<'r> Mapping<'r> {
    /// The translate_name hook.
    pub(super) fn translate(self) -> c_int {
        let state = self.request.begin_jk();
        if self.request.is_proxied() || self.is_left_alone() {
            return DECLINED;
        }
        let uri = self.request.uri();
        if is_plain(uri) { self.translate_normal(state, uri) } else { self.translate_odd(state) }
    }

    #[cold]
    #[inline(never)]
    fn translate_odd(self, state: &State) -> c_int {
        match self.normalized() {
            Ok(uri) => self.translate_normal(state, &uri),
            Err(status) => status,
        }
    }

    #[inline(always)]
    fn translate_normal(self, state: &State, uri: &[u8]) -> c_int {
        let request = self.request;
        if self.is_listed_by_httpd(uri) {
            return DECLINED;
        }
        if !self.map(state, uri) {
            return self.auto_alias(uri);
        }
        request.set_handler(HANDLER);
        if let Some(main) = request.main() {
            main.set_handler(HANDLER);
        }
        OK
    }

    /// The map_to_storage hook.
    pub(super) fn map_to_storage(self) -> c_int {
        let state = self.request.jk_or_new();
        if self.request.notes().value_of_own(NOTE_WORKER).is_null() {
            return self.map_to_storage_untranslated(state);
        }
        self.set_filename()
    }

    /// The rest of [`Self::map_to_storage`]: no worker is noted.
    #[inline(never)]
    fn map_to_storage_untranslated(self, state: &State) -> c_int {
        let request = self.request;
        if request.is_proxied() || self.is_left_alone() {
            return DECLINED;
        }
        if request.uri().is_empty() {
            log_at!(
                self.vhost.logger,
                Level::Debug,
                request.id(self.vhost),
                "a file sub-request without a URI is left to httpd"
            );
            return DECLINED;
        }
        let uri = match self.normalized() {
            Ok(uri) => uri,
            Err(status) => return status,
        };
        if self.vhost.map.is_none() {
            return DECLINED;
        }
        if !self.map(state, &uri) {
            self.strip_session();
            return DECLINED;
        }
        request.set_handler(HANDLER);
        self.set_filename()
    }

    /// Finds the worker by the URI alone and notes it; for the handler, when no earlier hook did.
    pub(super) fn map_late(self, state: &State) -> Result<(), c_int> {
        let uri = self.normalized()?;
        self.check_access(&uri)?;
        self.map(state, &uri);
        Ok(())
    }

    /// Options of the rule that maps this URI to `worker`, for a request whose record was lost on the way (mod_dir's fast redirect).
    pub(super) fn recover_options(self, state: &State, worker: &[u8]) {
        let Ok(uri) = self.normalized() else { return };
        let Some(map) = self.vhost.map.as_deref() else { return };
        let current = map.current();
        if let Lookup::Match(rule) = current.lookup(&uri)
            && *rule.worker == *worker
        {
            self.keep_rule(state, rule);
        }
    }

    /// Makes the URI the handler forwards the normalised one, and remembers the original (DEVIATIONS section 5: access rules and the
    /// container must see the same path when the worker came from an environment variable).
    pub(super) fn normalize_uri(self, state: &State) -> Result<(), c_int> {
        let uri = self.normalized()?;
        self.check_access(&uri)?;
        self.replace_uri(state, &uri);
        Ok(())
    }

    /// Asks httpd's access rules about the normalised URI when they have seen another one, as they have when the handler is the
    /// first to know that the request goes to a worker (CVE-2018-11759). The error is httpd's status for it.
    fn check_access(self, normalized: &[u8]) -> Result<(), c_int> {
        let request = self.request;
        if request.uri() == normalized {
            return Ok(());
        }
        match request.status_of_lookup(normalized) {
            HTTP_OK => Ok(()),
            status => {
                log_at!(
                    self.vhost.logger,
                    Level::Info,
                    request.id(self.vhost),
                    "URI {} is refused with {status}: httpd's rules for {} say so",
                    Shown(request.uri()),
                    Shown(normalized)
                );
                Err(status)
            }
        }
    }

    fn is_left_alone(self) -> bool {
        let request = self.request;
        request.has_handler(HANDLER) || request.env().get(NO_JK).is_some()
    }

    fn normalized(self) -> Result<Cow<'r, [u8]>, c_int> {
        normalize(self.request.uri()).map_err(|error| {
            let level = if error == NormalizeError::Traversal { Level::Info } else { Level::Warn };
            log_at!(
                self.vhost.logger,
                level,
                self.request.id(self.vhost),
                "URI {} is refused with 400: {error}",
                Shown(self.request.uri())
            );
            BAD_REQUEST
        })
    }

    /// A sub-request of mod_autoindex for something that is no file under JkAutoAlias is left to httpd, so that it can list it.
    #[inline(always)]
    fn is_listed_by_httpd(self, uri: &[u8]) -> bool {
        let Some(main) = self.request.main() else { return false };
        let Some(folder) = &self.vhost.auto_alias else { return false };
        if !main.has_handler(DIRECTORY_HANDLER) {
            return false;
        }
        !std::fs::metadata(path_of(&[folder, uri])).is_ok_and(|found| found.is_file())
    }

    /// Looks the URI up; on a match, notes the worker and replaces the URI by its normalised form.
    fn map(self, state: &State, uri: &[u8]) -> bool {
        let request = self.request;
        let Some(map) = self.vhost.map.as_deref() else { return false };
        let map = map.current_at(|| request.time_s(), &self.vhost.logger, || request.id(self.vhost));
        match map.lookup(uri) {
            Lookup::Match(rule) => {
                log_at!(
                    self.vhost.logger,
                    Level::Debug,
                    request.id(self.vhost),
                    "URI {} goes to worker '{}' by {} rule {} of {}",
                    Shown(uri),
                    Shown(&rule.worker),
                    rule.type_text(),
                    Shown(&rule.pattern),
                    rule.source.text()
                );
                self.keep_rule(state, rule);
                self.note_worker(state, rule);
                self.replace_uri(state, uri);
                true
            }
            other => {
                self.explain_miss(&other, uri);
                false
            }
        }
    }

    /// Notes the name of the rule's worker. The runtime's own text of it is remembered, so that the handler need not look it up again;
    /// that text lives as long as the configuration, and so longer than the request.
    #[inline]
    fn note_worker(self, state: &State, rule: &Rule) {
        let request = self.request;
        match rule.place.and_then(|place| Some((place, self.vhost.runtime.at(place)?.0))) {
            Some((place, name)) => {
                state.place.set(place);
                state.noted.set(name.as_ptr());
                // SAFETY: NUL-terminated, and of the runtime, which the configuration keeps until no request is left.
                let name = unsafe { PoolText::from_ptr(name.as_ptr()) };
                let notes = request.notes();
                // Nothing is noted as a rule, and then nothing of that name.
                if notes.is_empty() { notes.add_text(NOTE_WORKER, name) } else { notes.set_text(NOTE_WORKER, name) }
            }
            None => request.notes().set(request.pool(), NOTE_WORKER, &rule.worker),
        }
        if let Some(main) = request.main() {
            main.notes().set(main.pool(), NOTE_WORKER, &rule.worker);
        }
    }

    #[inline(never)]
    fn explain_miss(self, lookup: &Lookup<'_>, uri: &[u8]) {
        let (level, why) = match lookup {
            Lookup::TooLong => (Level::Warn, "it is longer than 4095 bytes"),
            Lookup::Unsafe => (Level::Info, "RejectUnsafeURI: it contains % or \\"),
            Lookup::None if self.has_an_empty_mount_file() => (Level::Info, "the mount file has no rule"),
            Lookup::Excluded { .. } => (Level::Debug, "an exclusion matches"),
            Lookup::NotAPath => (Level::Debug, "it is not a path"),
            Lookup::None => (Level::Trace, "no rule matches"),
            _ => return,
        };
        log_at!(self.vhost.logger, level, self.request.id(self.vhost), "URI {} is not mapped: {why}", Shown(uri));
    }

    fn has_an_empty_mount_file(self) -> bool {
        self.vhost.map.as_deref().is_some_and(|map| map.has_file() && map.current().is_empty())
    }

    #[inline]
    fn keep_rule(self, state: &State, rule: &Rule) {
        state.mapped.set(true);
        state.options.set(if rule.plain { std::ptr::null() } else { self.keep_options(&rule.options) });
    }

    #[inline(never)]
    fn keep_options(self, options: &Arc<RuleOptions>) -> *const RuleOptions {
        let kept = self.request.pool().own(Arc::clone(options));
        // SAFETY: `own` keeps the Arc, and so the options behind it, for the life of the request.
        Arc::as_ptr(unsafe { &*kept })
    }

    #[inline]
    fn replace_uri(self, state: &State, normalized: &[u8]) {
        let request = self.request;
        // Remembered also when it is normal: what another module makes of `r->uri` later is not forwarded.
        state.original_uri.set(request.uri_start());
        // What is normal is borrowed from the request.
        if !request.is_uri(normalized) {
            request.set_uri(normalized);
        }
    }

    fn strip_session(self) {
        let (Some(id), request) = (&self.vhost.strip_session, self.request) else { return };
        if let Some(uri) = strip_session(request.uri(), id) {
            log_at!(
                self.vhost.logger,
                Level::Debug,
                request.id(self.vhost),
                "session id removed from URI {}",
                Shown(request.uri())
            );
            request.set_uri(&uri);
        }
        if let Some(name) = request.filename().and_then(|name| strip_session(name, id)) {
            request.set_filename(request.pool().text(&name));
        }
    }

    fn auto_alias(self, uri: &[u8]) -> c_int {
        let Some(folder) = &self.vhost.auto_alias else { return DECLINED };
        if self.vhost.map.is_none() {
            return DECLINED;
        }
        match auto_alias(uri) {
            AutoAlias::Declined => DECLINED,
            AutoAlias::NotFound => NOT_FOUND,
            AutoAlias::Check { context, forbidden_unless_directory } => {
                if std::fs::metadata(path_of(&[folder, b"/", context])).is_ok_and(|found| found.is_dir()) {
                    self.request.set_filename(self.request.pool().text(&[folder, uri].concat()));
                    OK
                } else if forbidden_unless_directory {
                    FORBIDDEN
                } else {
                    DECLINED
                }
            }
        }
    }

    /// A mapped request has no file; httpd still wants a name (reference: apache-side.md section 2.3 step 4).
    fn set_filename(self) -> c_int {
        self.request.set_filename_to_last_segment();
        if let Some(main) = self.request.main() {
            self.set_filename_in_folder_of(main);
        }
        OK
    }

    /// A part of a page in a folder is named as if it were a file there.
    #[inline(never)]
    fn set_filename_in_folder_of(self, main: Request<'_>) {
        let request = self.request;
        let Some(folder) = main.filename().filter(|name| name.last() == Some(&b'/')) else { return };
        let path = [folder, request.filename().unwrap_or_default()].concat();
        let kind = std::fs::metadata(path_of(&[&path])).map_or(ffi::APR_NOFILE, |found| {
            if found.is_dir() {
                ffi::APR_DIR
            } else if found.is_file() {
                ffi::APR_REG
            } else {
                ffi::APR_UNKFILE
            }
        });
        request.set_filename(request.pool().text(&path));
        request.finfo_type(kind);
    }
}

fn path_of(parts: &[&[u8]]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(parts.concat()).into()
}

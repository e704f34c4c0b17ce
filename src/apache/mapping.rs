//! Which worker a request goes to, if any: translate_name and map_to_storage (reference: apache-side.md section 2.2 to section 2.6).
//!
//! Not here: the rules (`crate::uri_map`). The surprising thing: a request is mapped in whichever of the two hooks comes to it first,
//! and the worker's name is left as a note, because other modules read and preset it.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use super::hooks::{DECLINED, OK};
use super::request::{DIRECTORY_HANDLER, HANDLER, Request};
use super::server_config::Indicator;
use super::vhost::Vhost;
use super::{apr, ffi};
use crate::log::{Level, Shown, log_at};
use crate::uri_map::normalize::{AutoAlias, NormalizeError, auto_alias, normalize, strip_session};
use crate::uri_map::{Lookup, RuleOptions};

const HTTP_OK: c_int = 200;
const BAD_REQUEST: c_int = 400;
const FORBIDDEN: c_int = 403;
const NOT_FOUND: c_int = 404;

/// Note with the worker's name; also read when another module set it.
pub(super) const NOTE_WORKER: &CStr = c"JK_WORKER_NAME";
/// Environment variable that keeps the module out.
pub(super) const NO_JK: &CStr = c"no-jk";

/// Our record of one request. Plain: what it points to lives in the request's pool.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The handler took it: it is written to the request log.
    pub(super) handled: bool,
    /// A rule of the map matched, in a hook that comes before httpd's access rules; `options` is what the rule says.
    mapped: bool,
    /// URI before the map replaced it; null when it was not replaced.
    original_uri: *const c_char,
    /// Options of the matched rule; null when it has none.
    options: *const RuleOptions,
}

impl State {
    pub(super) const FRESH: Self =
        Self { handled: false, mapped: false, original_uri: std::ptr::null(), options: std::ptr::null() };

    /// URI that is forwarded.
    pub(super) fn original_uri<'r>(&self) -> Option<&'r [u8]> {
        // SAFETY: null or a URI of this request, which lives in its pool.
        unsafe { apr::text(self.original_uri) }.map(CStr::to_bytes)
    }

    /// Options of the matched rule.
    pub(super) fn options<'r>(&self) -> Option<&'r RuleOptions> {
        // SAFETY: null or what `keep_rule` put into the request's pool.
        unsafe { self.options.as_ref() }
    }
}

impl Request<'_> {
    /// Our record, when an earlier hook made one.
    pub(super) fn jk(self) -> Option<State> {
        // SAFETY: the slot holds what `put_jk` wrote, a plain `State` in the request's pool (rule 8).
        self.state().map(|state| unsafe { state.cast::<State>().read() })
    }

    /// Replaces our record.
    pub(super) fn put_jk(self, state: State) {
        match self.state() {
            // SAFETY: the slot holds a `State` of ours in the request's pool (rule 8).
            Some(place) => unsafe { place.cast::<State>().write(state) },
            None => self.set_state(self.pool().plain(state).cast()),
        }
    }

    /// Request id for the log: JkRequestIdIndicator's variable, else UNIQUE_ID; empty when there is none.
    pub(super) fn id<'i>(self, vhost: &Vhost) -> &'i [u8] {
        let env = self.env();
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
        let request = self.request;
        request.put_jk(State::FRESH);
        if request.is_proxied() || self.is_left_alone() {
            return DECLINED;
        }
        let uri = match self.normalized() {
            Ok(uri) => uri,
            Err(status) => return status,
        };
        if self.is_listed_by_httpd(&uri) {
            return DECLINED;
        }
        match self.map(&uri) {
            Some(()) => {
                request.set_handler(HANDLER);
                if let Some(main) = request.main() {
                    main.set_handler(HANDLER);
                }
                OK
            }
            None => self.auto_alias(&uri),
        }
    }

    /// The map_to_storage hook.
    pub(super) fn map_to_storage(self) -> c_int {
        let request = self.request;
        if request.jk().is_none() {
            request.put_jk(State::FRESH);
        }
        let noted = request.note(NOTE_WORKER).is_some();
        if !request.is_proxied() && !noted {
            if self.is_left_alone() {
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
            if self.map(&uri).is_none() {
                self.strip_session();
                return DECLINED;
            }
            request.set_handler(HANDLER);
        } else if !noted {
            return DECLINED;
        }
        self.set_filename()
    }

    /// Finds the worker by the URI alone and notes it; for the handler, when no earlier hook did.
    pub(super) fn map_late(self) -> Result<(), c_int> {
        if self.request.jk().is_none() {
            self.request.put_jk(State::FRESH);
        }
        let uri = self.normalized()?;
        self.check_access(&uri)?;
        self.map(&uri);
        Ok(())
    }

    /// Whether a rule of the map matched before httpd asked its access rules, so that they have seen the normalised URI.
    pub(super) fn is_mapped_early(self) -> bool {
        self.request.jk().is_some_and(|state| state.mapped)
    }

    /// Options of the rule that maps this URI to `worker`, for a request whose record was lost on the way (mod_dir's fast redirect).
    pub(super) fn recover_options(self, worker: &[u8]) {
        let Ok(uri) = self.normalized() else { return };
        let Some(map) = self.vhost.map.as_deref() else { return };
        let current = map.current();
        if let Lookup::Match(rule) = current.lookup(&uri)
            && *rule.worker == *worker
        {
            self.keep_rule(&rule.options);
        }
    }

    /// Makes the URI the handler forwards the normalised one, and remembers the original (DEVIATIONS section 5: access rules and the
    /// container must see the same path when the worker came from an environment variable).
    pub(super) fn normalize_uri(self) -> Result<(), c_int> {
        let uri = self.normalized()?;
        self.check_access(&uri)?;
        self.replace_uri(&uri);
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
        request.handler() == Some(HANDLER) || request.env().get(NO_JK).is_some()
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
    fn is_listed_by_httpd(self, uri: &[u8]) -> bool {
        let (Some(main), Some(folder)) = (self.request.main(), &self.vhost.auto_alias) else { return false };
        if main.handler() != Some(DIRECTORY_HANDLER) {
            return false;
        }
        !std::fs::metadata(path_of(&[folder, uri])).is_ok_and(|found| found.is_file())
    }

    /// Looks the URI up; on a match, notes the worker and replaces the URI by its normalised form.
    fn map(self, uri: &[u8]) -> Option<()> {
        let request = self.request;
        let map = self.vhost.map.as_deref()?.current_at(request.time_s(), &self.vhost.logger, request.id(self.vhost));
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
                self.keep_rule(&rule.options);
                request.notes().set(request.pool(), NOTE_WORKER, &rule.worker);
                if let Some(main) = request.main() {
                    main.notes().set(main.pool(), NOTE_WORKER, &rule.worker);
                }
                self.replace_uri(uri);
                Some(())
            }
            other => {
                self.explain_miss(&other, uri);
                None
            }
        }
    }

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

    fn keep_rule(self, options: &Arc<RuleOptions>) {
        let request = self.request;
        let mut state = request.jk().unwrap_or(State::FRESH);
        state.mapped = true;
        state.options = if options.is_plain() {
            std::ptr::null()
        } else {
            let kept = request.pool().own(Arc::clone(options));
            // SAFETY: `own` keeps the Arc, and so the options behind it, for the life of the request.
            Arc::as_ptr(unsafe { &*kept })
        };
        request.put_jk(state);
    }

    fn replace_uri(self, normalized: &[u8]) {
        let request = self.request;
        // What is normal is borrowed from the request.
        if request.is_uri(normalized) {
            return;
        }
        let mut state = request.jk().unwrap_or(State::FRESH);
        state.original_uri = request.uri_text().map_or(std::ptr::null(), CStr::as_ptr);
        request.put_jk(state);
        request.set_uri(normalized);
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
        let request = self.request;
        let uri = request.uri();
        // Last segments are short: a plain loop is done sooner than a search by vectors.
        let slash = uri.iter().rposition(|byte| *byte == b'/');
        let last = uri.get(slash.map_or(0, |slash| slash.saturating_add(1))..).unwrap_or_default();
        let folder = request.main().and_then(Request::filename).filter(|name| name.last() == Some(&b'/'));
        match folder {
            Some(folder) => {
                let path = [folder, last].concat();
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
            None => request.set_filename(request.pool().text(last)),
        }
        OK
    }
}

fn path_of(parts: &[&[u8]]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(parts.concat()).into()
}

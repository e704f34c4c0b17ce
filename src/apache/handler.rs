//! The handler: hands a mapped request to its worker and turns the result into httpd's answer (reference: apache-side.md section 2.7, section 5.9).
//!
//! Not here: how the worker was found (`mapping.rs`). The surprising thing: a status returned from here makes httpd write its own error
//! page, so once any byte of a response may have left httpd, the answer is "done" and the client's connection is cut instead.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::time::Duration;

use super::apr::PoolText;
use super::client::Client;
use super::ffi;
use super::forward::{Facts, cookies, leading_int};
use super::hooks::{DECLINED, OK, SERVER_ERROR};
use super::mapping::{Mapping, NO_JK, NOTE_WORKER, State};
use super::member_notes::Decimal;
use super::options::Flags;
use super::request::{DIRECTORY_HANDLER, Env, HANDLER, Request};
use super::server_config::Indicator;
use super::vhost::Vhost;
use crate::balancer::session::is_switched_on;
use crate::log::{Level, Shown, log_at};
use crate::request_log::{Fields, RequestLogFormat};
use crate::runtime::Worker;
use crate::uri_map::{RuleOptions, parse_options, split_worker};
use crate::worker::clock::Moment;
use crate::worker::lb::{Balance, LbWorker, Trail};
use crate::worker::{self, BodyKind, Failure, Log, Served};

/// The note about the kind of worker.
pub(super) const NOTE_TYPE: &CStr = c"JK_WORKER_TYPE";
/// The note about the route that was sent.
pub(super) const NOTE_ROUTE: &CStr = c"JK_WORKER_ROUTE";
/// The note about the time that the request took.
pub(super) const NOTE_DURATION: &CStr = c"JK_REQUEST_DURATION";
const UNAUTHORIZED: u16 = 401;
const PAYLOAD_TOO_LARGE: u16 = 413;

/// The handler hook.
pub(super) fn handle(request: Request<'_>, vhost: &Vhost) -> c_int {
    let is_ours =
        request.has_handler(HANDLER) || (vhost.flags.has(Flags::DIRECTORIES) && request.has_handler(DIRECTORY_HANDLER));
    if !is_ours {
        return DECLINED;
    }
    let env = request.env();
    if env.get(NO_JK).is_some() {
        return DECLINED;
    }
    let id = request.id_in(env, vhost);
    #[cfg(feature = "planted-panic")]
    planted_panic(request);
    let state = request.jk_or_new();
    let found = match state.worker_of_note(request.notes().value_of_own(NOTE_WORKER), vhost) {
        Some((name, worker)) => Found { name, worker: Some(worker), own_options: None },
        None => match find_worker(request, vhost, state) {
            Ok(Some(found)) => found,
            Ok(None) => return DECLINED,
            Err(status) => return status,
        },
    };
    let is_first_time = !state.handled.replace(true);
    if request.is_proxied() {
        log_at!(
            vhost.logger,
            Level::Info,
            id,
            "a proxied request cannot go to worker={}, answering 500",
            Shown(found.name)
        );
        return SERVER_ERROR;
    }
    if let Err(status) = request.setup_body() {
        return status;
    }
    let Some(worker) = found.worker.or_else(|| vhost.runtime.find(found.name)) else {
        log_at!(
            vhost.logger,
            Level::Info,
            id,
            "Could not find a worker for worker name={}, answering 500",
            Shown(found.name)
        );
        return SERVER_ERROR;
    };
    if request.client_is_gone() {
        log_at!(
            vhost.logger,
            Level::Info,
            id,
            "Client connection aborted before the request was forwarded to worker={}",
            Shown(found.name)
        );
        return OK;
    }
    vhost.runtime.maintain_without_watchdog(request.time_s(), &vhost.logger);
    let options = found.own_options.or_else(|| state.options());
    let service = Service {
        request,
        vhost,
        state,
        is_first_time,
        is_duration_noted: Cell::new(false),
        id,
        name: found.name,
        options,
    };
    service.answer(worker)
}

/// A worker's name, the worker where the map has told it, and the rule options that came with it in an environment variable.
struct Found<'r> {
    name: &'r [u8],
    worker: Option<&'r Worker>,
    own_options: Option<&'r RuleOptions>,
}

impl<'r> Found<'r> {
    fn named(name: &'r [u8]) -> Self {
        Self { name, worker: None, own_options: None }
    }
}

/// By note, by environment variable, or by the URI (reference: apache-side.md section 2.7 step 5).
#[inline(never)]
fn find_worker<'r>(request: Request<'r>, vhost: &'r Vhost, state: &State) -> Result<Option<Found<'r>>, c_int> {
    let mapping = Mapping { request, vhost };
    if let Some(name) = request.note(NOTE_WORKER) {
        // Otherwise access rules have seen the normalised URI: a rule of the map matched before httpd asked them.
        if !state.is_mapped_early() {
            mapping.normalize_uri(state)?;
            // The look at the access rules may have mapped the path by a rule, which does not count here.
            request.notes().set(request.pool(), NOTE_WORKER, name);
            mapping.recover_options(state, name);
        }
        return Ok(Some(Found::named(name)));
    }
    if let Some(text) = request.env().get(vhost.indicator(Indicator::Worker)).map(CStr::to_bytes) {
        mapping.normalize_uri(state)?;
        let (name, extensions) = split_worker(text);
        let (options, problems) = parse_options(extensions);
        for problem in problems {
            log_at!(vhost.logger, Level::Warn, request.id(vhost), "{}", problem.into_diagnostic(None));
        }
        request.notes().set(request.pool(), NOTE_WORKER, name);
        let own_options = request.pool().own(options);
        // SAFETY: `own` keeps it for the life of the request.
        let own_options = Some(unsafe { &*own_options });
        return Ok(Some(Found { own_options, ..Found::named(name) }));
    }
    mapping.map_late(state)?;
    Ok(request.note(NOTE_WORKER).map(Found::named))
}

/// One request with its worker.
pub(super) struct Service<'r> {
    pub(super) request: Request<'r>,
    pub(super) vhost: &'r Vhost,
    pub(super) state: &'r State,
    /// The handler has not seen this request before: none of its notes is there.
    pub(super) is_first_time: bool,
    /// The note of the duration is there and has the text of `state`.
    pub(super) is_duration_noted: Cell<bool>,
    id: &'r [u8],
    name: &'r [u8],
    options: Option<&'r RuleOptions>,
}

impl Service<'_> {
    /// The handler's answer.
    #[inline]
    fn answer(&self, worker: &Worker) -> c_int {
        let started = Moment::now();
        self.request.notes().set_new(NOTE_TYPE, PoolText::constant(worker.type_name()), [NOTE_WORKER]);
        let (status, ended) = self.run(worker, self.state.original_uri());
        self.note_duration(ended.unwrap_or_else(Moment::now).since(started));
        status
    }

    /// The handler's answer, and when the response was over, if somebody looked at the clock then.
    fn run(&self, worker: &Worker, original_uri: Option<&[u8]>) -> (c_int, Option<Moment>) {
        let (request, vhost) = (self.request, self.vhost);
        let log = Log { logger: &vhost.logger, context: self.id };
        let uri = original_uri.unwrap_or_else(|| request.uri());
        if vhost.wants_cgi_variables {
            request.add_common_vars();
        }
        let env = request.env();
        let forced_route = env.get(c"JK_ROUTE").map(CStr::to_bytes).filter(|route| !route.is_empty());
        let facts = Facts::new(request, vhost, env, uri, forced_route);
        let body = facts.body();
        let mut job = worker::Request::new(&facts, body);
        self.set_options(&mut job, env);
        let mut client = Client::new(request);
        if matches!(body, BodyKind::Length(_)) && !request.is_redirected() {
            client.expect_body();
        }
        let result = match worker {
            Worker::Ajp(ajp) => {
                if let Some(route) = forced_route {
                    self.note_route(route);
                }
                ajp.service(&mut job, &mut client, &worker::MemberContext::default(), log)
            }
            Worker::Lb(lb) => {
                let cookies = cookies(request);
                let balance = self.balance(lb, env, forced_route, &cookies, uri);
                let mut trail = Trail::default();
                let result = lb.service(&mut job, &mut client, &balance, log, &mut trail);
                self.note_members(forced_route, &trail);
                result
            }
            Worker::Status(status) => return (super::status::serve(request, vhost, status, log), None),
        };
        // httpd reads and drops what is left of the request body itself, after the response.
        match &result {
            Ok(served) => {
                let status = self.served(served, &mut client);
                client.write_out();
                (status, Some(served.ended))
            }
            Err(failure) => (self.failed(failure, &mut client), None),
        }
    }

    pub(super) fn note_route(&self, route: &[u8]) {
        let (notes, pool) = (self.request.notes(), self.request.pool());
        notes.set(pool, NOTE_ROUTE, route);
    }

    fn note_duration(&self, took: Duration) {
        let text = match format_short_duration(took) {
            Some(digits) => {
                self.state.set_duration(digits);
                if self.is_duration_noted.get() {
                    return;
                }
                self.state.duration_text()
            }
            None => self.request.pool().owned_text(&format_duration(took)),
        };
        self.request.notes().set_new(NOTE_DURATION, text, [NOTE_WORKER, NOTE_TYPE]);
    }

    #[inline(always)]
    fn set_options<'o>(&'o self, job: &mut worker::Request<'o>, env: Env) {
        let flags = self.vhost.flags;
        job.options.flush_packets = flags.has(Flags::FLUSH_PACKETS);
        job.options.flush_header = flags.has(Flags::FLUSH_HEADER);
        job.options.disable_reuse = flags.has(Flags::DISABLE_REUSE);
        if let Some(rule) = self.options {
            job.overrides.reply_timeout_ms = rule.reply_timeout_ms;
            job.overrides.fail_on_status = Some(rule.fail_on_status.as_slice()).filter(|list| !list.is_empty());
            job.overrides.use_server_errors = u16::try_from(rule.use_server_errors).unwrap_or(0);
        }
        if let Some(text) = env.get(c"JK_REPLY_TIMEOUT").map(CStr::to_bytes) {
            match reply_timeout(text) {
                Some(ms) => job.overrides.reply_timeout_ms = ms.or(job.overrides.reply_timeout_ms),
                None => {
                    log_at!(
                        self.vhost.logger,
                        Level::Warn,
                        self.id,
                        "JK_REPLY_TIMEOUT must be a number of milliseconds, found '{}', ignored",
                        Shown(text)
                    );
                }
            }
        }
    }

    /// What a balancer wants to know (reference: lb-shm-status.md section 2.6; environment wins over the rule).
    fn balance<'b>(
        &'b self,
        lb: &LbWorker,
        env: Env,
        forced_route: Option<&'b [u8]>,
        cookies: &'b [&'b [u8]],
        path: &'b [u8],
    ) -> Balance<'b> {
        let switch = |name: &CStr, rule: bool| env.get(name).map_or(rule, |value| is_switched_on(value.to_bytes()));
        let rule = crate::status::balance_of(self.options);
        Balance {
            forced_route: forced_route.unwrap_or_default(),
            path,
            cookies,
            sticky_ignore: switch(c"JK_STICKY_IGNORE", rule.sticky_ignore),
            stateless: switch(c"JK_STATELESS", rule.stateless),
            // Only the cookie tells of it.
            secure: (rule.set_session_cookie || lb.config().set_session_cookie) && self.request.is_secure(),
            ..rule
        }
    }

    fn served(&self, served: &Served, client: &mut Client<'_>) -> c_int {
        if let Some(page) = &served.page {
            if served.status == UNAUTHORIZED {
                match &page.www_authenticate {
                    Some(value) => self.request.err_headers_out().set(self.request.pool(), c"WWW-Authenticate", value),
                    None => {
                        log_at!(
                            self.vhost.logger,
                            Level::Info,
                            self.id,
                            "worker={} answered 401 without WWW-Authenticate",
                            Shown(self.name)
                        );
                    }
                }
            }
            log_at!(
                self.vhost.logger,
                Level::Debug,
                self.id,
                "status {} of worker={} becomes a page of httpd",
                served.status,
                Shown(self.name)
            );
            return c_int::from(served.status);
        }
        if worker::Downstream::finish(client).is_err() {
            if client.is_replaced() {
                return self.replaced();
            }
            log_at!(
                self.vhost.logger,
                Level::Info,
                self.id,
                "Aborting connection for worker={}: the client is gone",
                Shown(self.name)
            );
        }
        // mod_include puts its error text after a part that failed.
        if self.request.main().is_some() && served.status >= 400 && self.request.method() != b"HEAD" {
            log_at!(
                self.vhost.logger,
                Level::Info,
                self.id,
                "status {} of worker={} for a sub-request",
                served.status,
                Shown(self.name)
            );
            return c_int::from(served.status);
        }
        log_at!(
            self.vhost.logger,
            Level::Debug,
            self.id,
            "Service finished with status={} for worker={}",
            served.status,
            Shown(self.name)
        );
        OK
    }

    /// What httpd wants to hear when one of its filters has answered instead (`AP_FILTER_ERROR`).
    fn replaced(&self) -> c_int {
        log_at!(
            self.vhost.logger,
            Level::Debug,
            self.id,
            "a filter of httpd answered in the place of worker={}",
            Shown(self.name)
        );
        ffi::AP_FILTER_ERROR
    }

    fn failed(&self, failure: &Failure, client: &mut Client<'_>) -> c_int {
        let (request, error) = (self.request, &failure.error);
        if client.is_replaced() {
            return self.replaced();
        }
        let status = error.http_status();
        if worker::Downstream::committed(client) || error.aborts_client() {
            if !request.client_is_gone() || error.aborts_client() {
                log_at!(self.vhost.logger, Level::Info, self.id, "Aborting connection for worker={}", Shown(self.name));
            }
            if worker::Downstream::committed(client) {
                client.break_off();
                return OK;
            }
            request.abort_client();
            return c_int::from(status);
        }
        client.withdraw();
        let level = if status == PAYLOAD_TOO_LARGE { Level::Debug } else { Level::Info };
        log_at!(self.vhost.logger, level, self.id, "Service error={status} for worker={}: {error}", Shown(self.name));
        c_int::from(status)
    }
}

/// `None`: not a number. `Some(None)`: negative, which means "as configured".
fn reply_timeout(text: &[u8]) -> Option<Option<u32>> {
    let digits = text.trim_ascii();
    let number = digits.strip_prefix(b"-").unwrap_or(digits);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(u32::try_from(leading_int(digits)).ok())
}

/// The numbers below 100 with two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        }
        number += 1;
    }
    pairs
};

/// `s.uuuuuu` and NUL, for less than ten seconds.
#[inline]
fn format_short_duration(took: Duration) -> Option<[u8; 16]> {
    let (seconds, micros) = (u8::try_from(took.as_secs()).ok().filter(|seconds| *seconds < 10)?, took.subsec_micros());
    let [[a, b], [c, d], [e, f]] = [micros / 10_000, micros / 100 % 100, micros % 100].map(|pair| {
        let pair = usize::try_from(pair).unwrap_or(0);
        PAIRS.get(pair).copied().unwrap_or_default()
    });
    Some([b'0' + seconds, b'.', a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// `s.uuuuuu`.
#[cold]
fn format_duration(took: Duration) -> Vec<u8> {
    let micros = format!(".{:06}", took.subsec_micros());
    [Decimal::of(took.as_secs()).text(), micros.as_bytes()].concat()
}

/// What [`format_duration`] wrote.
fn parse_duration(text: &[u8]) -> Option<Duration> {
    let (seconds, micros) = std::str::from_utf8(text).ok()?.split_once('.')?;
    Some(Duration::from_secs(seconds.parse().ok()?).saturating_add(Duration::from_micros(micros.parse().ok()?)))
}

/// Writes the request-log line, for requests that the handler accepted (reference: apache-side.md section 6.5).
#[inline]
pub(super) fn log_request(request: Request<'_>, vhost: &Vhost) {
    if let Some(format) = &vhost.request_log
        && request.jk().is_some_and(|state| state.handled.get())
    {
        write_request(request, vhost, format);
    }
}

#[inline(never)]
fn write_request(request: Request<'_>, vhost: &Vhost, format: &RequestLogFormat) {
    let (name, port) = request.configured_server();
    let port = if port == 0 { request.default_port() } else { port };
    let fields = Fields {
        duration: request.note(NOTE_DURATION).and_then(parse_duration),
        request_line: request.request_line(),
        uri: request.uri(),
        status: request.status(),
        bytes: request.bytes_sent(),
        has_body: request.has_sent_body(),
        canonical_server_name: request.server_name(),
        server_name: name,
        port,
        protocol: request.protocol(),
        method: request.method(),
        query: request.args(),
        worker: request.note(NOTE_WORKER),
        route: request.note(NOTE_ROUTE),
    };
    let mut line = Vec::with_capacity(160);
    format.render(&fields, &mut line);
    vhost.logger.write_request(&line);
}

/// Panics when the request asks for it; only in builds for the test of the guard.
#[cfg(feature = "planted-panic")]
fn planted_panic(request: Request<'_>) {
    if request.uri().ends_with(b"/planted-panic") {
        let empty: &[u8] = &[];
        #[allow(clippy::indexing_slicing, reason = "this is the planted panic")]
        let byte = empty[request.uri().len()];
        request.set_status(u16::from(byte), std::ptr::null());
    }
}

impl Request<'_> {
    /// Whether the client speaks TLS, as mod_ssl says in the environment.
    fn is_secure(self) -> bool {
        self.env().get(c"HTTPS").is_some_and(|on| on.to_bytes().eq_ignore_ascii_case(b"on"))
            || self.http_scheme().eq_ignore_ascii_case(b"https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_timeout_ignores_what_is_no_number_and_leaves_negative_ones_to_the_worker() {
        assert_eq!(reply_timeout(b"1500"), Some(Some(1500)));
        assert_eq!(reply_timeout(b"0"), Some(Some(0)));
        assert_eq!(reply_timeout(b"-1"), Some(None));
        assert_eq!(reply_timeout(b"soon"), None);
        assert_eq!(reply_timeout(b""), None);
    }

    #[test]
    fn durations_have_six_decimals() {
        assert_eq!(format_duration(Duration::from_secs(3601)), b"3601.000000");
        assert_eq!(format_duration(Duration::from_nanos(12_999_999_999)), b"12.999999");
        for micros in [0, 1, 42, 999_999, 1_000_000, 3_000_042, 8_070_605, 9_999_999] {
            let took = Duration::from_micros(micros);
            let mut room = format_duration(took);
            room.resize(16, 0);
            assert_eq!(format_short_duration(took).as_ref().map(<[u8; 16]>::as_slice), Some(room.as_slice()));
        }
        assert_eq!(format_short_duration(Duration::from_secs(10)), None);
        assert_eq!(format_short_duration(Duration::from_secs(260)), None);
        assert_eq!(parse_duration(b"3.000042"), Some(Duration::from_micros(3_000_042)));
        assert_eq!(parse_duration(b"soon"), None);
    }
}

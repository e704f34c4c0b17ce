//! An AJP worker under test: its fake web server, its log, and one call per request.
//!
//! Not here: the container (`tomcat.rs`). The surprising thing: the fake commits the response when it is told to flush, as
//! httpd may, and never otherwise.

use mod_jk::worker::clock::Moment;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::ajp::response::ResponseHead;
use mod_jk::config::AjpConfig;
use mod_jk::log::{Level, Logger, Sink, Stamp};
use mod_jk::worker::{
    AjpShared, AjpWorker, BodyKind, ClientError, Downstream, Failure, Log, MemberContext, Request, Served,
};

/// The worker, and what it logged.
pub(crate) struct Engine {
    pub(crate) worker: AjpWorker,
    logger: Logger,
    lines: Arc<Lines>,
}

/// What came of one request.
pub(crate) struct Outcome {
    pub(crate) result: Result<Served, Failure>,
    pub(crate) client: Client,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Sink for Lines {
    fn write_line(&self, line: &[u8]) {
        self.0.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
    }
}

impl Engine {
    /// A worker named w1 for 127.0.0.1 at `port`: no pause between attempts, two connections, no timeouts.
    pub(crate) fn new(port: u16) -> Self {
        Self::with(port, |_| {})
    }

    /// The same, with changes.
    pub(crate) fn with(port: u16, change: impl FnOnce(&mut AjpConfig)) -> Self {
        let mut config = AjpConfig {
            name: "w1".to_owned(),
            connection_pool_size: 2,
            connection_pool_minsize: 1,
            ..AjpConfig::default()
        };
        config.settings.host = "127.0.0.1".to_owned();
        config.settings.port = port;
        config.settings.retry_interval_ms = 0;
        change(&mut config);
        let shared = Arc::new(AjpShared::alone(config.settings.clone()).unwrap());
        let lines = Arc::<Lines>::default();
        let logger = Logger::new(Level::Trace, Stamp::local(b""), Arc::clone(&lines) as Arc<dyn Sink>);
        Self { worker: AjpWorker::new(config, shared), logger, lines }
    }

    pub(crate) fn log(&self) -> Log<'_> {
        Log { logger: &self.logger, context: b"id" }
    }

    /// The lines so far that contain `text`.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The lines so far of a level.
    pub(crate) fn level(&self, level: &str) -> Vec<String> {
        self.lines(&format!("[{level}]"))
    }

    /// GET without a body.
    pub(crate) fn get(&self) -> Outcome {
        self.send(b"GET", BodyKind::None, Client::default(), |_| {})
    }

    /// POST with a body of known length.
    pub(crate) fn post(&self, body: &[u8]) -> Outcome {
        self.send(b"POST", BodyKind::Length(body.len() as u64), Client::with_body(&[body]), |_| {})
    }

    pub(crate) fn send(
        &self,
        method: &'static [u8],
        kind: BodyKind,
        client: Client,
        change: impl FnOnce(&mut Request<'static>),
    ) -> Outcome {
        self.send_as(method, kind, client, &MemberContext::default(), change)
    }

    pub(crate) fn send_as(
        &self,
        method: &'static [u8],
        kind: BodyKind,
        mut client: Client,
        member: &MemberContext<'_>,
        change: impl FnOnce(&mut Request<'static>),
    ) -> Outcome {
        let mut request = Request::new(kept(plain(method)), kind);
        change(&mut request);
        let result = self.worker.service(&mut request, &mut client, member, self.log());
        Outcome { result, client }
    }

    /// Maintenance as the watchdog runs it.
    pub(crate) fn maintain(&self, now: Moment) {
        self.worker.maintain(now, self.log());
    }
}

/// What [`Engine::send`] sends, before it is changed.
pub(crate) fn plain(method: &'static [u8]) -> ForwardRequest<'static> {
    ForwardRequest { method, protocol: b"HTTP/1.1", uri: b"/app", server_port: 80, ..ForwardRequest::default() }
}

/// For as long as the test program runs.
pub(crate) fn kept(forward: ForwardRequest<'static>) -> &'static ForwardRequest<'static> {
    Box::leak(Box::new(forward))
}

impl Outcome {
    /// The response, which must have come.
    #[track_caller]
    pub(crate) fn served(&self) -> &Served {
        self.result.as_ref().expect("a response")
    }

    /// The failure, which must have come.
    #[track_caller]
    pub(crate) fn failure(&self) -> &Failure {
        self.result.as_ref().expect_err("a failure")
    }

    /// Status, deliveries, attempts.
    #[track_caller]
    pub(crate) fn failed(&self) -> (u16, u32, u32) {
        let failure = self.failure();
        (failure.error.http_status(), failure.delivered, failure.attempts)
    }
}

/// The web server with its client.
#[derive(Default)]
pub(crate) struct Client {
    parts: VecDeque<Vec<u8>>,
    breaks_off: bool,
    /// Gone from the n-th `pass` on.
    pub(crate) gone_at_pass: Option<usize>,
    pub(crate) started: usize,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content_length: Option<u64>,
    batch: Vec<u8>,
    /// Body as the client sees it.
    pub(crate) body: Vec<u8>,
    /// Bytes and flush of each `pass`.
    pub(crate) passes: Vec<(usize, bool)>,
    pub(crate) discarded: usize,
    /// How often the response was ended.
    pub(crate) finished: usize,
    /// Body bytes that had been passed on at each read of the request body.
    pub(crate) passed_at_reads: Vec<usize>,
    pub(crate) committed: bool,
}

impl Client {
    /// Sends these parts, one per read, and ends the body.
    pub(crate) fn with_body(parts: &[&[u8]]) -> Self {
        Self { parts: parts.iter().map(|part| part.to_vec()).collect(), ..Self::default() }
    }

    /// Sends these parts, one per read, and is gone then.
    pub(crate) fn breaking_off_after(parts: &[&[u8]]) -> Self {
        Self { breaks_off: true, ..Self::with_body(parts) }
    }

    /// Unread bytes of the request body.
    pub(crate) fn unread(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }
}

impl Downstream for Client {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        self.passed_at_reads.push(self.body.len());
        let Some(mut part) = self.parts.pop_front() else {
            return if self.breaks_off { Err(ClientError) } else { Ok(0) };
        };
        let rest = part.split_off(part.len().min(buffer.len()));
        buffer[..part.len()].copy_from_slice(&part);
        if !rest.is_empty() {
            self.parts.push_front(rest);
        }
        Ok(part.len())
    }

    fn start(&mut self, head: &ResponseHead<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.started += 1;
        self.status = head.status;
        self.headers = head.headers.iter().map(|(name, value)| (text(name), text(value))).collect();
        self.content_length = head.content_length;
    }

    fn body(&mut self, bytes: &[u8]) {
        self.batch.extend_from_slice(bytes);
    }

    fn pass(&mut self, flush: bool) -> Result<(), ClientError> {
        if self.gone_at_pass == Some(self.passes.len()) {
            return Err(ClientError);
        }
        self.passes.push((self.batch.len(), flush));
        self.body.append(&mut self.batch);
        self.committed = true;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ClientError> {
        self.finished += 1;
        if self.batch.is_empty() { Ok(()) } else { self.pass(false) }
    }

    fn queue_header(&mut self, _: Option<&[u8]>) {}

    fn discard(&mut self) {
        self.discarded += 1;
        self.batch.clear();
    }

    fn committed(&self) -> bool {
        self.committed
    }
}

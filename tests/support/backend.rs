//! A container that serves as many connections and requests as come, by one behaviour, and remembers what it was asked.
//!
//! Not here: connections that each need a script of their own (`tomcat.rs`). The surprising thing: dropping a [`Backend`] fails the
//! test if a behaviour failed; and it should be made before the httpd in front of it, so that it is dropped after that.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mod_jk::ajp::request::DecodedRequest;
use mod_jk::ajp::response::encode_end;

use super::http_client::{Client, Request, Response};
use super::httpd::{Builder, Httpd};
use super::tomcat::{Peer, chunk, headers};
use super::wait;

/// How long a test waits for a request that it knows to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Body bytes that a packet of 8 KiB takes.
const PACKET_BODY: u16 = 8_186;

/// A request as the container got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its head.
    pub(crate) request: DecodedRequest,
    /// As much of its body as the behaviour has read.
    pub(crate) body: Vec<u8>,
    /// The number of the connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Seen {
    /// The forwarded URI.
    pub(crate) fn uri(&self) -> String {
        String::from_utf8_lossy(&self.request.uri).into_owned()
    }

    /// A request header, by any spelling of its name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// All headers of a name, in order.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let same = |(known, _): &&(Vec<u8>, Vec<u8>)| known.eq_ignore_ascii_case(name.as_bytes());
        self.request.headers.iter().filter(same).map(|(_, value)| text(value)).collect()
    }

    /// A request attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.request.attribute(name).map(text)
    }
}

/// Bytes as text, for comparing with literals.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks httpd once, on a connection of its own.
#[track_caller]
pub(crate) fn ask(httpd: &Httpd, request: &Request) -> Response {
    Client::once(httpd.address(), request).unwrap()
}

/// GET, on a connection of its own.
#[track_caller]
pub(crate) fn get(httpd: &Httpd, target: &str) -> Response {
    ask(httpd, &Request::new("GET", target))
}

/// The status that a GET is answered with.
#[track_caller]
pub(crate) fn status(httpd: &Httpd, target: &str) -> u16 {
    get(httpd, target).status()
}

/// The container's ends of all connections, until a behaviour closes them.
type Streams = Arc<Mutex<Vec<Option<TcpStream>>>>;

type Record = Arc<Mutex<Vec<Seen>>>;

/// One request while the behaviour answers it.
pub(crate) struct Call<'p> {
    /// The connection.
    pub(crate) peer: &'p mut Peer,
    /// The request.
    pub(crate) request: DecodedRequest,
    connection: usize,
    streams: Streams,
    index: usize,
    record: Record,
}

impl Call<'_> {
    /// The forwarded URI.
    pub(crate) fn uri(&self) -> String {
        text(&self.request.uri)
    }

    /// Reads the whole body as a servlet does, and remembers it.
    pub(crate) fn read_body(&mut self) -> Vec<u8> {
        let declared = self.request.header("content-length").map(|value| text(value).parse::<usize>().unwrap());
        let chunked = declared.is_none() && self.request.header("transfer-encoding").is_some();
        let mut body = Vec::new();
        if declared.is_some_and(|length| length > 0) {
            body.extend(self.peer.expect_body());
        }
        while chunked || declared.is_some_and(|length| body.len() < length) {
            self.peer.get_body(PACKET_BODY);
            let part = self.peer.expect_body();
            if part.is_empty() {
                break;
            }
            body.extend(part);
        }
        self.record.lock().unwrap()[self.index].body.clone_from(&body);
        body
    }

    /// Closes the connection in order.
    pub(crate) fn close(&mut self) {
        self.streams.lock().unwrap()[self.connection] = None;
        self.peer.close();
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        self.streams.lock().unwrap()[self.connection] = None;
        self.peer.reset();
    }

    /// Answers 200 with `body`.
    pub(crate) fn ok(&mut self, body: impl AsRef<[u8]>) {
        self.answer(200, &[], body);
    }

    /// Answers with a status, headers and a body, as long as somebody takes it: who does not want the headers may close on them.
    pub(crate) fn answer(&mut self, status: u16, list: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let mut bytes = headers(status, list);
        body.as_ref().chunks(8_000).for_each(|part| bytes.extend(chunk(part)));
        bytes.extend(encode_end(true));
        self.peer.send_anyway(&bytes);
    }
}

/// The container.
pub(crate) struct Backend {
    address: SocketAddr,
    record: Record,
    streams: Streams,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

impl Backend {
    /// Answers every request by `behaviour`, until it closes the connection.
    pub(crate) fn start(behaviour: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (record, streams, stopped) = (Record::default(), Streams::default(), Arc::default());
        let behaviour = Arc::new(behaviour);
        let acceptor = std::thread::spawn({
            let (record, streams, stopped) = (Arc::clone(&record), Arc::clone(&streams), Arc::clone(&stopped));
            move || {
                let mut running = Vec::new();
                for connection in 0.. {
                    let (stream, _) = listener.accept().unwrap();
                    if AtomicBool::load(&stopped, Ordering::SeqCst) {
                        break;
                    }
                    streams.lock().unwrap().push(Some(stream.try_clone().unwrap()));
                    let (record, behaviour) = (Arc::clone(&record), Arc::clone(&behaviour));
                    let streams = Arc::clone(&streams);
                    let run = move || serve(stream, connection, &streams, &record, &*behaviour);
                    running.push(std::thread::spawn(run));
                }
                running
            }
        });
        Backend { address, record, streams, stopped, acceptor: Some(acceptor) }
    }

    /// Reads every body and answers `METHOD URI`.
    pub(crate) fn echo() -> Backend {
        Backend::start(|call| {
            call.read_body();
            let answer = format!("{} {}", text(&call.request.method), call.uri());
            call.ok(answer);
        })
    }

    /// Answers everything with `name`.
    pub(crate) fn named(name: &'static str) -> Backend {
        Backend::start(move |call| {
            call.read_body();
            call.ok(name);
        })
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The properties of a worker that leads here.
    pub(crate) fn worker(&self, name: &str) -> String {
        format!("worker.{name}.type=ajp13\nworker.{name}.host=127.0.0.1\nworker.{name}.port={}\n", self.port())
    }

    /// An httpd whose only worker, `w`, leads here; nothing is mounted.
    pub(crate) fn unmounted(&self) -> Builder {
        Httpd::builder().workers(&format!("worker.list=w\n{}", self.worker("w")))
    }

    /// An httpd that forwards everything here through a worker `w`.
    pub(crate) fn httpd(&self) -> Builder {
        self.unmounted().config("JkMount /* w\n")
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.record.lock().unwrap().len()
    }

    /// The URIs of all requests so far.
    pub(crate) fn uris(&self) -> Vec<String> {
        self.seen().iter().map(Seen::uri).collect()
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request came")
    }

    /// Waits until `count` requests have come.
    #[track_caller]
    pub(crate) fn await_count(&self, count: usize) {
        wait::until(PATIENCE, "requests to reach the container", || self.count() >= count);
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.streams.lock().unwrap().len()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let Some(running) = self.acceptor.take().and_then(|acceptor| acceptor.join().ok()) else { return };
        for stream in self.streams.lock().unwrap().iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for connection in running {
            if let Err(panic) = connection.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn serve(stream: TcpStream, connection: usize, streams: &Streams, record: &Record, behaviour: &dyn Fn(&mut Call<'_>)) {
    let mut peer = Peer::new(stream, Arc::default());
    while peer.is_open() {
        let Some(request) = peer.try_forward_request_past_pings() else { break };
        let index = {
            let mut record = record.lock().unwrap();
            record.push(Seen { request: request.clone(), body: Vec::new(), connection });
            record.len() - 1
        };
        let (streams, record) = (Arc::clone(streams), Arc::clone(record));
        behaviour(&mut Call { peer: &mut peer, request, connection, streams, index, record });
    }
    streams.lock().unwrap()[connection] = None;
}

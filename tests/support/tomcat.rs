//! A scripted container: each connection that the engine opens runs one script, and whatever it delivers is recorded.
//!
//! Not here: a container that behaves. The surprising thing: when the scripts are used up, the port is closed, so that a
//! connection too many is refused instead of hanging.

#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mod_jk::ajp::request::{CPING, DecodedRequest, decode};
use mod_jk::ajp::response::{CPONG, encode_body_chunk, encode_end, encode_get_body, encode_send_headers};

/// How long a script waits for bytes that never come before it fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one connection does.
pub(crate) type Script = Box<dyn FnOnce(&mut Peer) + Send>;

/// Makes a script of a closure.
pub(crate) fn script(run: impl FnOnce(&mut Peer) + Send + 'static) -> Script {
    Box::new(run)
}

/// The container.
pub(crate) struct Tomcat {
    address: SocketAddr,
    delivered: Arc<Mutex<Vec<DecodedRequest>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Tomcat {
    /// Listens on a free port; the n-th connection runs the n-th script.
    pub(crate) fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let delivered = Arc::<Mutex<Vec<DecodedRequest>>>::default();
        let record = Arc::clone(&delivered);
        let acceptor = std::thread::spawn(move || {
            let mut running = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().unwrap();
                let mut peer = Peer::new(stream, Arc::clone(&record));
                running.push(std::thread::spawn(move || script(&mut peer)));
            }
            drop(listener);
            for script in running {
                if let Err(panic) = script.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
        Self { address, delivered, acceptor: Some(acceptor) }
    }

    /// One connection only.
    pub(crate) fn once(run: impl FnOnce(&mut Peer) + Send + 'static) -> Self {
        Self::start(vec![script(run)])
    }

    /// A port that nobody listens on.
    pub(crate) fn closed_port() -> u16 {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many whole requests were read.
    pub(crate) fn delivered(&self) -> usize {
        self.delivered.lock().unwrap().len()
    }

    /// The requests that were read.
    pub(crate) fn requests(&self) -> Vec<DecodedRequest> {
        self.delivered.lock().unwrap().clone()
    }

    /// Waits until all scripts have run and fails if one of them did; returns how many requests were read. The engine must
    /// have let go of its connections before if a script waits for that.
    pub(crate) fn finish(mut self) -> usize {
        if let Some(acceptor) = self.acceptor.take()
            && let Err(panic) = acceptor.join()
        {
            std::panic::resume_unwind(panic);
        }
        self.delivered()
    }
}

/// One connection, at the container's end.
pub(crate) struct Peer {
    stream: Option<TcpStream>,
    delivered: Arc<Mutex<Vec<DecodedRequest>>>,
}

impl Peer {
    /// The container's end of `stream`; whole requests are added to `delivered`.
    pub(crate) fn new(stream: TcpStream, delivered: Arc<Mutex<Vec<DecodedRequest>>>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Some(stream), delivered }
    }

    /// Reads a whole request and records it.
    pub(crate) fn expect_forward_request(&mut self) -> DecodedRequest {
        self.try_forward_request().expect("a request, not the end")
    }

    /// Reads a whole request and records it; `None` when the engine has closed.
    pub(crate) fn try_forward_request(&mut self) -> Option<DecodedRequest> {
        let request = decode(&self.read_packet()?).unwrap();
        self.delivered.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// The same, and answers each CPing before it.
    pub(crate) fn try_forward_request_past_pings(&mut self) -> Option<DecodedRequest> {
        loop {
            let payload = self.read_packet()?;
            if payload == CPING[4..] {
                self.cpong();
                continue;
            }
            let request = decode(&payload).unwrap();
            self.delivered.lock().unwrap().push(request.clone());
            return Some(request);
        }
    }

    /// Reads a body packet; empty = end of body.
    pub(crate) fn expect_body(&mut self) -> Vec<u8> {
        let payload = self.read_packet().expect("a body packet, not the end");
        let Some((length, data)) = payload.split_first_chunk::<2>() else {
            assert!(payload.is_empty(), "half a length");
            return Vec::new();
        };
        assert_eq!(usize::from(u16::from_be_bytes(*length)), data.len());
        data.to_vec()
    }

    /// Reads a body packet; `None` when the engine has closed.
    pub(crate) fn try_body(&mut self) -> Option<Vec<u8>> {
        self.read_packet().map(|payload| payload.get(2..).unwrap_or_default().to_vec())
    }

    /// Reads a CPing.
    pub(crate) fn expect_cping(&mut self) {
        assert_eq!(self.read_packet().as_deref(), Some(&CPING[4..]));
    }

    /// Waits until the engine has closed the connection, and fails if anything else comes.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.read_packet(), None, "the connection is closed");
    }

    /// Answers a CPing.
    pub(crate) fn cpong(&mut self) {
        self.send(&CPONG);
    }

    /// SendHeaders without headers.
    pub(crate) fn headers(&mut self, status: u16) {
        self.send(&headers(status, &[]));
    }

    /// SendHeaders.
    pub(crate) fn headers_with(&mut self, status: u16, list: &[(&str, &str)]) {
        self.send(&headers(status, list));
    }

    /// SendBodyChunk.
    pub(crate) fn chunk(&mut self, data: &[u8]) {
        self.send(&chunk(data));
    }

    /// An empty SendBodyChunk.
    pub(crate) fn flush(&mut self) {
        self.chunk(b"");
    }

    /// GetBodyChunk.
    pub(crate) fn get_body(&mut self, wanted: u16) {
        self.send(&encode_get_body(wanted));
    }

    /// EndResponse.
    pub(crate) fn end(&mut self, reuse: bool) {
        self.send(&encode_end(reuse));
    }

    /// Answers one request with 200 and `body`, in one segment.
    pub(crate) fn ok(&mut self, body: &[u8]) {
        self.send(&[headers(200, &[]), chunk(body), encode_end(true).to_vec()].concat());
    }

    /// Reads one request and answers it with 200 and `body`.
    pub(crate) fn serve(&mut self, body: &[u8]) {
        self.expect_forward_request();
        self.ok(body);
    }

    /// The same; false when the engine has closed.
    pub(crate) fn try_serve(&mut self, body: &[u8]) -> bool {
        let served = self.try_forward_request().is_some();
        if served {
            self.ok(body);
        }
        served
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.as_mut().expect("open").write_all(bytes).unwrap();
    }

    /// Sends bytes as long as somebody takes them.
    pub(crate) fn send_anyway(&mut self, bytes: &[u8]) {
        let _ = self.stream.as_mut().expect("open").write_all(bytes);
    }

    /// Whether neither [`Peer::close`] nor [`Peer::reset`] was called.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Sends bytes; false when nobody takes them.
    pub(crate) fn send_all(&mut self, bytes: &[u8]) -> bool {
        self.stream.as_mut().expect("open").write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent, and waits until the engine has closed.
    pub(crate) fn finish_sending(&mut self) {
        let stream = self.stream.as_mut().expect("open");
        if stream.shutdown(std::net::Shutdown::Write).is_ok() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }

    /// Closes the connection in order.
    pub(crate) fn close(&mut self) {
        // Whoever holds a copy of the stream, to end it later, must not keep it open.
        if let Some(stream) = self.stream.take() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Sends bytes and closes the connection in order, all in one segment: nobody sees a pause between the two.
    pub(crate) fn send_and_close(&mut self, bytes: &[u8]) {
        socket2::SockRef::from(self.stream.as_ref().expect("open")).set_tcp_cork(true).unwrap();
        self.send(bytes);
        self.close();
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        let stream = self.stream.take().expect("open");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// One packet with our magic; `None` when the engine has closed.
    fn read_packet(&mut self) -> Option<Vec<u8>> {
        let stream = self.stream.as_mut().expect("open");
        let mut head = [0; 4];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            Err(error) => panic!("neither a packet nor the end: {error}"),
        }
        assert_eq!(head[..2], [0x12, 0x34], "magic of the web server");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        stream.read_exact(&mut payload).unwrap();
        Some(payload)
    }
}

/// The bytes of SendHeaders.
pub(crate) fn headers(status: u16, list: &[(&str, &str)]) -> Vec<u8> {
    let list: Vec<_> = list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut bytes = Vec::new();
    encode_send_headers(&mut bytes, status, Some(b"text"), &list).unwrap();
    bytes
}

/// The bytes of SendBodyChunk.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_body_chunk(&mut bytes, data).unwrap();
    bytes
}

/// The bytes of a packet with any payload.
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x41, 0x42], &length[..], payload].concat()
}

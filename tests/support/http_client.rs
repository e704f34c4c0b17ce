//! A raw HTTP/1.1 client over one TCP connection, for tests that care what is on the wire.
//!
//! Not here: redirects, pools, TLS, anything that makes a client pleasant; for those there is ureq. The surprising thing: it
//! repairs nothing. A request goes out as it was built, wrong lengths included, and a response tells how its framing ended
//! ([`End`]), which is the difference between a short answer and an aborted one.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails here has done its work"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a read or write may stand still before the test fails. Not a claim about speed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest head (status line and headers), and longest line inside a chunked body.
const MAX_HEAD: usize = 1 << 20;

/// A request, sent exactly as built; only `Host: localhost` is added if no Host was given and the version is HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

/// The body of a request, and the header that declares it.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// No body and no header about one.
    None,
    /// Content-Length and that many bytes.
    Length(Vec<u8>),
    /// Transfer-Encoding: chunked; one chunk each, then the last chunk.
    Chunked(Vec<Vec<u8>>),
    /// Content-Length as declared, whatever bytes follow.
    Declared {
        /// What the header says.
        length: u64,
        /// What is sent.
        sent: Vec<u8>,
    },
}

impl Request {
    /// A request without body and without headers of its own.
    pub(crate) fn new(method: &str, target: &str) -> Request {
        let (method, target) = (method.to_owned(), target.to_owned());
        Request { method, target, version: "HTTP/1.1", headers: Vec::new(), body: Body::None }
    }

    /// Another version, e.g. `HTTP/1.0`.
    pub(crate) fn version(mut self, version: &'static str) -> Request {
        self.version = version;
        self
    }

    /// Adds a header; the same name may come more than once.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: Body) -> Request {
        self.body = body;
        self
    }

    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        let mut header = |name: &str, value: &[u8]| out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        if self.version == "HTTP/1.1" && !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Host")) {
            header("Host", b"localhost");
        }
        for (name, value) in &self.headers {
            header(name, value);
        }
        match &self.body {
            Body::None => {}
            Body::Length(bytes) => header("Content-Length", bytes.len().to_string().as_bytes()),
            Body::Declared { length, .. } => header("Content-Length", length.to_string().as_bytes()),
            Body::Chunked(_) => header("Transfer-Encoding", b"chunked"),
        }
        out.extend(b"\r\n");
        match &self.body {
            Body::None => {}
            Body::Length(bytes) | Body::Declared { sent: bytes, .. } => out.extend(bytes),
            Body::Chunked(chunks) => {
                chunks.iter().for_each(|bytes| out.extend(chunk(bytes)));
                out.extend(LAST_CHUNK);
            }
        }
        out
    }
}

/// One chunk as it is on the wire, for bodies that are sent by hand.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// What ends a chunked body without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One connection. Dropping it closes it properly; see also [`Client::reset`].
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Read from the socket, not yet used.
    unread: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: impl ToSocketAddrs) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, unread: Vec::new() })
    }

    /// Connects, asks once, reads the whole response and closes.
    pub(crate) fn once(address: impl ToSocketAddrs, request: &Request) -> io::Result<Response> {
        Client::connect(address)?.exchange(request)
    }

    /// Sends `request` and reads the whole response; the connection stays open unless the server closes it.
    pub(crate) fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        self.send(request)?;
        self.response(&request.method)?.finish()
    }

    /// Sends `request`.
    pub(crate) fn send(&mut self, request: &Request) -> io::Result<()> {
        self.send_bytes(&request.encode())
    }

    /// Sends bytes, for what no [`Request`] can say and for bodies in pieces.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads the head of the response to a request with `method`, which says whether a body can follow. Interim responses
    /// (1xx but 101) are collected on the way.
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Incoming<'_>> {
        let mut interim = Vec::new();
        loop {
            let head = Head::parse(&self.take_head()?)?;
            if (100..200).contains(&head.status) && head.status != 101 {
                interim.push(head.status);
                continue;
            }
            let framing = head.framing(method)?;
            let end = (framing == Framing::Length(0)).then_some(End::Whole);
            return Ok(Incoming {
                client: self,
                head,
                interim,
                framing,
                end,
                unused: Vec::new(),
                trailers: Vec::new(),
            });
        }
    }

    /// The connection itself, for a second thread that sends while this one receives.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads exactly so many bytes, whatever they are: for interim responses that must come before more is sent.
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        while self.unread.len() < bytes.len() {
            if !matches!(self.fill()?, Input::Some) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        bytes.copy_from_slice(&self.take(bytes.len()));
        Ok(())
    }

    /// Says that nothing more will be sent; reading goes on.
    pub(crate) fn close_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Aborts the connection: the server gets RST instead of FIN, as from a browser whose machine lost patience.
    pub(crate) fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    /// Waits until the server closes the connection; true if it does so without sending anything more.
    pub(crate) fn is_closed_by_server(&mut self) -> io::Result<bool> {
        let more = self.fill();
        Ok(self.unread.is_empty() && matches!(more?, Input::Closed | Input::Reset))
    }

    /// The client's own address, which log lines and JK_REMOTE_* show.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Bytes that came after the last response and belong to none.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    fn take_head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Ok(self.take(at + 4));
            }
            if self.unread.len() > MAX_HEAD {
                return Err(malformed("endless head"));
            }
            match self.fill()? {
                Input::Some => {}
                Input::Closed if self.unread.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Input::Closed => return Err(malformed("head without end")),
                Input::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
    }

    /// A line without its CRLF; `None` if it is not all there yet.
    fn take_line(&mut self) -> Option<Vec<u8>> {
        let at = self.unread.windows(2).position(|bytes| bytes == b"\r\n")?;
        let mut line = self.take(at + 2);
        line.truncate(at);
        Some(line)
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let rest = self.unread.split_off(len.min(self.unread.len()));
        std::mem::replace(&mut self.unread, rest)
    }

    /// Reads once.
    fn fill(&mut self) -> io::Result<Input> {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(Input::Closed),
            Ok(len) => {
                self.unread.extend(&buffer[..len]);
                Ok(Input::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Input::Reset),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("the server sent nothing for {PATIENCE:?}")))
            }
            Err(error) => Err(error),
        }
    }
}

enum Input {
    Some,
    Closed,
    Reset,
}

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As its framing says: all bytes of Content-Length, the last chunk, or a proper close where only that can end it.
    Whole,
    /// The connection was closed before that.
    Closed,
    /// The connection was reset before that.
    Reset,
    /// The bytes are no chunked body. What came before is kept; the connection is of no more use.
    Malformed,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes are still to come; 0 also for responses that have no body.
    Length(u64),
    /// Chunks; so many bytes of the current one are still to come, `None` before its size line.
    Chunked(Option<u64>),
    /// The close of the connection is the end.
    UntilClose,
}

/// Status line and headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `HTTP/1.1`.
    pub(crate) version: String,
    /// Status code.
    pub(crate) status: u16,
    /// What follows the code.
    pub(crate) reason: String,
    /// Names as sent and values without blanks around them, in order; bytes that are not UTF-8 are replaced.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// All values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect()
    }

    fn parse(bytes: &[u8]) -> io::Result<Head> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
        let mut status_line = lines.next().unwrap_or_default().splitn(3, ' ');
        let version = status_line.next().unwrap_or_default().to_owned();
        let status = status_line.next().filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
        let status = status.filter(|_| version.starts_with("HTTP/")).ok_or_else(|| malformed("no status line"))?;
        let reason = status_line.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| malformed("a header without colon"))?;
        Ok(Head { version, status, reason, headers })
    }

    fn framing(&self, method: &str) -> io::Result<Framing> {
        if method == "HEAD" || matches!(self.status, 101 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        let (codings, lengths) = (self.all("Transfer-Encoding"), self.all("Content-Length"));
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(Framing::UntilClose),
            ([], [length]) => length.parse().map(Framing::Length).map_err(|_| malformed("Content-Length is no number")),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked(None)),
            _ => Err(malformed("contradictory framing")),
        }
    }
}

/// A response whose body is read piece by piece, as it comes.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    client: &'a mut Client,
    /// Status line and headers.
    pub(crate) head: Head,
    /// Interim responses before it.
    pub(crate) interim: Vec<u16>,
    framing: Framing,
    end: Option<End>,
    /// Decoded, not yet part of an event.
    unused: Vec<u8>,
    trailers: Vec<(String, String)>,
}

impl Incoming<'_> {
    /// The next bytes of the body as soon as there are any; `None` at its end, however it ended.
    pub(crate) fn part(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.unused.is_empty() {
            return Ok(Some(std::mem::take(&mut self.unused)));
        }
        while self.end.is_none() {
            let part = self.decode();
            if !part.is_empty() {
                return Ok(Some(part));
            }
            if self.end.is_none() {
                self.end = match (self.client.fill()?, self.framing) {
                    (Input::Some, _) => None,
                    (Input::Closed, Framing::UntilClose) => Some(End::Whole),
                    (Input::Closed, _) => Some(End::Closed),
                    (Input::Reset, _) => Some(End::Reset),
                };
            }
        }
        Ok(None)
    }

    /// The next event of a stream of server-sent events: its lines without the empty one; `None` at the end of the body. An
    /// event that the end cuts off is not returned; [`Incoming::finish`] has it.
    pub(crate) fn event(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = bytes.windows(2).position(|pair| pair == b"\n\n") {
                self.unused = bytes.split_off(at + 2);
                bytes.truncate(at);
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
            match self.part()? {
                Some(part) => bytes.extend(part),
                None => {
                    self.unused = bytes;
                    return Ok(None);
                }
            }
        }
    }

    /// Reads what is left of the body.
    pub(crate) fn finish(mut self) -> io::Result<Response> {
        let mut body = Vec::new();
        while let Some(part) = self.part()? {
            body.extend(part);
        }
        let end = self.end.unwrap_or(End::Whole);
        Ok(Response { head: self.head, interim: self.interim, body, trailers: self.trailers, end })
    }

    /// Decodes what can be decoded without reading; sets `end` when the framing says so.
    fn decode(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            match self.framing {
                Framing::UntilClose => body.append(&mut self.client.unread),
                Framing::Length(left) => {
                    let part = self.take_at_most(left);
                    let left = left - part.len() as u64;
                    body.extend(part);
                    self.framing = Framing::Length(left);
                    self.end = (left == 0).then_some(End::Whole);
                }
                Framing::Chunked(Some(left)) if left > 0 => {
                    let part = self.take_at_most(left);
                    self.framing = Framing::Chunked(Some(left - part.len() as u64));
                    if !part.is_empty() {
                        body.extend(part);
                        continue;
                    }
                }
                Framing::Chunked(state) => {
                    if self.chunk_line(state.is_some()) {
                        continue;
                    }
                }
            }
            return body;
        }
    }

    fn take_at_most(&mut self, left: u64) -> Vec<u8> {
        self.client.take(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Takes one line between chunks, `after_chunk` the CRLF that ends one; false if there is nothing more to take now.
    fn chunk_line(&mut self, after_chunk: bool) -> bool {
        let last = self.client.unread.starts_with(b"0\r\n") && !after_chunk;
        if last {
            return self.last_chunk();
        }
        let Some(line) = self.client.take_line() else {
            if self.client.unread.len() > MAX_HEAD || after_chunk && self.client.unread.len() > 1 {
                self.end = Some(End::Malformed);
            }
            return false;
        };
        let size = line.split(|byte| *byte == b';').next().and_then(|size| std::str::from_utf8(size).ok());
        let size = size.filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        self.framing = match (after_chunk, size) {
            (true, _) if line.is_empty() => Framing::Chunked(None),
            (false, Some(size)) if size > 0 => Framing::Chunked(Some(size)),
            _ => {
                self.end = Some(End::Malformed);
                return false;
            }
        };
        true
    }

    /// Takes the last chunk and the trailers once they are all there.
    fn last_chunk(&mut self) -> bool {
        let unread = &self.client.unread;
        let trailers = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(at) = trailers {
            let lines = self.client.take(at + 4);
            let lines = String::from_utf8_lossy(&lines).into_owned();
            let pairs = lines.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
            self.trailers = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
            self.end = Some(End::Whole);
        }
        false
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Status line and headers.
    pub(crate) head: Head,
    /// Interim responses before it.
    pub(crate) interim: Vec<u16>,
    /// The body, decoded.
    pub(crate) body: Vec<u8>,
    /// Headers after a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
    /// How it ended.
    pub(crate) end: End,
}

impl Response {
    /// Whether the framing ended properly.
    pub(crate) fn complete(&self) -> bool {
        self.end == End::Whole
    }

    /// Status code.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread::JoinHandle;

    /// A server for one connection, run by `script`.
    fn server<T: Send + 'static>(script: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (address, std::thread::spawn(move || script(listener.accept().unwrap().0)))
    }

    /// The response that a server sends in these pieces before it closes.
    fn answered(method: &'static str, pieces: &'static [&'static [u8]]) -> io::Result<Response> {
        let (address, server) = server(move |mut stream| {
            stream.set_nodelay(true).unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            pieces.iter().for_each(|piece| stream.write_all(piece).unwrap());
        });
        let response = Client::once(address, &Request::new(method, "/"));
        server.join().unwrap();
        response
    }

    #[test]
    fn request_is_sent_as_built() {
        let request = Request::new("POST", "/a?b").header("Cookie", "a=1").header("Cookie", b"b=\xff");
        let rows: [(Request, &[u8]); 5] = [
            (request.clone(), b"POST /a?b HTTP/1.1\r\nHost: localhost\r\nCookie: a=1\r\nCookie: b=\xff\r\n\r\n"),
            (Request::new("GET", "*").version("HTTP/1.0"), b"GET * HTTP/1.0\r\n\r\n"),
            (
                Request::new("PUT", "/").header("host", "x").body(Body::Length(b"abc".to_vec())),
                b"PUT / HTTP/1.1\r\nhost: x\r\nContent-Length: 3\r\n\r\nabc",
            ),
            (
                Request::new("PUT", "/").body(Body::Chunked(vec![b"a".to_vec(), vec![b'b'; 17]])),
                b"PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n11\r\nbbbbbbbbbbbbbbbbb\r\n0\r\n\r\n",
            ),
            (
                Request::new("PUT", "/").body(Body::Declared { length: 9, sent: b"abc".to_vec() }),
                b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",
            ),
        ];
        for (request, expected) in rows {
            assert_eq!(request.encode().escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }

    #[test]
    fn headers_keep_order_and_multiplicity() {
        let response = answered(
            "GET",
            &[b"HTTP/1.1 200 All right\r\nSet-Cookie: a\r\nX:  y \r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"],
        );
        let head = response.unwrap().head;
        assert_eq!((head.version.as_str(), head.status, head.reason.as_str()), ("HTTP/1.1", 200, "All right"));
        assert_eq!(head.all("Set-Cookie"), ["a", "b"]);
        assert_eq!((head.headers[1].0.as_str(), head.header("x")), ("X", Some("y")));
    }

    #[test]
    fn body_ends_as_its_framing_says() {
        let rows: [(&str, &'static [&'static [u8]], &str, End); 15] = [
            ("GET", &[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], "abc", End::Whole),
            ("GET", &[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"], "abc", End::Closed),
            ("GET", &[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], "", End::Whole),
            ("GET", &[b"HTTP/1.1 200 OK\r\n\r\n", b"ab", b"c"], "abc", End::Whole),
            ("HEAD", &[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"], "", End::Whole),
            ("GET", &[b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"], "", End::Whole),
            ("GET", &[CHUNKED, b"3\r\nabc\r\n", b"0\r\n\r\n"], "abc", End::Whole),
            ("GET", &[CHUNKED, b"3;x=y\r", b"\nab", b"c\r", b"\n1\r\nd\r\n0\r\n", b"\r\n"], "abcd", End::Whole),
            ("GET", &[CHUNKED, b"0\r\n\r\n"], "", End::Whole),
            ("GET", &[CHUNKED, b"3\r\nabc\r\n"], "abc", End::Closed),
            ("GET", &[CHUNKED, b"3\r\nabc\r\n0\r\n"], "abc", End::Closed),
            ("GET", &[CHUNKED, b"3\r\nab"], "ab", End::Closed),
            ("GET", &[CHUNKED, b"3\r\nabc<h"], "abc", End::Malformed),
            ("GET", &[CHUNKED, b"3\r\nabc<h1>Bad Gateway</h1>\r\n"], "abc", End::Malformed),
            ("GET", &[CHUNKED, b"3\r\nabc\r\n<h1>\r\n"], "abc", End::Malformed),
        ];
        for (method, pieces, body, end) in rows {
            let response = answered(method, pieces).unwrap();
            assert_eq!(
                (response.text().as_str(), response.end),
                (body, end),
                "{method} {}",
                pieces.concat().escape_ascii()
            );
            assert_eq!(response.complete(), end == End::Whole);
        }
    }

    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn heads_that_are_none_are_errors() {
        let rows: [(&'static [&'static [u8]], io::ErrorKind); 6] = [
            (&[], io::ErrorKind::UnexpectedEof),
            (&[b"HTTP/1.1 200 OK\r\nX: y"], io::ErrorKind::InvalidData),
            (&[b"<h1>hello</h1>\r\n\r\n"], io::ErrorKind::InvalidData),
            (&[b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"], io::ErrorKind::InvalidData),
            (&[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"], io::ErrorKind::InvalidData),
            (
                &[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na"],
                io::ErrorKind::InvalidData,
            ),
        ];
        for (pieces, kind) in rows {
            assert_eq!(answered("GET", pieces).unwrap_err().kind(), kind, "{}", pieces.concat().escape_ascii());
        }
    }

    #[test]
    fn trailers_follow_the_last_chunk() {
        let response = answered("GET", &[CHUNKED, b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"]).unwrap();
        assert_eq!(
            (response.trailers.as_slice(), response.end),
            ([("X-Sum".to_owned(), "1".to_owned())].as_slice(), End::Whole)
        );
    }

    #[test]
    fn interim_responses_are_collected() {
        let response =
            answered("PUT", &[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"])
                .unwrap();
        assert_eq!((response.interim.as_slice(), response.status()), ([100, 103].as_slice(), 204));
    }

    #[test]
    fn connection_is_used_again_and_its_close_is_seen() {
        let (address, server) = server(|mut stream| {
            for _ in 0..2 {
                let _ = stream.read(&mut [0; 4_096]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
        let mut client = Client::connect(address).unwrap();
        for _ in 0..2 {
            assert_eq!(client.exchange(&Request::new("GET", "/")).unwrap().text(), "ok");
        }
        assert!(client.is_closed_by_server().unwrap());
        server.join().unwrap();
    }

    #[test]
    fn bytes_after_a_response_are_seen() {
        let (address, server) = server(|mut stream| {
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok<h1>").unwrap();
        });
        let mut client = Client::connect(address).unwrap();
        assert!(client.exchange(&Request::new("GET", "/")).unwrap().complete());
        assert!(!client.is_closed_by_server().unwrap());
        assert_eq!(client.unread(), b"<h1>");
        server.join().unwrap();
    }

    #[test]
    fn events_are_returned_before_the_body_ends() {
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (address, server) = server(move |mut stream| {
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(&[CHUNKED, &chunk(b"id: 1\nda"), &chunk(b"ta: a\n\nid: 2\n\nid")].concat()).unwrap();
            may_go_on.recv().unwrap();
            stream.write_all(&[chunk(b": 3\n\nid: 4"), LAST_CHUNK.to_vec()].concat()).unwrap();
        });
        let mut client = Client::connect(address).unwrap();
        client.send(&Request::new("GET", "/events")).unwrap();
        let mut incoming = client.response("GET").unwrap();
        assert_eq!(incoming.event().unwrap().as_deref(), Some("id: 1\ndata: a"));
        assert_eq!(incoming.event().unwrap().as_deref(), Some("id: 2"));
        go_on.send(()).unwrap();
        assert_eq!(incoming.event().unwrap().as_deref(), Some("id: 3"));
        assert_eq!(incoming.event().unwrap(), None);
        let rest = incoming.finish().unwrap();
        assert_eq!((rest.text().as_str(), rest.complete()), ("id: 4", true));
        server.join().unwrap();
    }

    #[test]
    fn reset_reaches_the_server_as_reset() {
        let (address, server) = server(|mut stream| stream.read(&mut [0; 16]).map_err(|error| error.kind()));
        Client::connect(address).unwrap().reset().unwrap();
        assert_eq!(server.join().unwrap(), Err(io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn reset_by_the_server_is_told_from_a_close() {
        let (proceed, may_proceed) = mpsc::channel::<()>();
        let (address, server) = server(move |mut stream| {
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap();
            may_proceed.recv().unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let mut client = Client::connect(address).unwrap();
        client.send(&Request::new("GET", "/")).unwrap();
        let mut incoming = client.response("GET").unwrap();
        assert_eq!(incoming.part().unwrap().as_deref(), Some(b"abc".as_slice()));
        proceed.send(()).unwrap();
        assert_eq!(incoming.finish().unwrap().end, End::Reset);
        server.join().unwrap();
    }

    #[test]
    fn sending_can_end_before_reading_does() {
        let (address, server) = server(|mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            all
        });
        let mut client = Client::connect(address).unwrap();
        client.send_bytes(b"half a req").unwrap();
        client.close_sending().unwrap();
        assert_eq!(client.response("GET").unwrap().finish().unwrap().status(), 200);
        assert_eq!(server.join().unwrap(), b"half a req");
    }
}

//! A small container for the bench: what a Tomcat writes, in the pieces in which it writes it, and nothing else.
//!
//! Not here: checking requests. The surprising thing: SEND_HEADERS, each body chunk and END_RESPONSE are written by one call
//! each, because Tomcat flushes each of them; how many of them one `recv` of the web server gets is left to the kernel.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use mod_jk::ajp::response::{CPONG, encode_body_chunk, encode_end, encode_get_body, encode_send_headers};

/// Body bytes of one chunk, and of one request body packet, at Tomcat's packetSize of 8192.
const CHUNK: usize = 8_184;
const BODY_PACKET: u16 = 8_186;

/// Starts a container on a free port of 127.0.0.1; it serves until the program ends. Returns the port.
pub(crate) fn start() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let ready = stream.set_nodelay(true);
                ready.and_then(|()| Connection::<TcpStream>::new(stream).serve())
            });
        }
    });
    Ok(port)
}

/// The same on a Unix domain socket.
pub(crate) fn start_unix(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || Connection::<UnixStream>::new(stream).serve());
        }
    });
    Ok(())
}

/// One connection of the web server.
struct Connection<S> {
    stream: S,
    /// What was read and not yet looked at: `received[start..end]`.
    received: Vec<u8>,
    start: usize,
    end: usize,
    /// Responses are the same every time: the packets of one after the other.
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Self {
        let (small, large) = (packets(1024), packets(65_536));
        Self { stream, received: vec![0; 65_536], start: 0, end: 0, small, large }
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            let (kind, is_large, body) = {
                let payload = self.packet()?;
                (payload.first().copied(), contains(payload, b"/large"), content_length(payload))
            };
            if kind == Some(0x0A) {
                self.stream.write_all(&CPONG)?;
                continue;
            }
            if body > 0 {
                self.take_body(body)?;
            }
            for packet in if is_large { &self.large } else { &self.small } {
                self.stream.write_all(packet)?;
            }
        }
    }

    /// Reads as a servlet does that knows the length: the first packet comes unasked, the others one by one.
    fn take_body(&mut self, length: usize) -> io::Result<()> {
        let mut left = length;
        loop {
            let taken = self.packet()?.len().saturating_sub(2);
            left = left.saturating_sub(taken);
            if left == 0 || taken == 0 {
                return Ok(());
            }
            self.stream.write_all(&encode_get_body(BODY_PACKET))?;
        }
    }

    /// Payload of the next packet.
    fn packet(&mut self) -> io::Result<&[u8]> {
        loop {
            if let Some([_, _, high, low]) = self.received.get(self.start..self.end).and_then(<[u8]>::first_chunk) {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if self.end - self.start >= 4 + length {
                    let from = self.start + 4;
                    self.start = from + length;
                    return Ok(self.received.get(from..from + length).unwrap_or_default());
                }
            }
            self.received.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let read = self.stream.read(self.received.get_mut(self.end..).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.end += read;
        }
    }
}

/// The packets of a response with a body of this length.
fn packets(length: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut add = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        fill(&mut packet);
        packets.push(packet);
    };
    let text = length.to_string();
    let headers: [(&[u8], &[u8]); 2] =
        [(b"Content-Type", b"text/html;charset=UTF-8"), (b"Content-Length", text.as_bytes())];
    add(&|out| drop(encode_send_headers(out, 200, Some(b"200"), &headers)));
    let body = vec![b'x'; length];
    for chunk in body.chunks(CHUNK) {
        add(&|out| drop(encode_body_chunk(out, chunk)));
    }
    add(&|out| out.extend_from_slice(&encode_end(true)));
    packets
}

/// Content-Length (coded header 0xA008) of a request; good enough for requests of this bench.
fn content_length(payload: &[u8]) -> usize {
    let Some(at) = memchr::memmem::find(payload, &[0xA0, 0x08]) else { return 0 };
    let Some([high, low, text @ ..]) = payload.get(at + 2..) else { return 0 };
    let digits = text.get(..usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn contains(payload: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(payload, text).is_some()
}

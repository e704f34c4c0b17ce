//! A keep-alive client for the bench: one connection, one request after the other, each response read to its end.
//!
//! Not here: HTTP in general. The surprising thing: a chunked body is over when the bytes look so, because the bodies of this bench
//! hold nothing but one letter and a client that parses little takes little of the machine it measures.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that never answers would stop the bench for good.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request with the five headers that a plain client library sends.
    pub(crate) fn new(method: &str, path: &str, body: usize) -> Self {
        let mut bytes =
            format!("{method} {path} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n")
                .into_bytes();
        if body > 0 {
            bytes.extend_from_slice(
                format!("Content-Length: {body}\r\nContent-Type: application/octet-stream\r\n").as_bytes(),
            );
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.resize(bytes.len() + body, b'x');
        Self(bytes)
    }
}

/// One connection to httpd.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; 131_072] })
    }

    /// Sends `request` `times` times and takes the answers; all must be 200.
    pub(crate) fn run(&mut self, request: &Request, times: u32) -> io::Result<()> {
        for _ in 0..times {
            self.stream.write_all(&request.0)?;
            self.response()?;
        }
        Ok(())
    }

    fn response(&mut self) -> io::Result<()> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(self.buffer.get_mut(filled..).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let bytes = self.buffer.get(..filled).unwrap_or_default();
            let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else { continue };
            let head_text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default());
            if !head_text.starts_with("HTTP/1.1 200") {
                return Err(io::Error::other(format!("unexpected answer: {head_text}")));
            }
            if head_text.contains("\nTransfer-Encoding: chunked") {
                if bytes.ends_with(b"\r\n0\r\n\r\n") {
                    return Ok(());
                }
                continue;
            }
            let length = head_text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| io::Error::other(format!("no Content-Length: {head_text}")))?;
            let mut left = (head + 4 + length).saturating_sub(filled);
            while left > 0 {
                let room = self.buffer.len().min(left);
                let read = self.stream.read(self.buffer.get_mut(..room).unwrap_or_default())?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= read;
            }
            return Ok(());
        }
    }
}

//! Three recording containers behind one httpd: each delivery becomes lines of text, and the case says what is answered.
//!
//! Not here: judgement; what cannot be decoded is recorded as bytes. The surprising thing: a case is over only when no delivery
//! is being answered any more ([`Peer::take`] waits for that).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mod_jk::ajp::codes::{attribute_name, method_name, request_header_code, request_header_name};
use mod_jk::ajp::request::CPING;
use mod_jk::ajp::response::{CPONG, encode_body_chunk, encode_end, encode_get_body, encode_send_headers};

use super::case::Step;

/// Only a failing case ever waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The containers of one httpd.
pub(crate) struct Peer {
    ports: [u16; 3],
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    answers: Vec<Vec<Step>>,
    deliveries: Vec<Vec<String>>,
    active: usize,
    /// Connections of earlier cases may end late; what they still do belongs to no case.
    case: usize,
}

impl Peer {
    /// Listens on three free ports.
    pub(crate) fn start() -> Peer {
        let shared = Arc::<Shared>::default();
        let ports = [1, 2, 3].map(|number| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || Connection { owed: false, stream, number, shared, requests: 0 }.serve());
                }
            });
            port
        });
        Peer { ports, shared }
    }

    /// `text` with the ports put in.
    pub(crate) fn fill(&self, text: &str) -> String {
        (1..)
            .zip(self.ports)
            .fold(text.to_owned(), |text, (number, port)| text.replace(&format!("@{number}@"), &port.to_string()))
    }

    /// From now on answers like this.
    pub(crate) fn prepare(&self, answers: Vec<Vec<Step>>) {
        let mut state = self.shared.state.lock().unwrap();
        state.case += 1;
        state.answers = answers;
        state.deliveries.clear();
    }

    /// What was delivered since [`Peer::prepare`].
    pub(crate) fn take(&self) -> Vec<Vec<String>> {
        let state = self.shared.state.lock().unwrap();
        let (mut state, _) = self.shared.idle.wait_timeout_while(state, PATIENCE, |state| state.active > 0).unwrap();
        std::mem::take(&mut state.deliveries)
    }
}

struct Connection {
    /// The first body packet of this request is still to come; it comes unasked.
    owed: bool,
    stream: TcpStream,
    number: usize,
    shared: Arc<Shared>,
    requests: usize,
}

/// The other side has closed, or did not keep to the protocol.
struct Gone;

impl Connection {
    fn serve(mut self) {
        let _ = self.stream.set_nodelay(true);
        while let Ok(payload) = self.packet() {
            if payload == CPING[4..] {
                if self.send(&CPONG).is_err() {
                    return;
                }
                continue;
            }
            self.requests += 1;
            if self.delivery(&payload).is_err() {
                return;
            }
        }
    }

    fn delivery(&mut self, payload: &[u8]) -> Result<(), Gone> {
        let mut lines = vec![
            format!("to w{}", self.number),
            format!("{CONNECTION} {}", if self.requests == 1 { "new" } else { "reused" }),
        ];
        let request = Delivery::read(payload);
        lines.extend(request.lines.iter().cloned());
        self.owed =
            request.content_length.as_ref().is_some_and(|text| text.parse::<usize>().is_ok_and(|length| length > 0));
        let (case, index, steps) = {
            let mut state = self.shared.state.lock().unwrap();
            state.active += 1;
            state.deliveries.push(lines);
            let index = state.deliveries.len() - 1;
            let steps = state.answers.get(index).or(state.answers.last()).cloned().unwrap_or_default();
            (state.case, index, steps)
        };
        let result = steps.into_iter().try_for_each(|step| self.step(step, &request, (case, index)));
        let mut state = self.shared.state.lock().unwrap();
        state.active -= 1;
        self.shared.idle.notify_all();
        result
    }

    fn note(&self, (case, index): (usize, usize), line: String) {
        let mut state = self.shared.state.lock().unwrap();
        if state.case == case {
            state.deliveries[index].push(line);
        }
    }

    fn step(&mut self, step: Step, request: &Delivery, place: (usize, usize)) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        if self.owed && matches!(step, Step::End | Step::EndWithoutReuse) {
            self.body_packet(place)?;
        }
        match step {
            Step::ReadBody => return self.read_body(request, place),
            Step::Ask(wanted) => return self.ask(wanted, place).map(|_| ()),
            Step::Head(status, reason, headers) => {
                let headers: Vec<_> = headers.iter().filter_map(|line| line.split_once(": ")).collect();
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
                let reason = (!reason.is_empty()).then_some(reason.as_bytes());
                encode_send_headers(&mut bytes, status, reason, &headers).unwrap();
            }
            Step::Chunk(data) => data.chunks(8000).for_each(|data| encode_body_chunk(&mut bytes, data).unwrap()),
            Step::Flush => encode_body_chunk(&mut bytes, b"").unwrap(),
            Step::End => bytes.extend(encode_end(true)),
            Step::EndWithoutReuse => bytes.extend(encode_end(false)),
            Step::Raw(raw) => bytes = raw,
            Step::Close => return Err(Gone),
        }
        self.send(&bytes)
    }

    fn read_body(&mut self, request: &Delivery, place: (usize, usize)) -> Result<(), Gone> {
        let mut left = match request.content_length.as_ref().map(|text| text.parse::<usize>()) {
            Some(Ok(0) | Err(_)) => return Ok(()),
            Some(Ok(length)) => {
                let first = self.body_packet(place)?;
                length.saturating_sub(first)
            }
            None => usize::MAX,
        };
        while left > 0 {
            match self.ask(8186, place)? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }

    fn ask(&mut self, wanted: u16, place: (usize, usize)) -> Result<usize, Gone> {
        self.send(&encode_get_body(wanted))?;
        self.body_packet(place)
    }

    fn body_packet(&mut self, place: (usize, usize)) -> Result<usize, Gone> {
        self.owed = false;
        let Ok(payload) = self.packet() else {
            self.note(place, "body ends with the connection".to_owned());
            return Err(Gone);
        };
        let data = payload.get(2..).unwrap_or_default();
        let shown =
            if data.len() <= 40 { data.escape_ascii().to_string() } else { format!("{CHECKSUM}{:x}", checksum(data)) };
        let shown = if data.is_empty() { "nothing".to_owned() } else { shown };
        let declared = payload.first_chunk::<2>().map(|length| u16::from_be_bytes(*length));
        self.note(place, format!("body {} bytes, declared {declared:?}: {shown}", data.len()));
        Ok(data.len())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.stream.write_all(bytes).map_err(|_| Gone)
    }

    fn packet(&mut self) -> Result<Vec<u8>, Gone> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).map_err(|_| Gone)?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.stream.read_exact(&mut payload).map_err(|_| Gone)?;
        Ok(payload)
    }
}

/// Stands before a checksum, whose digits are never taken for a port.
pub(crate) const CHECKSUM: &str = "sum ";

/// Marks a header name that could have been a code; only groups about the wire compare it.
pub(crate) const AS_TEXT: &str = " (as text)";
/// The line that tells whether a connection is new; only groups about that compare it.
pub(crate) const CONNECTION: &str = "connection is";

/// FNV-1a.
pub(crate) fn checksum(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A ForwardRequest, read as leniently as can be: one line for each field that is there, nulls and uncoded names included.
struct Delivery {
    lines: Vec<String>,
    content_length: Option<String>,
}

impl Delivery {
    fn read(payload: &[u8]) -> Delivery {
        let mut delivery = Delivery { lines: Vec::new(), content_length: None };
        let mut fields = Fields(payload);
        if delivery.fields(&mut fields).is_none() {
            delivery.lines.push(format!("undecodable from here: {}", fields.0.escape_ascii()));
        } else if !fields.0.is_empty() {
            delivery.lines.push(format!("surplus {}", fields.0.escape_ascii()));
        }
        delivery
    }

    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.lines.push(format!("{name} {value}"));
    }

    fn fields(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let kind = fields.byte().filter(|kind| *kind == 2);
        kind?;
        let method = fields.byte()?;
        match method_name(method) {
            Some(name) => self.add("method", name.escape_ascii()),
            None => self.add("method code", method),
        }
        for name in ["protocol", "uri", "remote_addr", "remote_host", "server_name"] {
            if let Some(text) = fields.text()? {
                self.add(name, text.escape_ascii());
            }
        }
        self.add("server_port", fields.number()?);
        self.add("is_ssl", fields.byte()?);
        for _ in 0..fields.number()? {
            self.header(fields)?;
        }
        while let code @ 0..=0xfe = fields.byte()? {
            self.attribute(code, fields)?;
        }
        Some(())
    }

    fn header(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let code = fields.peek()?;
        let name = match request_header_name(code).filter(|_| code >= 0xa000) {
            Some(name) => {
                fields.number()?;
                String::from_utf8_lossy(name).into_owned()
            }
            None => {
                let name = fields.text()??.escape_ascii().to_string();
                let mark = request_header_code(name.as_bytes()).map_or("", |_| AS_TEXT);
                name + mark
            }
        };
        let value = fields.text()?.map_or("null".to_owned(), |value| value.escape_ascii().to_string());
        if name == "Content-Length" {
            self.content_length = Some(value.clone());
        }
        self.add("header", format!("{name}: {value}"));
        Some(())
    }

    fn attribute(&mut self, code: u8, fields: &mut Fields<'_>) -> Option<()> {
        let shown = |text: Option<&[u8]>| text.map_or("null".to_owned(), |text| text.escape_ascii().to_string());
        match (attribute_name(code), code) {
            (Some(name), 0x0b) => self.add(name, fields.number()?),
            (Some(_), 0x0a) => {
                let name = shown(fields.text()?);
                let value = shown(fields.text()?);
                let value = if value.is_empty() { "(empty)".to_owned() } else { value };
                self.add("attribute", format!("{name}: {value}"));
            }
            (Some(name), _) => {
                let value = shown(fields.text()?);
                self.add(name, value);
            }
            (None, _) => return None,
        }
        Some(())
    }
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn peek(&self) -> Option<u16> {
        self.0.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn number(&mut self) -> Option<u16> {
        let number = self.peek()?;
        self.0 = &self.0[2..];
        Some(number)
    }

    /// `Some(None)` is AJP's null.
    #[allow(clippy::option_option, reason = "a null text and the end of the packet are two things")]
    fn text(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.number()?;
        if length == u16::MAX {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::from(length) + 1)?;
        self.0 = rest;
        text.split_last().map(|(_, text)| Some(text))
    }
}

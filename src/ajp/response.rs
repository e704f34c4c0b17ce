//! Container to web server: SendHeaders, SendBodyChunk, GetBodyChunk, EndResponse, CPong. One packet at a time; what may
//! follow what is `exchange.rs`. Bytes here are hostile. Surprising: a SendHeaders packet is checked for HTTP's sake too
//! (tokens, control characters, Content-Length, hop-by-hop headers), because nobody after us does it completely.
//!
//! ```text
//!   SendHeaders    04  status:u16  reason:string  count:u16  count * (name:string or A0xx, value:string)
//!   SendBodyChunk  03  length:u16  data  [00]          the NUL is Tomcat's and not counted; no data means flush
//!   GetBodyChunk   06  wanted:u16
//!   EndResponse    05  reuse:u8
//!   CPong          09
//!   string         length:u16  bytes  00               or FF FF for null
//! ```

use std::fmt;

use smallvec::SmallVec;

use super::packet::{EncodeError, MAGIC_FROM_CONTAINER, ReadError, Reader, Writer, excerpt};
use super::{MAX_PACKET_SIZE, codes, packet_type};

/// Headers kept without a heap allocation.
pub const INLINE_HEADERS: usize = 24;

/// The whole CPong packet.
pub const CPONG: [u8; 5] = [0x41, 0x42, 0x00, 0x01, packet_type::CPONG];

/// Response headers as they are passed on: name and value.
pub type Headers<'a> = SmallVec<[(&'a [u8], &'a [u8]); INLINE_HEADERS]>;

/// The checked head of a response: what may be told to the client.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// 200 to 999 (1xx does not exist in AJP).
    pub status: u16,
    /// Reason phrase; `None` when null, empty or not printable: the web server's own is used.
    pub reason: Option<&'a [u8]>,
    /// Headers in order, names as text, hop-by-hop headers and Content-Length left out.
    pub headers: Headers<'a>,
    /// The one valid Content-Length, at most `i64::MAX`; `None` also when the status forbids a body or the header
    /// (204, 205), whatever the container said.
    pub content_length: Option<u64>,
}

/// One packet from the container.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation per response; packets are not stored")]
pub enum Packet<'a> {
    /// 0x04.
    SendHeaders(ResponseHead<'a>),
    /// 0x03; empty means flush.
    SendBodyChunk(&'a [u8]),
    /// 0x06: the container asks for this many body bytes.
    GetBodyChunk(u16),
    /// 0x05.
    EndResponse {
        /// The container keeps the connection open.
        reuse: bool,
        /// False: bytes followed the reuse flag, or it was malformed. The response counts, the connection does not.
        clean: bool,
    },
    /// 0x09.
    CPong,
}

/// What is wrong with a packet or its place in the conversation. The connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// One phrase with the numbers, for the log.
    pub reason: String,
}

impl ProtocolError {
    #[cold]
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    #[cold]
    pub(super) fn item(item: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self { reason: format!("{item} {error}") }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ProtocolError {}

/// Parses one payload (without frame header). Allocates only for a `ProtocolError` or for more than
/// [`INLINE_HEADERS`] headers.
///
/// # Errors
/// [`ProtocolError`] for anything that is not exactly one well-formed packet.
pub fn parse(payload: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    let Some((&kind, body)) = payload.split_first() else {
        return Err(ProtocolError::new("packet without payload"));
    };
    match kind {
        packet_type::SEND_BODY_CHUNK => body_chunk(body),
        packet_type::SEND_HEADERS => send_headers(body).map(Packet::SendHeaders),
        packet_type::GET_BODY_CHUNK => get_body_chunk(body),
        packet_type::END_RESPONSE => Ok(end_response(body)),
        packet_type::CPONG if body.is_empty() => Ok(Packet::CPong),
        packet_type::CPONG => Err(ProtocolError::new(format!("CPong with {} surplus bytes", body.len()))),
        _ => Err(ProtocolError::new(format!("unknown packet type 0x{kind:02X} with {} bytes", body.len()))),
    }
}

/// The data length must be what the packet holds, give or take Tomcat's uncounted NUL.
fn body_chunk(body: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let length = reader.u16().map_err(|error| ProtocolError::item("length of a body chunk", error))?;
    match reader.left().split_at_checked(usize::from(length)) {
        Some((data, [] | [0])) => Ok(Packet::SendBodyChunk(data)),
        _ => Err(ProtocolError::new(format!(
            "body chunk says {length} bytes of data but the packet has {}",
            reader.left().len()
        ))),
    }
}

fn get_body_chunk(body: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    match *body {
        [0xFF, 0xFF] => Err(ProtocolError::new("GetBodyChunk for 0xFFFF bytes")),
        [high, low] => Ok(Packet::GetBodyChunk(u16::from_be_bytes([high, low]))),
        _ => Err(ProtocolError::new(format!("GetBodyChunk of {} bytes instead of 3", body.len() + 1))),
    }
}

/// Never an error: the response is complete, only the connection may be doubtful. Reuse is any byte but 0 and 0xFF, as
/// in C (0xFF is what its reader returns for "no byte"): a container that says 7 for "true" would otherwise lose its
/// connections when C mod_jk is replaced.
fn end_response(body: &[u8]) -> Packet<'_> {
    match *body {
        [] | [0xFF, ..] => Packet::EndResponse { reuse: false, clean: false },
        [reuse, ref surplus @ ..] => Packet::EndResponse { reuse: reuse != 0, clean: surplus.is_empty() },
    }
}

fn send_headers(body: &[u8]) -> Result<ResponseHead<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let status = reader.u16().map_err(|error| ProtocolError::item("status", error))?;
    if !(200..=999).contains(&status) {
        return Err(ProtocolError::new(format!("status {status} is not one from 200 to 999")));
    }
    let reason = reader.string().map_err(|error| ProtocolError::item("reason phrase", error))?;
    let reason = reason.filter(|phrase| !phrase.is_empty() && is_field_text(phrase));
    let count = reader.u16().map_err(|error| ProtocolError::item("number of headers", error))?;

    let mut head = ResponseHead { status, reason, headers: SmallVec::new(), content_length: None };
    let mut nominating = SmallVec::<[&[u8]; 2]>::new();
    for index in 1..=count {
        let name = header_name(&mut reader)
            .map_err(|error| ProtocolError::item(format_args!("name of header {index} of {count}"), error))?;
        let value = header_value(&mut reader)
            .map_err(|error| ProtocolError::item(format_args!("value of header '{}'", excerpt(name)), error))?;
        match kind_of(name) {
            HeaderKind::EndToEnd => head.headers.push((name, value)),
            HeaderKind::ContentLength => head.content_length = Some(content_length(value, head.content_length)?),
            HeaderKind::Connection => nominating.push(value),
            HeaderKind::HopByHop => {}
        }
    }
    if !reader.left().is_empty() {
        return Err(ProtocolError::new(format!("{} surplus bytes after {count} headers", reader.left().len())));
    }
    for value in nominating {
        drop_nominated(&mut head.headers, value);
    }
    if matches!(status, 204 | 205) {
        head.content_length = None;
    }
    Ok(head)
}

/// What is wrong with a header's name or value.
enum HeaderError {
    Read(ReadError),
    Null,
    UnknownCode(u16),
    NotAToken,
    ControlCharacter,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Null => f.write_str("is null"),
            Self::UnknownCode(code) => write!(f, "has the unknown code 0x{code:04X}"),
            Self::NotAToken => f.write_str("is not a token"),
            Self::ControlCharacter => f.write_str("contains a control character"),
        }
    }
}

fn header_name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], HeaderError> {
    let field = reader.u16().map_err(HeaderError::Read)?;
    if codes::is_coded_name(field) {
        return codes::response_header_name(field).ok_or(HeaderError::UnknownCode(field));
    }
    if field == 0xFFFF {
        return Err(HeaderError::Null);
    }
    let name = reader.text(field).map_err(HeaderError::Read)?;
    if is_token(name) { Ok(name) } else { Err(HeaderError::NotAToken) }
}

fn header_value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], HeaderError> {
    let value = reader.terminated().map_err(HeaderError::Read)?.ok_or(HeaderError::Null)?;
    if is_field_text(value) { Ok(value) } else { Err(HeaderError::ControlCharacter) }
}

enum HeaderKind {
    EndToEnd,
    ContentLength,
    /// Hop-by-hop, and its value names more of them.
    Connection,
    HopByHop,
}

fn kind_of(name: &[u8]) -> HeaderKind {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"TE") => HeaderKind::HopByHop,
        7 if is(b"Trailer") || is(b"Upgrade") => HeaderKind::HopByHop,
        10 if is(b"Connection") => HeaderKind::Connection,
        10 if is(b"Keep-Alive") => HeaderKind::HopByHop,
        14 if is(b"Content-Length") => HeaderKind::ContentLength,
        16 if is(b"Proxy-Connection") => HeaderKind::HopByHop,
        17 if is(b"Transfer-Encoding") => HeaderKind::HopByHop,
        _ => HeaderKind::EndToEnd,
    }
}

/// Removes the headers that a Connection header names. Content-Length is not among `headers`, so nobody can remove it.
fn drop_nominated(headers: &mut Headers<'_>, connection: &[u8]) {
    for nominated in connection.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(nominated));
    }
}

/// The number in a Content-Length header, which must agree with the one `before` it (RFC 9110 §8.6: several identical
/// ones may be taken as one).
fn content_length(value: &[u8], before: Option<u64>) -> Result<u64, ProtocolError> {
    let length = decimal(value.trim_ascii())
        .ok_or_else(|| ProtocolError::new(format!("Content-Length '{}' is not a length", excerpt(value))))?;
    match before {
        Some(before) if before != length => {
            Err(ProtocolError::new(format!("conflicting Content-Length headers: {before} and {length}")))
        }
        _ => Ok(length),
    }
}

/// Digits only, at most `i64::MAX`, which is what httpd can hold.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })?;
    u64::try_from(number).ok()
}

/// RFC 9110 §5.6.2.
fn is_token(name: &[u8]) -> bool {
    // No early exit: nearly all names are good, and a loop without exit is faster.
    !name.is_empty() && name.iter().fold(true, |good, byte| good & TOKEN.get(usize::from(*byte)).is_some_and(|t| *t))
}

/// RFC 9110 §5.5 without its obsolete line folding: no control character but HTAB; in particular no CR, LF or NUL.
fn is_field_text(text: &[u8]) -> bool {
    // No early exit, so that the compiler makes vector instructions of it.
    !text.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7F))
}

/// Whether a byte may be in a token.
const TOKEN: [bool; 256] = token_table();

#[allow(clippy::indexing_slicing, reason = "runs at build time only, where an index out of bounds is a build error")]
const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 0x7F {
        table[byte as usize] = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
            || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
}

/// The container's side, for scripted peers: appends a SendHeaders packet. Header names are coded as Tomcat does, by
/// exact case; nothing is checked, so that a peer can be wrong on purpose.
///
/// # Errors
/// [`EncodeError`] when it does not fit into the largest packet.
pub fn encode_send_headers(
    out: &mut Vec<u8>,
    status: u16,
    reason: Option<&[u8]>,
    headers: &[(&[u8], &[u8])],
) -> Result<(), EncodeError> {
    let count = u16::try_from(headers.len())
        .map_err(|_| EncodeError::TooLarge { item: "headers".to_owned(), length: headers.len() })?;
    let mut packet = Writer::begin(out, MAGIC_FROM_CONTAINER, MAX_PACKET_SIZE);
    packet.bytes("packet type", &[packet_type::SEND_HEADERS])?;
    packet.bytes("status", &status.to_be_bytes())?;
    packet.string("reason", reason)?;
    packet.bytes("number of headers", &count.to_be_bytes())?;
    for (name, value) in headers {
        packet.header(codes::response_header_code(name), name, value)?;
    }
    packet.finish()
}

/// The container's side: appends a SendBodyChunk packet with Tomcat's NUL; without data it is a flush.
///
/// # Errors
/// [`EncodeError`] when it does not fit into the largest packet.
pub fn encode_body_chunk(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    let mut packet = Writer::begin(out, MAGIC_FROM_CONTAINER, MAX_PACKET_SIZE);
    packet.bytes("packet type", &[packet_type::SEND_BODY_CHUNK])?;
    packet.string("body chunk", Some(data))?;
    packet.finish()
}

/// The container's side: an EndResponse packet.
pub fn encode_end(reuse: bool) -> [u8; 6] {
    [0x41, 0x42, 0x00, 0x02, packet_type::END_RESPONSE, u8::from(reuse)]
}

/// The container's side: a GetBodyChunk packet.
pub fn encode_get_body(wanted: u16) -> [u8; 7] {
    let [high, low] = wanted.to_be_bytes();
    [0x41, 0x42, 0x00, 0x03, packet_type::GET_BODY_CHUNK, high, low]
}

/// Entry point for fuzzers: `data` is one payload. Panics only when this file is wrong.
#[doc(hidden)]
pub fn fuzz_response(data: &[u8]) {
    match parse(data) {
        Ok(Packet::SendHeaders(head)) => {
            assert!((200..=999).contains(&head.status));
            assert!(head.reason.is_none_or(|reason| !reason.is_empty() && is_field_text(reason)));
            assert!(head.content_length.is_none_or(|length| i64::try_from(length).is_ok()));
            for (name, value) in &head.headers {
                assert!(is_token(name) && is_field_text(value) && matches!(kind_of(name), HeaderKind::EndToEnd));
            }
        }
        Ok(Packet::SendBodyChunk(chunk)) => assert!(matches!(data.len() - chunk.len(), 3 | 4)),
        Ok(Packet::GetBodyChunk(wanted)) => assert!(wanted != 0xFFFF && data.len() == 3),
        Ok(Packet::EndResponse { reuse, clean }) => assert!(clean || !reuse || data.len() > 2),
        Ok(Packet::CPong) => assert!(data.len() == 1),
        Err(error) => assert!(!error.reason.is_empty() && error.reason.is_ascii()),
    }
}

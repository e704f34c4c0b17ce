//! Container to web server: SendHeaders, SendBodyChunk, GetBodyChunk, EndResponse, CPong. One packet at a time; what
//! may follow what is `exchange.rs`. Bytes here are hostile. Surprising: a SendHeaders packet is checked for HTTP's
//! sake too (tokens, control characters, Content-Length, hop-by-hop headers), because nobody after us does it
//! completely.
//!
//! ```text
//!   SendHeaders    04  status:u16  reason:string  count:u16  count * (name:string or A0xx, value:string)
//!   SendBodyChunk  03  length:u16  data  [00]          the NUL is Tomcat's and not counted; no data means flush
//!   GetBodyChunk   06  wanted:u16
//!   EndResponse    05  reuse:u8
//!   CPong          09
//!   string         length:u16  bytes  00               or FF FF for null
//! ```

use std::ffi::CStr;
use std::fmt;

use super::codes::{Name, names};
use super::packet::{EncodeError, MAGIC_FROM_CONTAINER, ReadError, Reader, Writer, excerpt};
use super::text::{has_no_control, is_any_token, is_field_text, is_token};
use super::{MAX_PACKET_SIZE, codes, packet_type};

/// The whole CPong packet.
pub const CPONG: [u8; 5] = [0x41, 0x42, 0x00, 0x01, packet_type::CPONG];

/// The checked headers of a response, where they lie in the packet: to be read again without another check.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    /// Count, names and values as in the drawing, of headers that were checked.
    block: &'a [u8],
    /// Names that a Connection header lists: those headers are for us and not for the client. Mostly none.
    nominated: Option<Box<Nominated>>,
}

#[derive(Clone, Debug, Default)]
struct Nominated(Vec<Box<[u8]>>);

/// One header, its texts with the NUL that ends them.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Value.
    pub value: &'a [u8],
    /// What it is; never one that is not passed on.
    pub kind: HeaderKind,
}

/// What a header means to those who pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// Passed on as it is, as are the three that a web server wants to know about.
    Other,
    /// Content-Type.
    ContentType,
    /// Last-Modified.
    LastModified,
    /// Location.
    Location,
    /// Content-Length.
    ContentLength,
    /// Not passed on, and its value names more of them.
    Connection,
    /// Not passed on.
    HopByHop,
}

impl<'a> Headers<'a> {
    /// Name and value of those that are passed on, in order: hop-by-hop headers and Content-Length are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let passed_on = self.fields_in(self.block).filter(|field| field.kind != HeaderKind::ContentLength);
        passed_on.map(|field| (without_nul(field.name), without_nul(field.value)))
    }

    /// The bytes that hold them.
    pub fn block(&self) -> &'a [u8] {
        self.block
    }

    /// The same headers in `copy`, a copy of [`Self::block`], and the Content-Lengths.
    #[inline(always)]
    pub fn fields_in<'c>(&self, copy: &'c [u8]) -> impl Iterator<Item = Field<'c>> {
        let nominated = self.nominated.as_deref();
        Fields { left: copy }.filter(move |field| nominated.is_none_or(|nominated| !nominated.takes(field)))
    }
}

impl Nominated {
    /// Content-Length stays whatever anybody names.
    #[cold]
    fn takes(&self, field: &Field<'_>) -> bool {
        let name = without_nul(field.name);
        field.kind != HeaderKind::ContentLength && self.0.iter().any(|nominated| nominated.eq_ignore_ascii_case(name))
    }
}

fn without_nul(text: &[u8]) -> &[u8] {
    text.split_last().map_or(text, |(_, text)| text)
}

/// Walks over headers that were checked, and leaves out what is hop-by-hop.
struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let (field, left) = self.left.split_first_chunk::<2>()?;
            let field = u16::from_be_bytes(*field);
            let (name, kind, left) = if codes::is_coded_name(field) {
                (codes::response_header_name(field)?.to_bytes_with_nul(), kind_of_coded(field), left)
            } else {
                let (name, left) = left.split_at_checked(usize::from(field) + 1)?;
                (name, kind_of(without_nul(name)), left)
            };
            let (length, left) = left.split_first_chunk::<2>()?;
            let (value, left) = left.split_at_checked(usize::from(u16::from_be_bytes(*length)) + 1)?;
            self.left = left;
            if !matches!(kind, HeaderKind::Connection | HeaderKind::HopByHop) {
                return Some(Field { name, value, kind });
            }
        }
    }
}

/// The checked head of a response: what may be told to the client.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// 200 to 999 (1xx does not exist in AJP).
    pub status: u16,
    /// Reason phrase; `None` when null, empty or not printable: the web server's own is used.
    pub reason: Option<&'a [u8]>,
    /// Headers.
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

/// Parses one payload (without frame header). Allocates only for a `ProtocolError` or for what a Connection header names.
///
/// # Errors
/// [`ProtocolError`] for anything that is not exactly one well-formed packet.
pub fn parse(payload: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    let Some((&kind, body)) = payload.split_first() else {
        return Err(ProtocolError::new("packet without payload"));
    };
    match kind {
        packet_type::SEND_BODY_CHUNK => body_chunk(body).map(Packet::SendBodyChunk),
        packet_type::SEND_HEADERS => send_headers(body).map(Packet::SendHeaders),
        packet_type::GET_BODY_CHUNK => get_body_chunk(body),
        packet_type::END_RESPONSE => {
            let (reuse, clean) = end_response(body);
            Ok(Packet::EndResponse { reuse, clean })
        }
        packet_type::CPONG if body.is_empty() => Ok(Packet::CPong),
        packet_type::CPONG => Err(ProtocolError::new(format!("CPong with {} surplus bytes", body.len()))),
        _ => Err(ProtocolError::new(format!("unknown packet type 0x{kind:02X} with {} bytes", body.len()))),
    }
}

/// The data length must be what the packet holds, give or take Tomcat's uncounted NUL.
fn body_chunk(body: &[u8]) -> Result<&[u8], ProtocolError> {
    let mut reader = Reader::new(body);
    let length = reader.u16().map_err(|error| ProtocolError::item("length of a body chunk", error))?;
    match reader.left().split_at_checked(usize::from(length)) {
        Some((data, [] | [0])) => Ok(data),
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
/// connections when C mod_jk is replaced. The second answer is whether it is clean.
fn end_response(body: &[u8]) -> (bool, bool) {
    match *body {
        [] | [0xFF, ..] => (false, false),
        [reuse, ref surplus @ ..] => (reuse != 0, surplus.is_empty()),
    }
}

/// Everything in it is checked before anything of it is told.
#[inline(never)]
pub(super) fn send_headers(body: &[u8]) -> Result<ResponseHead<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let status = reader.u16().map_err(|error| ProtocolError::item("status", error))?;
    if !(200..=999).contains(&status) {
        return Err(ProtocolError::new(format!("status {status} is not one from 200 to 999")));
    }
    let reason = reader.terminated().map_err(|error| ProtocolError::item("reason phrase", error))?;
    let reason = match reason {
        Some([]) | None => None,
        Some(phrase) if is_field_text(phrase) => Some(phrase),
        Some(phrase) => odd_reason(phrase)?,
    };
    let count = reader.u16().map_err(|error| ProtocolError::item("number of headers", error))?;

    let (block, mut nominated, mut length) = (reader.left(), None, None);
    let mut index = 0;
    while index < count {
        index += 1;
        let (name, kind) = header_name(&mut reader).map_err(|error| name_error(index, count, &error))?;
        let value = header_value(&mut reader).map_err(|error| value_error(name.text(), &error))?;
        match kind {
            HeaderKind::ContentLength => length = Some(content_length(value, length)?),
            HeaderKind::Connection => nominate(&mut nominated, value),
            _ => {}
        }
    }
    if !reader.left().is_empty() {
        return Err(surplus(reader.left().len(), count));
    }
    if matches!(status, 204 | 205) {
        length = None;
    }
    Ok(ResponseHead { status, reason, headers: Headers { block, nominated }, content_length: length })
}

/// A reason phrase with a control character is dropped; with NUL it is no string.
#[cold]
fn odd_reason(phrase: &[u8]) -> Result<Option<&[u8]>, ProtocolError> {
    if phrase.contains(&0) {
        return Err(ProtocolError::item("reason phrase", ReadError::InnerNul));
    }
    Ok(None)
}

#[cold]
fn name_error(index: u16, count: u16, error: &HeaderError) -> ProtocolError {
    ProtocolError::item(format_args!("name of header {index} of {count}"), error)
}

#[cold]
fn value_error(name: &[u8], error: &HeaderError) -> ProtocolError {
    ProtocolError::item(format_args!("value of header '{}'", excerpt(name)), error)
}

#[cold]
fn surplus(left: usize, count: u16) -> ProtocolError {
    ProtocolError::new(format!("{left} surplus bytes after {count} headers"))
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

/// A header's name as it is written: looked up only when somebody asks.
enum Written<'a> {
    Code(u16),
    Text(&'a [u8]),
}

impl<'a> Written<'a> {
    fn text(self) -> &'a [u8] {
        match self {
            Self::Code(code) => codes::response_header_name(code).map_or(b"", CStr::to_bytes),
            Self::Text(text) => text,
        }
    }
}

#[inline(always)]
fn header_name<'a>(reader: &mut Reader<'a>) -> Result<(Written<'a>, HeaderKind), HeaderError> {
    let field = reader.u16().map_err(HeaderError::Read)?;
    if codes::is_coded_name(field) {
        return match codes::response_header_name(field) {
            Some(_) => Ok((Written::Code(field), kind_of_coded(field))),
            None => Err(HeaderError::UnknownCode(field)),
        };
    }
    if field == 0xFFFF {
        return Err(HeaderError::Null);
    }
    let name = reader.text(field).map_err(HeaderError::Read)?;
    let kind = kind_of_token(name).ok_or(HeaderError::NotAToken)?;
    Ok((Written::Text(name), kind))
}

#[inline(always)]
fn header_value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], HeaderError> {
    let value = reader.terminated().map_err(HeaderError::Read)?.ok_or(HeaderError::Null)?;
    if is_field_text(value) { Ok(value) } else { Err(HeaderError::ControlCharacter) }
}

/// Of the headers with a code, none is hop-by-hop.
#[inline(always)]
fn kind_of_coded(code: u16) -> HeaderKind {
    match code {
        codes::RESPONSE_CONTENT_TYPE => HeaderKind::ContentType,
        codes::RESPONSE_CONTENT_LENGTH => HeaderKind::ContentLength,
        codes::RESPONSE_LAST_MODIFIED => HeaderKind::LastModified,
        codes::RESPONSE_LOCATION => HeaderKind::Location,
        _ => HeaderKind::Other,
    }
}

/// `None`: the name is not a token.
#[inline(never)]
fn kind_of_token(name: &[u8]) -> Option<HeaderKind> {
    is_token(name).then(|| kind_of(name))
}

#[inline(always)]
fn kind_of(name: &[u8]) -> HeaderKind {
    let is = |known: &Name| known.is(name);
    match name.len() {
        2 if is(&names::TE) => HeaderKind::HopByHop,
        7 if is(&names::TRAILER) || is(&names::UPGRADE) => HeaderKind::HopByHop,
        8 if is(&names::LOCATION) => HeaderKind::Location,
        10 if is(&names::CONNECTION) => HeaderKind::Connection,
        10 if is(&names::KEEP_ALIVE) => HeaderKind::HopByHop,
        12 if is(&names::CONTENT_TYPE) => HeaderKind::ContentType,
        13 if is(&names::LAST_MODIFIED) => HeaderKind::LastModified,
        14 if is(&names::CONTENT_LENGTH) => HeaderKind::ContentLength,
        16 if is(&names::PROXY_CONNECTION) => HeaderKind::HopByHop,
        17 if is(&names::TRANSFER_ENCODING) => HeaderKind::HopByHop,
        _ => HeaderKind::Other,
    }
}

/// Notes the headers that a Connection header names.
#[cold]
fn nominate(nominated: &mut Option<Box<Nominated>>, connection: &[u8]) {
    let names = connection.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    nominated.get_or_insert_default().0.extend(names.filter(|name| !name.is_empty()).map(Box::from));
}

/// The number in a Content-Length header, which must agree with the one `before` it (RFC 9110 section 8.6: several
/// identical ones may be taken as one).
#[inline(always)]
fn content_length(value: &[u8], before: Option<u64>) -> Result<u64, ProtocolError> {
    // Blanks around it are rare.
    let length = decimal(value)
        .or_else(|| decimal(value.trim_ascii()))
        .ok_or_else(|| ProtocolError::new(format!("Content-Length '{}' is not a length", excerpt(value))))?;
    match before {
        Some(before) if before != length => {
            Err(ProtocolError::new(format!("conflicting Content-Length headers: {before} and {length}")))
        }
        _ => Ok(length),
    }
}

/// Digits only, at most `i64::MAX`, which is what httpd can hold.
#[inline(always)]
fn decimal(digits: &[u8]) -> Option<u64> {
    // Eighteen digits never exceed it; more than that are zeros, or a mistake.
    if digits.is_empty() || digits.len() > 18 {
        return long_decimal(digits);
    }
    let (mut number, mut good) = (0_u64, true);
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        good &= digit < 10;
        number = number.wrapping_mul(10).wrapping_add(digit.into());
    }
    good.then_some(number)
}

#[cold]
fn long_decimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })?;
    if digits.is_empty() { None } else { u64::try_from(number).ok() }
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
    append(out, |packet| {
        packet.bytes("packet type", [packet_type::SEND_HEADERS])?;
        packet.bytes("status", status.to_be_bytes())?;
        packet.string("reason", reason)?;
        packet.bytes("number of headers", count.to_be_bytes())?;
        headers.iter().try_for_each(|(name, value)| packet.header(codes::response_header_code(name), name, value))
    })
}

/// One packet behind what is in `out`.
fn append(out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
    let start = out.len();
    out.resize(start.saturating_add(MAX_PACKET_SIZE), 0);
    let mut packet = Writer::begin(out.get_mut(start..).unwrap_or_default(), MAGIC_FROM_CONTAINER, MAX_PACKET_SIZE);
    let written = fill(&mut packet).and_then(|()| packet.finish());
    out.truncate(start.saturating_add(*written.as_ref().unwrap_or(&0)));
    written.map(|_| ())
}

/// The container's side: appends a SendBodyChunk packet with Tomcat's NUL; without data it is a flush.
///
/// # Errors
/// [`EncodeError`] when it does not fit into the largest packet.
pub fn encode_body_chunk(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    append(out, |packet| {
        packet.bytes("packet type", [packet_type::SEND_BODY_CHUNK])?;
        packet.string("body chunk", Some(data))
    })
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
            assert!(head.reason.is_none_or(|reason| !reason.is_empty() && has_no_control(reason)));
            assert!(head.content_length.is_none_or(|length| i64::try_from(length).is_ok()));
            for (name, value) in head.headers.iter() {
                assert!(is_any_token(name) && has_no_control(value));
                assert!(!matches!(
                    kind_of(name),
                    HeaderKind::ContentLength | HeaderKind::Connection | HeaderKind::HopByHop
                ));
            }
        }
        Ok(Packet::SendBodyChunk(chunk)) => assert!(matches!(data.len() - chunk.len(), 3 | 4)),
        Ok(Packet::GetBodyChunk(wanted)) => assert!(wanted != 0xFFFF && data.len() == 3),
        Ok(Packet::EndResponse { reuse, clean }) => assert!(clean || !reuse || data.len() > 2),
        Ok(Packet::CPong) => assert!(data.len() == 1),
        Err(error) => assert!(!error.reason.is_empty() && error.reason.is_ascii()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::ajp::HEADER_LEN;

    /// A SendHeaders payload with these headers.
    fn head_of(status: u16, headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut packet = Vec::new();
        encode_send_headers(&mut packet, status, Some(b"200"), headers).unwrap();
        packet.split_off(HEADER_LEN)
    }

    /// A SendHeaders payload with one header, whose bytes are as given.
    fn raw_header(header: &[u8]) -> Vec<u8> {
        [b"\x04\x00\xC8\xFF\xFF\x00\x01", header].concat()
    }

    fn head(payload: &[u8]) -> ResponseHead<'_> {
        match parse(payload) {
            Ok(Packet::SendHeaders(head)) => head,
            other => panic!("{other:?}"),
        }
    }

    fn names<'a>(head: &ResponseHead<'a>) -> Vec<&'a str> {
        head.headers.iter().map(|(name, _)| str::from_utf8(name).unwrap()).collect()
    }

    fn error(payload: &[u8]) -> String {
        parse(payload).unwrap_err().reason
    }

    // reference: ajp-side.md section 11.2

    #[test]
    fn rejects_an_empty_payload() {
        // Row 32.
        assert_eq!(error(b""), "packet without payload");
    }

    #[test]
    fn rejects_unknown_packet_types() {
        // Row 33.
        assert_eq!(error(b"\x2A\x00"), "unknown packet type 0x2A with 1 bytes");
        for kind in (0..=0xFF_u8).filter(|kind| ![3, 4, 5, 6, 9].contains(kind)) {
            assert!(parse(&[kind, 0, 0, 0]).is_err(), "{kind:02X}");
        }
    }

    #[test]
    fn accepts_only_an_exact_cpong() {
        // Rows 11 and 12.
        assert!(matches!(parse(&CPONG[HEADER_LEN..]), Ok(Packet::CPong)));
        assert_eq!(error(b"\x09\x00"), "CPong with 1 surplus bytes");
    }

    // reference: ajp-side.md section 11.3

    #[test]
    fn rejects_statuses_that_http_does_not_have() {
        // Rows 43 to 47.
        for status in [0, 1, 99, 100, 103, 199, 1000, 0xFFFE, 0xFFFF] {
            assert_eq!(error(&head_of(status, &[])), format!("status {status} is not one from 200 to 999"));
        }
        for status in [200, 299, 404, 599, 999] {
            assert_eq!(head(&head_of(status, &[])).status, status);
        }
    }

    #[test]
    fn rejects_a_status_cut_short() {
        // Row 48.
        assert_eq!(error(b"\x04\x00"), "status needs 2 bytes but the packet has 1 left");
        assert_eq!(error(b"\x04"), "status needs 2 bytes but the packet has 0 left");
    }

    #[test]
    fn takes_null_and_empty_reasons_as_none() {
        // Row 49.
        assert_eq!(head(b"\x04\x00\xC8\xFF\xFF\x00\x00").reason, None);
        assert_eq!(head(b"\x04\x00\xC8\x00\x00\x00\x00\x00").reason, None);
    }

    #[test]
    fn passes_the_reason_on() {
        assert_eq!(head(b"\x04\x00\xC8\x00\x02OK\x00\x00\x00").reason, Some(&b"OK"[..]));
    }

    #[test]
    fn drops_a_reason_with_control_characters() {
        // Row 50.
        for reason in [&b"O\r\nX: y"[..], b"O\nK", b"O\x1BK", b"O\x7FK"] {
            let mut packet = Vec::new();
            encode_send_headers(&mut packet, 200, Some(reason), &[]).unwrap();
            assert_eq!(head(&packet[HEADER_LEN..]).reason, None, "{}", reason.escape_ascii());
        }
    }

    #[test]
    fn rejects_nul_in_the_reason() {
        assert_eq!(error(b"\x04\x00\xC8\x00\x03O\x00K\x00\x00\x00"), "reason phrase contains NUL");
    }

    #[test]
    fn rejects_control_characters_in_values() {
        // Rows 51 and 53.
        for value in [&b"a\r\nSet-Cookie: x=y"[..], b"a\nb", b"a\rb", b"a\x00b", b"\x01", b"a\x1Fb", b"\x7F"] {
            let reason = error(&head_of(200, &[(b"X-A", value)]));
            assert_eq!(reason, "value of header 'X-A' contains a control character", "{}", value.escape_ascii());
        }
    }

    #[test]
    fn passes_tabs_and_high_bytes_in_values_on() {
        let payload = head_of(200, &[(b"X-A", b"\tgr\xC3\xBC\xDFe\x80\xFF "), (b"X-Empty", b"")]);
        let values: Vec<_> = head(&payload).headers.iter().map(|(_, value)| value.to_vec()).collect();
        assert_eq!(values, [&b"\tgr\xC3\xBC\xDFe\x80\xFF "[..], b""]);
    }

    #[test]
    fn rejects_names_that_are_not_tokens() {
        // Rows 51 and 52.
        for name in
            [&b""[..], b"X A", b"X:", b"X\r\nY", b"X\x00", b"X\tY", b"X(a)", b"\xC3\xBC", b"\"X\"", b"X{", b"\x7F"]
        {
            let reason = error(&head_of(200, &[(name, b"v")]));
            assert_eq!(reason, "name of header 1 of 1 is not a token", "{}", name.escape_ascii());
        }
    }

    #[test]
    fn rejects_null_names_and_values() {
        // Row 54.
        assert_eq!(error(&raw_header(b"\xFF\xFF\x00\x01v\x00")), "name of header 1 of 1 is null");
        assert_eq!(error(&raw_header(b"\x00\x01X\x00\xFF\xFF")), "value of header 'X' is null");
        assert_eq!(error(&raw_header(b"\xA0\x04\xFF\xFF")), "value of header 'Date' is null");
    }

    #[test]
    fn rejects_a_header_count_that_is_too_high() {
        // Rows 55 and 57.
        assert_eq!(
            error(b"\x04\x00\xC8\xFF\xFF\x00\x02\x00\x01X\x00\x00\x01v\x00"),
            "name of header 2 of 2 needs 2 bytes but the packet has 0 left"
        );
        assert!(error(b"\x04\x00\xC8\xFF\xFF\xFF\xFF").starts_with("name of header 1 of 65535 needs"));
    }

    #[test]
    fn rejects_bytes_after_the_last_header() {
        // Row 56.
        assert_eq!(error(b"\x04\x00\xC8\xFF\xFF\x00\x00\x00\x01X\x00"), "4 surplus bytes after 0 headers");
    }

    #[test]
    fn rejects_a_missing_header_count() {
        // Row 57.
        assert_eq!(error(b"\x04\x00\xC8\xFF\xFF"), "number of headers needs 2 bytes but the packet has 0 left");
    }

    #[test]
    fn rejects_header_codes_without_a_name() {
        // Rows 58 and 59; the first is what crashes C mod_jk.
        for code in [0x00, 0x0C, 0x0D, 0xFF] {
            let reason = error(&raw_header(&[0xA0, code, 0x00, 0x01, b'v', 0x00]));
            assert_eq!(reason, format!("name of header 1 of 1 has the unknown code 0xA0{code:02X}"));
        }
    }

    #[test]
    fn names_every_coded_header() {
        for code in 0x01..=0x0B {
            // Content-Length does not appear among the headers.
            let value = if code == 0x03 { b'7' } else { b'v' };
            let payload = raw_header(&[0xA0, code, 0x00, 0x01, value, 0x00]);
            let head = head(&payload);
            assert_eq!(head.headers.iter().count(), usize::from(code != 0x03));
            assert_eq!(head.content_length, (code == 0x03).then_some(7));
        }
        assert_eq!(names(&head(&raw_header(b"\xA0\x07\x00\x01v\x00"))), ["Set-Cookie"]);
    }

    #[test]
    fn rejects_a_length_beyond_the_message() {
        // Rows 60 and 61.
        let reason = "value of header 'X' needs 4001 bytes but the packet has 4 left";
        assert_eq!(error(&raw_header(b"\x00\x01X\x00\x0F\xA0abc\x00")), reason);
        assert!(error(&raw_header(b"\x00\x01X\x00\xFF\xFEabc\x00")).contains("needs 65535 bytes"));
        assert!(error(&raw_header(b"\x9F\xFFX\x00\x00\x01v\x00")).contains("needs 40960 bytes"));
    }

    #[test]
    fn rejects_a_string_without_its_nul() {
        // Row 62.
        let reason = "value of header 'X' is not terminated by NUL";
        assert_eq!(error(&raw_header(b"\x00\x01X\x00\x00\x03abcZZZ\x00")), reason);
        assert!(error(&raw_header(b"\x00\x01XX\x00\x01v\x00")).contains("is not terminated by NUL"));
    }

    #[test]
    fn keeps_many_headers_in_order() {
        // Row 65.
        let owned: Vec<(String, String)> = (0..100).map(|n| (format!("X-{n}"), "v".repeat(60))).collect();
        let headers: Vec<_> = owned.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let payload = head_of(200, &headers);
        assert_eq!(head(&payload).headers.iter().collect::<Vec<_>>(), headers);
    }

    #[test]
    fn keeps_repeated_headers() {
        let payload = head_of(200, &[(b"Set-Cookie", b"a=1"), (b"X", b"y"), (b"Set-Cookie", b"b=2")]);
        assert_eq!(names(&head(&payload)), ["Set-Cookie", "X", "Set-Cookie"]);
    }

    #[test]
    fn allocates_nothing_for_ordinary_responses() {
        let payload = head_of(200, &[(b"X-A".as_slice(), b"v".as_slice()); 100]);
        let head = head(&payload);
        assert_eq!((head.headers.nominated.is_none(), head.headers.iter().count()), (true, 100));
    }

    #[test]
    fn takes_content_length_out_of_the_headers() {
        for name in [&b"Content-Length"[..], b"content-length", b"CONTENT-LENGTH"] {
            let payload = head_of(200, &[(b"X", b"y"), (name, b"123")]);
            assert_eq!(head(&payload).content_length, Some(123));
            assert_eq!(names(&head(&payload)), ["X"]);
        }
        assert_eq!(head(&head_of(200, &[])).content_length, None);
    }

    #[test]
    fn rejects_malformed_content_lengths() {
        // Row 66.
        let values = [&b""[..], b" ", b"+5", b"-1", b"5x", b"0x5", b"5 5", b"5,5", b"5.0", b"9223372036854775808"];
        // Bytes beside the digits, as many as are taken without a look at the sum.
        for value in
            values.into_iter().chain([&b"##################"[..], b"::::::::::::::::::", b"99999999999999999/"])
        {
            let reason = error(&head_of(200, &[(b"Content-Length", value)]));
            assert_eq!(reason, format!("Content-Length '{}' is not a length", value.escape_ascii()));
        }
        let payload = head_of(200, &[(b"Content-Length", b"9223372036854775807")]);
        assert_eq!(head(&payload).content_length, Some(9_223_372_036_854_775_807));
    }

    #[test]
    fn rejects_conflicting_content_lengths() {
        // Row 66.
        let payload = head_of(200, &[(b"Content-Length", b"4"), (b"content-length", b"5")]);
        assert_eq!(error(&payload), "conflicting Content-Length headers: 4 and 5");
    }

    #[test]
    fn takes_identical_content_lengths_as_one() {
        let payload = head_of(200, &[(b"Content-Length", b"4"), (b"content-length", b" 4\t")]);
        assert_eq!(head(&payload).content_length, Some(4));
    }

    #[test]
    fn forgets_the_content_length_of_statuses_without_one() {
        for (status, expected) in [(200, Some(9)), (204, None), (205, None), (304, Some(9))] {
            assert_eq!(head(&head_of(status, &[(b"Content-Length", b"9")])).content_length, expected, "{status}");
        }
    }

    #[test]
    fn drops_hop_by_hop_headers() {
        // Rows 67 and 68.
        let payload = head_of(
            200,
            &[
                (b"Connection", b"close"),
                (b"keep-alive", b"timeout=5"),
                (b"Proxy-Connection", b"close"),
                (b"TE", b"trailers"),
                (b"X-Kept", b"v"),
                (b"Trailer", b"X-T"),
                (b"Transfer-Encoding", b"chunked"),
                (b"transfer-encoding", b"identity"),
                (b"UPGRADE", b"h2c"),
            ],
        );
        assert_eq!(names(&head(&payload)), ["X-Kept"]);
    }

    #[test]
    fn drops_headers_that_connection_names() {
        let payload = head_of(
            200,
            &[
                (b"X-Before", b"1"),
                (b"Connection", b"close, x-before ,,X-AFTER"),
                (b"X-After", b"2"),
                (b"X-Kept", b"3"),
            ],
        );
        assert_eq!(names(&head(&payload)), ["X-Kept"]);
    }

    #[test]
    fn keeps_content_length_although_connection_names_it() {
        let payload = head_of(200, &[(b"Connection", b"content-length"), (b"Content-Length", b"5")]);
        assert_eq!(head(&payload).content_length, Some(5));
    }

    #[test]
    fn keeps_headers_that_look_like_hop_by_hop() {
        let kept = ["Te-X", "Upgrades", "Connections", "Keep-Alives", "Trailers", "Proxy-Authenticate", "DNT"];
        let headers: Vec<_> = kept.iter().map(|name| (name.as_bytes(), &b"v"[..])).collect();
        assert_eq!(names(&head(&head_of(200, &headers))), kept);
    }

    #[test]
    fn tells_a_web_server_of_its_headers_however_they_are_named() {
        let texts: [(&[u8], HeaderKind); 4] = [
            (b"Content-Type", HeaderKind::ContentType),
            (b"Last-Modified", HeaderKind::LastModified),
            (b"Location", HeaderKind::Location),
            (b"Content-Length", HeaderKind::ContentLength),
        ];
        for (name, kind) in texts {
            // By code, and as text.
            for name in [name, &name.to_ascii_uppercase()] {
                let payload = head_of(200, &[(name, b"7"), (b"X-A", b"v")]);
                let head = head(&payload);
                let kinds: Vec<_> = head.headers.fields_in(head.headers.block()).map(|field| field.kind).collect();
                assert_eq!(kinds, [kind, HeaderKind::Other], "{}", name.escape_ascii());
            }
        }
    }

    // reference: ajp-side.md section 11.4

    #[test]
    fn reads_a_chunk_with_and_without_tomcats_nul() {
        // Row 76.
        for payload in [&b"\x03\x00\x03abc\x00"[..], b"\x03\x00\x03abc"] {
            assert!(matches!(parse(payload), Ok(Packet::SendBodyChunk(b"abc"))));
        }
        // The data may itself end in NUL.
        assert!(matches!(parse(b"\x03\x00\x03ab\x00"), Ok(Packet::SendBodyChunk(b"ab\x00"))));
    }

    #[test]
    fn reads_an_empty_chunk_with_and_without_tomcats_nul() {
        for payload in [&b"\x03\x00\x00\x00"[..], b"\x03\x00\x00"] {
            assert!(matches!(parse(payload), Ok(Packet::SendBodyChunk(b""))));
        }
    }

    #[test]
    fn rejects_a_chunk_longer_than_its_packet() {
        // Row 73.
        assert_eq!(error(b"\x03\x00\x05abc\x00"), "body chunk says 5 bytes of data but the packet has 4");
        assert!(parse(b"\x03\xFF\xFFabc\x00").is_err());
    }

    #[test]
    fn rejects_a_chunk_shorter_than_its_packet() {
        // Row 74.
        assert_eq!(error(b"\x03\x00\x02abcd"), "body chunk says 2 bytes of data but the packet has 4");
        assert_eq!(error(b"\x03\x00\x02ab\x00\x00"), "body chunk says 2 bytes of data but the packet has 4");
    }

    #[test]
    fn rejects_a_chunk_padded_with_something_else_than_nul() {
        assert_eq!(error(b"\x03\x00\x02abc"), "body chunk says 2 bytes of data but the packet has 3");
    }

    #[test]
    fn rejects_a_chunk_without_a_length() {
        // Row 75.
        for payload in [&b"\x03\x00"[..], b"\x03"] {
            assert!(error(payload).starts_with("length of a body chunk needs 2 bytes"));
        }
    }

    #[test]
    fn takes_any_reuse_flag_but_zero_as_true() {
        // Rows 89 and 91.
        for (flag, expected) in [(0, false), (1, true), (7, true), (0xFE, true)] {
            let payload = [0x05, flag];
            let packet = parse(&payload).unwrap();
            assert!(matches!(packet, Packet::EndResponse { reuse, clean: true } if reuse == expected), "{flag}");
        }
    }

    #[test]
    fn ends_uncleanly_without_a_valid_reuse_flag() {
        // Row 92.
        for payload in [&b"\x05"[..], b"\x05\xFF", b"\x05\xFF\x01"] {
            assert!(matches!(parse(payload), Ok(Packet::EndResponse { reuse: false, clean: false })));
        }
    }

    #[test]
    fn ends_uncleanly_with_bytes_after_the_reuse_flag() {
        // Row 93.
        assert!(matches!(parse(b"\x05\x01\x00"), Ok(Packet::EndResponse { reuse: true, clean: false })));
    }

    // reference: ajp-side.md section 11.5

    #[test]
    fn reads_how_much_the_container_wants() {
        // Rows 100 to 102.
        for wanted in [0, 10, 8_186, 0xFFFE] {
            let packet = encode_get_body(wanted);
            assert!(matches!(parse(&packet[HEADER_LEN..]), Ok(Packet::GetBodyChunk(n)) if n == wanted));
        }
    }

    #[test]
    fn rejects_malformed_body_requests() {
        // Row 103.
        assert_eq!(error(b"\x06\xFF\xFF"), "GetBodyChunk for 0xFFFF bytes");
        assert_eq!(error(b"\x06"), "GetBodyChunk of 1 bytes instead of 3");
        assert_eq!(error(b"\x06\x1F"), "GetBodyChunk of 2 bytes instead of 3");
        assert_eq!(error(b"\x06\x1F\xFA\x00"), "GetBodyChunk of 4 bytes instead of 3");
    }

    #[test]
    fn shows_a_strangers_bytes_escaped_in_errors() {
        let reason = error(&head_of(200, &[(b"Content-Length", "\u{FC}".repeat(300).as_bytes())]));
        assert!(reason.is_ascii() && reason.len() < 400, "{reason}");
    }

    // The container's side, against packets written by hand.

    #[test]
    fn writes_send_headers_as_tomcat_does() {
        let mut packet = Vec::new();
        let headers: [(&[u8], &[u8]); 5] = [
            (b"Set-Cookie", b"JSESSIONID=0123456789ABCDEF.node2; Path=/shop; HttpOnly"),
            (b"ETag", b"W/\"5-1700000000000\""),
            (b"Content-Type", b"text/html;charset=UTF-8"),
            (b"Content-Length", b"5"),
            (b"Date", b"Mon, 02 Jun 2025 08:00:00 GMT"),
        ];
        encode_send_headers(&mut packet, 200, Some(b"200"), &headers).unwrap();
        assert_eq!(packet, include_bytes!("../../tests/data/ajp/send-headers.bin"));
    }

    #[test]
    fn appends_packets_to_a_stream() {
        let mut stream = encode_get_body(8_186).to_vec();
        encode_body_chunk(&mut stream, b"").unwrap();
        encode_send_headers(&mut stream, 200, Some(b""), &[(b"Content-Type", b"text/plain")]).unwrap();
        encode_body_chunk(&mut stream, b"abc").unwrap();
        encode_body_chunk(&mut stream, b"").unwrap();
        stream.extend(b"AB\x00\x05\x03\x00\x02de");
        stream.extend(encode_end(false));
        assert_eq!(stream, include_bytes!("../../tests/data/ajp/response-to-post.bin"));
    }

    #[test]
    fn refuses_to_write_what_does_not_fit() {
        let long = vec![b'v'; 40_000];
        let headers: [(&[u8], &[u8]); 2] = [(b"X-A", &long), (b"X-B", &long)];
        let error = encode_send_headers(&mut Vec::new(), 200, None, &headers).unwrap_err();
        assert_eq!(error, EncodeError::TooLarge { item: "X-B".to_owned(), length: 40_000 });
        assert!(encode_body_chunk(&mut Vec::new(), &vec![0; 65_530]).is_err());
    }
}

//! The frame (magic, length, payload), a bounds-checked reader over one payload and a writer of one packet; it knows no
//! packet type.
//! Surprising: we accept `max_packet_size` payload bytes although we send four fewer, because C mod_jk stores what it
//! receives without the frame header and containers may rely on it (reference: ajp-side.md section 1.1).
//!
//! ```text
//!   0      2       4                4+length
//!   +------+-------+----------------+
//!   | magic| length| payload        |     magic: 12 34 to the container, 41 42 from it; length: big endian
//!   +------+-------+----------------+
//! ```

use std::fmt;

use super::codes::CODED_NAMES;
use super::{HEADER_LEN, MAX_PACKET_SIZE, MAX_STRING, MIN_PACKET_SIZE};

/// Magic of packets to the container.
pub const MAGIC_TO_CONTAINER: [u8; 2] = [0x12, 0x34];
/// Magic of packets from the container.
pub const MAGIC_FROM_CONTAINER: [u8; 2] = *b"AB";
/// Bytes of a stranger's text that an error message shows.
const EXCERPT_LEN: usize = 64;

/// Why received bytes are not an AJP packet. The connection is lost: nothing after this can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first two bytes are not `AB`.
    BadMagic([u8; 2]),
    /// The length field exceeds what was agreed.
    TooLong {
        /// Length field of the packet.
        length: usize,
        /// `max_packet_size`.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic(magic @ [first, second]) => {
                write!(f, "not an AJP packet: it begins with 0x{first:02X}{second:02X}")?;
                match magic {
                    b"HT" => f.write_str(" (looks like HTTP: is the worker's port an HTTP connector?)"),
                    [0x15 | 0x16, 0x03] => f.write_str(" (looks like TLS: is the worker's port an HTTPS connector?)"),
                    [0x12, 0x34] => f.write_str(" (our own kind of packet: is the worker's port a web server?)"),
                    [0x12, 0x35] => f.write_str(" (AJP14, which is not supported)"),
                    _ => Ok(()),
                }
            }
            Self::TooLong { length, limit } => {
                write!(f, "packet of {length} bytes is longer than max_packet_size {limit}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Splits the first whole packet off `received`: its payload, and how many bytes it took in all.
/// `None`: more bytes are needed. A wrong magic or length is reported as soon as its bytes are there.
///
/// # Errors
/// [`FrameError`] when the bytes cannot be the start of a packet of at most `max_payload` payload bytes.
pub fn split_packet(received: &[u8], max_payload: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    split(received, MAGIC_FROM_CONTAINER, max_payload)
}

/// [`split_packet`] for the container's end of the connection, where the magic is `12 34`.
///
/// # Errors
/// As [`split_packet`].
pub fn split_request_packet(received: &[u8], max_payload: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    split(received, MAGIC_TO_CONTAINER, max_payload)
}

fn split(received: &[u8], magic: [u8; 2], max_payload: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    match whole(received, magic, max_payload) {
        Some(packet) => Ok(Some(packet)),
        None => check_start(received, magic, max_payload).map(|()| None),
    }
}

/// [`split_packet`] for those who ask [`split_packet`] why there is none.
#[inline(always)]
pub(crate) fn whole_packet(received: &[u8], max_payload: usize) -> Option<(&[u8], usize)> {
    whole(received, MAGIC_FROM_CONTAINER, max_payload)
}

#[inline(always)]
fn whole(received: &[u8], magic: [u8; 2], max_payload: usize) -> Option<(&[u8], usize)> {
    let (header, rest) = received.split_first_chunk::<HEADER_LEN>()?;
    // One word, so that it is loaded once.
    let [first, second, length @ ..] = u32::from_be_bytes(*header).to_be_bytes();
    let length = usize::from(u16::from_be_bytes(length));
    if [first, second] != magic || length > max_payload {
        return None;
    }
    Some((rest.get(..length)?, HEADER_LEN + length))
}

/// Whether what is no whole packet may become one.
#[inline(never)]
fn check_start(received: &[u8], magic: [u8; 2], limit: usize) -> Result<(), FrameError> {
    match *received {
        [first, second, ..] if [first, second] != magic => Err(FrameError::BadMagic([first, second])),
        [_, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// Why the next item cannot be read from a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The payload ends inside the item.
    Short {
        /// Bytes the item needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The byte after a string is not NUL.
    Unterminated,
    /// A NUL inside a string.
    InnerNul,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, left } => write!(f, "needs {needed} bytes but the packet has {left} left"),
            Self::Unterminated => f.write_str("is not terminated by NUL"),
            Self::InnerNul => f.write_str("contains NUL"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads items off the front of one payload. Nothing outside that payload can be reached, whatever a length field says
/// (C bounds strings by the buffer instead, CVE-2026-34032's class; reference: ajp-side.md sections 1.2 and 10).
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { left: payload }
    }

    /// What has not been read.
    pub fn left(&self) -> &'a [u8] {
        self.left
    }

    /// One byte.
    ///
    /// # Errors
    /// [`ReadError::Short`].
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let Some((&byte, left)) = self.left.split_first() else { return Err(self.short(1)) };
        self.left = left;
        Ok(byte)
    }

    /// Two bytes, big endian. 0xFFFF is a number like any other here; where it is not, the caller says so.
    ///
    /// # Errors
    /// [`ReadError::Short`].
    #[inline(always)]
    pub fn u16(&mut self) -> Result<u16, ReadError> {
        let Some((bytes, left)) = self.left.split_first_chunk::<2>() else { return Err(self.short(2)) };
        self.left = left;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// A string: length, bytes, NUL; `None` is AJP's null.
    ///
    /// # Errors
    /// [`ReadError`] when it does not fit into the payload, is not terminated or has a NUL inside.
    pub fn string(&mut self) -> Result<Option<&'a [u8]>, ReadError> {
        let text = self.terminated()?;
        if text.is_some_and(|text| memchr::memchr(0, text).is_some()) {
            return Err(ReadError::InnerNul);
        }
        Ok(text)
    }

    /// [`Reader::string`] for callers that check each byte themselves: NUL inside is not looked for.
    ///
    /// # Errors
    /// [`ReadError`] when it does not fit into the payload or is not terminated.
    #[inline(always)]
    pub fn terminated(&mut self) -> Result<Option<&'a [u8]>, ReadError> {
        match self.u16()? {
            0xFFFF => Ok(None),
            length => self.text(length).map(Some),
        }
    }

    /// The bytes of a string whose length field was read already, and its NUL, which is not part of the result.
    ///
    /// # Errors
    /// As [`Reader::terminated`].
    #[inline(always)]
    pub fn text(&mut self, length: u16) -> Result<&'a [u8], ReadError> {
        let length = usize::from(length);
        let Some((text, after)) = self.left.split_at_checked(length) else { return Err(self.short(length + 1)) };
        match after.split_first() {
            Some((0, left)) => {
                self.left = left;
                Ok(text)
            }
            Some(_) => Err(ReadError::Unterminated),
            None => Err(self.short(length + 1)),
        }
    }

    #[cold]
    fn short(&self, needed: usize) -> ReadError {
        ReadError::Short { needed, left: self.left.len() }
    }
}

/// Why a packet cannot be written; nothing has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The packet would exceed `max_packet_size`; names the item that did not fit (a header's name, or the field).
    TooLarge {
        /// What did not fit.
        item: String,
        /// Length of that item's value.
        length: usize,
    },
    /// A string longer than AJP can carry ([`MAX_STRING`]; a name even less, so that its length is no code).
    StringTooLong {
        /// What it was.
        item: String,
        /// Its length.
        length: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { item, length } => {
                write!(f, "{item} ({length} bytes) does not fit into a packet of max_packet_size")
            }
            Self::StringTooLong { item, length } => write!(f, "{item} ({length} bytes) is longer than AJP can carry"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Writes one packet into a buffer, in one pass: the length field is filled in at the end.
pub(super) struct Writer<'o> {
    /// Room for the packet: no more than [`MAX_PACKET_SIZE`] bytes, so every length fits its field.
    out: &'o mut [u8],
    /// Bytes written. Beyond the end of `out` if not even the frame header fits; then nothing else does.
    at: usize,
}

/// Where in a packet bytes go that are known later.
pub(super) struct Place(usize);

impl<'o> Writer<'o> {
    /// Begins a packet of at most `max_packet_size` bytes, frame header included, at the start of `out`, which should have as many.
    #[inline]
    pub(super) fn begin(out: &'o mut [u8], magic: [u8; 2], max_packet_size: usize) -> Self {
        let size = max_packet_size.min(MAX_PACKET_SIZE).min(out.len());
        let out = out.get_mut(..size).unwrap_or_default();
        if let Some([first, second, _, _]) = out.first_chunk_mut::<HEADER_LEN>() {
            [*first, *second] = magic;
        }
        Self { out, at: HEADER_LEN }
    }

    /// Leaves the first `length` bytes of the packet as they are; `false` when they do not fit.
    #[inline(always)]
    pub(super) fn skip(&mut self, length: usize) -> bool {
        let fits = length >= HEADER_LEN && length <= self.out.len();
        if fits {
            self.at = length;
        }
        fits
    }

    /// Bytes of the packet so far.
    #[inline(always)]
    pub(super) fn written(&self) -> usize {
        self.at
    }

    /// Room for two bytes that are written later.
    #[inline(always)]
    pub(super) fn place(&mut self, item: &str) -> Result<Place, EncodeError> {
        let place = Place(self.at);
        self.bytes(item, [0; 2])?;
        Ok(place)
    }

    /// Fills the place.
    #[inline(always)]
    pub(super) fn fill(&mut self, place: &Place, bytes: [u8; 2]) {
        if let Some(at) = self.out.get_mut(place.0..).and_then(<[u8]>::first_chunk_mut) {
            *at = bytes;
        }
    }

    /// The next `length` bytes; `None` when they do not fit.
    #[inline(always)]
    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        let from = self.at;
        let room = self.out.get_mut(from..from + length)?;
        self.at = from + length;
        Some(room)
    }

    /// Bytes as they are.
    #[inline(always)]
    pub(super) fn bytes<const N: usize>(&mut self, item: &str, bytes: [u8; N]) -> Result<(), EncodeError> {
        match self.room(N).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => *place = bytes,
            None => return Err(too_large(item.as_bytes(), N)),
        }
        Ok(())
    }

    /// A string, or null.
    #[inline(always)]
    pub(super) fn string(&mut self, item: &str, value: Option<&[u8]>) -> Result<(), EncodeError> {
        let Some(value) = value else { return self.bytes(item, [0xFF, 0xFF]) };
        self.behind([], value).ok_or_else(|| does_not_fit(item.as_bytes(), value))
    }

    /// A header: its name as `code` or else as text, and its value.
    #[inline(always)]
    pub(super) fn header(&mut self, code: Option<u16>, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        let Some(code) = code else { return self.pair(name, value) };
        self.behind(code.to_be_bytes(), value).ok_or_else(|| does_not_fit(name, value))
    }

    /// An attribute whose name is known: `start` is all before its value, the name behind three other bytes and before NUL.
    #[inline(always)]
    pub(super) fn named<const N: usize>(&mut self, start: &[u8; N], value: &[u8]) -> Result<(), EncodeError> {
        let name = || start.get(3..N.saturating_sub(1)).unwrap_or_default();
        self.behind(*start, value).ok_or_else(|| does_not_fit(name(), value))
    }

    /// A name and a value, both as text.
    #[inline(always)]
    pub(super) fn pair(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        // Such a length would read as the code of a name (reference: ajp-side.md section 1.2).
        if name.len() & !0xFF == usize::from(CODED_NAMES) {
            return Err(name_reads_as_code(name));
        }
        let written = self.behind([], name).and_then(|()| self.behind([], value));
        written.ok_or_else(|| pair_does_not_fit(name, value))
    }

    /// `start` as it is, then a string.
    #[inline(always)]
    fn behind<const N: usize>(&mut self, start: [u8; N], value: &[u8]) -> Option<()> {
        // A value that is longer than a length field can say does not fit into the largest packet.
        let length = u16::try_from(value.len()).ok()?;
        let (first, room) = self.room(N + usize::from(length) + 3)?.split_first_chunk_mut::<N>()?;
        *first = start;
        let (field, room) = room.split_first_chunk_mut::<2>()?;
        *field = length.to_be_bytes();
        let (text, end) = room.split_at_mut_checked(usize::from(length))?;
        text.copy_from_slice(value);
        *end.first_mut()? = 0;
        Some(())
    }

    /// Writes the length field; the length of the whole packet.
    #[inline]
    pub(super) fn finish(self) -> Result<usize, EncodeError> {
        let payload = self.at.saturating_sub(HEADER_LEN);
        match (self.out.first_chunk_mut::<HEADER_LEN>(), u16::try_from(payload)) {
            (Some([_, _, field @ ..]), Ok(length)) => *field = length.to_be_bytes(),
            _ => return Err(too_large(b"packet", payload)),
        }
        Ok(self.at)
    }
}

#[cold]
fn does_not_fit(item: &[u8], value: &[u8]) -> EncodeError {
    too_long_or_large(excerpt(item), value.len())
}

/// The longer one is at fault.
#[cold]
fn pair_does_not_fit(name: &[u8], value: &[u8]) -> EncodeError {
    if name.len() <= value.len() {
        return does_not_fit(name, value);
    }
    too_long_or_large(format!("name {}", excerpt(name)), name.len())
}

fn too_long_or_large(item: String, length: usize) -> EncodeError {
    if length > MAX_STRING {
        EncodeError::StringTooLong { item, length }
    } else {
        EncodeError::TooLarge { item, length }
    }
}

#[cold]
fn name_reads_as_code(name: &[u8]) -> EncodeError {
    let item = format!("name {}, of a length that AJP takes for a code,", excerpt(name));
    EncodeError::StringTooLong { item, length: name.len() }
}

#[cold]
fn too_large(item: &[u8], length: usize) -> EncodeError {
    EncodeError::TooLarge { item: excerpt(item), length }
}

/// A stranger's text for an error message: printable, and not longer than a log line can bear.
pub(super) fn excerpt(text: &[u8]) -> String {
    match text.split_at_checked(EXCERPT_LEN) {
        Some((start, rest)) if !rest.is_empty() => format!("{}...", start.escape_ascii()),
        _ => text.escape_ascii().to_string(),
    }
}

/// Entry point for fuzzers: splits `data` like a receive buffer. Panics only when this file is wrong.
#[doc(hidden)]
pub fn fuzz_packet(data: &[u8]) {
    for max_payload in [0, 16, MIN_PACKET_SIZE, MAX_PACKET_SIZE] {
        let mut left = data;
        while let Ok(Some((payload, taken))) = split_packet(left, max_payload) {
            assert!(payload.len() <= max_payload && taken == HEADER_LEN + payload.len());
            assert!(taken <= left.len());
            left = left.get(taken..).unwrap_or_default();
        }
        let mut reader = Reader::new(left);
        while let Ok(text) = reader.string() {
            assert!(text.is_none_or(|text| !text.contains(&0)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    const LIMIT: usize = 8_192;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut packet = b"AB".to_vec();
        packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        packet.extend(payload);
        packet
    }

    #[test]
    fn splits_several_packets_of_one_receive() {
        // Row 37: all messages in one segment.
        let received = [framed(b"\x09"), framed(b"\x05\x01"), framed(b"\x03\x00\x00\x00")].concat();
        let (first, taken) = split_packet(&received, LIMIT).unwrap().unwrap();
        assert_eq!((first, taken), (&b"\x09"[..], 5));
        let (second, taken_second) = split_packet(&received[taken..], LIMIT).unwrap().unwrap();
        assert_eq!((second, taken_second), (&b"\x05\x01"[..], 6));
        let (third, taken_third) = split_packet(&received[taken + taken_second..], LIMIT).unwrap().unwrap();
        assert_eq!(third, b"\x03\x00\x00\x00");
        assert_eq!(split_packet(&received[taken + taken_second + taken_third..], LIMIT), Ok(None));
    }

    #[test]
    fn asks_for_more_until_the_last_byte_is_there() {
        // Rows 22 to 24 and 36: a packet that trickles in byte by byte.
        let packet = framed(b"\x04\x00\xC8");
        for have in 0..packet.len() {
            assert_eq!(split_packet(&packet[..have], LIMIT), Ok(None), "{have} bytes");
        }
        assert!(split_packet(&packet, LIMIT).unwrap().is_some());
    }

    #[test]
    fn reports_a_wrong_magic_with_two_bytes() {
        // Row 25.
        assert_eq!(split_packet(b"AC", LIMIT), Err(FrameError::BadMagic(*b"AC")));
    }

    #[test]
    fn rejects_our_own_magic() {
        // Row 26.
        assert_eq!(split_packet(b"\x12\x34\x00\x01\x09", LIMIT), Err(FrameError::BadMagic([0x12, 0x34])));
    }

    #[test]
    fn names_ajp14_in_the_message() {
        // Row 27.
        let error = split_packet(b"\x12\x35\x00\x01\x09", LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "not an AJP packet: it begins with 0x1235 (AJP14, which is not supported)");
    }

    #[test]
    fn says_that_an_answer_looks_like_http() {
        // Row 28.
        let error = split_packet(b"HTTP/1.1 400 Bad Request\r\n", LIMIT).unwrap_err();
        assert!(error.to_string().contains("looks like HTTP"), "{error}");
    }

    #[test]
    fn says_that_an_answer_looks_like_tls() {
        // Row 29.
        let error = split_packet(b"\x15\x03\x03\x00\x02\x02\x46", LIMIT).unwrap_err();
        assert!(error.to_string().contains("looks like TLS"), "{error}");
    }

    #[test]
    fn rejects_packet_longer_than_max_packet_size() {
        // Row 30: reported from the length field, without waiting for the bytes.
        let error = split_packet(b"AB\x20\x01", LIMIT).unwrap_err();
        assert_eq!(error, FrameError::TooLong { length: 8_193, limit: LIMIT });
        assert_eq!(error.to_string(), "packet of 8193 bytes is longer than max_packet_size 8192");
    }

    #[test]
    fn accepts_payload_of_exactly_max_packet_size() {
        // Row 31.
        let packet = framed(&vec![3; LIMIT]);
        let (payload, taken) = split_packet(&packet, LIMIT).unwrap().unwrap();
        assert_eq!((payload.len(), taken), (LIMIT, LIMIT + HEADER_LEN));
    }

    #[test]
    fn takes_the_longest_length_field_with_the_largest_limit() {
        let packet = framed(&vec![3; 65_535]);
        assert_eq!(split_packet(&packet, MAX_PACKET_SIZE).unwrap().unwrap().1, 65_539);
    }

    #[test]
    fn splits_a_packet_without_payload() {
        // Row 32: the frame is fine, what it means is the parser's business.
        assert_eq!(split_packet(b"AB\x00\x00", LIMIT), Ok(Some((&b""[..], 4))));
    }

    #[test]
    fn splits_requests_by_the_other_magic() {
        assert_eq!(split_request_packet(b"\x12\x34\x00\x01\x0A", LIMIT), Ok(Some((&b"\x0A"[..], 5))));
        assert_eq!(split_request_packet(b"AB\x00\x01\x09", LIMIT), Err(FrameError::BadMagic(*b"AB")));
    }

    #[test]
    fn reads_items_in_order() {
        let mut reader = Reader::new(b"\x07\x01\x02\x00\x02hi\x00\xFF\xFF\x00\x00\x00rest");
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.string(), Ok(Some(&b"hi"[..])));
        assert_eq!(reader.string(), Ok(None));
        assert_eq!(reader.string(), Ok(Some(&b""[..])));
        assert_eq!(reader.left(), b"rest");
    }

    #[test]
    fn refuses_a_number_cut_short() {
        assert_eq!(Reader::new(b"").u8(), Err(ReadError::Short { needed: 1, left: 0 }));
        assert_eq!(Reader::new(b"\x01").u16(), Err(ReadError::Short { needed: 2, left: 1 }));
    }

    #[test]
    fn refuses_a_string_longer_than_the_payload() {
        assert_eq!(Reader::new(b"\x0F\xA0abc\x00").string(), Err(ReadError::Short { needed: 4_001, left: 4 }));
    }

    #[test]
    fn refuses_a_string_whose_terminator_is_missing() {
        assert_eq!(Reader::new(b"\x00\x03abc").string(), Err(ReadError::Short { needed: 4, left: 3 }));
    }

    #[test]
    fn refuses_a_string_that_runs_on() {
        assert_eq!(Reader::new(b"\x00\x03abcZZZ\x00").string(), Err(ReadError::Unterminated));
    }

    #[test]
    fn refuses_nul_inside_a_string() {
        assert_eq!(Reader::new(b"\x00\x03a\x00c\x00").string(), Err(ReadError::InnerNul));
    }

    #[test]
    fn shortens_and_escapes_what_a_message_shows() {
        assert_eq!(excerpt(b"a\r\nb\xFF"), "a\\r\\nb\\xff");
        assert_eq!(excerpt(&[b'x'; EXCERPT_LEN]), "x".repeat(EXCERPT_LEN));
        assert_eq!(excerpt(&[b'x'; 9_000]), format!("{}...", "x".repeat(EXCERPT_LEN)));
    }
}

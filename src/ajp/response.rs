//! Container to web server: SendHeaders, SendBodyChunk, GetBodyChunk, EndResponse, CPong. Bytes here are hostile.

use smallvec::SmallVec;

/// Headers kept without a heap allocation.
pub const INLINE_HEADERS: usize = 24;

/// The checked head of a response: what may be told to the client.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// 200 to 999 (1xx does not exist in AJP).
    pub status: u16,
    /// Reason phrase; `None` when null, empty or not printable: the web server's own is used.
    pub reason: Option<&'a [u8]>,
    /// Headers in order, names as text, hop-by-hop headers and Content-Length left out.
    pub headers: SmallVec<[(&'a [u8], &'a [u8]); INLINE_HEADERS]>,
    /// The one valid Content-Length.
    pub content_length: Option<u64>,
}

/// One packet from the container.
#[derive(Clone, Debug)]
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
        /// Bytes followed the reuse flag, or it was malformed: the response counts, the connection does not.
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

/// Parses one payload (without frame header).
///
/// # Errors
/// [`ProtocolError`] for anything that is not exactly one well-formed packet.
pub fn parse(payload: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    let _ = payload;
    todo!()
}

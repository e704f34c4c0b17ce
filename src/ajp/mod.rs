//! AJP/1.3 on the wire: bytes in, events out. Pure: no I/O, no clock, imports nothing of ours; in particular it does
//! not decide about retries, it only says how far an exchange has come. Surprising: the two directions differ by more
//! than their magic, because a body packet to the container has no type byte. Facts: reference ajp-side.md sections 1
//! to 3.
//!
//! ```text
//!   request.rs   ForwardRequest, body packets, CPing     -- 12 34 -->   container
//!   forward.rs   the encoder of ForwardRequest
//!   response.rs  SendHeaders, SendBodyChunk, ...         <--  A B --   container
//!   exchange.rs  which of them may follow which
//! ```

pub mod codes;
pub mod exchange;
mod forward;
pub mod packet;
pub mod request;
pub mod response;
mod text;

/// Bytes of a packet before its payload: magic and length.
pub const HEADER_LEN: usize = 4;
/// Smallest and default `max_packet_size`.
pub const MIN_PACKET_SIZE: usize = 8_192;
/// Largest `max_packet_size`.
pub const MAX_PACKET_SIZE: usize = 65_536;
/// Longest string: 0xFFFF means null.
pub const MAX_STRING: usize = 65_534;

/// First payload byte of each packet type (reference: ajp-side.md section 1.3). Body packets to the container have
/// none.
pub mod packet_type {
    /// To the container: a request.
    pub const FORWARD_REQUEST: u8 = 0x02;
    /// From the container: a piece of the response body; without data it asks for a flush.
    pub const SEND_BODY_CHUNK: u8 = 0x03;
    /// From the container: status and headers.
    pub const SEND_HEADERS: u8 = 0x04;
    /// From the container: the response is complete.
    pub const END_RESPONSE: u8 = 0x05;
    /// From the container: send more of the request body.
    pub const GET_BODY_CHUNK: u8 = 0x06;
    /// From the container: answer to [`CPING`].
    pub const CPONG: u8 = 0x09;
    /// To the container: are you there?
    pub const CPING: u8 = 0x0A;
}

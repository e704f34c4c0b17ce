//! AJP/1.3 on the wire. Pure: no I/O, no clock, imports nothing of ours. Facts: reference ajp-side.md §1 to §3.

pub mod codes;
pub mod exchange;
pub mod packet;
pub mod request;
pub mod response;

/// Bytes of a packet before its payload: magic and length.
pub const HEADER_LEN: usize = 4;
/// Smallest and default `max_packet_size`.
pub const MIN_PACKET_SIZE: usize = 8_192;
/// Largest `max_packet_size`.
pub const MAX_PACKET_SIZE: usize = 65_536;
/// Longest string: 0xFFFF means null.
pub const MAX_STRING: usize = 65_534;

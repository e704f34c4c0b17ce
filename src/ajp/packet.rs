//! The frame: magic, length, payload; and a bounds-checked reader over one payload.

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

/// Splits the first whole packet off `received`: its payload, and how many bytes it took in all.
/// `None`: more bytes are needed. A wrong magic or length is reported as soon as its bytes are there.
///
/// # Errors
/// [`FrameError`] when the bytes cannot be the start of a packet of at most `max_payload` payload bytes.
pub fn split_packet(received: &[u8], max_payload: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    let _ = (received, max_payload);
    todo!()
}

//! The body of one request: read from the client once, its first part kept for another attempt.
//!
//! Not here: packets and sockets. The surprising thing: only the part that is sent unasked is kept; what answers a
//! GetBodyChunk is gone, which is why such an attempt cannot be repeated (reference: ajp-side.md section 2.1, section 2.2).

use std::io::IoSlice;

use super::scratch::Scratch;
use super::{ClientError, Downstream, Parts};

/// Whether and how the request has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// None; the container was told `content-length: 0`.
    None,
    /// This many bytes, as the forwarded Content-Length says.
    Length(u64),
    /// Unknown length: no Content-Length was forwarded, bytes go out on demand only.
    Chunked,
}

/// The body as it is read and sent.
#[derive(Debug)]
pub struct RequestBody {
    kind: BodyKind,
    /// First bytes of a body of known length, kept for replay.
    kept: Scratch,
    kept_length: usize,
    /// Bytes of `kept` that this attempt has sent.
    replayed: usize,
    /// Bytes read from the client.
    taken: u64,
    /// The client has ended the body.
    ended: bool,
    /// The body broke off: it stays broken for every later attempt.
    broken: bool,
    /// Bytes of the packet that is sent just now.
    chunk: Scratch,
}

impl RequestBody {
    pub(super) fn new(kind: BodyKind) -> Self {
        let buffer = || if kind == BodyKind::None { Scratch::none() } else { Scratch::new() };
        let (kept, chunk) = (buffer(), buffer());
        Self { kind, kept, kept_length: 0, replayed: 0, taken: 0, ended: false, broken: false, chunk }
    }

    /// Bytes read from the client so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How the request's body is delimited.
    pub fn kind(&self) -> BodyKind {
        self.kind
    }

    /// Reads what the first packet will carry, if that is sent unasked and was not read before. It is shorter when the web
    /// server says that the body has ended: an input filter of its own (mod_deflate) may have made it shorter than declared.
    ///
    /// # Errors
    /// [`ClientError`] when the client breaks off before: nothing of the request may then be sent.
    pub(super) fn prepare(&mut self, limit: usize, client: &mut dyn Downstream) -> Result<(), ClientError> {
        let BodyKind::Length(length) = self.kind else { return Ok(()) };
        if length == 0 || self.kept_length > 0 || self.ended {
            return Ok(());
        }
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(limit);
        let mut kept = std::mem::replace(&mut self.kept, Scratch::none());
        let read = self.read_up_to(kept.room(wanted), client);
        self.kept = kept;
        self.kept_length = read?;
        Ok(())
    }

    /// Whether a packet follows the request unasked: the container waits for it, be it empty.
    pub(super) fn has_first_packet(&self) -> bool {
        matches!(self.kind, BodyKind::Length(1..))
    }

    /// Whether more of the body may have to be waited for: it is not over, and the web server holds none of it.
    pub(super) fn may_wait(&self, client: &dyn Downstream) -> bool {
        let is_over = match self.kind {
            BodyKind::None => true,
            BodyKind::Length(length) => self.taken >= length,
            BodyKind::Chunked => false,
        };
        !is_over && !self.ended && !self.broken && client.held_body() == 0
    }

    /// The data of the packet that follows the request unasked; empty when there is none. A new attempt begins with it: what
    /// was kept is sent again.
    pub(super) fn first_packet(&mut self, limit: usize) -> &[u8] {
        self.replayed = self.kept_length.min(limit);
        self.kept.bytes(self.replayed)
    }

    /// Adds the data that answers a GetBodyChunk to `parts`, at most `limit` bytes; tells how many. 0 = end of body.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone or broke off the body.
    pub(super) fn next_packet<'p>(
        &'p mut self,
        limit: usize,
        client: &'p mut dyn Downstream,
        parts: &mut Parts<'p>,
    ) -> Result<usize, ClientError> {
        if limit == 0 {
            return Ok(0);
        }
        if self.replayed < self.kept_length {
            let from = self.replayed;
            self.replayed = self.kept_length.min(from.saturating_add(limit));
            let data = self.kept.bytes(self.replayed).get(from..).unwrap_or_default();
            parts.push(IoSlice::new(data));
            return Ok(data.len());
        }
        let wanted = match self.kind {
            BodyKind::None => 0,
            _ if self.ended => 0,
            BodyKind::Length(length) => {
                usize::try_from(length.saturating_sub(self.taken)).unwrap_or(usize::MAX).min(limit)
            }
            BodyKind::Chunked => limit,
        };
        if wanted > 0 && !self.broken && client.held_body() >= wanted {
            self.taken = self.taken.saturating_add(u64::try_from(wanted).unwrap_or(u64::MAX));
            client.lend_body(wanted, parts);
            return Ok(wanted);
        }
        let mut chunk = std::mem::replace(&mut self.chunk, Scratch::none());
        let read = self.read_up_to(chunk.room(wanted), client);
        self.chunk = chunk;
        let read = read?;
        parts.push(IoSlice::new(self.chunk.bytes(read)));
        Ok(read)
    }

    /// Fills `buffer` as far as the body goes.
    fn read_up_to(&mut self, buffer: &mut [u8], client: &mut dyn Downstream) -> Result<usize, ClientError> {
        if self.broken {
            return Err(ClientError);
        }
        let mut filled = 0;
        while !self.ended {
            let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) else { break };
            match client.read_body(rest) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    let read = read.min(rest.len());
                    filled += read;
                    self.taken = self.taken.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                }
                Err(gone) => {
                    self.broken = true;
                    return Err(gone);
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::ajp::response::ResponseHead;

    /// A client that sends `parts`, one per read, and then ends or breaks.
    struct Client {
        parts: Vec<&'static [u8]>,
        breaks: bool,
    }

    impl Downstream for Client {
        fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
            if self.parts.is_empty() {
                return if self.breaks { Err(ClientError) } else { Ok(0) };
            }
            let part = self.parts.remove(0);
            let n = part.len().min(buffer.len());
            buffer[..n].copy_from_slice(&part[..n]);
            if n < part.len() {
                self.parts.insert(0, &part[n..]);
            }
            Ok(n)
        }
        fn start(&mut self, _: &ResponseHead<'_>) {}
        fn body(&mut self, _: &[u8]) {}
        fn pass(&mut self, _: bool) -> Result<(), ClientError> {
            Ok(())
        }
        fn finish(&mut self) -> Result<(), ClientError> {
            unreachable!("a body is only read")
        }

        fn queue_header(&mut self, _: Option<&[u8]>) {}

        fn discard(&mut self) {}
        fn committed(&self) -> bool {
            false
        }
    }

    fn client(parts: &[&'static [u8]]) -> Client {
        Client { parts: parts.to_vec(), breaks: false }
    }

    /// The data of the packet that answers the next GetBodyChunk.
    fn next(body: &mut RequestBody, limit: usize, client: &mut Client) -> Result<Vec<u8>, ClientError> {
        let mut parts = Parts::new();
        let length = body.next_packet(limit, client, &mut parts)?;
        let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        assert_eq!(data.len(), length);
        Ok(data)
    }

    #[test]
    fn keeps_the_first_packet_for_another_attempt() {
        let mut client = client(&[b"ab", b"cd"]);
        let mut body = RequestBody::new(BodyKind::Length(4));
        body.prepare(3, &mut client).unwrap();
        assert_eq!(body.first_packet(3), b"abc");
        body.prepare(3, &mut client).unwrap();
        assert_eq!(body.first_packet(3), b"abc");
        assert_eq!(next(&mut body, 3, &mut client), Ok(b"d".to_vec()));
        assert_eq!(next(&mut body, 3, &mut client), Ok(b"".to_vec()));
    }

    #[test]
    fn sends_the_rest_of_the_kept_bytes_first_when_the_next_member_takes_smaller_packets() {
        let mut client = client(&[b"abcdef"]);
        let mut body = RequestBody::new(BodyKind::Length(6));
        body.prepare(5, &mut client).unwrap();
        assert_eq!(body.first_packet(2), b"ab");
        assert_eq!(next(&mut body, 2, &mut client), Ok(b"cd".to_vec()));
        assert_eq!(next(&mut body, 2, &mut client), Ok(b"e".to_vec()));
        assert_eq!(next(&mut body, 2, &mut client), Ok(b"f".to_vec()));
    }

    #[test]
    fn never_sends_more_than_the_declared_length() {
        let mut client = client(&[b"abcdef"]);
        let mut body = RequestBody::new(BodyKind::Length(4));
        body.prepare(2, &mut client).unwrap();
        assert_eq!(body.first_packet(2), b"ab");
        assert_eq!(next(&mut body, 100, &mut client), Ok(b"cd".to_vec()));
        assert_eq!(next(&mut body, 100, &mut client), Ok(b"".to_vec()));
    }

    #[test]
    fn calls_a_body_broken_when_the_client_breaks_off() {
        let mut body = RequestBody::new(BodyKind::Length(10));
        assert_eq!(body.prepare(100, &mut Client { parts: vec![b"four"], breaks: true }), Err(ClientError));
        assert_eq!(body.prepare(100, &mut client(&[b"0123456789"])), Err(ClientError), "stays broken");
    }

    #[test]
    fn body_that_a_filter_made_shorter_than_declared_ends_where_it_ends() {
        let mut body = RequestBody::new(BodyKind::Length(10));
        let mut client = client(&[b"four"]);
        body.prepare(100, &mut client).unwrap();
        assert!(body.has_first_packet());
        assert_eq!(body.first_packet(100), b"four");
        assert_eq!(next(&mut body, 100, &mut client), Ok(b"".to_vec()));
        body.prepare(100, &mut client).unwrap();
        assert_eq!(body.first_packet(100), b"four");
    }

    #[test]
    fn reads_nothing_ahead_of_a_chunked_body() {
        let mut client = client(&[b"ab", b"cd"]);
        let mut body = RequestBody::new(BodyKind::Chunked);
        body.prepare(10, &mut client).unwrap();
        assert_eq!(body.taken(), 0);
        assert_eq!(next(&mut body, 3, &mut client), Ok(b"abc".to_vec()));
        assert_eq!(next(&mut body, 3, &mut client), Ok(b"d".to_vec()));
        assert_eq!(next(&mut body, 3, &mut client), Ok(b"".to_vec()));
    }

    #[test]
    fn reports_a_client_that_breaks_a_chunked_body() {
        let mut client = Client { parts: vec![b"ab"], breaks: true };
        let mut body = RequestBody::new(BodyKind::Chunked);
        assert_eq!(next(&mut body, 10, &mut client), Err(ClientError));
    }

    /// A client of whose body `held` can be lent; what follows is read.
    struct Lender {
        held: &'static [u8],
        rest: Client,
    }

    impl Downstream for Lender {
        fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
            if self.held.is_empty() {
                return self.rest.read_body(buffer);
            }
            let (now, later) = self.held.split_at(self.held.len().min(buffer.len()));
            self.held = later;
            buffer[..now.len()].copy_from_slice(now);
            Ok(now.len())
        }
        fn held_body(&self) -> usize {
            self.held.len()
        }
        fn lend_body<'p>(&'p mut self, length: usize, parts: &mut Parts<'p>) {
            let (now, later) = self.held.split_at(length);
            self.held = later;
            parts.push(IoSlice::new(now));
        }
        fn start(&mut self, _: &ResponseHead<'_>) {}
        fn body(&mut self, _: &[u8]) {}
        fn pass(&mut self, _: bool) -> Result<(), ClientError> {
            Ok(())
        }
        fn finish(&mut self) -> Result<(), ClientError> {
            unreachable!("a body is only read")
        }
        fn queue_header(&mut self, _: Option<&[u8]>) {}
        fn discard(&mut self) {}
        fn committed(&self) -> bool {
            false
        }
    }

    #[test]
    fn lends_whole_packets_and_copies_what_comes_in_pieces() {
        let mut lender = Lender { held: b"abcdefgh", rest: client(&[b"ij", b"kl"]) };
        let mut body = RequestBody::new(BodyKind::Length(11));
        body.prepare(3, &mut lender).unwrap();
        assert_eq!(body.first_packet(3), b"abc");
        let lent = lender.held.as_ptr();
        let mut parts = Parts::new();
        assert_eq!(body.next_packet(3, &mut lender, &mut parts), Ok(3));
        assert_eq!((parts.len(), parts[0].as_ptr(), &*parts[0]), (1, lent, &b"def"[..]));
        drop(parts);
        for (packet, taken) in [(&b"ghi"[..], 9), (b"jk", 11), (b"", 11)] {
            let mut parts = Parts::new();
            let length = body.next_packet(3, &mut lender, &mut parts).unwrap();
            assert_eq!((length, parts.first().map_or(&[][..], |part| part)), (packet.len(), packet));
            drop(parts);
            assert_eq!(body.taken(), taken);
        }
    }

    #[test]
    fn answers_an_empty_packet_when_nothing_was_asked_for() {
        let mut client = client(&[b"ab"]);
        let mut body = RequestBody::new(BodyKind::Chunked);
        assert_eq!(next(&mut body, 0, &mut client), Ok(b"".to_vec()));
        assert_eq!(next(&mut body, 2, &mut client), Ok(b"ab".to_vec()));
    }
}

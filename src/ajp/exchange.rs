//! One request and its response as a state machine: what may follow what, and how many body bytes are owed. It does not
//! decide about retries, it only says how far things have come. Surprising: the length that the container declared is
//! enforced here, because httpd sends a streamed body under whatever Content-Length it was told
//! (reference: ajp-side.md section 3).
//!
//! ```text
//!                 GetBodyChunk, flush              GetBodyChunk, chunk, flush
//!                      +---+                             +---+
//!                      v   |                             v   |
//!   new --------> AwaitHeaders ------ SendHeaders -----> Body ------ EndResponse -----> over
//!                      |                                  |
//!                      +--- anything else: error -> over -+
//! ```

use super::packet_type;
use super::response::{Packet, ProtocolError, ResponseHead, parse, send_headers};

/// How far an exchange has come; decides what may be sent again (reference: ajp-side.md section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The request was sent, nothing came back.
    Sent,
    /// A GetBodyChunk has been answered: the body cannot be replayed.
    BodyConsumed,
    /// SendHeaders has come.
    HeadersSeen,
    /// EndResponse has come.
    Ended,
}

/// What the web server has to do next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation per response; events are not stored")]
pub enum Event<'a> {
    /// Start the response.
    Headers(ResponseHead<'a>),
    /// Pass these bytes on (already cut to the declared length, never empty).
    Body(&'a [u8]),
    /// Flush what was passed on.
    Flush,
    /// Send at most this many body bytes, or an end-of-body packet; 0 can only be answered by the latter.
    WantsBody(u16),
    /// The response is over.
    End(End),
    /// Nothing to do (a flush before the headers, body bytes of a HEAD, 204, 205 or 304 response or beyond the declared
    /// length).
    Nothing,
}

/// How the response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The connection may serve another request.
    pub keep: bool,
    /// Declared body bytes that never came; the client must be told by a broken connection.
    pub missing: u64,
}

/// The state machine. One per attempt.
#[derive(Clone, Debug)]
pub struct Exchange {
    head_request: bool,
    progress: Progress,
    awaited: Awaited,
    surplus: u64,
}

/// What may still come.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// SendHeaders.
    Head,
    /// A body without a Content-Length: ends with EndResponse.
    Open,
    /// This many declared bytes.
    Owed(u64),
    /// HEAD, 204, 205, 304: whatever comes of a body is dropped, and nothing is owed.
    NoBody,
    /// An error or EndResponse has come: nothing may follow.
    Nothing,
}

impl Exchange {
    /// `head_request`: the method is HEAD, so body bytes are not passed on.
    pub fn new(head_request: bool) -> Self {
        Self { head_request, progress: Progress::Sent, awaited: Awaited::Head, surplus: 0 }
    }

    /// The data of the next packet, if it is a body chunk to be passed on as it is: what comes most, told without the detour
    /// over an event. `None` for all else: nothing was taken, [`Self::on_packet`] knows what it is.
    #[inline(always)]
    pub fn plain_body<'a>(&mut self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let [packet_type::SEND_BODY_CHUNK, high, low, rest @ ..] = payload else { return None };
        let declared = u16::from_be_bytes([*high, *low]);
        let (data @ [_, ..], [] | [0]) = rest.split_at_checked(declared.into())? else { return None };
        if let Awaited::Owed(owed) = &mut self.awaited {
            *owed = owed.checked_sub(declared.into())?;
        } else if !matches!(self.awaited, Awaited::Open) {
            return None;
        }
        Some(data)
    }

    /// Takes the payload of the next packet.
    ///
    /// # Errors
    /// [`ProtocolError`] when the packet is malformed or out of order; the exchange is then over.
    #[inline(never)]
    pub fn on_packet<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        // What every response has; `any_packet` would say the same.
        match (payload, self.awaited) {
            ([packet_type::SEND_HEADERS, head @ ..], Awaited::Head) => return self.start(head),
            ([packet_type::END_RESPONSE, 1], Awaited::Open | Awaited::Owed(0)) if self.surplus == 0 => {
                return Ok(self.end(true, 0));
            }
            _ => {}
        }
        self.any_packet(payload)
    }

    /// Tells that a GetBodyChunk was answered with data or end of body.
    pub fn body_answered(&mut self) {
        self.progress = self.progress.max(Progress::BodyConsumed);
    }

    /// How far it has come. An error does not change it.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Body bytes beyond the declared length that were dropped; the connection is not kept when there were any.
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    #[inline(never)]
    fn any_packet<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        let event = self.advance(payload);
        if event.is_err() {
            self.awaited = Awaited::Nothing;
        }
        event
    }

    fn advance<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        if let Awaited::Nothing = self.awaited {
            return Err(ProtocolError::new(format!("packet of {} bytes after the end of the response", payload.len())));
        }
        match (parse(payload)?, self.awaited) {
            (Packet::GetBodyChunk(wanted), _) => Ok(Event::WantsBody(wanted)),
            (Packet::SendHeaders(head), Awaited::Head) => Ok(self.begin(head)),
            (Packet::SendHeaders(head), _) => {
                Err(ProtocolError::new(format!("second SendHeaders (status {})", head.status)))
            }
            // A container may be late with the flush of the response before.
            (Packet::SendBodyChunk([]), Awaited::Head) => Ok(Event::Nothing),
            (Packet::SendBodyChunk([]), _) => Ok(Event::Flush),
            (Packet::SendBodyChunk(data), Awaited::Head) => {
                Err(ProtocolError::new(format!("body chunk of {} bytes before SendHeaders", data.len())))
            }
            (Packet::SendBodyChunk(data), Awaited::Open) => Ok(Event::Body(data)),
            (Packet::SendBodyChunk(data), Awaited::Owed(owed)) => Ok(self.pass(data, owed)),
            (Packet::SendBodyChunk(_), _) => Ok(Event::Nothing),
            (Packet::EndResponse { .. }, Awaited::Head) => Err(ProtocolError::new("EndResponse without SendHeaders")),
            (Packet::EndResponse { reuse, clean }, awaited) => {
                let missing = if let Awaited::Owed(owed) = awaited { owed } else { 0 };
                Ok(self.end(reuse && clean, missing))
            }
            (Packet::CPong, _) => Err(ProtocolError::new("CPong instead of a response")),
        }
    }

    #[inline(always)]
    fn start<'a>(&mut self, head: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        match send_headers(head) {
            Ok(head) => Ok(self.begin(head)),
            Err(error) => {
                self.awaited = Awaited::Nothing;
                Err(error)
            }
        }
    }

    #[inline(always)]
    fn begin<'a>(&mut self, head: ResponseHead<'a>) -> Event<'a> {
        self.progress = Progress::HeadersSeen;
        self.awaited = match head.content_length {
            _ if self.head_request || matches!(head.status, 204 | 205 | 304) => Awaited::NoBody,
            Some(length) => Awaited::Owed(length),
            None => Awaited::Open,
        };
        Event::Headers(head)
    }

    /// Of these bytes, those that are `owed`.
    fn pass<'a>(&mut self, data: &'a [u8], owed: u64) -> Event<'a> {
        let take = usize::try_from(owed).unwrap_or(usize::MAX).min(data.len());
        let (data, surplus) = data.split_at_checked(take).unwrap_or((data, &[]));
        self.awaited = Awaited::Owed(owed.saturating_sub(length(data)));
        self.surplus = self.surplus.saturating_add(length(surplus));
        if data.is_empty() { Event::Nothing } else { Event::Body(data) }
    }

    #[inline(always)]
    fn end<'a>(&mut self, reuse: bool, missing: u64) -> Event<'a> {
        self.progress = Progress::Ended;
        self.awaited = Awaited::Nothing;
        Event::End(End { keep: reuse && missing == 0 && self.surplus == 0, missing })
    }
}

/// A length as the type that Content-Length has.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Entry point for fuzzers: the first byte's low bit says HEAD, the rest is what a container sends. Panics only when
/// this file is wrong.
#[doc(hidden)]
pub fn fuzz_exchange(data: &[u8]) {
    let Some((flags, mut received)) = data.split_first() else { return };
    let mut exchange = Exchange::new(flags & 1 == 1);
    let mut declared = None;
    let mut passed = 0_u64;
    while let Ok(Some((payload, taken))) = super::packet::split_packet(received, super::MAX_PACKET_SIZE) {
        received = received.get(taken..).unwrap_or_default();
        let before = exchange.progress();
        let event = exchange.plain_body(payload).map(Event::Body).map_or_else(|| exchange.on_packet(payload), Ok);
        assert!(before != Progress::Ended || event.is_err(), "something after the end");
        match event {
            Ok(Event::Headers(head)) => {
                assert!(before < Progress::HeadersSeen, "second headers");
                declared = head.content_length;
            }
            Ok(Event::Body(body)) => {
                assert!(before == Progress::HeadersSeen && !body.is_empty() && flags & 1 == 0);
                passed += length(body);
                assert!(declared.is_none_or(|declared| passed <= declared), "more than declared");
            }
            Ok(Event::WantsBody(_)) => exchange.body_answered(),
            Ok(Event::End(end)) => {
                assert!(before == Progress::HeadersSeen && !(end.keep && end.missing > 0));
                assert!(end.missing == 0 || declared == Some(passed + end.missing));
            }
            Ok(Event::Flush) => assert!(before == Progress::HeadersSeen),
            Ok(Event::Nothing) => {}
            Err(_) => assert!(exchange.on_packet(payload).is_err(), "went on after an error"),
        }
        assert!(exchange.progress() >= before);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::ajp::response::{encode_body_chunk, encode_end, encode_get_body, encode_send_headers};
    use crate::ajp::{HEADER_LEN, packet, request, response};

    const FLUSH: &[u8] = b"\x03\x00\x00\x00";
    const END_KEEP: &[u8] = b"\x05\x01";
    const CPONG: &[u8] = b"\x09";

    fn headers(status: u16, headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut packet = Vec::new();
        encode_send_headers(&mut packet, status, None, headers).unwrap();
        packet.split_off(HEADER_LEN)
    }

    fn declaring(length: &str) -> Vec<u8> {
        headers(200, &[(b"Content-Length", length.as_bytes())])
    }

    fn chunk(data: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        encode_body_chunk(&mut packet, data).unwrap();
        packet.split_off(HEADER_LEN)
    }

    /// An exchange that has taken these packets without an error.
    fn after(packets: &[&[u8]]) -> Exchange {
        let mut exchange = Exchange::new(false);
        for packet in packets {
            exchange.on_packet(packet).unwrap();
        }
        exchange
    }

    fn end(exchange: &mut Exchange, packet: &[u8]) -> End {
        match exchange.on_packet(packet) {
            Ok(Event::End(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    fn error(exchange: &mut Exchange, packet: &[u8]) -> String {
        exchange.on_packet(packet).expect_err("accepted").reason
    }

    const KEPT: End = End { keep: true, missing: 0 };
    const CLOSED: End = End { keep: false, missing: 0 };

    #[test]
    fn walks_through_an_ordinary_response() {
        let mut exchange = Exchange::new(false);
        let (head, data) = (declaring("5"), chunk(b"hello"));
        assert_eq!(exchange.progress(), Progress::Sent);
        assert!(matches!(exchange.on_packet(&head), Ok(Event::Headers(head)) if head.status == 200));
        assert_eq!(exchange.progress(), Progress::HeadersSeen);
        assert!(matches!(exchange.on_packet(&data), Ok(Event::Body(b"hello"))));
        assert_eq!(end(&mut exchange, END_KEEP), KEPT);
        assert_eq!(exchange.progress(), Progress::Ended);
    }

    // Before the headers (reference: ajp-side.md section 11.2).

    #[test]
    fn rejects_an_unknown_packet_first() {
        // Row 33.
        let mut exchange = Exchange::new(false);
        assert_eq!(error(&mut exchange, b"\x2A"), "unknown packet type 0x2A with 0 bytes");
        assert_eq!(exchange.progress(), Progress::Sent);
    }

    #[test]
    fn rejects_cpong_instead_of_a_response() {
        // Row 34.
        assert_eq!(error(&mut Exchange::new(false), CPONG), "CPong instead of a response");
    }

    #[test]
    fn rejects_body_before_headers() {
        // Row 38.
        let reason = "body chunk of 4 bytes before SendHeaders";
        assert_eq!(error(&mut Exchange::new(false), &chunk(b"PART")), reason);
    }

    #[test]
    fn rejects_body_before_headers_of_a_head_request_too() {
        assert!(Exchange::new(true).on_packet(&chunk(b"PART")).is_err());
    }

    #[test]
    fn ignores_a_flush_before_headers() {
        // Row 39.
        let mut exchange = Exchange::new(false);
        assert!(matches!(exchange.on_packet(FLUSH), Ok(Event::Nothing)));
        assert_eq!(exchange.progress(), Progress::Sent);
        assert!(matches!(exchange.on_packet(&headers(200, &[])), Ok(Event::Headers(_))));
    }

    #[test]
    fn rejects_body_after_a_body_request_but_before_headers() {
        // Row 40.
        let mut exchange = after(&[b"\x06\x00\x0A"]);
        exchange.body_answered();
        assert!(exchange.on_packet(&chunk(b"PART")).is_err());
        assert_eq!(exchange.progress(), Progress::BodyConsumed);
    }

    #[test]
    fn rejects_an_end_without_headers() {
        // Rows 41 and 42.
        for packet in [encode_end(true), encode_end(false)] {
            let mut exchange = Exchange::new(false);
            assert_eq!(error(&mut exchange, &packet[HEADER_LEN..]), "EndResponse without SendHeaders");
            assert_eq!(exchange.progress(), Progress::Sent);
        }
    }

    // Headers (reference: ajp-side.md section 11.3); what is inside the packet is tested in response.rs.

    #[test]
    fn rejects_interim_responses() {
        // Rows 46 and 47.
        for status in [100, 103] {
            let mut exchange = Exchange::new(false);
            assert!(exchange.on_packet(&headers(status, &[])).is_err());
            assert_eq!(exchange.progress(), Progress::Sent);
            assert!(exchange.on_packet(&headers(200, &[])).is_err(), "went on after {status}");
        }
    }

    #[test]
    fn rejects_second_headers_at_once() {
        // Row 63.
        let head = headers(200, &[]);
        assert_eq!(error(&mut after(&[&head]), &headers(404, &[])), "second SendHeaders (status 404)");
    }

    #[test]
    fn rejects_second_headers_after_body() {
        // Row 64.
        let mut exchange = after(&[&headers(200, &[]), &chunk(b"PART")]);
        assert_eq!(error(&mut exchange, &headers(200, &[])), "second SendHeaders (status 200)");
        assert_eq!(exchange.progress(), Progress::HeadersSeen);
    }

    #[test]
    fn cuts_a_body_that_is_longer_than_declared() {
        // Row 66, cl-wrong.
        let mut exchange = after(&[&declaring("2")]);
        assert!(matches!(exchange.on_packet(&chunk(b"TOOLONG!")), Ok(Event::Body(b"TO"))));
        assert!(matches!(exchange.on_packet(&chunk(b"more")), Ok(Event::Nothing)));
        assert_eq!(exchange.surplus(), 10);
        assert_eq!(end(&mut exchange, END_KEEP), CLOSED);
    }

    #[test]
    fn drops_all_of_a_body_declared_empty() {
        let mut exchange = after(&[&declaring("0")]);
        assert!(matches!(exchange.on_packet(&chunk(b"x")), Ok(Event::Nothing)));
        assert_eq!(end(&mut exchange, END_KEEP), CLOSED);
    }

    #[test]
    fn tells_how_much_of_a_declared_body_is_missing() {
        // Row 66, cl-wrong.
        let mut exchange = after(&[&declaring("100"), &chunk(b"PART")]);
        assert_eq!(end(&mut exchange, END_KEEP), End { keep: false, missing: 96 });
    }

    #[test]
    fn counts_a_declared_body_over_several_chunks() {
        let mut exchange = after(&[&declaring("6"), &chunk(b"abc"), FLUSH, &chunk(b"def")]);
        assert_eq!(end(&mut exchange, END_KEEP), KEPT);
        assert_eq!(exchange.surplus(), 0);
    }

    #[test]
    fn passes_a_body_without_declared_length() {
        // Rows 67 and 68: Transfer-Encoding of the container is not ours.
        let head = headers(200, &[(b"Transfer-Encoding", b"chunked")]);
        let mut exchange = after(&[&head, &chunk(b"abc")]);
        assert!(matches!(exchange.on_packet(&chunk(b"5\r\n")), Ok(Event::Body(b"5\r\n"))));
        assert_eq!(end(&mut exchange, END_KEEP), KEPT);
    }

    #[test]
    fn ends_an_error_response_without_body() {
        // Row 72.
        assert_eq!(end(&mut after(&[&headers(404, &[])]), END_KEEP), KEPT);
    }

    // Body and end (reference: ajp-side.md section 11.4).

    #[test]
    fn stops_at_a_malformed_chunk() {
        // Rows 73 to 75.
        for packet in [&b"\x03\x00\x05abc\x00"[..], b"\x03\x00\x01abcdef", b"\x03\x00", b"\x03"] {
            let mut exchange = after(&[&headers(200, &[])]);
            assert!(exchange.on_packet(packet).is_err());
            assert!(exchange.on_packet(END_KEEP).is_err(), "went on");
        }
    }

    #[test]
    fn rejects_unknown_and_empty_packets_after_headers() {
        // Rows 82 and 84.
        for packet in [&b"\x2A"[..], b""] {
            assert!(after(&[&headers(200, &[]), &chunk(b"PART")]).on_packet(packet).is_err());
        }
    }

    #[test]
    fn rejects_cpong_after_headers() {
        // Row 83.
        assert!(after(&[&headers(200, &[])]).on_packet(CPONG).is_err());
    }

    #[test]
    fn drops_the_body_of_statuses_without_one() {
        // Row 87.
        for status in [204, 205, 304] {
            let mut exchange = after(&[&headers(status, &[(b"Content-Length", b"9")])]);
            assert!(matches!(exchange.on_packet(&chunk(b"body")), Ok(Event::Nothing)), "{status}");
            assert_eq!(end(&mut exchange, END_KEEP), KEPT, "{status}");
        }
    }

    #[test]
    fn drops_the_body_of_a_head_response() {
        // Row 88.
        let mut exchange = Exchange::new(true);
        let head = declaring("9");
        assert!(matches!(exchange.on_packet(&head), Ok(Event::Headers(head)) if head.content_length == Some(9)));
        assert!(matches!(exchange.on_packet(&chunk(b"body")), Ok(Event::Nothing)));
        assert_eq!(end(&mut exchange, END_KEEP), KEPT);
    }

    #[test]
    fn flushes_after_headers() {
        assert!(matches!(after(&[&headers(200, &[])]).on_packet(FLUSH), Ok(Event::Flush)));
    }

    #[test]
    fn does_not_keep_what_the_container_closes() {
        // Row 89.
        assert_eq!(end(&mut after(&[&headers(200, &[])]), b"\x05\x00"), CLOSED);
    }

    #[test]
    fn keeps_with_any_other_reuse_flag() {
        // Row 91.
        assert_eq!(end(&mut after(&[&headers(200, &[])]), b"\x05\x07"), KEPT);
    }

    #[test]
    fn completes_but_does_not_keep_without_a_valid_reuse_flag() {
        // Row 92.
        for packet in [&b"\x05\xFF"[..], b"\x05"] {
            assert_eq!(end(&mut after(&[&headers(200, &[])]), packet), CLOSED);
        }
    }

    #[test]
    fn completes_but_does_not_keep_with_bytes_after_the_reuse_flag() {
        // Row 93.
        assert_eq!(end(&mut after(&[&headers(200, &[])]), b"\x05\x01\x01"), CLOSED);
    }

    #[test]
    fn rejects_everything_after_the_end() {
        // Rows 95 to 98, when the bytes are there before the connection is given back.
        for packet in [&headers(200, &[])[..], END_KEEP, &chunk(b"x"), FLUSH, CPONG, b"\x06\x00\x01"] {
            let mut exchange = after(&[&headers(200, &[]), END_KEEP]);
            assert!(error(&mut exchange, packet).contains("after the end of the response"));
            assert_eq!(exchange.progress(), Progress::Ended);
        }
    }

    // Request body (reference: ajp-side.md section 11.5).

    #[test]
    fn passes_on_how_much_is_wanted() {
        // Rows 100 to 102 and 104.
        let mut exchange = Exchange::new(false);
        for wanted in [8_186, 10, 0, 8_186] {
            let packet = encode_get_body(wanted);
            assert!(matches!(exchange.on_packet(&packet[HEADER_LEN..]), Ok(Event::WantsBody(n)) if n == wanted));
        }
        assert_eq!(exchange.progress(), Progress::Sent, "asking is not answering");
        exchange.body_answered();
        assert_eq!(exchange.progress(), Progress::BodyConsumed);
    }

    #[test]
    fn rejects_a_malformed_body_request() {
        // Row 103.
        for packet in [&b"\x06\xFF\xFF"[..], b"\x06\x01", b"\x06"] {
            assert!(Exchange::new(false).on_packet(packet).is_err());
        }
    }

    #[test]
    fn lets_the_container_ask_for_body_after_headers() {
        let mut exchange = after(&[&headers(200, &[])]);
        assert!(matches!(exchange.on_packet(b"\x06\x1F\xFA"), Ok(Event::WantsBody(8_186))));
        exchange.body_answered();
        assert_eq!(exchange.progress(), Progress::HeadersSeen, "progress never goes back");
        assert_eq!(end(&mut exchange, END_KEEP), KEPT);
    }

    #[test]
    fn passes_an_early_refusal_on() {
        // Row 107.
        let mut exchange = after(&[b"\x06\x1F\xFA", &headers(413, &[])]);
        assert_eq!(end(&mut exchange, b"\x05\x00"), CLOSED);
    }

    #[test]
    fn tells_by_the_short_way_what_the_whole_table_would() {
        let packets = [
            headers(200, &[]),
            headers(304, &[(b"Content-Length", b"5")]),
            declaring("0"),
            declaring("5"),
            declaring("x"),
            chunk(b"abc"),
            chunk(b"hello"),
            chunk(b"much too long"),
            [&chunk(b"abc")[..], b"\x00"].concat(),
            [&chunk(b"abc")[..chunk(b"abc").len() - 1], b"x"].concat(),
            chunk(b"abc")[..6].to_vec(),
            chunk(b"abc")[..5].to_vec(),
            FLUSH.to_vec(),
            FLUSH[..3].to_vec(),
            b"\x03\x00".to_vec(),
            END_KEEP.to_vec(),
            b"\x05\x00".to_vec(),
            b"\x05\x07".to_vec(),
            b"\x05\xFF".to_vec(),
            b"\x05\x01\x01".to_vec(),
            b"\x05".to_vec(),
            b"\x06\x1F\xFA".to_vec(),
            CPONG.to_vec(),
            Vec::new(),
        ];
        let mut reached = vec![Exchange::new(false), Exchange::new(true)];
        for _ in 0..4 {
            let mut next = Vec::new();
            for exchange in &reached {
                for packet in &packets {
                    let (mut fast, mut whole) = (exchange.clone(), exchange.clone());
                    let event = fast.plain_body(packet).map(Event::Body).map_or_else(|| fast.on_packet(packet), Ok);
                    let told = format!("{event:?} {fast:?}");
                    let event = whole.any_packet(packet);
                    assert_eq!(told, format!("{event:?} {whole:?}"), "{exchange:?} {packet:?}");
                    if !reached.iter().chain(&next).any(|known| format!("{known:?}") == format!("{fast:?}")) {
                        next.push(fast);
                    }
                }
            }
            reached.extend(next);
        }
        assert!(reached.len() > 20, "{}", reached.len());
    }

    #[test]
    fn survives_the_corpus() {
        // All entry points over all golden packets, whole, without frame header, and cut at every byte.
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ajp");
        let mut files = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let data = std::fs::read(entry.unwrap().path()).unwrap();
            files += 1;
            for cut in 0..=data.len() {
                let data = &data[..cut];
                packet::fuzz_packet(data);
                fuzz_exchange(&[b"\x00", data].concat());
                fuzz_exchange(&[b"\x01", data].concat());
                response::fuzz_response(data.get(HEADER_LEN..).unwrap_or_default());
                request::fuzz_request(data.get(HEADER_LEN..).unwrap_or_default());
            }
        }
        assert!(files >= 20, "{files} files");
    }
}

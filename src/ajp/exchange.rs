//! One request and its response as a state machine: what may follow what, and how many body bytes are owed. It does not
//! decide about retries, it only says how far things have come. Surprising: the length that the container declared is
//! enforced here, because httpd sends a streamed body under whatever Content-Length it was told
//! (reference: ajp-side.md §3).
//!
//! ```text
//!                 GetBodyChunk, flush              GetBodyChunk, chunk, flush
//!                      +---+                             +---+
//!                      v   |                             v   |
//!   new --------> AwaitHeaders ------ SendHeaders -----> Body ------ EndResponse -----> over
//!                      |                                  |
//!                      +--- anything else: error -> over -+
//! ```

use super::response::{Packet, ProtocolError, ResponseHead, parse};

/// How far an exchange has come; decides what may be sent again (reference: ajp-side.md §7.3).
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
#[derive(Debug)]
pub struct Exchange {
    head_request: bool,
    progress: Progress,
    /// An error or EndResponse has come: nothing may follow.
    over: bool,
    /// What the headers said about the body; `None` before them.
    body: Option<Body>,
    surplus: u64,
}

/// What may still come of a body.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// HEAD, 204, 205, 304: whatever comes is dropped, and nothing is owed.
    Forbidden,
    /// No Content-Length: ends with EndResponse.
    Open,
    /// This many declared bytes are owed.
    Owed(u64),
}

impl Exchange {
    /// `head_request`: the method is HEAD, so body bytes are not passed on.
    pub fn new(head_request: bool) -> Self {
        Self { head_request, progress: Progress::Sent, over: false, body: None, surplus: 0 }
    }

    /// Takes the payload of the next packet.
    ///
    /// # Errors
    /// [`ProtocolError`] when the packet is malformed or out of order; the exchange is then over.
    pub fn on_packet<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        if self.over {
            return Err(ProtocolError::new(format!("packet of {} bytes after the end of the response", payload.len())));
        }
        let event = self.advance(payload);
        self.over = matches!(event, Ok(Event::End(_)) | Err(_));
        event
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

    fn advance<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        match (parse(payload)?, self.body) {
            (Packet::GetBodyChunk(wanted), _) => Ok(Event::WantsBody(wanted)),
            (Packet::SendHeaders(head), None) => Ok(self.start(head)),
            (Packet::SendHeaders(head), Some(_)) => {
                Err(ProtocolError::new(format!("second SendHeaders (status {})", head.status)))
            }
            // A container may be late with the flush of the response before.
            (Packet::SendBodyChunk([]), None) => Ok(Event::Nothing),
            (Packet::SendBodyChunk([]), Some(_)) => Ok(Event::Flush),
            (Packet::SendBodyChunk(data), None) => {
                Err(ProtocolError::new(format!("body chunk of {} bytes before SendHeaders", data.len())))
            }
            (Packet::SendBodyChunk(data), Some(body)) => Ok(self.pass(data, body)),
            (Packet::EndResponse { .. }, None) => Err(ProtocolError::new("EndResponse without SendHeaders")),
            (Packet::EndResponse { reuse, clean }, Some(body)) => Ok(self.end(reuse && clean, body)),
            (Packet::CPong, _) => Err(ProtocolError::new("CPong instead of a response")),
        }
    }

    fn start<'a>(&mut self, head: ResponseHead<'a>) -> Event<'a> {
        self.progress = Progress::HeadersSeen;
        self.body = Some(match head.content_length {
            _ if self.head_request || matches!(head.status, 204 | 205 | 304) => Body::Forbidden,
            Some(length) => Body::Owed(length),
            None => Body::Open,
        });
        Event::Headers(head)
    }

    fn pass<'a>(&mut self, data: &'a [u8], body: Body) -> Event<'a> {
        match body {
            Body::Forbidden => Event::Nothing,
            Body::Open => Event::Body(data),
            Body::Owed(owed) => {
                let take = usize::try_from(owed).unwrap_or(usize::MAX).min(data.len());
                let (data, surplus) = data.split_at_checked(take).unwrap_or((data, &[]));
                self.body = Some(Body::Owed(owed.saturating_sub(length(data))));
                self.surplus = self.surplus.saturating_add(length(surplus));
                if data.is_empty() { Event::Nothing } else { Event::Body(data) }
            }
        }
    }

    fn end<'a>(&mut self, reuse: bool, body: Body) -> Event<'a> {
        self.progress = Progress::Ended;
        let missing = match body {
            Body::Owed(owed) => owed,
            Body::Open | Body::Forbidden => 0,
        };
        Event::End(End { keep: reuse && missing == 0 && self.surplus == 0, missing })
    }
}

/// A length as the type that Content-Length has.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Entry point for fuzzers: the first byte's low bit says HEAD, the rest is what a container sends. Panics only when this
/// file is wrong.
#[doc(hidden)]
pub fn fuzz_exchange(data: &[u8]) {
    let Some((flags, mut received)) = data.split_first() else { return };
    let mut exchange = Exchange::new(flags & 1 == 1);
    let mut declared = None;
    let mut passed = 0_u64;
    while let Ok(Some((payload, taken))) = super::packet::split_packet(received, super::MAX_PACKET_SIZE) {
        received = received.get(taken..).unwrap_or_default();
        let before = exchange.progress();
        let event = exchange.on_packet(payload);
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

//! One request and its response as a state machine: what may follow what, and how many body bytes are owed.

use super::response::{ProtocolError, ResponseHead};

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
pub enum Event<'a> {
    /// Start the response.
    Headers(ResponseHead<'a>),
    /// Pass these bytes on (already cut to the declared length).
    Body(&'a [u8]),
    /// Flush what was passed on.
    Flush,
    /// Send at most this many body bytes, or an end-of-body packet.
    WantsBody(u16),
    /// The response is over.
    End(End),
    /// Nothing to do (a flush before the headers, body bytes of a HEAD, 204 or 304 response).
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
    _todo: (),
}

impl Exchange {
    /// `head_request`: the method is HEAD, so body bytes are not passed on.
    pub fn new(head_request: bool) -> Self {
        let _ = head_request;
        Self { _todo: () }
    }

    /// Takes the payload of the next packet.
    ///
    /// # Errors
    /// [`ProtocolError`] when the packet is malformed or out of order; the exchange is then over.
    pub fn on_packet<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        let _ = payload;
        todo!()
    }

    /// Tells that a GetBodyChunk was answered with data or end of body.
    pub fn body_answered(&mut self) {
        todo!()
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        todo!()
    }
}

//! The answer to one attempt: packets in, calls of [`Downstream`] out.
//!
//! Not here: retries and the life of the connection (`ajp.rs`). The surprising thing: nothing is passed on per packet. Packets
//! are given to the web server where they lie in the receive buffer, and are passed on together: when the container flushes or
//! pauses, when the response ends, or when the buffer has no room for another packet. Until then a failure can still become a clean
//! error page.

use std::io::IoSlice;

use super::super::clock::Moment;
use super::super::connection::{Arrival, Connection, Rest};
use super::super::error::Error;
use super::super::{Downstream, Log, Parts, Request, say};
use super::{AjpWorker, Facts, Limits, Scene, Served, ServerErrorPage};
use crate::ajp::exchange::{End, Event, Exchange};
use crate::ajp::request::{END_OF_BODY, body_prefix};
use crate::ajp::response::ResponseHead;
use crate::shm::AjpSlot;

/// What Tomcat answers to a wrong secret (reference: ajp-side.md section 11.5, row 116).
const FORBIDDEN: u16 = 403;

/// State of the answer.
pub(super) struct Reply<'w> {
    worker: &'w AjpWorker,
    slot: &'w AjpSlot,
    limits: &'w Limits,
    log: Log<'w>,
    /// When the request was sent, until the first byte has come.
    unanswered_since: Option<Moment>,
    status: u16,
    /// The web server writes its own page: nothing of the response is passed on.
    page: Option<Box<ServerErrorPage>>,
    body_bytes: u64,
    /// Something was given to the web server and not yet passed on.
    pending: bool,
    /// Body bytes were given to the web server, which the client need not have seen: no flush came after them.
    unseen: bool,
    flush: bool,
}

impl<'w> Reply<'w> {
    pub(super) fn new(worker: &'w AjpWorker, scene: &'w Scene<'w>, started: Moment) -> Self {
        Self {
            worker,
            slot: scene.slot,
            limits: &scene.limits,
            log: scene.log,
            unanswered_since: Some(started),
            status: 0,
            page: None,
            body_bytes: 0,
            pending: false,
            unseen: false,
            flush: false,
        }
    }

    /// Handles packets until the response has ended; tells whether the connection may be kept.
    pub(super) fn run(
        mut self,
        connection: &mut Connection,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        facts: &mut Facts,
    ) -> Result<(Served, bool), Error> {
        let mut exchange = Exchange::new(request.method == b"HEAD");
        let outcome = self.packets(connection, request, downstream, &mut exchange, facts);
        facts.progress = exchange.progress();
        let end = match outcome {
            Ok(end) if end.missing == 0 || self.page.is_some() => end,
            outcome => return Err(self.fail(outcome, connection, downstream)),
        };
        self.finish(downstream)?;
        // The next response on this connection has the whole buffer to itself.
        connection.forget_packets();
        if !end.keep {
            self.explain_close(connection.address(), exchange.surplus());
        }
        let (status, ended) = (self.status, Moment::now());
        Ok((Served { status, page: self.page, body_bytes: self.body_bytes, attempts: 1, ended }, end.keep))
    }

    /// A function of its own, so that what it looks at for each packet is at hand.
    #[inline(never)]
    fn packets(
        &mut self,
        connection: &mut Connection,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        exchange: &mut Exchange,
        facts: &mut Facts,
    ) -> Result<End, Error> {
        loop {
            match connection.receive(self.limits.wait()) {
                Ok(Arrival::Packet) => {}
                Ok(Arrival::Pause(rest)) => self.pause(rest, connection, downstream)?,
                Err(error) => return Err(self.limits.receive_error(connection.address(), error)),
            }
            if let Some(started) = self.unanswered_since.take() {
                self.slot.first_byte_time.record(Moment::now().nanos_since(started));
            }
            while let Some(payload) = connection.whole_packet() {
                if let Some(bytes) = exchange.plain_body(payload) {
                    self.body(bytes, request, downstream);
                    continue;
                }
                match exchange.on_packet(payload) {
                    Ok(Event::Headers(head)) => self.start(&head, request, downstream)?,
                    Ok(Event::Body(bytes)) => self.body(bytes, request, downstream),
                    Ok(Event::End(end)) => return Ok(end),
                    Ok(Event::Flush) => {
                        if self.page.is_none() {
                            self.pending = true;
                            self.flush = true;
                        }
                    }
                    Ok(Event::Nothing) => {}
                    Ok(Event::WantsBody(wanted)) => {
                        // The client may be waiting for it before it sends more.
                        if self.flush {
                            self.pass(downstream, true)?;
                        } else if self.unseen && request.body.may_wait(&*downstream) {
                            self.show(downstream)?;
                        }
                        facts.body_consumed = true;
                        self.answer(wanted, connection, request, downstream)?;
                        exchange.body_answered();
                    }
                    Err(error) => return Err(Error::Protocol { address: address(connection), reason: error.reason }),
                }
            }
            if let Err(cause) = connection.next_packet() {
                return Err(Error::BadFrame { address: address(connection), cause });
            }
            if self.flush || !connection.keeps_packets() {
                self.pass(downstream, self.flush)?;
            }
            if !self.pending {
                connection.forget_packets();
            }
        }
    }

    /// Nothing more is waiting: the client gets to see all of the body that has come. Headers alone can still give way to an error page.
    #[cold]
    fn pause(&mut self, rest: Rest, connection: &mut Connection, downstream: &mut dyn Downstream) -> Result<(), Error> {
        if self.unseen {
            self.show(downstream)?;
            connection.forget_packets();
        }
        connection.receive_rest(rest).map_err(|error| self.limits.receive_error(connection.address(), error))
    }

    #[inline(always)]
    fn body(&mut self, bytes: &[u8], request: &Request<'_>, downstream: &mut dyn Downstream) {
        if self.page.is_some() {
            return;
        }
        downstream.body(bytes);
        self.body_bytes = self.body_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.pending = true;
        self.unseen = true;
        self.flush |= request.options.flush_packets;
    }

    #[inline(always)]
    fn start(
        &mut self,
        head: &ResponseHead<'_>,
        request: &Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<(), Error> {
        self.status = head.status;
        let list = request.overrides.fail_on_status.unwrap_or(&self.worker.config.fail_on_status);
        let status = i32::from(head.status);
        if let Some(listed) = list.iter().find(|listed| listed.checked_abs() == Some(status)) {
            return Err(Error::Status { status: head.status, hard: *listed > 0 });
        }
        let threshold = request.overrides.use_server_errors;
        if threshold > 0 && head.status >= threshold {
            self.page = Some(Box::new(ServerErrorPage { www_authenticate: www_authenticate(head) }));
            return Ok(());
        }
        downstream.start(head);
        self.pending = true;
        self.flush |= request.options.flush_header;
        Ok(())
    }

    /// What becomes of a response that is not whole.
    #[cold]
    fn fail(&mut self, outcome: Result<End, Error>, connection: &Connection, downstream: &mut dyn Downstream) -> Error {
        let short = |end: End| Error::ShortBody { address: address(connection), missing: end.missing };
        let error = outcome.map_or_else(|error| error, short);
        self.abandon(downstream);
        error
    }

    #[cold]
    fn explain_close(&self, address: &str, surplus: u64) {
        let name = self.worker.name();
        if surplus > 0 {
            say!(
                self.log,
                Warn,
                "({name}) dropped {surplus} body bytes beyond the declared length, closing connection"
            );
        } else if self.status == FORBIDDEN {
            say!(
                self.log,
                Warn,
                "({name}) {address} answers 403 and closes the connection: so does Tomcat when the secret is not its Connector's, \
                 or an attribute does not match its allowedRequestAttributesPattern"
            );
        } else {
            say!(self.log, Warn, "({name}) {address} does not want the connection reused, closing it");
        }
    }

    /// Passes the batch on, if there is one.
    fn pass(&mut self, downstream: &mut dyn Downstream, flush: bool) -> Result<(), Error> {
        if !self.pending {
            return Ok(());
        }
        self.pending = false;
        self.unseen &= !flush;
        self.flush = false;
        downstream.pass(flush).map_err(|_| Error::ClientWrite)
    }

    /// Has the client see what was passed on, and the batch if there is one.
    fn show(&mut self, downstream: &mut dyn Downstream) -> Result<(), Error> {
        self.pending = true;
        self.pass(downstream, true)
    }

    /// Passes the last batch on together with the end, so that httpd can tell the length of a short body, as C's clients see it.
    /// A batch that was to be flushed goes first: whether its length is told must not depend on how the packets came.
    fn finish(&mut self, downstream: &mut dyn Downstream) -> Result<(), Error> {
        if self.page.is_some() {
            return Ok(());
        }
        if self.flush {
            self.pass(downstream, false)?;
        }
        self.pending = false;
        downstream.finish().map_err(|_| Error::ClientWrite)
    }

    /// The response failed. What is held is worth passing on only if the client has seen the beginning; otherwise an error
    /// page replaces all of it.
    fn abandon(&mut self, downstream: &mut dyn Downstream) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        if downstream.committed() {
            // The response is broken already; that the client is gone too changes nothing.
            let _ = downstream.pass(false);
        } else {
            downstream.discard();
        }
    }

    /// One packet for one GetBodyChunk: at most what was asked for, or the end of the body.
    fn answer(
        &mut self,
        wanted: u16,
        connection: &mut Connection,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<(), Error> {
        let limit = usize::from(wanted).min(self.limits.body_data());
        let mut data = Parts::new();
        let length = request.body.next_packet(limit, downstream, &mut data).map_err(|_| Error::ClientRead)?;
        let prefix = body_prefix(u16::try_from(length).unwrap_or(0));
        let sent = if length == 0 {
            connection.send(&mut [IoSlice::new(&END_OF_BODY)], self.limits.wait())
        } else {
            let mut parts = Parts::new();
            parts.push(IoSlice::new(&prefix));
            parts.extend_from_slice(&data);
            connection.send(&mut parts, self.limits.wait())
        };
        sent.map_err(|error| Error::Send {
            address: address(connection),
            sent: error.sent,
            body: true,
            cause: error.cause,
        })
    }
}

/// Peer, for an error.
#[cold]
fn address(connection: &Connection) -> String {
    connection.address().to_owned()
}

/// Of several, the last, as C does (reference: apache-side.md section 5.8).
fn www_authenticate(head: &ResponseHead<'_>) -> Option<Vec<u8>> {
    if head.status != 401 {
        return None;
    }
    let last = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"WWW-Authenticate")).last();
    last.map(|(_, value)| value.to_vec())
}

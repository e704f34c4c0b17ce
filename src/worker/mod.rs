//! The engine: blocking sockets, safe Rust. What a worker needs from the web server is the trait [`Downstream`]; where its
//! lines go is [`Log`].
//!
//! Not here: which member of a balancer serves a request (`balancer`), how httpd's structures look (`apache`). The surprising
//! thing: a [`Request`] owns the bytes that may have to be sent twice (the packet and the start of the body), so a second
//! attempt on this worker never asks the web server again, and one on another worker for the attributes only.

pub mod address;
pub mod ajp;
pub mod body;
pub mod clock;
pub mod connection;
pub mod error;
pub mod health;
pub mod lb;
pub mod pool;
mod scratch;
pub mod shared;
pub mod socket;

pub use ajp::{AjpWorker, Failure, Served, ServerErrorPage};
pub use body::{BodyKind, RequestBody};
pub use error::{Blame, Class, Error};
pub use shared::AjpShared;
pub use socket::Alarm;

use std::io::IoSlice;

use smallvec::SmallVec;

use crate::ajp::request::Forward;
use crate::ajp::response::ResponseHead;
use crate::balancer::Activation;
use crate::log::Logger;
use scratch::Scratch;

/// The client is gone or its request body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientError;

/// The parts of one packet, to be sent together.
pub type Parts<'a> = SmallVec<[IoSlice<'a>; 8]>;

/// The web server as a worker sees it. Implemented by `apache/request.rs` and by a fake in the tests.
///
/// The body of the response is passed in batches: any number of [`Downstream::body`] calls, then one [`Downstream::pass`]
/// or [`Downstream::discard`], which must come before the bytes given to `body` are overwritten.
pub trait Downstream {
    /// Reads request body bytes into `buffer`, blocking; 0 = end of body.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone, stalls past httpd's Timeout or broke its framing.
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError>;
    /// Bytes of request body that can be [lent](Self::lend_body) at once; none where the web server does not lend.
    fn held_body(&self) -> usize {
        0
    }
    /// Adds the next `length` bytes of request body, of those held, to `parts`: where the web server has them, without a copy.
    fn lend_body<'p>(&'p mut self, length: usize, parts: &mut Parts<'p>) {
        let _ = (length, parts);
    }
    /// Starts the response. Nothing reaches the network yet.
    fn start(&mut self, head: &ResponseHead<'_>);
    /// Adds body bytes to the batch, without a copy: `bytes` must stay valid and unchanged until `pass`.
    fn body(&mut self, bytes: &[u8]);
    /// Passes the batch on, which may be empty; with `flush`, all that was passed goes on to the client's socket.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone.
    fn pass(&mut self, flush: bool) -> Result<(), ClientError>;
    /// Forgets the batch instead of passing it on: the response failed while an error page can still replace it. The bytes
    /// given to `body` since the last `pass` must not be looked at again.
    fn discard(&mut self);
    /// Passes the last batch on and ends the response.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone.
    fn finish(&mut self) -> Result<(), ClientError>;
    /// Value of a Set-Cookie header to add behind the container's headers when the response starts; replaces an earlier one.
    fn queue_header(&mut self, set_cookie: Option<&[u8]>);
    /// Whether any response byte may have left httpd (an error page can no longer replace the response).
    fn committed(&self) -> bool;
}

/// The log of the virtual host that is served, and whose lines these are. The name of the worker is in each message.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// Where lines go.
    pub logger: &'a Logger,
    /// Request id, or the phase (maintenance, start); may be empty.
    pub context: &'a [u8],
}

/// Writes a line to a [`Log`]: `say!(log, Info, "({name}) text")`.
macro_rules! say {
    ($log:expr, $level:ident, $($message:tt)+) => {
        $crate::log::log_at!($log.logger, $crate::log::Level::$level, $log.context, $($message)+)
    };
}
pub(crate) use say;

/// What the web server's configuration says about this one request (JkOptions and environment).
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    /// JkOptions FlushPackets: flush after each batch of body bytes.
    pub flush_packets: bool,
    /// JkOptions FlushHeader: flush after the headers.
    pub flush_header: bool,
    /// JkOptions DisableReuse: close the connection after this request.
    pub disable_reuse: bool,
}

/// What the matching rule or the environment replaces for this one request (reference: apache-side.md section 3.6).
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'a> {
    /// Replaces the worker's `reply_timeout`, milliseconds; 0 = none.
    pub reply_timeout_ms: Option<u32>,
    /// Replaces the worker's `fail_on_status` list; positive = hard, negative = soft.
    pub fail_on_status: Option<&'a [i32]>,
    /// From this status on the web server writes its own page; 0 = never.
    pub use_server_errors: u16,
}

/// A request as the worker gets it: encoded per attempt, because route, secret and activation depend on the member.
pub struct Request<'a> {
    /// All but secret, route and JK_LB_ACTIVATION.
    pub forward: &'a dyn Forward,
    /// Method as text.
    pub method: &'a [u8],
    /// The body, with the part of it that is kept for another attempt.
    pub body: RequestBody,
    /// Options of the web server.
    pub options: RequestOptions,
    /// Replacements from the rule.
    pub overrides: Overrides<'a>,
    /// The encoded packet; the buffer is used again for each member.
    packet: Scratch,
    packet_length: usize,
    /// Its first bytes that are the same for every member, once they are written.
    packet_head: usize,
}

impl<'a> Request<'a> {
    /// A request with default options and no overrides. `body` must agree with the Content-Length among the headers of
    /// `forward`: the container derives from that header whether a body packet follows unasked (reference: ajp-side.md section 2.1).
    #[inline(always)]
    pub fn new(forward: &'a dyn Forward, body: BodyKind) -> Self {
        Self {
            forward,
            method: forward.method(),
            body: RequestBody::new(body),
            options: RequestOptions::default(),
            overrides: Overrides::default(),
            packet: Scratch::new(),
            packet_length: 0,
            packet_head: 0,
        }
    }

    /// Whether delivering it twice is harmless (RFC 9110 section 9.2.2 and the registry of HTTP methods).
    pub fn is_idempotent(&self) -> bool {
        is_idempotent(self.method)
    }
}

/// Methods that the registry of HTTP methods lists as idempotent; all others, unknown ones included, are not.
const IDEMPOTENT: [&[u8]; 33] = [
    b"GET",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"PUT",
    b"DELETE",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"UNLOCK",
    b"ACL",
    b"REPORT",
    b"SEARCH",
    b"VERSION-CONTROL",
    b"CHECKIN",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"MKWORKSPACE",
    b"UPDATE",
    b"LABEL",
    b"MERGE",
    b"BASELINE-CONTROL",
    b"MKACTIVITY",
    b"ORDERPATCH",
    b"MKCALENDAR",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"LINK",
    b"UNLINK",
];

/// Whether `method` (exact case) may be delivered twice without harm.
pub fn is_idempotent(method: &[u8]) -> bool {
    method == b"GET" || IDEMPOTENT.contains(&method)
}

/// What depends on the member of a balancer that was chosen; the default is a worker outside any balancer.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberContext<'a> {
    /// Route of the member; replaces the one of the request.
    pub route: Option<&'a [u8]>,
    /// Told to the container as JK_LB_ACTIVATION.
    pub activation: Activation,
    /// Secret of the balancer, for members without one of their own.
    pub secret: Option<&'a [u8]>,
}

#[cfg(test)]
mod tests {
    use super::is_idempotent;

    #[test]
    fn treats_safe_and_put_like_methods_as_idempotent() {
        for method in [&b"GET"[..], b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PROPFIND"] {
            assert!(is_idempotent(method), "{}", String::from_utf8_lossy(method));
        }
    }

    #[test]
    fn treats_post_patch_lock_and_unknown_methods_as_not_idempotent() {
        for method in [&b"POST"[..], b"PATCH", b"LOCK", b"CONNECT", b"get", b"FROBNICATE", b""] {
            assert!(!is_idempotent(method), "{}", String::from_utf8_lossy(method));
        }
    }
}

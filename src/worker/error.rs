//! Why a request failed: what happened, whose fault it is, which status it becomes. The only place that knows these three.
//!
//! Not here: whether it is tried again, which also depends on how far the attempt came (`ajp.rs`). The surprising thing:
//! C mod_jk's classes (reference: ajp-side.md section 7.2) are kept as [`Class`] because the balancer's rules are written in them,
//! while the HTTP status follows DEVIATIONS section 4.

use std::fmt;
use std::io;

use crate::ajp::packet::FrameError;
use crate::balancer::state::Outcome;
use crate::shm::Failing;

/// Why a request failed. The text of each names the peer and the numbers, without the worker's name.
#[derive(Debug)]
pub enum Error {
    /// The worker's port is 0: an admin switched contact off.
    ContactDisabled,
    /// The host name has no address.
    Resolve {
        /// Name as configured.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// No connection to any address of the worker.
    Connect {
        /// Addresses tried.
        address: String,
        /// What the last of them said.
        cause: io::Error,
    },
    /// CPing without a proper CPong.
    Probe {
        /// Peer.
        address: String,
        /// Right after connecting, rather than before a request.
        fresh: bool,
        /// What came instead.
        cause: ReceiveError,
    },
    /// The request could not be written.
    Send {
        /// Peer.
        address: String,
        /// Bytes the kernel took before.
        sent: usize,
        /// This part is an answer to GetBodyChunk.
        body: bool,
        /// What the socket said.
        cause: io::Error,
    },
    /// The connection ended before the response did.
    Closed {
        /// Peer.
        address: String,
        /// In the middle of a packet.
        inside_packet: bool,
        /// Error of the socket; `None` = orderly close.
        cause: Option<io::Error>,
    },
    /// `socket_timeout` passed without the next packet.
    SocketTimeout {
        /// Peer.
        address: String,
        /// The limit, milliseconds.
        limit_ms: u64,
    },
    /// `reply_timeout` passed without the next packet.
    ReplyTimeout {
        /// Peer.
        address: String,
        /// The limit, milliseconds.
        limit_ms: u64,
    },
    /// What came is not AJP.
    BadFrame {
        /// Peer.
        address: String,
        /// What is wrong.
        cause: FrameError,
    },
    /// A packet is malformed or out of order.
    Protocol {
        /// Peer.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The response has fewer body bytes than it declared.
    ShortBody {
        /// Peer.
        address: String,
        /// Bytes that never came.
        missing: u64,
    },
    /// `fail_on_status` lists the status of the response.
    Status {
        /// The status.
        status: u16,
        /// Listed without a minus sign: the member counts as failed.
        hard: bool,
    },
    /// `busy_limit` is reached.
    BusyLimit {
        /// The limit.
        limit: u32,
    },
    /// No connection of the pool became free in time.
    NoEndpoint {
        /// Connections the pool may have.
        size: usize,
        /// How long was waited, milliseconds.
        waited_ms: u64,
    },
    /// No member of the balancer could be chosen.
    NoMember,
    /// The request does not fit into a packet or a string of it into AJP.
    TooLarge {
        /// What did not fit.
        item: String,
        /// Its length.
        length: usize,
        /// `max_packet_size`.
        limit: usize,
    },
    /// The request body broke off.
    ClientRead,
    /// The client took no more of the response.
    ClientWrite,
    /// The response failed after some of it had left httpd: no error page is possible, the client's connection must be cut.
    Committed(Box<Error>),
    /// Our own mistake.
    Internal(&'static str),
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The container, or the way to it.
    Member,
    /// The client.
    Client,
    /// Nobody: a limit did its work.
    Nobody,
}

/// What the balancer has to know about a failure (reference: ajp-side.md section 7.4, lb-shm-status.md section 2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The client's fault; the member is fine.
    ClientError,
    /// Our own mistake; the member is fine.
    ServerError,
    /// Bytes that are not AJP, or the end inside a packet.
    ProtocolError,
    /// Listed status that leaves the member usable.
    SoftStatus,
    /// Listed status that takes the member out at once.
    HardStatus,
    /// `busy_limit` is reached.
    BusyLimit,
    /// No free connection within `connection_acquire_timeout`.
    NoEndpoint,
    /// `reply_timeout`.
    ReplyTimeout,
    /// Everything else: connect, probe, send, early close, malformed packets.
    Failure,
}

impl Error {
    /// The status that httpd answers with, if it still can (DEVIATIONS section 4; reference: apache-side.md section 5.9).
    pub fn http_status(&self) -> u16 {
        match self {
            Self::ContactDisabled
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Probe { .. }
            | Self::Status { .. }
            | Self::BusyLimit { .. }
            | Self::NoMember
            | Self::NoEndpoint { .. } => 503,
            Self::Send { body: false, .. } => 503,
            Self::Send { body: true, .. }
            | Self::Closed { .. }
            | Self::SocketTimeout { .. }
            | Self::BadFrame { .. }
            | Self::Protocol { .. }
            | Self::ShortBody { .. } => 502,
            Self::ReplyTimeout { .. } => 504,
            Self::TooLarge { .. } => 413,
            Self::ClientRead => 400,
            Self::ClientWrite => 200,
            Self::Committed(cause) => cause.http_status(),
            Self::Internal(_) => 500,
        }
    }

    /// Whose fault it is.
    pub fn blames(&self) -> Blame {
        match self.class() {
            Class::ClientError => Blame::Client,
            Class::ServerError | Class::BusyLimit | Class::NoEndpoint => Blame::Nobody,
            Class::ProtocolError | Class::SoftStatus | Class::HardStatus | Class::ReplyTimeout | Class::Failure => {
                Blame::Member
            }
        }
    }

    /// The word under which it is counted.
    pub fn failing(&self) -> Failing {
        match self {
            Self::ContactDisabled | Self::Resolve { .. } => Failing::Address,
            Self::Connect { .. } => Failing::Connect,
            Self::Probe { .. } => Failing::Cping,
            Self::Send { .. } => Failing::Send,
            Self::Closed { .. } => Failing::Closed,
            Self::SocketTimeout { .. } => Failing::SocketTimeout,
            Self::ReplyTimeout { .. } => Failing::ReplyTimeout,
            Self::BadFrame { .. } | Self::Protocol { .. } | Self::ShortBody { .. } => Failing::Protocol,
            Self::Status { .. } => Failing::Status,
            Self::BusyLimit { .. } => Failing::BusyLimit,
            Self::NoEndpoint { .. } | Self::NoMember => Failing::Pool,
            Self::TooLarge { .. } | Self::ClientRead | Self::ClientWrite => Failing::Client,
            Self::Committed(cause) => cause.failing(),
            Self::Internal(_) => Failing::Internal,
        }
    }

    /// C mod_jk's class of it.
    pub fn class(&self) -> Class {
        match self {
            Self::TooLarge { .. } | Self::ClientRead | Self::ClientWrite => Class::ClientError,
            Self::Internal(_) => Class::ServerError,
            Self::BadFrame { .. } | Self::Closed { inside_packet: true, .. } => Class::ProtocolError,
            Self::Status { hard: false, .. } => Class::SoftStatus,
            Self::Status { hard: true, .. } => Class::HardStatus,
            Self::BusyLimit { .. } => Class::BusyLimit,
            Self::NoEndpoint { .. } | Self::NoMember => Class::NoEndpoint,
            Self::ReplyTimeout { .. } => Class::ReplyTimeout,
            Self::Committed(cause) => cause.class(),
            Self::ContactDisabled
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Probe { .. }
            | Self::Send { .. }
            | Self::Closed { .. }
            | Self::SocketTimeout { .. }
            | Self::Protocol { .. }
            | Self::ShortBody { .. } => Class::Failure,
        }
    }

    /// The client's connection must be cut instead of answered: the client is at fault, or part of a response is out.
    pub fn aborts_client(&self) -> bool {
        matches!(self, Self::ClientRead | Self::ClientWrite | Self::Committed(_))
    }
}

impl Class {
    /// The same for the balancer, with what only the caller knows: whether the member has more reply timeouts than are
    /// tolerated, and whether no other request is running on it.
    pub fn outcome(self, over_limit: bool, alone: bool) -> Outcome {
        match self {
            Self::ClientError => Outcome::ClientError,
            Self::ServerError => Outcome::ServerError,
            Self::ProtocolError => Outcome::ProtocolError,
            Self::SoftStatus => Outcome::SoftStatus,
            Self::HardStatus => Outcome::HardStatus,
            Self::BusyLimit => Outcome::BusyLimit,
            Self::NoEndpoint => Outcome::NoEndpoint,
            Self::ReplyTimeout => Outcome::ReplyTimeout { over_limit },
            Self::Failure => Outcome::Failure { alone },
        }
    }
}

/// What C mod_jk says when a container breaks the connection.
const DOWN: &str = "Tomcat is down or network problems";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContactDisabled => f.write_str("contact is disabled (port 0)"),
            Self::Resolve { host, detail } => write!(f, "host '{host}' has no address: {detail}"),
            // Admins search their logs for the words after the semicolon, here and below: they are C mod_jk's.
            Self::Connect { address, cause } => write!(
                f,
                "connecting to tomcat failed at {address}: {}; Tomcat is probably not started or is listening on the wrong port",
                Errno(cause)
            ),
            Self::Probe { address, fresh, cause } => {
                let when = if *fresh { "after connect" } else { "before the request" };
                write!(f, "cping to {address} {when} failed: {cause}")
            }
            Self::Send { address, sent, body, cause } => {
                let what = if *body { "request body" } else { "request" };
                write!(f, "sending the {what} to {address} failed after {sent} bytes: {}", Errno(cause))
            }
            Self::Closed { address, inside_packet, cause } => {
                let place = if *inside_packet { " inside a packet" } else { "" };
                match cause {
                    None => write!(f, "{address} closed the connection{place} before the response ended; {DOWN}"),
                    Some(cause) => write!(f, "reading from {address} failed{place}: {}; {DOWN}", Errno(cause)),
                }
            }
            Self::SocketTimeout { address, limit_ms } => {
                write!(f, "{address} sent no complete packet within the socket_timeout of {limit_ms} ms")
            }
            Self::ReplyTimeout { address, limit_ms } => {
                write!(
                    f,
                    "{address} sent no complete packet within the reply_timeout of {limit_ms} ms; Timeout with waiting reply from tomcat"
                )
            }
            Self::BadFrame { address, cause } => write!(f, "bad answer from {address}: {cause}"),
            Self::Protocol { address, reason } => write!(f, "{address} sent a bad packet: {reason}"),
            Self::ShortBody { address, missing } => {
                write!(f, "{address} ended the response {missing} bytes before its declared length")
            }
            Self::Status { status, hard } => {
                let kind = if *hard { "" } else { " (soft)" };
                write!(f, "status {status} is listed in fail_on_status{kind}")
            }
            Self::BusyLimit { limit } => write!(f, "busy_limit {limit} is reached"),
            Self::NoMember => f.write_str("no member of the balancer is usable"),
            Self::NoEndpoint { size, waited_ms } => {
                write!(f, "none of the {size} connections of the pool became free within {waited_ms} ms")
            }
            Self::TooLarge { item, length, limit } => {
                write!(f, "the request does not fit into {limit} bytes: {item} has {length} bytes")
            }
            Self::ClientRead => f.write_str("the client's request body broke off"),
            Self::ClientWrite => f.write_str("the client took no more of the response"),
            Self::Committed(cause) => write!(f, "{cause}; part of response has already been sent to the client"),
            Self::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// Why no packet was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// The peer closed or reset the connection, or the socket failed; `None` = orderly close.
    Closed {
        /// Some bytes of a packet had come.
        inside_packet: bool,
        /// Error of the socket.
        cause: Option<io::Error>,
    },
    /// The deadline passed.
    TimedOut {
        /// The limit, milliseconds.
        limit_ms: u64,
    },
    /// What came cannot be a packet.
    Frame(FrameError),
    /// A packet came that is not the one expected (CPong only).
    Unexpected {
        /// Code of the packet.
        code: Option<u8>,
        /// Payload bytes, and bytes after it.
        length: usize,
    },
    /// The CPing itself could not be written.
    Send(io::Error),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { cause: None, .. } => f.write_str("the peer closed the connection"),
            Self::Closed { cause: Some(cause), .. } => write!(f, "reading failed: {}", Errno(cause)),
            Self::TimedOut { limit_ms } => write!(f, "no answer within {limit_ms} ms"),
            Self::Frame(cause) => write!(f, "bad answer: {cause}"),
            Self::Unexpected { code: Some(code), length } => {
                write!(f, "the answer has code 0x{code:02X} and {length} bytes instead of a cpong")
            }
            Self::Unexpected { code: None, length } => write!(f, "the answer is empty, with {length} bytes after it"),
            Self::Send(cause) => write!(f, "writing failed: {}", Errno(cause)),
        }
    }
}

/// An I/O error as the log shows it: text, then `(errno=n)`.
struct Errno<'a>(&'a io::Error);

impl fmt::Display for Errno<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        match self.0.raw_os_error() {
            Some(number) => write!(f, "{text} (errno={number})"),
            None => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(inside_packet: bool) -> Error {
        Error::Closed { address: "a:1".to_owned(), inside_packet, cause: None }
    }

    #[test]
    fn keeps_status_and_class_of_the_cause_when_committed() {
        let error = Error::Committed(Box::new(Error::ReplyTimeout { address: "a:1".to_owned(), limit_ms: 5 }));
        assert_eq!((error.http_status(), error.class()), (504, Class::ReplyTimeout));
        assert!(error.aborts_client());
    }

    #[test]
    fn tells_end_inside_a_packet_from_end_between_packets() {
        assert_eq!(closed(true).class(), Class::ProtocolError);
        assert_eq!(closed(false).class(), Class::Failure);
    }

    #[test]
    fn never_blames_the_member_for_the_client_or_a_limit() {
        assert_eq!(Error::ClientRead.blames(), Blame::Client);
        assert_eq!(Error::ClientWrite.blames(), Blame::Client);
        assert_eq!(Error::BusyLimit { limit: 1 }.blames(), Blame::Nobody);
        assert_eq!(closed(false).blames(), Blame::Member);
    }

    #[test]
    fn shows_errno_as_a_number_in_the_line() {
        let cause = io::Error::from_raw_os_error(111);
        let text = Error::Connect { address: "127.0.0.1:8009".to_owned(), cause }.to_string();
        assert_eq!(
            text,
            "connecting to tomcat failed at 127.0.0.1:8009: Connection refused (errno=111); \
             Tomcat is probably not started or is listening on the wrong port"
        );
    }

    #[test]
    fn guesses_http_behind_a_bad_magic() {
        let error = Error::BadFrame { address: "a:1".to_owned(), cause: FrameError::BadMagic(*b"HT") };
        assert!(error.to_string().contains("looks like HTTP"), "{error}");
    }
}

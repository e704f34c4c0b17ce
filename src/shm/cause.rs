//! Words for why an attempt failed and why a member has its state, as small numbers in the slots.
//!
//! Not here: the errors themselves (`worker`). The surprising thing: an unknown number is a word, too; any bytes are a valid slot.

/// Why an attempt on a worker failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// No address, or contact is disabled.
    Address = 0,
    /// No connection.
    Connect = 1,
    /// No answer to a CPing.
    Cping = 2,
    /// The request could not be sent.
    Send = 3,
    /// The connection ended before the response did.
    Closed = 4,
    /// `socket_timeout`.
    SocketTimeout = 5,
    /// `reply_timeout`.
    ReplyTimeout = 6,
    /// What came is not AJP, or not in order.
    Protocol = 7,
    /// A status of `fail_on_status`.
    Status = 8,
    /// `busy_limit`.
    BusyLimit = 9,
    /// No free connection in the pool.
    Pool = 10,
    /// The client's fault.
    Client = 11,
    /// Ours.
    Internal = 12,
}

impl Failing {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; FAILINGS] = [
        Self::Address,
        Self::Connect,
        Self::Cping,
        Self::Send,
        Self::Closed,
        Self::SocketTimeout,
        Self::ReplyTimeout,
        Self::Protocol,
        Self::Status,
        Self::BusyLimit,
        Self::Pool,
        Self::Client,
        Self::Internal,
    ];

    /// The word of JSON and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Connect => "connect",
            Self::Cping => "cping",
            Self::Send => "send",
            Self::Closed => "closed",
            Self::SocketTimeout => "socket_timeout",
            Self::ReplyTimeout => "reply_timeout",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::BusyLimit => "busy_limit",
            Self::Pool => "pool",
            Self::Client => "client",
            Self::Internal => "internal",
        }
    }
}

/// How many there are.
pub const FAILINGS: usize = 13;

/// Why a member has the state it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// httpd was started.
    Start,
    /// A request succeeded.
    Success,
    /// A request failed.
    Failed(Failing),
    /// A request tries it.
    Tried,
    /// Nobody else was left.
    LastResort,
    /// It has room again.
    Room,
    /// `recover_time` has passed.
    Waited,
    /// It answered a background probe.
    ProbeAnswered,
    /// Background probes failed.
    ProbeFailed,
    /// Its errors lasted longer than `error_escalation_time`.
    Escalated,
    /// Nobody used it since the last maintenance.
    Unused,
    /// An admin wanted it.
    Admin,
}

/// First number of [`Cause::Failed`].
const FAILED: u32 = 32;

impl Cause {
    const PLAIN: [Self; 11] = [
        Self::Start,
        Self::Success,
        Self::Tried,
        Self::LastResort,
        Self::Room,
        Self::Waited,
        Self::ProbeAnswered,
        Self::ProbeFailed,
        Self::Escalated,
        Self::Unused,
        Self::Admin,
    ];

    pub(super) fn code(self) -> u32 {
        let place = |place: usize| u32::try_from(place).unwrap_or(0);
        match self {
            Self::Failed(failing) => FAILED + failing as u32,
            plain => Self::PLAIN.iter().position(|known| *known == plain).map_or(0, place),
        }
    }

    pub(super) fn from_code(code: u32) -> Self {
        let failing = code.checked_sub(FAILED).and_then(|place| Failing::ALL.get(place as usize));
        match failing {
            Some(failing) => Self::Failed(*failing),
            None => Self::PLAIN.get(code as usize).copied().unwrap_or(Self::Start),
        }
    }

    /// The word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failed(failing) => failing.word(),
            Self::Tried => "tried",
            Self::LastResort => "last_resort",
            Self::Room => "room",
            Self::Waited => "waited",
            Self::ProbeAnswered => "probe_answered",
            Self::ProbeFailed => "probe_failed",
            Self::Escalated => "escalated",
            Self::Unused => "unused",
            Self::Admin => "admin",
        }
    }

    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Start => "httpd was started",
            Self::Success => "a request succeeded",
            Self::Failed(Failing::Address) => "no address, or contact is disabled",
            Self::Failed(Failing::Connect) => "connecting failed",
            Self::Failed(Failing::Cping) => "no answer to a CPing",
            Self::Failed(Failing::Send) => "sending a request failed",
            Self::Failed(Failing::Closed) => "the connection ended before the response did",
            Self::Failed(Failing::SocketTimeout) => "socket_timeout",
            Self::Failed(Failing::ReplyTimeout) => "reply_timeout",
            Self::Failed(Failing::Protocol) => "what came was not AJP",
            Self::Failed(Failing::Status) => "a status of fail_on_status",
            Self::Failed(Failing::BusyLimit) => "busy_limit",
            Self::Failed(Failing::Pool) => "no free connection in the pool",
            Self::Failed(Failing::Client) => "the client broke off",
            Self::Failed(Failing::Internal) => "an internal error",
            Self::Tried => "a request tries it",
            Self::LastResort => "nobody else was left",
            Self::Room => "it has room again",
            Self::Waited => "recover_time has passed",
            Self::ProbeAnswered => "it answered a background probe",
            Self::ProbeFailed => "background probes failed",
            Self::Escalated => "its errors lasted longer than error_escalation_time",
            Self::Unused => "no request since the last maintenance",
            Self::Admin => "an admin's wish",
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_causes_are_each_others_opposite() {
        let failed = Failing::ALL.map(Cause::Failed);
        for cause in Cause::PLAIN.into_iter().chain(failed) {
            assert_eq!(Cause::from_code(cause.code()), cause);
        }
        for (place, failing) in Failing::ALL.into_iter().enumerate() {
            assert_eq!(failing as usize, place);
        }
        assert_eq!([11, 31, 45, u32::MAX].map(Cause::from_code), [Cause::Start; 4]);
    }
}

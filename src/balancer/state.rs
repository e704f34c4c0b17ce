//! What a member may be (activation: the admin's will; state: what was observed) and how states follow each other.
//!
//! Not here: the clock and the stores - time comes in, the next state goes out. The surprising thing: a failed request gives two
//! states, one for everybody and a harsher one for the rest of this request, so that it does not try the same member twice.

use std::fmt;

/// The admin's will (`worker.<member>.activation`; reference: lb-shm-status.md section 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `ACT`: takes all work.
    #[default]
    Active,
    /// `DIS`: only requests of sessions that belong here.
    Disabled,
    /// `STP`: nothing.
    Stopped,
}

impl Activation {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Active, Self::Disabled, Self::Stopped];

    /// Reads the first character only, as C does: a, d, s in any case, or 0, 1, 2. `None` = not one of these; configuration and status
    /// page then take the default (reference: lb-shm-status.md section 1.5, section 4.5).
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        match text.as_ref().first()?.to_ascii_lowercase() {
            b'a' | b'0' => Some(Self::Active),
            b'd' | b'1' => Some(Self::Disabled),
            b's' | b'2' => Some(Self::Stopped),
            _ => None,
        }
    }

    /// The number of C mod_jk, as the shared memory keeps it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Disabled => 1,
            Self::Stopped => 2,
        }
    }

    /// The opposite of [`Self::code`]; an unknown code means `Active`, the default.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Disabled,
            2 => Self::Stopped,
            _ => Self::Active,
        }
    }

    /// `ACT`, `DIS`, `STP`: the form of status pages, request notes, `JK_LB_ACTIVATION` and the change log.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Active => "ACT",
            Self::Disabled => "DIS",
            Self::Stopped => "STP",
        }
    }

    /// `Active`, `Disabled`, `Stopped`: the words of the legend and of the edit form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Disabled => "Disabled",
            Self::Stopped => "Stopped",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.text())
    }
}

/// What was observed of a member (reference: lb-shm-status.md section 2.3, section 2.11). The codes are C mod_jk's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// `OK/IDLE`: usable, not used since the last maintenance.
    #[default]
    Idle = 0,
    /// `OK`.
    Ok = 1,
    /// `ERR/REC`: was in error, the next request may try it.
    Recover = 2,
    /// `ERR/FRC`: in error, but tried because nothing else was left.
    Forced = 3,
    /// `OK/BUSY`: no free connection or busy limit reached.
    Busy = 4,
    /// `ERR`.
    Error = 5,
    /// `ERR/PRB`: one request is trying it.
    Probe = 6,
}

impl State {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Ok, Self::Recover, Self::Forced, Self::Busy, Self::Error, Self::Probe];

    /// The number of C mod_jk, as the shared memory keeps it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Ok => 1,
            Self::Recover => 2,
            Self::Forced => 3,
            Self::Busy => 4,
            Self::Error => 5,
            Self::Probe => 6,
        }
    }

    /// The opposite of [`Self::code`]. An unknown code means `Error`: never chosen, and maintenance leads out of it.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Idle,
            1 => Self::Ok,
            2 => Self::Recover,
            3 => Self::Forced,
            4 => Self::Busy,
            6 => Self::Probe,
            _ => Self::Error,
        }
    }

    /// `OK/IDLE`, `OK`, `ERR/REC`, ...: the form of status pages and request notes.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Idle => "OK/IDLE",
            Self::Ok => "OK",
            Self::Recover => "ERR/REC",
            Self::Forced => "ERR/FRC",
            Self::Busy => "OK/BUSY",
            Self::Error => "ERR",
            Self::Probe => "ERR/PRB",
        }
    }

    /// In words, for log lines and help texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ok => "ok",
            Self::Recover => "recovering",
            Self::Forced => "forced recovery",
            Self::Busy => "busy",
            Self::Error => "error",
            Self::Probe => "probing",
        }
    }

    /// Whether a request may be sent there, if the activation agrees. `Probe` is not among them, so that exactly the request which
    /// turned `Recover` into `Probe` is the test.
    #[inline]
    #[must_use]
    pub const fn takes_requests(self) -> bool {
        matches!(self, Self::Idle | Self::Ok | Self::Recover | Self::Forced)
    }

    /// New work may go there.
    #[inline]
    #[must_use]
    pub const fn is_usable(self, activation: Activation) -> bool {
        self.takes_requests() && matches!(activation, Activation::Active)
    }

    /// Requests of a session that belongs there may go there.
    #[inline]
    #[must_use]
    pub const fn is_sticky_usable(self, activation: Activation) -> bool {
        self.takes_requests() && !matches!(activation, Activation::Stopped)
    }

    /// The new state when a request elects this member; `None` = no change. Store it by compare-and-swap from `self`: of two requests
    /// that elect a recovering member at the same time, both run (as in C), but only one of them makes the change.
    #[must_use]
    pub const fn elected(self) -> Option<Self> {
        match self {
            Self::Recover => Some(Self::Probe),
            _ => None,
        }
    }

    /// Forced recovery, when nothing else is left: the new state, `None` = no change. With a change, the member's count of reply
    /// timeouts goes to 0 (reference: lb-shm-status.md section 2.9).
    #[must_use]
    pub const fn forced(self) -> Option<Self> {
        match self {
            Self::Error => Some(Self::Forced),
            _ => None,
        }
    }

    /// `cmd=recover` of the status page: the new state, `None` = refused, the member is not in error. With a change, reply timeouts go to 0
    /// and the load becomes [`Method::value_after_recovery`](super::Method::value_after_recovery) (reference: lb-shm-status.md section 4.4).
    #[must_use]
    pub const fn recovered(self) -> Option<Self> {
        match self {
            Self::Error => Some(Self::Recover),
            _ => None,
        }
    }

    /// Looked at when any request of the balancer starts: the new state, `None` = no change. `busy_limit` 0 = no limit; `free_slot`:
    /// this process has a connection to spare.
    #[must_use]
    pub const fn released(self, busy: u32, busy_limit: u32, free_slot: bool) -> Option<Self> {
        match self {
            Self::Busy if free_slot && (busy_limit == 0 || busy < busy_limit) => Some(Self::Ok),
            _ => None,
        }
    }

    /// Maintenance of members and of plain AJP workers alike: the new state if it was not used since the last time; `None` = no change.
    #[must_use]
    pub const fn rested(self, used: u64, used_before: u64) -> Option<Self> {
        match self {
            Self::Ok if used == used_before => Some(Self::Idle),
            _ => None,
        }
    }

    const fn ok_unless_error(self) -> Self {
        match self {
            Self::Error => Self::Error,
            _ => Self::Ok,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.text())
    }
}

/// How one election ended, as far as the member is concerned (reference: lb-shm-status.md section 2.9, "Result of an election").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete response.
    Success,
    /// The client's fault: it broke off, or its request does not fit into a packet.
    ClientError,
    /// A status listed in `fail_on_status` as negative.
    SoftStatus,
    /// A status listed in `fail_on_status` as positive.
    HardStatus,
    /// `busy_limit` was reached.
    BusyLimit,
    /// No free connection within `connection_acquire_timeout`.
    NoEndpoint,
    /// `reply_timeout` passed; `over_limit`: the member's reply timeouts now exceed `max_reply_timeouts`.
    ReplyTimeout {
        /// More reply timeouts than are tolerated.
        over_limit: bool,
    },
    /// The member spoke, but not AJP.
    ProtocolError,
    /// We failed, not the member.
    ServerError,
    /// Everything else: refused connection, no CPong, failed send, connection closed, unreadable message. `alone`: no other request is
    /// running on the member, so nothing speaks for it.
    Failure {
        /// No other request is running there.
        alone: bool,
    },
}

/// Error record of a member. Times are Unix seconds, 0 = no error since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What is known of it.
    pub state: State,
    /// First error since the last success.
    pub first_error_s: u64,
    /// Latest error since the last success.
    pub last_error_s: u64,
}

/// What follows from an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For everybody: to be stored.
    pub shared: Health,
    /// For the copy that the rest of this request works with.
    pub local: State,
    /// The member's error counter goes up by one.
    pub counts_as_error: bool,
}

impl Verdict {
    /// Only this request avoids the member ("local error state"); the others still use it.
    #[must_use]
    pub const fn is_local_error(&self) -> bool {
        matches!(self.local, State::Error) && !matches!(self.shared.state, State::Error)
    }
}

impl Health {
    /// The record after an election that ended with `outcome`, from the record as it is now - that is, read again after the response, so
    /// that an error found by another request in the meantime survives where it should (reference: lb-shm-status.md section 2.9).
    #[must_use]
    pub fn after(self, outcome: Outcome, now_s: u64, error_escalation_time_s: u32) -> Verdict {
        match outcome {
            Outcome::Success => Verdict::quiet(Self::healthy(), State::Ok),
            Outcome::ClientError | Outcome::SoftStatus => Verdict::quiet(Self::healthy(), State::Error),
            // Over ERR too: the next request finds it released, which C accepts and so do we.
            Outcome::BusyLimit => Verdict::quiet(Self { state: State::Busy, ..self }, State::Busy),
            Outcome::NoEndpoint => {
                let state = if self.state == State::Error { State::Error } else { State::Busy };
                Verdict::quiet(Self { state, ..self }, State::Busy)
            }
            Outcome::HardStatus | Outcome::ReplyTimeout { over_limit: true } => Verdict::error(self.broken(now_s)),
            Outcome::ReplyTimeout { over_limit: false } | Outcome::ProtocolError | Outcome::ServerError => {
                Verdict::quiet(Self { state: self.state.ok_unless_error(), ..self }, State::Error)
            }
            Outcome::Failure { alone } => Verdict::error(self.failed(alone, now_s, error_escalation_time_s)),
        }
    }

    /// Errors have lasted for `error_escalation_time_s`. A first error later than now (the clock was set back) says nothing until the next
    /// failure, from which on they are counted anew.
    #[must_use]
    pub const fn is_escalated(&self, now_s: u64, error_escalation_time_s: u32) -> bool {
        self.first_error_s > 0 && now_s.saturating_sub(self.first_error_s) >= error_escalation_time_s as u64
    }

    /// What a success makes of any record.
    #[inline]
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self { state: State::Ok, first_error_s: 0, last_error_s: 0 })
    }

    const fn healthy() -> Self {
        Self { state: State::Ok, first_error_s: 0, last_error_s: 0 }
    }

    /// In error beyond doubt: both times are now.
    fn broken(self, now_s: u64) -> Self {
        let now_s = now_s.max(1); // 0 would mean "no error"
        Self { state: State::Error, first_error_s: now_s, last_error_s: now_s }
    }

    /// A failure counts for everybody when nothing speaks for the member: no other request runs there, or they have been failing long enough.
    fn failed(self, alone: bool, now_s: u64, error_escalation_time_s: u32) -> Self {
        let now_s = now_s.max(1); // 0 would mean "no error"
        let convicted = alone || error_escalation_time_s == 0 || self.is_escalated(now_s, error_escalation_time_s);
        // Later than now: the clock was set back, and would not reach the escalation until the old time comes again.
        let is_first = self.first_error_s == 0 || self.first_error_s > now_s;
        Self {
            state: if convicted { State::Error } else { self.state.ok_unless_error() },
            first_error_s: if is_first { now_s } else { self.first_error_s },
            last_error_s: now_s,
        }
    }
}

impl Verdict {
    const fn quiet(shared: Health, local: State) -> Self {
        Self { shared, local, counts_as_error: false }
    }

    const fn error(shared: Health) -> Self {
        Self { shared, local: State::Error, counts_as_error: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_000;
    const ESCALATION_S: u32 = 30;

    fn health(state: State, first_error_s: u64, last_error_s: u64) -> Health {
        Health { state, first_error_s, last_error_s }
    }

    fn after(outcome: Outcome, before: Health) -> Verdict {
        before.after(outcome, NOW_S, ESCALATION_S)
    }

    #[test]
    fn activation_is_read_from_the_first_character_or_digit() {
        for (text, expected) in [
            ("a", Some(Activation::Active)),
            ("Active", Some(Activation::Active)),
            ("0", Some(Activation::Active)),
            ("d", Some(Activation::Disabled)),
            ("DIS", Some(Activation::Disabled)),
            ("1x", Some(Activation::Disabled)),
            ("stopped", Some(Activation::Stopped)),
            ("S", Some(Activation::Stopped)),
            ("2", Some(Activation::Stopped)),
            ("", None),
            (" a", None),
            ("3", None),
            ("x", None),
        ] {
            assert_eq!(Activation::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn codes_convert_both_ways_and_strange_codes_are_harmless() {
        for (code, state) in (0_u8..).zip(State::ALL) {
            assert_eq!((state.code(), State::from_code(code)), (code, state));
            assert_eq!(state as u8, code);
        }
        for (code, activation) in (0_u8..).zip(Activation::ALL) {
            assert_eq!((activation.code(), Activation::from_code(code)), (code, activation));
        }
        for code in 7..=u8::MAX {
            assert_eq!(State::from_code(code), State::Error);
        }
        for code in 3..=u8::MAX {
            assert_eq!(Activation::from_code(code), Activation::Active);
        }
    }

    #[test]
    fn texts_are_those_of_the_status_page() {
        let states: Vec<_> = State::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(states, ["OK/IDLE", "OK", "ERR/REC", "ERR/FRC", "OK/BUSY", "ERR", "ERR/PRB"]);
        let activations: Vec<_> = Activation::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(activations, ["ACT", "DIS", "STP"]);
        assert_eq!(Activation::ALL.map(Activation::name), ["Active", "Disabled", "Stopped"]);
    }

    #[test]
    fn only_active_members_in_one_of_four_states_take_new_work() {
        for state in State::ALL {
            let open = matches!(state, State::Idle | State::Ok | State::Recover | State::Forced);
            assert_eq!(state.is_usable(Activation::Active), open, "{state}");
            assert!(!state.is_usable(Activation::Disabled), "{state}");
            assert!(!state.is_usable(Activation::Stopped), "{state}");
        }
    }

    #[test]
    fn disabled_members_keep_their_sessions_and_stopped_ones_do_not() {
        for state in State::ALL {
            let open = state.is_usable(Activation::Active);
            assert_eq!(state.is_sticky_usable(Activation::Active), open, "{state}");
            assert_eq!(state.is_sticky_usable(Activation::Disabled), open, "{state}");
            assert!(!state.is_sticky_usable(Activation::Stopped), "{state}");
        }
    }

    #[test]
    fn success_clears_everything_even_an_error_found_by_another_request() {
        for state in State::ALL {
            let verdict = after(Outcome::Success, health(state, 900, 950));
            assert_eq!(verdict, Verdict { shared: health(State::Ok, 0, 0), local: State::Ok, counts_as_error: false });
        }
    }

    #[test]
    fn client_errors_and_soft_statuses_leave_the_member_ok_but_end_its_part_in_this_request() {
        for outcome in [Outcome::ClientError, Outcome::SoftStatus] {
            for state in State::ALL {
                let verdict = after(outcome, health(state, 900, 950));
                assert_eq!(verdict.shared, health(State::Ok, 0, 0));
                assert_eq!((verdict.local, verdict.counts_as_error), (State::Error, false));
                assert!(verdict.is_local_error());
            }
        }
    }

    #[test]
    fn hard_statuses_and_too_many_reply_timeouts_put_a_member_in_error_at_once() {
        for outcome in [Outcome::HardStatus, Outcome::ReplyTimeout { over_limit: true }] {
            for state in State::ALL {
                let verdict = after(outcome, health(state, 5, 6));
                assert_eq!(verdict.shared, health(State::Error, NOW_S, NOW_S));
                assert_eq!((verdict.local, verdict.counts_as_error), (State::Error, true));
                assert!(!verdict.is_local_error());
            }
        }
    }

    #[test]
    fn tolerated_failures_mark_the_member_for_this_request_only() {
        for outcome in [Outcome::ReplyTimeout { over_limit: false }, Outcome::ProtocolError, Outcome::ServerError] {
            for state in State::ALL {
                let shared = if state == State::Error { State::Error } else { State::Ok };
                let verdict = after(outcome, health(state, 900, 950));
                assert_eq!(verdict.shared, health(shared, 900, 950), "{outcome:?} {state}");
                assert_eq!((verdict.local, verdict.counts_as_error), (State::Error, false));
            }
        }
    }

    #[test]
    fn busy_limit_makes_any_member_busy_and_keeps_its_error_times() {
        for state in State::ALL {
            let verdict = after(Outcome::BusyLimit, health(state, 900, 950));
            assert_eq!(verdict.shared, health(State::Busy, 900, 950));
            assert_eq!((verdict.local, verdict.counts_as_error), (State::Busy, false));
        }
    }

    #[test]
    fn missing_connection_makes_a_member_busy_unless_it_is_in_error() {
        for state in State::ALL {
            let shared = if state == State::Error { State::Error } else { State::Busy };
            let verdict = after(Outcome::NoEndpoint, health(state, 900, 950));
            assert_eq!(verdict.shared, health(shared, 900, 950));
            assert_eq!((verdict.local, verdict.counts_as_error), (State::Busy, false));
        }
    }

    #[test]
    fn failure_of_a_lone_request_puts_the_member_in_error() {
        for state in State::ALL {
            let verdict = after(Outcome::Failure { alone: true }, health(state, 0, 0));
            assert_eq!(verdict.shared, health(State::Error, NOW_S, NOW_S));
            assert_eq!((verdict.local, verdict.counts_as_error), (State::Error, true));
        }
    }

    #[test]
    fn failure_beside_other_requests_is_local_until_errors_have_lasted_for_the_escalation_time() {
        let failure = Outcome::Failure { alone: false };
        let first = after(failure, health(State::Ok, 0, 0));
        assert_eq!(first.shared, health(State::Ok, NOW_S, NOW_S));
        assert!(first.is_local_error() && first.counts_as_error);
        let second = first.shared.after(failure, NOW_S + 29, ESCALATION_S);
        assert_eq!(second.shared, health(State::Ok, NOW_S, NOW_S + 29));
        let third = second.shared.after(failure, NOW_S + 30, ESCALATION_S);
        assert_eq!(third.shared, health(State::Error, NOW_S, NOW_S + 30));
        assert!(!third.is_local_error());
    }

    #[test]
    fn failure_beside_other_requests_does_not_lift_an_error() {
        let verdict = after(Outcome::Failure { alone: false }, health(State::Error, NOW_S - 5, NOW_S - 5));
        assert_eq!(verdict.shared, health(State::Error, NOW_S - 5, NOW_S));
    }

    #[test]
    fn escalation_time_of_zero_tolerates_nothing() {
        let verdict = health(State::Ok, 0, 0).after(Outcome::Failure { alone: false }, NOW_S, 0);
        assert_eq!(verdict.shared, health(State::Error, NOW_S, NOW_S));
    }

    #[test]
    fn errors_are_counted_anew_after_the_clock_was_set_back() {
        let failure = Outcome::Failure { alone: false };
        let first = health(State::Ok, NOW_S + 500, NOW_S + 500).after(failure, NOW_S, ESCALATION_S);
        assert_eq!(first.shared, health(State::Ok, NOW_S, NOW_S));
        let later = first.shared.after(failure, NOW_S + u64::from(ESCALATION_S), ESCALATION_S);
        assert_eq!(later.shared.state, State::Error);
    }

    #[test]
    fn only_a_recovering_member_becomes_a_probe_when_elected() {
        for state in State::ALL {
            assert_eq!(state.elected(), (state == State::Recover).then_some(State::Probe), "{state}");
        }
    }

    #[test]
    fn recovery_by_force_or_command_concerns_members_in_error_only() {
        for state in State::ALL {
            let in_error = state == State::Error;
            assert_eq!(state.forced(), in_error.then_some(State::Forced), "{state}");
            assert_eq!(state.recovered(), in_error.then_some(State::Recover), "{state}");
        }
    }

    #[test]
    fn busy_members_are_released_by_a_free_slot_below_the_limit() {
        assert_eq!(State::Busy.released(3, 4, true), Some(State::Ok));
        assert_eq!(State::Busy.released(4, 4, true), None);
        assert_eq!(State::Busy.released(9, 0, true), Some(State::Ok));
        assert_eq!(State::Busy.released(0, 4, false), None);
        assert_eq!(State::Error.released(0, 0, true), None);
    }

    #[test]
    fn unused_ok_members_become_idle() {
        assert_eq!(State::Ok.rested(7, 7), Some(State::Idle));
        assert_eq!(State::Ok.rested(8, 7), None);
        assert_eq!(State::Forced.rested(7, 7), None);
    }
}

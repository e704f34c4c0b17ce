//! What the outcome of an attempt means: for the member, for everybody, and for the rest of this request
//! (reference: lb-shm-status.md section 2.9, "Result of an election").
//!
//! Not here: the rules (`balancer::state`). The surprising thing: the member's record is read again after the response and stored only if
//! nobody changed its state in between, so that no verdict is founded on a state that is gone.

use super::super::error::Class;
use super::super::{Failure, Served, say};
use super::{LbWorker, Member, Run};
use crate::balancer::state::{Health, Outcome, Verdict};
use crate::balancer::{Method, State};
use crate::shm::{Cause, MemberSlot};

/// A member whose state changes this often while one verdict is stored gets the last one.
const MAX_VERDICTS: u32 = 4;

impl LbWorker {
    #[inline]
    pub(super) fn settle(&self, run: &mut Run<'_>, member: &Member, bytes: u64, result: &Result<Served, Failure>) {
        // Nearly always: a healthy member served a request that has no copy of it, and stays as it is, whatever the time.
        let is_healthy = |slot: &MemberSlot| health_of(slot).is_healthy();
        let is_quiet = result.is_ok() && bytes == 0 && run.views.is_empty();
        if !(is_quiet && self.shared.region.member(member.slot).is_some_and(is_healthy)) {
            self.settle_change(run, member, bytes, result);
        }
    }

    #[inline(never)]
    fn settle_change(&self, run: &mut Run<'_>, member: &Member, bytes: u64, result: &Result<Served, Failure>) {
        let Some(slot) = self.shared.region.member(member.slot) else { return };
        let outcome = self.outcome(run, member, result);
        let election = run.election;
        if outcome == Outcome::NoEndpoint {
            // Elections count when there was a connection for them.
            // Under Busyness the end of the attempt takes it back.
            if run.settings.method() != Method::Busyness {
                slot.value.subtract(election.step);
            }
            if election.new_session {
                slot.sessions.subtract(1);
            }
        } else {
            // The arithmetic of `Method::value_after_response`, on a value that others change too.
            match run.settings.method() {
                Method::Traffic => slot.value.weigh(bytes.saturating_mul(election.multiplier)),
                // Busyness: the end of the attempt takes back what its beginning added.
                Method::Busyness | Method::Request | Method::Sessions | Method::Next => {}
            }
        }
        let cause = result.as_ref().err().map_or(Cause::Success, |failure| Cause::Failed(failure.error.failing()));
        let (before, verdict) = self.judge(run, slot, outcome, cause);
        if verdict.counts_as_error {
            slot.errors.add(1);
        }
        if verdict.shared.state == State::Error && before != State::Error {
            member.worker.shared().forget_probes();
        }
        if result.is_err() && run.views.is_empty() {
            self.copy(run);
        }
        if let Some(view) = run.views.get_mut(election.choice.index) {
            view.state = verdict.local;
        }
        if let Err(failure) = result {
            self.explain_failure(run, member, outcome, before, &verdict, failure);
        }
    }

    /// Stores the verdict; returns it with the state it replaced.
    fn judge(&self, run: &Run<'_>, slot: &MemberSlot, outcome: Outcome, cause: Cause) -> (State, Verdict) {
        let now_s = self.shared.now_s();
        let mut verdicts = 0;
        loop {
            let health = health_of(slot);
            let verdict = health.after(outcome, now_s, run.settings.error_escalation_time_s());
            if verdict.shared == health {
                return (health.state, verdict);
            }
            verdicts += 1;
            let (old, new) = (health.state, verdict.shared.state);
            if outcome == Outcome::Success && !matches!(old, State::Idle | State::Ok | State::Busy) {
                slot.set_recovered(now_s);
            }
            // Times before the state, which publishes them.
            slot.first_error_time.set(verdict.shared.first_error_s);
            slot.last_error_time.set(verdict.shared.last_error_s);
            let is_last = verdicts >= MAX_VERDICTS;
            if is_last {
                slot.state.set(new);
            }
            if is_last || slot.state.change(old, new) {
                if old != new {
                    slot.note_state(cause, now_s);
                }
                return (old, verdict);
            }
        }
    }

    fn outcome(&self, run: &Run<'_>, member: &Member, result: &Result<Served, Failure>) -> Outcome {
        let Err(failure) = result else { return Outcome::Success };
        let shared = member.worker.shared();
        match failure.error.class() {
            Class::ClientError => Outcome::ClientError,
            Class::SoftStatus => Outcome::SoftStatus,
            Class::HardStatus => Outcome::HardStatus,
            Class::BusyLimit => Outcome::BusyLimit,
            Class::NoEndpoint => Outcome::NoEndpoint,
            Class::ReplyTimeout => Outcome::ReplyTimeout {
                over_limit: shared.reply_timeouts() > u64::from(run.settings.max_reply_timeouts()),
            },
            Class::ProtocolError => Outcome::ProtocolError,
            Class::ServerError => Outcome::ServerError,
            Class::Failure => Outcome::Failure { alone: shared.busy() == 0 },
        }
    }

    fn explain_failure(
        &self,
        run: &Run<'_>,
        member: &Member,
        outcome: Outcome,
        before: State,
        verdict: &Verdict,
        failure: &Failure,
    ) {
        let (name, member, error) = (self.name(), member.worker.name(), &failure.error);
        match outcome {
            Outcome::ClientError => {}
            Outcome::NoEndpoint => {
                say!(run.log, Warn, "({name}) could not get free endpoint for worker {member} ({} retries)", run.round);
            }
            _ if verdict.is_local_error() => {
                say!(run.log, Info, "({name}) service failed, worker {member} is in local error state: {error}");
            }
            // Known to all, and tried in vain.
            _ if run.in_vain && before == State::Error => {}
            _ if verdict.shared.state == State::Error => {
                say!(run.log, Info, "({name}) service failed, worker {member} is in error state: {error}");
            }
            _ => {}
        }
    }
}

/// The error record of a member.
pub(super) fn health_of(slot: &MemberSlot) -> Health {
    Health {
        state: slot.state.get(),
        first_error_s: slot.first_error_time.get(),
        last_error_s: slot.last_error_time.get(),
    }
}

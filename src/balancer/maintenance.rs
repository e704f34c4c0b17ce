//! The periodic upkeep of one load balancer: loads decay, members come out of error, unused ones become idle.
//!
//! Not here: when it is due and who does it (`worker`), the stores (`shm`). The surprising thing: a member that is merely failing now and
//! then is put in error here, without a request, once its errors are old enough.

use super::method::Method;
use super::state::{Activation, Health, State};

/// One member as maintenance sees and changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// State and error times.
    pub health: Health,
    /// The member's own activation: rule extensions play no part here.
    pub activation: Activation,
    /// Accumulated load.
    pub value: u64,
    /// Reply timeouts that count against `max_reply_timeouts`.
    pub reply_timeouts: u32,
    /// Elections so far.
    pub used: u64,
    /// `used` at the last maintenance.
    pub used_before: u64,
    /// A background probe knows that the member does not answer, so that it would be wrong to try it with a user's request: it stays in
    /// error until a probe succeeds (or nothing else is left). False without a prober.
    pub held: bool,
    /// The last background probe got no answer: the prober will tell when it comes back, nobody else needs to look.
    pub silent: bool,
}

/// The settings of the balancer and the time, for one maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Balancing method.
    pub method: Method,
    /// Unix time, seconds.
    pub now_s: u64,
    /// See [`decay_exponent`](super::method::decay_exponent).
    pub exponent: u32,
    /// Seconds in error before a member is tried again.
    pub recover_time_s: u32,
    /// Seconds that errors may last before they are believed.
    pub error_escalation_time_s: u32,
}

/// The global part of maintenance for one balancer (reference: lb-shm-status.md section 2.10), to be done under the shared lock. Changes the
/// copies; returns how many members were forced out of error because all were in it.
pub fn maintain(members: &mut [Upkeep], schedule: &Schedule) -> usize {
    let largest = decay(members, schedule);
    let mut out_of_error = false;
    for member in members.iter_mut() {
        out_of_error |= member.recover(schedule, largest);
        member.used_before = member.used;
    }
    if out_of_error { 0 } else { force(members) }
}

/// Every member in error gets another chance, but those that did not answer their last background probe: they failed twice, and forcing
/// them out of error would only have the prober put them back. Returns how many there were: 0 means that looking again is pointless.
pub fn force(members: &mut [Upkeep]) -> usize {
    force_where(members, |member| !member.silent)
}

/// Every member in error, silent ones too. For the copy that one request works with: somebody has to be tried in case the prober is wrong.
pub fn force_all(members: &mut [Upkeep]) -> usize {
    force_where(members, |_| true)
}

fn force_where(members: &mut [Upkeep], may: impl Fn(&Upkeep) -> bool) -> usize {
    let mut changed = 0;
    for member in members.iter_mut().filter(|member| may(member)) {
        if let Some(state) = member.health.state.forced() {
            member.health.state = state;
            member.reply_timeouts = 0;
            changed += 1;
        }
    }
    changed
}

/// Between two maintenances, after a member answered a background probe: those in error that may come back do. No load decays and nobody
/// is forced. Returns how many came back.
pub fn recover_answered(members: &mut [Upkeep], schedule: &Schedule) -> usize {
    let largest = members.iter().map(|member| member.value).max().unwrap_or(0);
    let in_error = members.iter_mut().filter(|member| member.health.state == State::Error);
    in_error.filter_map(|member| member.recover(schedule, largest).then_some(())).count()
}

/// Returns the largest load that is left. C remembers the largest before the subtraction of `Next`, which starves a recovering member for a
/// while (reference: lb-shm-status.md section 9.5).
fn decay(members: &mut [Upkeep], schedule: &Schedule) -> u64 {
    let usable = members.iter().filter(|member| member.health.state.is_usable(member.activation));
    let least = usable.map(|member| member.value).min().unwrap_or(0);
    let mut largest = 0;
    for member in members {
        member.value = schedule.method.value_after_maintenance(member.value, schedule.exponent, least);
        member.reply_timeouts = member.reply_timeouts.checked_shr(schedule.exponent).unwrap_or(0);
        largest = largest.max(member.value);
    }
    largest
}

impl Upkeep {
    /// Whether the member is out of error afterwards.
    fn recover(&mut self, schedule: &Schedule, largest: u64) -> bool {
        let state = self.health.state;
        if state == State::Error {
            // Of a clock that was set back far nobody knows how long it was; a member that is tried too early costs less than one that
            // stays out until the old time comes again.
            let waited_s = schedule.now_s.abs_diff(self.health.last_error_s);
            if self.held || waited_s <= u64::from(schedule.recover_time_s) {
                return false;
            }
            self.health.state = State::Recover;
            self.value = schedule.method.value_after_recovery(self.value, largest);
            self.reply_timeouts = 0;
            return true;
        }
        if state != State::Recover && self.health.is_escalated(schedule.now_s, schedule.error_escalation_time_s) {
            self.health.state = State::Error;
            return false;
        }
        self.health.state = state.rested(self.used, self.used_before).unwrap_or(state);
        true
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may panic")]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        method: Method::Request,
        now_s: 1_000,
        exponent: 1,
        recover_time_s: 60,
        error_escalation_time_s: 30,
    };

    fn member(state: State, first_error_s: u64, last_error_s: u64) -> Upkeep {
        Upkeep { health: Health { state, first_error_s, last_error_s }, used: 5, used_before: 3, ..Upkeep::default() }
    }

    fn healthy() -> Upkeep {
        member(State::Ok, 0, 0)
    }

    fn states(members: &[Upkeep]) -> Vec<State> {
        members.iter().map(|member| member.health.state).collect()
    }

    #[test]
    fn error_is_left_after_more_than_the_recover_time() {
        for (last_error_s, expected) in [(941, State::Error), (940, State::Error), (939, State::Recover)] {
            let mut members = [healthy(), member(State::Error, 900, last_error_s)];
            assert_eq!(maintain(&mut members, &SCHEDULE), 0);
            assert_eq!(members[1].health.state, expected, "{last_error_s}");
        }
    }

    #[test]
    fn clock_that_was_set_back_does_not_keep_a_member_out() {
        for (last_error_s, expected) in [(1_060, State::Error), (1_061, State::Recover), (9_999, State::Recover)] {
            let mut members = [healthy(), member(State::Error, 1_000, last_error_s)];
            maintain(&mut members, &SCHEDULE);
            assert_eq!(members[1].health.state, expected, "{last_error_s}");
        }
    }

    #[test]
    fn recovering_member_gets_the_largest_load_after_decay_and_forgets_its_reply_timeouts() {
        let mut members = [healthy(), healthy(), member(State::Error, 1, 1)];
        members[0].value = 30;
        members[1].value = 44;
        members[2].value = 2;
        members[2].reply_timeouts = 40;
        maintain(&mut members, &SCHEDULE);
        assert_eq!(members.map(|member| member.value), [15, 22, 22]);
        assert_eq!(members[2].reply_timeouts, 0);
    }

    #[test]
    fn recovering_member_under_next_gets_what_is_left_after_the_subtraction() {
        let mut members = [healthy(), healthy(), member(State::Error, 1, 1)];
        members[0].value = 1_000;
        members[1].value = 1_004;
        maintain(&mut members, &Schedule { method: Method::Next, ..SCHEDULE });
        assert_eq!(members.map(|member| member.value), [0, 4, 4]);
    }

    #[test]
    fn minimum_of_next_ignores_members_that_get_no_new_work() {
        let mut members = [healthy(), healthy(), member(State::Error, 999, 999), healthy()];
        for (member, value) in members.iter_mut().zip([30, 20, 5, 7]) {
            member.value = value;
        }
        members[3].activation = Activation::Disabled;
        maintain(&mut members, &Schedule { method: Method::Next, ..SCHEDULE });
        assert_eq!(members.map(|member| member.value), [10, 0, 0, 0]);
    }

    #[test]
    fn busyness_keeps_its_loads_through_maintenance_and_recovery() {
        let mut members = [healthy(), member(State::Error, 1, 1)];
        members[0].value = 9;
        members[1].value = 3;
        maintain(&mut members, &Schedule { method: Method::Busyness, ..SCHEDULE });
        assert_eq!(members.map(|member| member.value), [9, 3]);
        assert_eq!(members[1].health.state, State::Recover);
    }

    #[test]
    fn reply_timeouts_decay_under_every_method() {
        for method in Method::ALL {
            let mut members = [healthy()];
            members[0].reply_timeouts = 9;
            maintain(&mut members, &Schedule { method, exponent: 2, ..SCHEDULE });
            assert_eq!(members[0].reply_timeouts, 2, "{method}");
            members[0].reply_timeouts = 9;
            maintain(&mut members, &Schedule { method, exponent: 32, ..SCHEDULE });
            assert_eq!(members[0].reply_timeouts, 0, "{method}");
        }
    }

    #[test]
    fn old_errors_escalate_in_every_state_but_recover() {
        for state in State::ALL {
            let mut members = [healthy(), member(state, 970, 999)];
            maintain(&mut members, &SCHEDULE);
            let expected = if state == State::Recover { State::Recover } else { State::Error };
            assert_eq!(members[1].health.state, expected, "{state}");
        }
    }

    #[test]
    fn young_errors_do_not_escalate() {
        let mut members = [healthy(), member(State::Probe, 971, 999), member(State::Ok, 971, 999)];
        maintain(&mut members, &SCHEDULE);
        assert_eq!(states(&members), [State::Ok, State::Probe, State::Ok]);
    }

    #[test]
    fn unused_members_become_idle_once_a_whole_interval_has_passed() {
        let mut members = [healthy(), healthy()];
        members[1].used_before = members[1].used;
        maintain(&mut members, &SCHEDULE);
        assert_eq!(states(&members), [State::Ok, State::Idle]);
        maintain(&mut members, &SCHEDULE);
        assert_eq!(states(&members), [State::Idle, State::Idle]);
    }

    #[test]
    fn all_in_error_are_forced_out_of_it() {
        let mut members =
            [member(State::Error, 990, 990), member(State::Forced, 900, 990), member(State::Error, 1, 980)];
        members[0].reply_timeouts = 8;
        assert_eq!(maintain(&mut members, &SCHEDULE), 3);
        assert_eq!(states(&members), [State::Forced; 3]);
        assert_eq!(members[0].reply_timeouts, 0);
    }

    #[test]
    fn nobody_is_forced_while_one_member_is_out_of_error() {
        for state in [State::Idle, State::Busy, State::Probe, State::Forced, State::Recover] {
            let mut members = [member(State::Error, 990, 990), member(state, 0, 0)];
            assert_eq!(maintain(&mut members, &SCHEDULE), 0, "{state}");
            assert_eq!(members[0].health.state, State::Error, "{state}");
        }
    }

    #[test]
    fn silent_member_is_forced_for_one_request_only() {
        let silent = Upkeep { silent: true, held: true, ..member(State::Error, 990, 990) };
        let mut members = [member(State::Error, 990, 990), silent];
        assert_eq!(force(&mut members), 1);
        assert_eq!(states(&members), [State::Forced, State::Error]);
        let mut members = [silent, silent];
        assert_eq!((force(&mut members), maintain(&mut members, &SCHEDULE)), (0, 0));
        assert_eq!(states(&members), [State::Error, State::Error]);
        assert_eq!(force_all(&mut members), 2);
        assert_eq!(states(&members), [State::Forced, State::Forced]);
    }

    #[test]
    fn answered_probe_brings_back_whoever_waited_long_enough_and_changes_nothing_else() {
        let mut members = [healthy(), member(State::Error, 1, 1), member(State::Error, 1, 990)];
        members[0].value = 40;
        members[0].used_before = members[0].used;
        assert_eq!(recover_answered(&mut members, &SCHEDULE), 1);
        assert_eq!(states(&members), [State::Ok, State::Recover, State::Error]);
        assert_eq!(members.map(|member| member.value), [40, 40, 0]);
        members[1] = Upkeep { held: true, ..member(State::Error, 1, 1) };
        assert_eq!(recover_answered(&mut members, &SCHEDULE), 0);
    }

    #[test]
    fn member_that_fails_its_background_probes_is_not_tried_with_a_users_request() {
        let mut members = [healthy(), Upkeep { held: true, ..member(State::Error, 1, 1) }];
        maintain(&mut members, &SCHEDULE);
        assert_eq!(members[1].health.state, State::Error);
        members[1].held = false;
        maintain(&mut members, &SCHEDULE);
        assert_eq!(members[1].health.state, State::Recover);
    }
}

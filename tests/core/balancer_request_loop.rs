//! Whole requests with failover, as the engine runs them, and the recorded fates of members (reference: lb-shm-status.md section 2.9, 2.11, 6.2, 6.5).
//!
//! The surprising thing: which members a failing request tries, and in which order, follows from policy and states alone.

#![allow(clippy::indexing_slicing, reason = "tests may panic")]

use crate::balancer_lab::{ANYWHERE, Asked, Lab, with_session};
use mod_jk::balancer::maintenance::{Schedule, Upkeep, maintain};
use mod_jk::balancer::state::{Health, Outcome};
use mod_jk::balancer::{Activation, Method, State};

const FAILS: Outcome = Outcome::Failure { alone: true };

/// A balancer with shared states beside the copies of one request.
struct Balancer {
    lab: Lab,
    shared: Vec<Upkeep>,
    lb_retries: usize,
    retries: usize,
    now_s: u64,
    schedule: Schedule,
}

impl Balancer {
    fn new() -> Self {
        let healthy = Upkeep { health: Health { state: State::Ok, ..Health::default() }, ..Upkeep::default() };
        let schedule = Schedule { recover_time_s: 60, error_escalation_time_s: 30, ..Schedule::default() };
        Self {
            lab: Lab::new(Method::Request, &[1, 1, 1]),
            shared: vec![healthy; 3],
            lb_retries: 2,
            retries: 2,
            now_s: 1_000,
            schedule,
        }
    }

    fn copy_states(&mut self) {
        for (copy, shared) in self.lab.members.iter_mut().zip(&self.shared) {
            copy.state = shared.health.state;
        }
    }

    /// Runs one request; `outcome(number)` is what happens at a member. Returns the members tried, and `-` at the end for nobody left.
    fn request(&mut self, asked: Asked<'_>, outcome: impl Fn(usize) -> Outcome) -> String {
        let mut tried = String::new();
        let (mut attempt, mut round, mut forced) = (0, 0, false);
        self.copy_states();
        loop {
            if attempt >= self.lb_retries.min(self.shared.len()) {
                round += 1;
                if round >= self.retries {
                    return tried;
                }
                attempt = 0;
                self.copy_states();
            }
            let Ok(number) = self.lab.start(asked) else {
                if !forced && self.force() > 0 {
                    forced = true;
                    continue;
                }
                forced = true;
                attempt += 1;
                if attempt >= self.lb_retries.min(self.shared.len()) && round + 1 >= self.retries {
                    return tried + "-";
                }
                continue;
            };
            tried.push_str(&number.to_string());
            let shared = &mut self.shared[number - 1];
            shared.used += 1;
            let state = shared.health.state;
            shared.health.state = state.elected().unwrap_or(state);
            let verdict = shared.health.after(outcome(number), self.now_s, self.schedule.error_escalation_time_s);
            shared.health = verdict.shared;
            self.lab.member(number).state = verdict.local;
            self.lab.finish(number, 0);
            if outcome(number) == Outcome::Success {
                return tried;
            }
            attempt += 1;
        }
    }

    fn force(&mut self) -> usize {
        let mut changed = 0;
        for (copy, shared) in self.lab.members.iter_mut().zip(&mut self.shared) {
            if let Some(state) = shared.health.state.forced() {
                shared.health.state = state;
                copy.state = state;
                changed += 1;
            }
        }
        changed
    }

    fn maintain(&mut self, now_s: u64) {
        self.now_s = now_s;
        for (shared, copy) in self.shared.iter_mut().zip(&self.lab.members) {
            shared.value = copy.value;
        }
        maintain(&mut self.shared, &Schedule { now_s, ..self.schedule });
        for (shared, copy) in self.shared.iter().zip(&mut self.lab.members) {
            copy.value = shared.value;
        }
    }

    fn states(&self) -> String {
        let texts: Vec<_> = self.shared.iter().map(|member| member.health.state.text()).collect();
        texts.join(" ")
    }
}

#[test]
fn request_that_fails_everywhere_tries_each_member_then_forces_recovery_once() {
    for (lb_retries, retries, tried, states) in [
        (2, 2, "1231", "ERR ERR/FRC ERR/FRC"),
        (3, 2, "123123", "ERR ERR ERR"),
        (9, 2, "123123", "ERR ERR ERR"),
        (2, 1, "12", "ERR ERR OK"),
        (1, 3, "123", "ERR ERR ERR"),
    ] {
        let mut balancer = Balancer { lb_retries, retries, ..Balancer::new() };
        assert_eq!(balancer.request(ANYWHERE, |_| FAILS), tried, "{lb_retries} {retries}");
        assert_eq!(balancer.states(), states, "{lb_retries} {retries}");
    }
}

#[test]
fn request_that_finds_all_members_in_error_forces_them_at_once_and_then_finds_nobody() {
    let mut balancer = Balancer { lb_retries: 3, ..Balancer::new() };
    balancer.request(ANYWHERE, |_| FAILS);
    let second = balancer.request(ANYWHERE, |_| FAILS);
    assert_eq!((second.len(), second.ends_with('-')), (4, true), "{second}");
    assert_eq!(balancer.states(), "ERR ERR ERR");
}

#[test]
fn first_member_that_is_back_is_found_by_the_next_request() {
    let mut balancer = Balancer::new();
    for _ in 0..4 {
        balancer.request(ANYWHERE, |_| FAILS);
    }
    let back = |number| if number == 1 { Outcome::Success } else { FAILS };
    assert!(balancer.request(ANYWHERE, back).ends_with('1'));
    assert_eq!(balancer.shared[0].health, Health { state: State::Ok, first_error_s: 0, last_error_s: 0 });
}

#[test]
fn killed_member_costs_one_request_a_detour_and_no_request_its_answer() {
    let mut balancer = Balancer::new();
    let killed = |number| if number == 2 { FAILS } else { Outcome::Success };
    assert_eq!(balancer.request(ANYWHERE, killed), "1");
    assert_eq!(balancer.request(ANYWHERE, killed), "23");
    assert_eq!(balancer.states(), "OK ERR OK");
    for number in ["1", "3", "1", "3"] {
        assert_eq!(balancer.request(ANYWHERE, killed), number);
    }
}

#[test]
fn recovered_member_is_tried_by_one_request_and_in_service_again_after_it() {
    let mut balancer = Balancer::new();
    let killed = |number| if number == 2 { FAILS } else { Outcome::Success };
    for _ in 0..8 {
        balancer.request(ANYWHERE, killed);
    }
    balancer.maintain(1_060);
    assert_eq!(balancer.states(), "OK ERR OK");
    balancer.maintain(1_061);
    assert_eq!(balancer.shared[1].health.state, State::Recover);
    let tried: String = (0..3).map(|_| balancer.request(ANYWHERE, |_| Outcome::Success)).collect();
    assert_eq!(tried.matches('2').count(), 1, "{tried}");
    assert_eq!(balancer.states(), "OK OK OK");
}

#[test]
fn member_being_probed_gets_no_second_request() {
    let mut balancer = Balancer::new();
    balancer.shared[1].health.state = State::Recover;
    balancer.shared[1].health.state = State::Recover.elected().unwrap_or_default();
    for _ in 0..6 {
        assert_ne!(balancer.request(ANYWHERE, |_| Outcome::Success), "2");
        assert_ne!(balancer.request(with_session("a.w2"), |_| Outcome::Success), "2");
    }
}

#[test]
fn slow_probe_falls_back_to_error_by_maintenance_and_its_success_ends_the_error() {
    let mut balancer = Balancer::new();
    balancer.schedule = Schedule { recover_time_s: 3, error_escalation_time_s: 1, ..balancer.schedule };
    let health = Health::default().after(FAILS, 1_000, 1).shared;
    balancer.shared[1].health = health;
    balancer.maintain(1_004);
    let states = |balancer: &Balancer| balancer.shared[1].health.state.text();
    assert_eq!(states(&balancer), "ERR/REC");
    balancer.shared[1].health.state = State::Recover.elected().unwrap_or_default();
    assert_eq!(states(&balancer), "ERR/PRB");
    balancer.maintain(1_005);
    assert_eq!(states(&balancer), "ERR");
    balancer.shared[1].health = balancer.shared[1].health.after(Outcome::Success, 1_006, 1).shared;
    assert_eq!(states(&balancer), "OK");
}

#[test]
fn failures_beside_a_running_request_are_local_until_the_escalation_time() {
    let mut balancer = Balancer::new();
    balancer.schedule.error_escalation_time_s = 4;
    let outcome = |number| if number == 2 { Outcome::Failure { alone: false } } else { Outcome::Success };
    for (now_s, state) in [(1_000, "OK"), (1_001, "OK"), (1_002, "OK"), (1_002, "OK"), (1_003, "OK"), (1_004, "ERR")] {
        balancer.now_s = now_s;
        let tried = balancer.request(with_session("abc.w2"), outcome);
        assert!(tried.len() == 2 && tried.starts_with('2'), "{tried}");
        assert_eq!(balancer.shared[1].health.state.text(), state, "{now_s}");
    }
    // The slow request that was running all the time succeeds.
    balancer.shared[1].health = balancer.shared[1].health.after(Outcome::Success, 1_006, 4).shared;
    assert_eq!(balancer.states(), "OK OK OK");
}

#[test]
fn busy_member_sends_its_sessions_elsewhere_until_it_is_released() {
    let mut balancer = Balancer::new();
    let limit = |number| if number == 2 { Outcome::BusyLimit } else { Outcome::Success };
    let tried = balancer.request(with_session("abc.w2"), limit);
    assert!(tried.len() == 2 && tried.starts_with('2'), "{tried}");
    assert_eq!(balancer.states(), "OK OK/BUSY OK");
    assert_ne!(balancer.request(with_session("abc.w2"), limit), "2");
    assert_eq!(State::Busy.released(1, 1, true), None);
    let released = State::Busy.released(0, 1, true);
    balancer.shared[1].health.state = released.unwrap_or(State::Busy);
    assert_eq!(balancer.request(with_session("abc.w2"), |_| Outcome::Success), "2");
}

#[test]
fn busy_members_are_not_forced() {
    let mut balancer = Balancer::new();
    for member in &mut balancer.shared {
        member.health.state = State::Busy;
    }
    assert_eq!(balancer.request(ANYWHERE, |_| Outcome::Success), "-");
    assert_eq!(balancer.states(), "OK/BUSY OK/BUSY OK/BUSY");
}

#[test]
fn forced_session_is_probed_at_its_member_by_every_request() {
    let mut balancer = Balancer::new();
    balancer.lab.sticky_force = true;
    let killed = |number| if number == 2 { FAILS } else { Outcome::Success };
    assert_eq!(balancer.request(with_session("abc.w2"), killed), "22-");
    assert_eq!(balancer.request(with_session("abc.w2"), killed), "2-");
    assert_eq!(balancer.request(with_session("abc.w2"), |_| Outcome::Success), "2");
}

#[test]
fn session_with_two_homes_goes_to_the_second_when_the_first_fails() {
    let mut balancer = Balancer::new();
    let killed = |number| if number == 2 { FAILS } else { Outcome::Success };
    assert_eq!(balancer.request(with_session("a.w2;b.w3"), killed), "23");
}

#[test]
fn disabled_member_in_error_is_not_healed_by_requests_for_others() {
    let mut balancer = Balancer::new();
    balancer.lab.member(2).activation = Activation::Disabled;
    balancer.shared[1].health = Health { state: State::Error, first_error_s: 990, last_error_s: 990 };
    for _ in 0..4 {
        assert_ne!(balancer.request(ANYWHERE, |_| Outcome::Success), "2");
    }
    assert_eq!(balancer.states(), "OK ERR OK");
}

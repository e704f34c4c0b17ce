//! The states of members, driven by random events, against the table of the reference (lb-shm-status.md section 2.9 to 2.11) written
//! down once more, as text. The surprising thing: the model knows states by the words of the status page and shares no code with ours.

#![allow(clippy::indexing_slicing, reason = "tests may panic")]

use mod_jk::balancer::maintenance::{Schedule, Upkeep, force, maintain};
use mod_jk::balancer::state::Outcome;
use mod_jk::balancer::{Method, State};
use proptest::prelude::*;

const RECOVER_TIME_S: u32 = 60;

#[derive(Clone, Copy, Debug)]
enum Event {
    Elect,
    Finish(Outcome),
    Maintain,
    ForceAll,
    RecoverCommand,
    ResetCommand,
    Release { below_limit: bool, free_slot: bool },
    Hold(bool),
    Wait(u64),
}

/// One member in the words of the reference; errors are kept as "since" and "last" (0 = none).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    state: &'static str,
    since: u64,
    last: u64,
    touched: bool,
    held: bool,
}

impl Model {
    fn finish(&mut self, outcome: Outcome, now: u64, escalation: u32) {
        let (row, clears, stamps) = match outcome {
            Outcome::Success | Outcome::ClientError | Outcome::SoftStatus => ("OK", true, false),
            Outcome::BusyLimit => ("OK/BUSY", false, false),
            Outcome::NoEndpoint => ("OK/BUSY unless ERR", false, false),
            Outcome::HardStatus | Outcome::ReplyTimeout { over_limit: true } => {
                self.since = now;
                ("ERR", false, true)
            }
            Outcome::ReplyTimeout { over_limit: false } | Outcome::ProtocolError | Outcome::ServerError => {
                ("OK unless ERR", false, false)
            }
            Outcome::Failure { alone } => {
                let old = self.since != 0 && now >= self.since + u64::from(escalation);
                (if alone || escalation == 0 || old { "ERR" } else { "OK unless ERR" }, false, true)
            }
        };
        match row.split_once(" unless ") {
            Some((_, exception)) if self.state == exception => {}
            Some((state, _)) => self.state = state,
            None => self.state = row,
        }
        if clears {
            (self.since, self.last) = (0, 0);
        }
        if stamps {
            self.last = now;
            if self.since == 0 {
                self.since = now;
            }
        }
    }

    /// Whether it is out of error.
    fn maintain(&mut self, now: u64, escalation: u32) -> bool {
        let touched = std::mem::take(&mut self.touched);
        let old = self.since != 0 && now >= self.since + u64::from(escalation);
        match self.state {
            "ERR" if !self.held && now > self.last + u64::from(RECOVER_TIME_S) => self.state = "ERR/REC",
            "ERR" | "ERR/REC" => {}
            _ if old => self.state = "ERR",
            "OK" if !touched => self.state = "OK/IDLE",
            _ => {}
        }
        self.state != "ERR"
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        1 => Just(Outcome::ClientError),
        1 => Just(Outcome::SoftStatus),
        1 => Just(Outcome::HardStatus),
        1 => Just(Outcome::BusyLimit),
        1 => Just(Outcome::NoEndpoint),
        1 => any::<bool>().prop_map(|over_limit| Outcome::ReplyTimeout { over_limit }),
        1 => Just(Outcome::ProtocolError),
        1 => Just(Outcome::ServerError),
        3 => any::<bool>().prop_map(|alone| Outcome::Failure { alone }),
    ]
}

fn any_event() -> impl Strategy<Value = (usize, Event)> {
    let event = prop_oneof![
        6 => Just(Event::Elect),
        6 => any_outcome().prop_map(Event::Finish),
        3 => Just(Event::Maintain),
        1 => Just(Event::ForceAll),
        1 => Just(Event::RecoverCommand),
        1 => Just(Event::ResetCommand),
        2 => any::<(bool, bool)>().prop_map(|(below_limit, free_slot)| Event::Release { below_limit, free_slot }),
        1 => any::<bool>().prop_map(Event::Hold),
        4 => (0_u64..50).prop_map(Event::Wait),
    ];
    (0_usize..3, event)
}

/// Our side: what `worker` and `status` do with the answers.
struct Ours {
    members: [Upkeep; 3],
    now_s: u64,
    escalation: u32,
}

impl Ours {
    fn apply(&mut self, index: usize, event: Event) {
        let schedule = Schedule {
            method: Method::Request,
            now_s: self.now_s,
            exponent: 1,
            recover_time_s: RECOVER_TIME_S,
            error_escalation_time_s: self.escalation,
        };
        let member = &mut self.members[index];
        let state = member.health.state;
        match event {
            Event::Elect => {
                member.used += 1;
                member.health.state = state.elected().unwrap_or(state);
            }
            Event::Finish(outcome) => member.health = member.health.after(outcome, self.now_s, self.escalation).shared,
            Event::Maintain => {
                maintain(&mut self.members, &schedule);
            }
            Event::ForceAll => {
                force(&mut self.members);
            }
            Event::RecoverCommand => member.health.state = state.recovered().unwrap_or(state),
            Event::ResetCommand => *member = Upkeep { held: member.held, ..Upkeep::default() },
            Event::Release { below_limit, free_slot } => {
                let busy = if below_limit { 3 } else { 4 };
                member.health.state = state.released(busy, 4, free_slot).unwrap_or(state);
            }
            Event::Hold(held) => member.held = held,
            Event::Wait(seconds) => self.now_s += seconds,
        }
    }
}

fn apply_to_model(models: &mut [Model; 3], index: usize, event: Event, now: u64, escalation: u32) {
    let model = &mut models[index];
    match event {
        Event::Elect => {
            model.touched = true;
            if model.state == "ERR/REC" {
                model.state = "ERR/PRB";
            }
        }
        Event::Finish(outcome) => model.finish(outcome, now, escalation),
        Event::Maintain => {
            let out_of_error =
                models.iter_mut().filter_map(|model| model.maintain(now, escalation).then_some(())).count();
            if out_of_error == 0 {
                models.iter_mut().for_each(|model| model.state = "ERR/FRC");
            }
        }
        Event::ForceAll => {
            models.iter_mut().filter(|model| model.state == "ERR").for_each(|model| model.state = "ERR/FRC");
        }
        Event::RecoverCommand if model.state == "ERR" => model.state = "ERR/REC",
        Event::ResetCommand => (model.state, model.since, model.last, model.touched) = ("OK/IDLE", 0, 0, false),
        Event::Release { below_limit: true, free_slot: true } if model.state == "OK/BUSY" => model.state = "OK",
        Event::Hold(held) => model.held = held,
        Event::RecoverCommand | Event::Release { .. } | Event::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn states_follow_the_table_of_the_reference(
        events in prop::collection::vec(any_event(), 1..80),
        escalation in prop::sample::select(vec![0_u32, 1, 30]),
    ) {
        let start = Model { state: "OK/IDLE", since: 0, last: 0, touched: false, held: false };
        let mut models = [start.clone(), start.clone(), start];
        let mut ours = Ours { members: [Upkeep::default(); 3], now_s: 1_000, escalation };
        for (index, event) in events {
            apply_to_model(&mut models, index, event, ours.now_s, escalation);
            ours.apply(index, event);
            for (member, model) in ours.members.iter().zip(&models) {
                prop_assert_eq!(member.health.state.text(), model.state, "{:?}", event);
                prop_assert_eq!((member.health.first_error_s, member.health.last_error_s), (model.since, model.last), "{:?}", event);
            }
        }
    }

    #[test]
    fn member_that_answers_again_always_comes_back(events in prop::collection::vec(any_event(), 0..60), index in 0_usize..3) {
        let mut ours = Ours { members: [Upkeep::default(); 3], now_s: 1_000, escalation: 30 };
        for (index, event) in events {
            ours.apply(index, event);
        }
        ours.apply(index, Event::Hold(false));
        ours.apply(index, Event::Release { below_limit: true, free_slot: true });
        // Stale probes and old errors escalate at the first maintenance, leave the error at the second.
        for _ in 0..2 {
            ours.apply(index, Event::Wait(u64::from(RECOVER_TIME_S) + 1));
            ours.apply(index, Event::Maintain);
        }
        let state = ours.members[index].health.state;
        prop_assert!(state.takes_requests() || (state == State::Probe && ours.members[index].health.first_error_s == 0), "{}", state);
        ours.apply(index, Event::Elect);
        ours.apply(index, Event::Finish(Outcome::Success));
        prop_assert_eq!(ours.members[index].health.state, State::Ok);
    }

    #[test]
    fn failed_request_never_tries_the_same_member_again(state in 0_u8..7, outcome in any_outcome(), first_error_s in 0_u64..2_000) {
        let health = mod_jk::balancer::state::Health { state: State::from_code(state), first_error_s, last_error_s: first_error_s };
        let verdict = health.after(outcome, 1_000, 30);
        prop_assert_eq!(verdict.local.takes_requests(), outcome == Outcome::Success);
    }
}

//! The last ten minutes of an AJP worker, as the status page draws them.
//!
//! Not here: the drawing. The surprising thing: times are made up, so ten minutes pass in no time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::sync::atomic::{AtomicU64, Ordering};

use mod_jk::config::{AjpConfig, Config};
use mod_jk::shm::{AjpSlot, PERIOD_S, PERIODS, Period, Plan, Region};
use proptest::prelude::*;

/// The beginning of a period.
const START: u64 = 1_795_351_480;

fn region() -> Region {
    let config = Config { ajp: vec![AjpConfig { name: "w".to_owned(), ..AjpConfig::default() }], ..Config::default() };
    Region::anonymous(&Plan::new(&config, 2, START).unwrap()).unwrap()
}

fn slot(region: &Region) -> &AjpSlot {
    region.ajp(0).unwrap()
}

/// Requests per period, without the empty ones at the beginning.
fn requests(slot: &AjpSlot, now_s: u64) -> Vec<u64> {
    slot.history(now_s).iter().map(|period| period.requests).skip_while(|requests| *requests == 0).collect()
}

#[test]
fn a_request_is_shown_in_the_ten_seconds_in_which_it_came() {
    let region = region();
    let slot = slot(&region);
    for (second, count) in [(0, 2), (9, 1), (10, 5), (35, 4)] {
        (0..count).for_each(|_| slot.count_used(START + second));
    }
    assert_eq!(requests(slot, START + 39), [3, 5, 0, 4]);
    // Nobody counts any more, and time goes on.
    assert_eq!(requests(slot, START + 61), [3, 5, 0, 4, 0, 0, 0]);
    let last_of_ten_minutes = START + PERIOD_S * (PERIODS as u64 - 1);
    assert_eq!(requests(slot, last_of_ten_minutes)[0], 3);
    assert_eq!(requests(slot, last_of_ten_minutes + PERIOD_S)[0], 5);
    assert_eq!(requests(slot, START + 3_600), [0; 0]);
}

#[test]
fn errors_are_shown_beside_requests() {
    let region = region();
    let slot = slot(&region);
    slot.count_used(START);
    slot.count_error(START + 10);
    slot.count_used(START + 11);
    let history = slot.history(START + 20);
    assert_eq!(history[PERIODS - 3], Period { requests: 1, errors: 0 });
    assert_eq!(history[PERIODS - 2], Period { requests: 1, errors: 1 });
    assert_eq!(slot.error_time.get(), START + 10);
}

#[test]
fn a_reset_begins_to_count_anew_and_keeps_what_was() {
    let region = region();
    let slot = slot(&region);
    (0..7).for_each(|_| slot.count_used(START));
    slot.count_used(START + 10);
    region.lock().unwrap().reset_ajp(0, START + 11).unwrap();
    slot.count_used(START + 12);
    assert_eq!(requests(slot, START + 12), [7, 1]);
}

#[test]
fn a_restart_goes_on_with_what_was() {
    let old = region();
    (0..7).for_each(|_| slot(&old).count_used(START));
    slot(&old).count_used(START + 10);
    let new = region();
    new.adopt(&old, false).unwrap();
    slot(&new).count_used(START + 11);
    slot(&new).count_used(START + 25);
    assert_eq!(requests(slot(&new), START + 25), [7, 2, 1]);
}

#[test]
fn a_clock_that_is_set_back_loses_no_request() {
    let region = region();
    let slot = slot(&region);
    slot.count_used(START + 1_000);
    slot.count_used(START);
    slot.count_used(START + 10);
    assert_eq!(requests(slot, START + 10), [1, 1]);
}

#[test]
fn who_comes_just_after_the_turn_with_the_time_before_it_undoes_no_period() {
    let region = region();
    let slot = slot(&region);
    slot.count_used(START);
    slot.count_used(START + 10);
    slot.count_used(START + 9);
    slot.count_used(START + 10);
    assert_eq!(requests(slot, START + 10), [1, 3]);
}

#[test]
fn threads_that_meet_at_the_turn_of_a_period_lose_no_request() {
    const ROUNDS: u64 = 40;
    const EACH: u64 = 300;
    let region = region();
    let clock = AtomicU64::new(START);
    // Nobody falls behind by more than a period, as nobody does in ten seconds.
    let round = std::sync::Barrier::new(5);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    (0..EACH).for_each(|_| slot(&region).count_used(clock.load(Ordering::Relaxed)));
                    round.wait();
                }
            });
        }
        for _ in 0..ROUNDS {
            (0..EACH).for_each(|_| std::hint::spin_loop());
            clock.fetch_add(PERIOD_S, Ordering::Relaxed);
            round.wait();
        }
    });
    let shown: u64 = requests(slot(&region), clock.load(Ordering::Relaxed)).iter().sum();
    assert_eq!(shown, 4 * ROUNDS * EACH);
}

proptest! {
    #[test]
    fn the_ring_is_what_a_list_of_all_requests_says(steps in prop::collection::vec((0..40_u64, any::<bool>()), 1..200)) {
        let region = region();
        let slot = slot(&region);
        let mut now_s = START;
        let mut events = Vec::new();
        for (pause, is_error) in steps {
            now_s += pause;
            if is_error { slot.count_error(now_s) } else { slot.count_used(now_s) }
            events.push((now_s / PERIOD_S, is_error));
            let counted = |number: u64, errors: bool| {
                events.iter().filter(|event| **event == (number, errors)).count() as u64
            };
            let newest = now_s / PERIOD_S;
            for (period, age) in slot.history(now_s).iter().rev().zip(0..) {
                let expected = Period { requests: counted(newest - age, false), errors: counted(newest - age, true) };
                prop_assert_eq!(*period, expected);
            }
        }
    }
}

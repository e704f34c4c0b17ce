//! Tests of the in-flight counts: who counts where, and what a death leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use super::super::tests::{forks, region};
use super::*;
use crate::balancer::Method;

/// A pid that no process has: above the kernel's limit of 2^22.
const NOBODY: u32 = 0x7FFF_FFFF;

#[test]
fn counts_while_the_guard_lives_and_remembers_the_most() {
    let region = region();
    let child = region.register_child().unwrap();
    let first = region.enter_ajp(child, 1);
    let second = region.enter_ajp(child, 1);
    assert_eq!((first.total(), second.total(), region.ajp_busy(1), region.ajp_busy(0)), (1, 2, 2, 0));
    drop(first);
    drop(second);
    assert_eq!((region.ajp_busy(1), region.ajp(1).unwrap().max_busy.get()), (0, 2));
}

#[test]
fn balancers_and_connections_have_counts_of_their_own() {
    let region = Arc::new(region());
    let child = region.register_child().unwrap();
    let connected = region.connect(child, 1);
    let busy = region.enter_lb(child, 0);
    assert_eq!((region.ajp_connected(1), region.ajp_busy(1), region.lb_busy(0)), (1, 0, 1));
    drop((connected, busy));
    assert_eq!((region.ajp_connected(1), region.lb_busy(0)), (0, 0));
    assert_eq!((region.ajp(1).unwrap().max_connected.get(), region.lb(0).unwrap().max_busy.get()), (1, 1));
}

#[test]
fn counts_of_all_members_are_those_of_each() {
    let region = region();
    let child = region.register_child().unwrap();
    let _busy = (region.enter_ajp(child, 1), region.enter_ajp(Child::UNREGISTERED, 1), region.enter_ajp(child, 2));
    assert_eq!(region.busy_of_members(0).collect::<Vec<_>>(), [0, 2, 1]);
    assert_eq!(region.busy_of_members(9).count(), 0);
    region.header().entries_used.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(region.busy_of_members(0).collect::<Vec<_>>(), [0, 2, 1]);
}

fn region_by_busyness() -> Region {
    let region = region();
    let settings = crate::config::LbSettings { method: Method::Busyness, ..region.lb(0).unwrap().settings() };
    region.lock().unwrap().set_lb_settings(0, &settings).unwrap();
    region
}

#[test]
fn load_of_a_dead_child_is_taken_back_and_that_of_the_living_stays() {
    let region = region_by_busyness();
    let (living, dead) = (region.register_child().unwrap(), region.claim(NOBODY, 0).unwrap());
    let value = || region.member(0).unwrap().value.get();
    std::mem::forget(region.weigh(dead, 0, 6));
    std::mem::forget(region.weigh(dead, 0, 6));
    let own = region.weigh(living, 0, 6);
    assert_eq!(value(), 18);
    assert_eq!((region.reap_children().unwrap(), value()), (1, 6));
    drop(own);
    assert_eq!(value(), 0);
}

#[test]
fn load_of_a_dead_child_is_taken_back_by_the_steps_of_its_elections() {
    let region = region_by_busyness();
    let (living, dead) = (region.register_child().unwrap(), region.claim(NOBODY, 0).unwrap());
    let value = |index: usize| region.member(index).unwrap().value.get();
    let own = region.weigh(living, 0, 6);
    // Slow start makes a step larger than the multiplier, a new lbfactor the multiplier another one than the step.
    std::mem::forget(region.weigh(dead, 0, 600));
    std::mem::forget(region.weigh(dead, 1, 3));
    let heavier = crate::config::MemberSettings { lb_factor: 6, ..region.member(1).unwrap().settings() };
    region.lock().unwrap().set_member_settings(1, &heavier).unwrap();
    assert_ne!(region.member(1).unwrap().multiplier(), 3);
    region.member(1).unwrap().value.add(40);
    assert_eq!((region.reap_children().unwrap(), value(0), value(1)), (1, 6, 40));
    drop(own);
    assert_eq!(value(0), 0);
}

#[test]
fn load_that_was_taken_back_is_not_taken_back_again_by_its_request() {
    let region = region_by_busyness();
    let (living, taken_for_dead) = (region.register_child().unwrap(), region.claim(NOBODY, 0).unwrap());
    let late = region.weigh(taken_for_dead, 0, 6);
    let _own = region.weigh(living, 0, 6);
    region.reap_children().unwrap();
    drop(late);
    drop(region.weigh(taken_for_dead, 0, 6));
    assert_eq!(region.member(0).unwrap().value.get(), 6);
}

#[test]
fn load_under_other_methods_is_not_touched_by_a_death() {
    let region = region();
    let dead = region.claim(NOBODY, 0).unwrap();
    std::mem::forget(region.weigh(dead, 0, 6));
    region.member(0).unwrap().value.set(600);
    region.reap_children().unwrap();
    assert_eq!(region.member(0).unwrap().value.get(), 600);
}

#[test]
fn changing_to_busyness_and_back_begins_at_zero() {
    let region = region();
    region.member(1).unwrap().value.set(77);
    let change = |method| {
        let settings = crate::config::LbSettings { method, ..region.lb(0).unwrap().settings() };
        region.lock().unwrap().set_lb_settings(0, &settings).unwrap();
        region.member(1).unwrap().value.get()
    };
    assert_eq!(change(Method::Sessions), 77);
    assert_eq!(change(Method::Busyness), 0);
    region.member(1).unwrap().value.set(3);
    assert_eq!(change(Method::Busyness), 3);
    assert_eq!(change(Method::Request), 0);
}

#[test]
fn registering_twice_gives_the_same_entry() {
    let region = region();
    assert_eq!(region.register_child().unwrap(), region.register_child().unwrap());
}

#[test]
fn what_a_dead_child_had_in_flight_is_taken_back() {
    let region = region();
    let dead = region.claim(NOBODY, 0).unwrap();
    std::mem::forget(region.enter_ajp(dead, 0));
    std::mem::forget(region.enter_lb(dead, 0));
    let living = region.register_child().unwrap();
    assert_eq!(region.ajp_busy(0), 0, "registering reaps");
    let _busy = region.enter_ajp(living, 0);
    assert_eq!(region.reap_children().unwrap(), 0);
    assert_eq!((region.ajp_busy(0), region.lb_busy(0)), (1, 0));
}

#[test]
fn a_reused_pid_does_not_keep_the_counts_of_the_dead() {
    let region = region();
    let own = std::process::id();
    let before = region.claim(own, 1).unwrap();
    std::mem::forget(region.enter_ajp(before, 0));
    assert_eq!(region.reap_children().unwrap(), 1);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn claiming_with_the_pid_of_an_entry_whose_start_is_unknown_clears_it() {
    let region = region();
    let own = std::process::id();
    let before = region.claim(own, 0).unwrap();
    std::mem::forget(region.enter_ajp(before, 0));
    let after = region.claim(own, 0).unwrap();
    assert_ne!(before, after);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn a_zombie_is_dead() {
    let child = forks::fork(|| 0);
    child.wait_until_zombie();
    assert!(is_dead(child.pid(), 0));
}

#[test]
fn this_process_is_alive() {
    assert!(!is_dead(std::process::id(), start_time_of(None)));
    assert_ne!(start_time_of(None), 0);
}

#[test]
fn a_number_that_is_no_pid_is_dead() {
    assert!(is_dead(u32::MAX, 0));
    assert!(is_dead(NOBODY, 0));
}

#[test]
fn a_handle_from_before_the_reaping_counts_nothing() {
    let region = region();
    let stale = region.claim(NOBODY, 0).unwrap();
    let busy = region.enter_ajp(stale, 0);
    region.reap_children().unwrap();
    let next = region.register_child().unwrap();
    let _counted = region.enter_ajp(next, 0);
    drop(busy);
    assert_eq!(region.ajp_busy(0), 1);
    let _uncounted = region.enter_ajp(stale, 0);
    assert_eq!(region.ajp_busy(0), 1);
}

#[test]
fn leaving_stops_at_zero() {
    let region = region();
    let child = region.register_child().unwrap();
    let busy = region.enter_ajp(child, 0);
    region.row(0)[child.entry.unwrap()].store(0, Ordering::Relaxed);
    drop(busy);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn counting_stops_at_the_limit_of_the_cell_and_comes_back_to_where_it_was() {
    let region = region();
    let child = region.register_child().unwrap();
    region.row(0)[child.entry.unwrap()].store(u16::MAX, Ordering::Relaxed);
    drop(region.enter_ajp(child, 0));
    assert_eq!(region.ajp_busy(0), u32::from(u16::MAX));
}

#[test]
fn what_a_straggler_counted_in_a_free_entry_is_cleared() {
    let region = region();
    let child = region.register_child().unwrap();
    let index = child.entry.unwrap();
    region.release_child(child).unwrap();
    region.row(0)[index].store(3, Ordering::Relaxed);
    assert_eq!(region.ajp_busy(0), 3);
    assert_eq!(region.reap_children().unwrap(), 0);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn a_released_entry_is_free_for_the_next_child() {
    let region = region();
    let first = region.register_child().unwrap();
    std::mem::forget(region.enter_ajp(first, 0));
    region.release_child(first).unwrap();
    assert_eq!(region.ajp_busy(0), 0);
    let second = region.register_child().unwrap();
    assert_eq!(first.entry, second.entry);
    assert_ne!(first.generation, second.generation);
}

#[test]
fn children_without_an_entry_are_counted_together() {
    let region = region();
    let parked = (0..5).map(|_| forks::fork(forks::park)).collect::<Vec<_>>();
    let claims = parked.iter().map(|child| region.claim(child.pid(), 0).unwrap().has_entry()).collect::<Vec<_>>();
    assert_eq!(claims, [true, true, true, true, false]);
    let busy = region.enter_ajp(Child::UNREGISTERED, 0);
    assert_eq!((busy.total(), region.ajp_busy(0)), (1, 1));
    drop(busy);
    assert_eq!(region.ajp_busy(0), 0);
}

#[test]
fn a_reaper_that_died_half_way_is_finished_by_the_next() {
    let region = region();
    let dead = region.claim(NOBODY, 0).unwrap();
    std::mem::forget(region.enter_ajp(dead, 0));
    std::mem::forget(region.enter_lb(dead, 0));
    // As far as a killed `clear` may have come: generation and some cells.
    region.entries()[0].generation.fetch_add(1, Ordering::Relaxed);
    region.row(0)[0].store(0, Ordering::Relaxed);
    assert_eq!(region.reap_children().unwrap(), 1);
    assert_eq!((region.ajp_busy(0), region.lb_busy(0)), (0, 0));
}

#[test]
fn reads_the_fields_after_a_command_with_blanks_and_parentheses() {
    let text = b"42 (a b) Z 1) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 18 777 20 21\n";
    let stat = Stat::parse(text).unwrap();
    assert_eq!((stat.state, stat.threads, stat.start_time), (b'S', 7, 777));
    assert!(!stat.is_finished());
}

#[test]
fn a_zombie_with_running_threads_is_not_finished() {
    assert!(!Stat { state: b'Z', threads: 2, start_time: 0 }.is_finished());
    assert!(Stat { state: b'Z', threads: 1, start_time: 0 }.is_finished());
}

//! Tests of what survives a graceful restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use super::super::tests::{config, member, region, region_of};
use super::super::{Child, Region};
use crate::balancer::{Activation, Method, State};
use crate::config::{Config, LbConfig, LbSettings, MemberSettings, WorkerConfig};

fn lb(config: &mut Config) -> &mut LbConfig {
    match &mut config.list[0] {
        WorkerConfig::Lb(lb) => lb,
        _ => unreachable!(),
    }
}

fn adopted(config: &Config, old: &Region, keep_edits: bool) -> Region {
    let new = region_of(config);
    new.adopt(old, keep_edits).unwrap();
    new
}

#[test]
fn counters_and_errors_follow_the_name_and_not_the_index() {
    let old = region();
    old.ajp(2).unwrap().used.set(50);
    old.ajp(2).unwrap().note_cpong();
    old.ajp(2).unwrap().first_byte_time.record(1_000_000);
    old.member(2).unwrap().errors.set(5);
    old.member(2).unwrap().last_error_time.set(77);
    old.member(2).unwrap().state.set(State::Error);
    let mut config = config();
    config.ajp.swap(0, 2);
    let new = adopted(&config, &old, false);
    let index = new.plan().ajp_index("w2").unwrap();
    assert_eq!((index, new.ajp(0).unwrap().used.get(), new.ajp(2).unwrap().used.get()), (0, 50, 0));
    assert!(new.ajp(0).unwrap().cpong_seen());
    assert_eq!(new.ajp(0).unwrap().first_byte_time.sum_us(), 1_000);
    let slot = new.member(new.plan().member_index(0, "w2").unwrap()).unwrap();
    assert_eq!((slot.errors.get(), slot.last_error_time.get(), slot.state.get()), (5, 77, State::Error));
}

#[test]
fn requests_in_flight_stay_with_the_old_generation() {
    let old = region();
    let _busy = old.enter_ajp(Child::UNREGISTERED, 0);
    let new = adopted(&config(), &old, false);
    assert_eq!((new.ajp_busy(0), new.ajp(0).unwrap().max_busy.get()), (0, 1));
}

#[test]
fn the_error_state_is_not_that_of_another_address() {
    let old = region();
    old.member(1).unwrap().state.set(State::Error);
    old.member(1).unwrap().errors.set(4);
    let mut config = config();
    config.ajp[1].settings.port = 9_999;
    let new = adopted(&config, &old, false);
    let slot = new.member(1).unwrap();
    assert_eq!((slot.state.get(), slot.errors.get()), (State::Idle, 4));
}

#[test]
fn slow_start_and_latency_go_on_at_the_same_address_only() {
    let old = region();
    for slot in [old.member(0).unwrap(), old.member(1).unwrap()] {
        slot.set_recovered(900);
        slot.set_latency(1_500, 70_000);
    }
    let mut config = config();
    config.ajp[1].settings.port = 9_999;
    let new = adopted(&config, &old, false);
    let paces = [0, 1].map(|i| new.member(i).unwrap()).map(|slot| (slot.recovered_s(), slot.latency(70_250).0));
    assert_eq!(paces, [(900, 1_500), (0, 0)]);
    assert_eq!(new.member(0).unwrap().latency(70_250).1, 250, "it is as old as it was");
}

#[test]
fn a_probe_begins_again_and_a_busy_member_is_free() {
    let old = region();
    old.member(0).unwrap().state.set(State::Probe);
    old.member(1).unwrap().state.set(State::Busy);
    old.member(2).unwrap().state.set(State::Forced);
    let new = adopted(&config(), &old, false);
    let states = [0, 1, 2].map(|i| new.member(i).unwrap().state.get());
    assert_eq!(states, [State::Recover, State::Ok, State::Forced]);
}

#[test]
fn values_are_kept_when_they_compare_and_begin_at_zero_otherwise() {
    let old = region();
    (0..3).for_each(|i| old.member(i).unwrap().value.set(600));
    let value_after = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        adopted(&config, &old, false).member(0).unwrap().value.get()
    };
    assert_eq!(value_after(&|_| ()), 600);
    assert_eq!(value_after(&|config| lb(config).members[2].settings.lb_factor = 9), 0);
    assert_eq!(value_after(&|config| lb(config).members.truncate(2)), 0);
    assert_eq!(value_after(&|config| lb(config).settings.method = Method::Next), 0);
    assert_eq!(value_after(&|config| lb(config).members[2] = member(1, 3)), 0);
}

#[test]
fn busyness_values_are_requests_of_the_old_generation() {
    let mut config = config();
    lb(&mut config).settings.method = Method::Busyness;
    let old = region_of(&config);
    old.member(0).unwrap().value.set(6);
    assert_eq!(adopted(&config, &old, false).member(0).unwrap().value.get(), 0);
}

fn with_edits() -> Region {
    let old = region();
    let writer = old.lock().unwrap();
    let mut ajp = old.ajp(0).unwrap().settings();
    ajp.reply_timeout_ms = 1_234;
    writer.set_ajp_settings(0, &ajp).unwrap();
    let member = MemberSettings { activation: Activation::Disabled, ..old.member(1).unwrap().settings() };
    writer.set_member_settings(1, &member).unwrap();
    writer.set_lb_settings(0, &LbSettings { retries: 5, ..LbSettings::default() }).unwrap();
    drop(writer);
    old
}

#[test]
fn edits_are_forgotten_unless_asked_for() {
    let new = adopted(&config(), &with_edits(), false);
    assert_eq!(new.ajp(0).unwrap().settings().reply_timeout_ms, 0);
    assert_eq!(new.member(1).unwrap().activation(), Activation::Active);
}

#[test]
fn a_balancer_knows_of_the_drain_that_goes_on() {
    let old = with_edits();
    // The last one: no other member is taken over after it.
    old.lock().unwrap().drain_member(2, 1_000, None, 300).unwrap();
    for keep_edits in [false, true] {
        assert_eq!(adopted(&config(), &old, keep_edits).lb(0).unwrap().has_drains(), keep_edits);
    }
}

#[test]
fn edits_are_kept_when_asked_for() {
    let new = adopted(&config(), &with_edits(), true);
    assert_eq!(new.ajp(0).unwrap().settings().reply_timeout_ms, 1_234);
    assert_eq!(new.member(1).unwrap().activation(), Activation::Disabled);
    assert_eq!(new.lb(0).unwrap().settings().retries, 5);
}

#[test]
fn a_changed_file_overrules_the_edit_of_the_same_setting_only() {
    let mut config = config();
    config.ajp[0].settings.reply_timeout_ms = 9_000;
    config.ajp[0].settings.retries = 4;
    let new = adopted(&config, &with_edits(), true);
    let settings = new.ajp(0).unwrap().settings();
    assert_eq!((settings.reply_timeout_ms, settings.retries), (9_000, 4));
    assert_eq!(new.member(1).unwrap().activation(), Activation::Disabled);
}

#[test]
fn edits_survive_a_second_restart() {
    let first = adopted(&config(), &with_edits(), true);
    let second = adopted(&config(), &first, true);
    assert_eq!(second.member(1).unwrap().activation(), Activation::Disabled);
}

#[test]
fn a_balancer_keeps_its_clock() {
    let old = region();
    old.lb(0).unwrap().last_maintain_time.set(4_321);
    let new = adopted(&config(), &old, false);
    assert_eq!(new.lb(0).unwrap().last_maintain_time.get(), 4_321);
}

#[test]
fn what_the_old_generation_counts_after_the_restart_is_added_once() {
    let old = std::sync::Arc::new(region());
    let child = old.claim(std::process::id(), super::super::children::start_time_of(None)).unwrap();
    old.ajp(1).unwrap().used.set(50);
    let new = adopted(&config(), &old, false);
    old.ajp(1).unwrap().used.add(1);
    new.follow(&old).unwrap();
    old.ajp(1).unwrap().used.add(2);
    old.ajp(1).unwrap().response_time.record(700_000);
    old.member(0).unwrap().sessions.add(4);
    new.ajp(1).unwrap().used.add(10);
    for _ in 0..2 {
        new.catch_up();
        let slot = new.ajp(1).unwrap();
        assert_eq!((slot.used.get(), slot.response_time.sum_us()), (63, 700));
        assert_eq!(new.member(0).unwrap().sessions.get(), 4);
    }
    old.ajp(1).unwrap().used.add(5);
    old.release_child(child).unwrap();
    new.catch_up();
    assert_eq!(new.ajp(1).unwrap().used.get(), 68);
    old.ajp(1).unwrap().used.add(5);
    new.catch_up();
    assert_eq!(new.ajp(1).unwrap().used.get(), 68, "nobody is left who counts there");
}

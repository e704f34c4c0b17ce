//! Tests of the region that need its insides: dead writers, layout; `damage_tests.rs` has those of damage. What the public interface shows
//! is tested across processes in `tests/core/shm_*.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::sync::atomic::AtomicU32;

use super::*;
use crate::balancer::{Activation, Lock, Method, State, route_hash};
use crate::config::{AjpConfig, AjpSettings, Config, LbConfig, LbSettings, MemberConfig, MemberSettings, WorkerConfig};

#[path = "../../tests/core/shm_fork.rs"]
pub(super) mod forks;

pub(super) fn ajp(name: &str, port: u16) -> AjpConfig {
    AjpConfig {
        name: name.to_owned(),
        settings: AjpSettings { port, ..AjpSettings::default() },
        ..AjpConfig::default()
    }
}

pub(super) fn member(ajp: usize, lb_factor: u32) -> MemberConfig {
    MemberConfig {
        ajp,
        settings: MemberSettings { route: format!("route{ajp}"), lb_factor, ..MemberSettings::default() },
    }
}

/// Workers w0, w1, w2 in load balancer "lb" with factors 1, 2, 3.
pub(super) fn config() -> Config {
    let lb = LbConfig {
        name: "lb".to_owned(),
        members: vec![member(0, 1), member(1, 2), member(2, 3)],
        ..LbConfig::default()
    };
    Config {
        list: vec![WorkerConfig::Lb(lb)],
        ajp: vec![ajp("w0", 8_009), ajp("w1", 8_010), ajp("w2", 8_011)],
        ..Config::default()
    }
}

pub(super) fn region() -> Region {
    region_of(&config())
}

pub(super) fn region_of(config: &Config) -> Region {
    Region::anonymous(&Plan::new(config, 4, 1_000).unwrap()).unwrap()
}

pub(super) fn odd_settings(host: &str) -> AjpSettings {
    AjpSettings {
        host: host.to_owned(),
        port: 65_535,
        connection_pool_timeout_s: 1,
        ping_timeout_ms: 2,
        connect_timeout_ms: 3,
        prepost_timeout_ms: 4,
        reply_timeout_ms: 5,
        connection_ping_interval_s: 6,
        retries: 7,
        retry_interval_ms: 8,
        recovery_options: Some(0),
        busy_limit: 10,
        max_packet_size: 65_536,
    }
}

#[test]
fn starts_with_the_settings_of_the_configuration() {
    let region = region();
    assert_eq!(region.ajp_named("w1").unwrap().settings(), config().ajp[1].settings);
    assert_eq!(region.lb_named("lb").unwrap().settings(), LbSettings::default());
    let index = region.plan().member_index(0, "w2").unwrap();
    assert_eq!(region.member(index).unwrap().settings(), member(2, 3).settings);
    assert_eq!(region.member(index).unwrap().name().as_str(), "w2");
}

#[test]
fn spare_slots_are_empty() {
    let region = region();
    assert!(!region.ajp(3).unwrap().in_use());
    assert!(!region.member(3).unwrap().in_use());
    assert!(region.member(2).unwrap().in_use());
    assert_eq!(region.view(3), None);
}

#[test]
fn ajp_settings_come_back_as_stored() {
    let region = region();
    for settings in [odd_settings(&"h".repeat(63)), odd_settings(""), AjpSettings::default()] {
        region.lock().unwrap().set_ajp_settings(1, &settings).unwrap();
        assert_eq!(region.ajp(1).unwrap().settings(), settings);
    }
}

#[test]
fn numbers_tell_an_explicit_recovery_option_of_zero_from_none() {
    let region = region();
    assert_eq!(region.ajp_numbers(0).unwrap().recovery_options, None);
    region.lock().unwrap().set_ajp_settings(0, &odd_settings("h")).unwrap();
    assert_eq!(region.ajp_numbers(0).unwrap().recovery_options, Some(0));
}

#[test]
fn lb_settings_come_back_as_stored() {
    let settings = LbSettings {
        sticky_session: false,
        sticky_session_force: true,
        retries: 3,
        retry_interval_ms: 0,
        recover_time_s: 5,
        error_escalation_time_s: 0,
        max_reply_timeouts: 7,
        method: Method::Next,
        lock: Lock::Pessimistic,
    };
    let region = region();
    region.lock().unwrap().set_lb_settings(0, &settings).unwrap();
    let slot = region.lb(0).unwrap();
    assert_eq!(slot.settings(), settings);
    assert_eq!((slot.method(), slot.lock()), (Method::Next, Lock::Pessimistic));
}

#[test]
fn member_settings_come_back_as_stored() {
    let settings = MemberSettings {
        route: "r".repeat(63),
        domain: "d".to_owned(),
        redirect: String::new(),
        distance: -7,
        activation: Activation::Stopped,
        lb_factor: u32::MAX,
    };
    let region = region();
    region.lock().unwrap().set_member_settings(1, &settings).unwrap();
    let slot = region.member(1).unwrap();
    assert_eq!(slot.settings(), settings);
    assert_eq!(slot.text(MemberText::Domain).as_str(), "d");
    assert_eq!(slot.view(0).distance, -7);
}

#[test]
fn a_text_too_long_changes_nothing() {
    let region = region();
    let before = region.member(0).unwrap().settings();
    let settings = MemberSettings { route: "r".repeat(64), distance: 9, ..before.clone() };
    let error = region.lock().unwrap().set_member_settings(0, &settings).unwrap_err();
    assert!(error.to_string().starts_with("route must be at most 63 bytes, found 64"), "{error}");
    assert_eq!(region.member(0).unwrap().settings(), before);
}

#[test]
fn only_a_changed_host_or_port_changes_the_address_sequence() {
    let region = region();
    let slot = region.ajp(0).unwrap();
    let change = |change: &dyn Fn(&mut AjpSettings)| {
        let (sequence, address) = (slot.sequence(), slot.address_sequence());
        let mut settings = slot.settings();
        change(&mut settings);
        region.lock().unwrap().set_ajp_settings(0, &settings).unwrap();
        (slot.sequence() != sequence, slot.address_sequence() != address)
    };
    assert_eq!(change(&|s| s.retries = 9), (true, false));
    assert_eq!(change(&|s| s.host = "other".to_owned()), (true, true));
    assert_eq!(change(&|s| s.port = 1), (true, true));
    let address = slot.address().unwrap();
    assert_eq!(address.sequence, slot.address_sequence());
    assert_eq!((address.host.as_str(), address.port), ("other", 1));
}

#[test]
fn a_changed_lb_factor_changes_the_multipliers_of_all_members() {
    let region = region();
    let multipliers = || (0..3).map(|i| region.member(i).unwrap().multiplier()).collect::<Vec<_>>();
    assert_eq!(multipliers(), [6, 3, 2]);
    let settings = MemberSettings { lb_factor: 4, ..region.member(2).unwrap().settings() };
    region.lock().unwrap().set_member_settings(2, &settings).unwrap();
    assert_eq!(multipliers(), [4, 2, 1]);
}

#[test]
fn factors_without_a_common_multiple_keep_their_proportion() {
    let mut config = config();
    let WorkerConfig::Lb(lb) = &mut config.list[0] else { unreachable!() };
    lb.members = vec![member(0, 4_294_967_291), member(1, 4_294_967_279), member(2, 1)];
    let region = region_of(&config);
    let multipliers = || [0, 2].map(|member| region.member(member).unwrap().multiplier());
    assert_eq!(multipliers(), [1, 1 << 32]);
    let settings = LbSettings { method: Method::Traffic, ..LbSettings::default() };
    region.lock().unwrap().set_lb_settings(0, &settings).unwrap();
    assert_eq!(multipliers(), [1, 1 << 24], "bytes need more room than requests");
}

#[test]
fn a_changed_activation_clears_the_values_of_the_balancer() {
    let region = region();
    let stop = |activation| {
        region.member(1).unwrap().value.set(77);
        let settings = MemberSettings { activation, ..region.member(0).unwrap().settings() };
        region.lock().unwrap().set_member_settings(0, &settings).unwrap();
        region.member(1).unwrap().value.get()
    };
    assert_eq!(stop(Activation::Active), 77);
    assert_eq!(stop(Activation::Disabled), 0);
    let busyness = LbSettings { method: Method::Busyness, ..LbSettings::default() };
    region.lock().unwrap().set_lb_settings(0, &busyness).unwrap();
    assert_eq!(stop(Activation::Active), 77);
}

#[test]
fn routes_match_whole_and_never_when_empty() {
    let region = region();
    let slot = region.member(1).unwrap();
    assert!(slot.has_route(b"route1", route_hash(b"route1")));
    assert!(!slot.has_route(b"route2", route_hash(b"route2")));
    // Same hash, other text: what a collision looks like.
    assert!(!slot.has_route(b"other", route_hash(b"route1")));
    assert!(!slot.has_domain(b"", route_hash(b"")));
    let settings = MemberSettings { domain: "d1".to_owned(), ..slot.settings() };
    region.lock().unwrap().set_member_settings(1, &settings).unwrap();
    assert!(slot.has_domain(b"d1", route_hash(b"d1")));
}

#[test]
fn a_view_carries_the_busy_count_of_the_ajp_worker() {
    let region = region();
    region.member(2).unwrap().state.set(State::Recover);
    region.member(2).unwrap().value.set(5);
    let _busy = region.enter_ajp(Child::UNREGISTERED, 2);
    let expected = MemberView {
        state: State::Recover,
        activation: Activation::Active,
        distance: 0,
        multiplier: 2,
        value: 5,
        busy: 1,
        route_hash: route_hash(b"route2"),
        domain_hash: 0,
    };
    assert_eq!(region.view(2), Some(expected));
}

#[test]
fn reset_of_a_member_keeps_what_the_reference_keeps() {
    let region = region();
    let (member, ajp) = (region.member(0).unwrap(), region.ajp(0).unwrap());
    let _busy = region.enter_ajp(Child::UNREGISTERED, 0);
    for counter in [&member.value, &member.sessions, &member.errors, &member.first_error_time, &ajp.used, &ajp.errors] {
        counter.set(9);
    }
    member.state.set(State::Error);
    ajp.state.set(State::Error);
    ajp.response_time.record(3_000_000);
    region.lock().unwrap().reset_member(0, 5_000).unwrap();
    assert_eq!(member.state.get(), State::Idle);
    assert_eq!(
        (member.value.get(), member.sessions.get(), member.errors.get(), member.first_error_time.get()),
        (0, 0, 0, 0)
    );
    assert_eq!(
        (ajp.used.get(), ajp.max_busy.get(), ajp.last_reset.get(), ajp.response_time.sum_us()),
        (0, 0, 5_000, 0)
    );
    assert_eq!((ajp.errors.get(), ajp.state.get(), region.ajp_busy(0)), (9, State::Error, 1));
    region.lock().unwrap().reset_ajp(0, 5_000).unwrap();
    assert_eq!(ajp.errors.get(), 0);
}

#[test]
fn reset_of_a_balancer_resets_its_members() {
    let region = region();
    drop(region.enter_lb(Child::UNREGISTERED, 0));
    region.member(2).unwrap().errors.set(3);
    region.lock().unwrap().reset_lb(0, 5_000).unwrap();
    assert_eq!((region.lb(0).unwrap().max_busy.get(), region.lb(0).unwrap().last_reset.get()), (0, 5_000));
    assert_eq!(region.member(2).unwrap().errors.get(), 0);
}

#[test]
fn one_caller_wins_the_maintenance_of_an_interval() {
    let region = region();
    assert!(!region.claim_maintenance(1_059, 60));
    assert!(region.claim_maintenance(1_060, 60));
    assert!(!region.claim_maintenance(1_060, 60));
    assert!(!region.claim_maintenance(1_119, 60));
    assert!(region.claim_maintenance(1_120, 60));
    assert_eq!(region.last_maintenance(), 1_120);
}

#[test]
fn maintenance_is_never_due_with_interval_zero_and_at_once_after_a_clock_step_back() {
    let region = region();
    assert!(!region.claim_maintenance(9_999, 0));
    assert!(region.claim_maintenance(10, 60));
}

#[test]
fn a_thread_that_locks_twice_gets_an_error() {
    let region = region();
    let first = region.lock().unwrap();
    assert!(matches!(region.lock(), Err(ShmError::Lock(error)) if error.raw_os_error() == Some(libc::EDEADLK)));
    drop(first);
    assert!(region.lock().is_ok());
}

#[test]
fn a_writer_that_dies_half_way_changes_nothing_and_blocks_nobody() {
    let region = region();
    let slot = region.ajp(0).unwrap();
    let before = slot.settings();
    let child = forks::fork(|| {
        let Ok(writer) = region.lock() else { return 1 };
        region.ajp(0).unwrap().abandon_half_way(&odd_settings("half"));
        std::mem::forget(writer);
        0
    });
    assert_eq!(child.wait(), Some(0));
    assert!(slot.sequence_word().is_odd());
    assert_eq!(slot.settings(), before, "readers do not need the repair");
    let writer = region.lock().expect("the lock of the dead is to be had");
    assert!(!slot.sequence_word().is_odd());
    assert_eq!(slot.settings(), before);
    writer.set_ajp_settings(0, &odd_settings("whole")).unwrap();
    drop(writer);
    assert_eq!(slot.settings(), odd_settings("whole"));
    assert!(region.lock().is_ok(), "the lock was declared consistent");
}

#[test]
fn multipliers_are_worked_out_again_after_a_writer_that_died_before_it_did() {
    let region = region();
    let settings = MemberSettings { lb_factor: 4, ..region.member(2).unwrap().settings() };
    let child = forks::fork(|| {
        let Ok(writer) = region.lock() else { return 1 };
        let stored = region.member(2).unwrap().store(&settings);
        std::mem::forget(writer);
        u8::from(stored.is_err())
    });
    assert_eq!(child.wait(), Some(0));
    assert_eq!(region.member(0).unwrap().multiplier(), 6);
    drop(region.lock().unwrap());
    assert_eq!(region.member(0).unwrap().multiplier(), 4);
}

#[test]
fn a_change_that_a_dead_writer_published_reaches_the_policy_by_the_repair() {
    let region = region();
    let settings = MemberSettings {
        route: "moved".to_owned(),
        domain: "d9".to_owned(),
        distance: -3,
        activation: Activation::Disabled,
        ..region.member(2).unwrap().settings()
    };
    let child = forks::fork(|| {
        let Ok(writer) = region.lock() else { return 1 };
        let stored = region.member(2).unwrap().publish(&settings);
        std::mem::forget(writer);
        u8::from(stored.is_err())
    });
    assert_eq!(child.wait(), Some(0));
    assert_eq!(region.view(2).unwrap().activation, Activation::Active);
    drop(region.lock().unwrap());
    let view = region.view(2).unwrap();
    assert_eq!((view.activation, view.distance), (Activation::Disabled, -3));
    assert_eq!((view.route_hash, view.domain_hash), (route_hash(b"moved"), route_hash(b"d9")));
}

#[test]
fn a_balancer_knows_whether_one_of_its_members_drains() {
    let region = region();
    let lb = region.lb(0).unwrap();
    let begin = || region.lock().unwrap().drain_member(1, 1_000, None, 300).unwrap();
    let change = |activation| {
        let settings = MemberSettings { activation, ..region.member(1).unwrap().settings() };
        region.lock().unwrap().set_member_settings(1, &settings).unwrap();
    };
    let ends: [(&str, &dyn Fn()); 4] = [
        ("cancelled", &|| assert!(region.lock().unwrap().cancel_drain(1).unwrap())),
        ("active", &|| change(Activation::Active)),
        ("stopped", &|| change(Activation::Stopped)),
        ("reset", &|| region.lock().unwrap().reset_member(1, 1_000).unwrap()),
    ];
    for (how, end) in ends {
        assert!(!lb.has_drains(), "before {how}");
        begin();
        region.lock().unwrap().drain_member(2, 1_000, None, 300).unwrap();
        region.lock().unwrap().cancel_drain(2).unwrap();
        change(Activation::Disabled);
        assert!(lb.has_drains(), "{how}: the other one goes on");
        end();
        assert!(!lb.has_drains(), "{how}");
    }
    let child = forks::fork(|| {
        let Ok(writer) = region.lock() else { return 1 };
        region.member(1).unwrap().drain().begin(1_000, None, 300);
        std::mem::forget(writer);
        0
    });
    assert_eq!(child.wait(), Some(0));
    drop(region.lock().unwrap());
    assert!(lb.has_drains(), "the repair works it out again");
}

#[test]
fn parts_of_the_layout_do_not_overlap_and_end_with_the_mapping() {
    let region = region();
    let layout = &region.layout;
    assert!(layout.ajp.offset >= size_of::<Header>());
    assert_eq!(layout.lbs.offset, layout.ajp.offset + layout.ajp.count * size_of::<AjpSlot>());
    assert_eq!(layout.members.offset, layout.lbs.offset + layout.lbs.count * size_of::<LbSlot>());
    assert_eq!(layout.children.offset, layout.members.offset + layout.members.count * size_of::<MemberSlot>());
    assert!(layout.cells >= layout.children.offset + layout.children.count * size_of::<ChildEntry>());
    assert_eq!(layout.size, region.size());
    assert_eq!(region.row(layout.rows() - 1).len(), layout.row_cells);
    assert!(region.row(layout.rows()).is_empty());
}

#[test]
fn rows_of_two_workers_share_no_cache_line() {
    let region = region();
    let address = |row: usize| region.row(row).as_ptr().addr();
    assert!((address(1) - address(0)).is_multiple_of(64) && address(0).is_multiple_of(64));
}

#[test]
fn the_header_says_what_the_file_is() {
    let region = region();
    let header = region.header();
    assert_eq!(header.magic.load(Ordering::Relaxed).to_ne_bytes(), *b"!JKSHMR1");
    assert_eq!(header.size.load(Ordering::Relaxed), region.size() as u64);
    let count = |count: &AtomicU32| count.load(Ordering::Relaxed) as usize;
    assert_eq!(count(&header.members), region.layout.members.count);
    assert_eq!(count(&header.children), 4);
}

#[test]
fn a_plan_with_too_many_workers_is_refused() {
    let config = Config { ajp: (0..=MAX_SLOTS).map(|i| ajp(&format!("w{i}"), 1)).collect(), ..Config::default() };
    let error = Plan::new(&config, 4, 0).unwrap_err();
    assert_eq!(error.to_string(), "the shared memory has room for at most 16384 AJP workers, found 16385");
}

#[test]
fn a_name_too_long_is_refused_by_name() {
    let config = Config { ajp: vec![ajp(&"n".repeat(64), 1)], ..Config::default() };
    assert!(Plan::new(&config, 4, 0).unwrap_err().to_string().starts_with("name of an AJP worker must be at most 63"));
}

#[test]
fn members_of_the_second_balancer_follow_the_spare_ones_of_the_first() {
    let mut config = config();
    let second = LbConfig { name: "lb2".to_owned(), members: vec![member(2, 1)], ..LbConfig::default() };
    config.list.push(WorkerConfig::Lb(second));
    let plan = Plan::new(&config, 4, 0).unwrap();
    let index = plan.member_index(1, "w2").unwrap();
    assert!(index > plan.members_of(0).end);
    assert_eq!((plan.members_of(1), plan.ajp_of(index), plan.lb_of(index)), (index..index + 1, Some(2), Some(1)));
    assert_eq!(plan.lb_index("lb2"), Some(1));
}

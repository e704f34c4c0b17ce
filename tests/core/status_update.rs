//! `cmd=update`: all or nothing, and a log line per change.
//!
//! Not here: which values are accepted (unit tests of the table of settings), the other children (tests/httpd).

use mod_jk::balancer::{Activation, Method};

use crate::desk::Desk;

#[test]
fn changes_settings_of_a_balancer() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&vlr=3&vlri=200&vlt=25&vlee=10&vlx=1&vls=0&vlf=1&vlm=1&vll=1");
    let settings = desk.lb().settings();
    assert_eq!((settings.retries, settings.retry_interval_ms, settings.recover_time_s), (3, 200, 25));
    assert_eq!((settings.error_escalation_time_s, settings.max_reply_timeouts), (10, 1));
    assert_eq!((settings.sticky_session, settings.sticky_session_force), (false, true));
    assert_eq!((settings.method.text(), settings.lock.text()), ("Traffic", "Pessimistic"));
}

#[test]
fn changes_settings_of_a_member_and_of_its_ajp_worker() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m2&vwa=1&vwf=4&vwn=r&vwr=m3&vwc=d&vwd=2&vart=5000&var=7&vamps=9000");
    let member = desk.member(1).settings();
    assert_eq!((member.activation, member.lb_factor, member.distance), (Activation::Disabled, 4, 2));
    assert_eq!((&*member.route, &*member.redirect, &*member.domain), ("r", "m3", "d"));
    let ajp = desk.ajp("m2").settings();
    assert_eq!((ajp.reply_timeout_ms, ajp.retries, ajp.max_packet_size), (5_000, 7, 9_216));
}

#[test]
fn changes_settings_of_a_plain_worker() {
    let desk = Desk::new();
    desk.done("cmd=update&w=solo&vahst=127.0.0.2&vaprt=8015&vacpi=30&vamps=16384&varo=3");
    let ajp = desk.ajp("solo").settings();
    assert_eq!((&*ajp.host, ajp.port, ajp.connection_ping_interval_s), ("127.0.0.2", 8_015, 30));
    assert_eq!((ajp.max_packet_size, ajp.recovery_options), (16_384, Some(3)));
}

#[test]
fn one_bad_value_keeps_all_others_out() {
    let desk = Desk::new();
    let before = (desk.member(0).settings(), desk.ajp("m1").settings());
    let message = desk.refused("cmd=update&w=lb&sw=m1&vwa=s&vart=5000&vwf=0");
    assert_eq!(
        message,
        "Update failed: vwf (LB Factor) must be a number of at least 1, found '0'; nothing was changed"
    );
    assert_eq!((desk.member(0).settings(), desk.ajp("m1").settings()), before);
    assert!(desk.lines("changing").is_empty());
}

#[test]
fn one_bad_member_of_a_wildcard_keeps_all_others_out() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m2&vaprt=0");
    let message = desk.refused("cmd=update&w=lb&sw=m*&vwa=d&vahst=no-such-host.invalid");
    assert_eq!(
        message,
        "Update failed (at least partially): could not resolve address 'no-such-host.invalid:8011' for sub worker 'm1'. \
         Aborting further wildcard updates."
    );
    assert_eq!(desk.member_field("m1", "activation"), "ACT");
    assert_eq!(desk.level_of("cannot resolve"), "warn");
}

#[test]
fn a_wildcard_means_all_members_that_match() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=*3&vwa=d");
    assert_eq!(desk.member_field("m2", "activation"), "ACT");
    assert_eq!(desk.member_field("m3", "activation"), "DIS");
    desk.done("cmd=update&w=lb&sw=*&vwa=s");
    assert!((0..3).all(|index| desk.member(index).activation() == Activation::Stopped));
    assert_eq!(desk.refused("cmd=update&w=lb&sw=z*&vwa=d"), "could not find sub worker");
}

#[test]
fn each_change_is_one_line_of_the_log_as_c_writes_it() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m2&vwa=d&vwn=r2&vart=0&vwf=1");
    desk.done("cmd=update&w=lb&vls=off");
    desk.done("cmd=update&w=solo&vart=5000");
    assert_eq!(
        desk.lines("changing"),
        [
            "Status worker 'st' changing 'activation' for sub worker 'm2' of lb worker 'lb' from 'ACT' to 'DIS'",
            "Status worker 'st' changing 'route' for sub worker 'm2' of lb worker 'lb' from 'm2' to 'r2'",
            "Status worker 'st' changing 'sticky_session' for lb worker 'lb' from '1' to '0'",
            "Status worker 'st' changing 'reply_timeout' for ajp worker 'solo' from '0' to '5000'",
        ]
    );
    assert_eq!(desk.level_of("changing"), "info");
}

#[test]
fn what_c_mod_jk_s_own_form_sends_unchanged_changes_nothing() {
    let desk = Desk::new();
    let before = (desk.member(0).sequence(), desk.ajp("m1").sequence());
    desk.done(
        "cmd=update&from=list&w=lb&sw=m1&vwa=0&vwf=1&vwn=m1&vwr=&vwc=&vwd=0&vahst=127.0.0.1&vaprt=8011&vacpt=0&vapng=10000\
         &vact=0&vapt=0&vart=0&var=2&vari=100&vacpi=0&varo=0&vabl=0&vamps=8192",
    );
    assert_eq!((desk.member(0).sequence(), desk.ajp("m1").sequence()), before);
}

#[test]
fn one_setting_of_all_members_is_set_by_place() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&att=vwf&val0=2&val2=5");
    let factors: Vec<_> = (0..3).map(|index| desk.member(index).lb_factor()).collect();
    assert_eq!(factors, [2, 1, 5]);
    let multipliers: Vec<_> = (0..3).map(|index| desk.member(index).multiplier()).collect();
    assert_eq!(multipliers, [5, 10, 2]);
}

#[test]
fn one_bad_value_of_all_members_keeps_the_others_out() {
    let desk = Desk::new();
    let message = desk.refused("cmd=update&w=lb&att=vwn&val0=a&val1=b%0ac");
    assert!(message.contains("vwn (Route)") && message.contains("'b@c'"), "{message}");
    assert_eq!(desk.member_field("m1", "route"), "m1");
    let long = "r".repeat(64);
    let message = desk.refused(&format!("cmd=update&w=lb&att=vwr&val0={long}"));
    assert_eq!(
        message,
        format!(
            "Update failed (at least partially): new redirect '{long}' too long for sub worker 'm1', see log file for details."
        )
    );
}

#[test]
fn recovery_options_of_0_are_not_those_that_were_never_set() {
    let desk = Desk::new();
    desk.done("cmd=update&w=solo&varo=0");
    assert_eq!(desk.ajp("solo").settings().recovery_options, Some(0));
    let line = "Status worker 'st' changing 'recovery_options' for ajp worker 'solo' from 'not set' to '0'";
    assert_eq!(desk.lines("'recovery_options'"), [line]);
    desk.done("cmd=update&w=lb&sw=m1&varo=1");
    desk.done("cmd=update&w=lb&sw=m1&varo=0&vart=0");
    assert_eq!(desk.ajp("m1").settings().recovery_options, Some(0), "what was set is not unset");
    let page: serde_json::Value = serde_json::from_str(&desk.ask("mime=json")).unwrap();
    let setting = page["balancers"][0]["members"][0]["settings"]["recovery_options"].clone();
    assert_eq!((&setting["value"], &setting["origin"]), (&0.into(), &"status page".into()));
}

#[test]
fn an_update_that_is_refused_is_in_the_log_as_the_message_says() {
    let desk = Desk::new();
    let message = desk.refused(&format!("cmd=update&w=lb&sw=m1&vwr={}%0a", "r".repeat(64)));
    assert_eq!(desk.lines("refused"), [format!("Status worker 'st' refused cmd=update: {message}")]);
    assert_eq!(desk.level_of("refused"), "warn");
}

#[test]
fn an_unknown_setting_of_all_members_is_ok_and_does_nothing() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&att=vahst&val0=x");
    desk.done("cmd=update&w=lb&att=nosuch&val0=x");
    assert!(desk.lines("changing").is_empty());
}

#[test]
fn a_member_wins_over_an_attribute_of_all() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m2&att=vwf&val0=7&vwf=3");
    assert_eq!((desk.member(0).lb_factor(), desk.member(1).lb_factor()), (1, 3));
}

#[test]
fn a_changed_activation_sets_all_values_to_zero_but_for_busyness() {
    let desk = Desk::new();
    let fill = || (0..3).for_each(|index| desk.member(index).value.set(7));
    fill();
    desk.done("cmd=update&w=lb&vlm=Busyness");
    // What was counted under another method would never end.
    assert_eq!(desk.member(2).value.get(), 0);
    fill();
    desk.done("cmd=update&w=lb&sw=m1&vwa=d");
    assert_eq!(desk.member(2).value.get(), 7);
    desk.done("cmd=update&w=lb&vlm=Request");
    fill();
    desk.done("cmd=update&w=lb&sw=m1&vwa=a");
    assert!((0..3).all(|index| desk.member(index).value.get() == 0));
}

#[test]
fn a_route_with_a_dot_fills_an_empty_domain_only() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m1&vwn=dd.x");
    assert_eq!(desk.member_field("m1", "domain"), "dd");
    desk.done("cmd=update&w=lb&sw=m1&vwn=ee.x");
    assert_eq!(desk.member_field("m1", "domain"), "dd");
    desk.done("cmd=update&w=lb&sw=m2&vwn=ee.y&vwc=");
    assert_eq!(desk.member_field("m2", "domain"), "");
}

#[test]
fn the_old_names_of_the_ant_task_work_for_balancers() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&lr=5&lt=70&ls=false&lf=true");
    let settings = desk.lb().settings();
    assert_eq!((settings.retries, settings.recover_time_s), (5, 70));
    assert_eq!((settings.sticky_session, settings.sticky_session_force), (false, true));
}

#[test]
fn the_old_names_of_the_ant_task_work_for_members() {
    let desk = Desk::new();
    desk.done("cmd=update&w=m1&l=lb&wf=3&wd=true&wr=m2&wc=dom");
    let member = desk.member(0).settings();
    assert_eq!((member.lb_factor, member.activation), (3, Activation::Disabled));
    assert_eq!((&*member.domain, &*member.redirect), ("dom", "m2"));
}

#[test]
fn old_disabled_and_stopped_make_one_activation() {
    let desk = Desk::new();
    for (flags, expected) in [
        ("wd=true", "DIS"),
        ("ws=true", "STP"),
        ("wd=false", "STP"),
        ("ws=false&wd=true", "DIS"),
        ("ws=false", "DIS"),
        ("wd=false", "ACT"),
        ("wd=false&ws=false", "ACT"),
    ] {
        desk.done(&format!("cmd=update&w=m1&l=lb&{flags}"));
        assert_eq!(desk.member_field("m1", "activation"), expected, "{flags}");
    }
    assert!(desk.refused("cmd=update&w=m1&l=lb&wd=perhaps").contains("wd must be on or off"));
}

#[test]
fn reset_clears_the_counters_of_a_member_and_of_its_ajp_worker() {
    let desk = Desk::new();
    desk.member(0).errors.set(4);
    desk.member(0).state.set(mod_jk::balancer::State::Error);
    desk.member(1).errors.set(4);
    desk.ajp("m1").used.set(9);
    desk.done("cmd=reset&w=lb&sw=m1");
    assert_eq!((desk.member(0).errors.get(), desk.ajp("m1").used.get(), desk.member(1).errors.get()), (0, 0, 4));
    assert_eq!(desk.member_field("m1", "state"), "OK/IDLE");
    assert_eq!(desk.ajp("m1").last_reset.get(), crate::desk::NOW);
    desk.done("cmd=reset&w=lb");
    assert_eq!(desk.member(1).errors.get(), 0);
    assert_eq!(
        desk.lines("reset"),
        [
            "Status worker 'st' has reset the counters of sub worker 'm1' of lb worker 'lb'",
            "Status worker 'st' has reset the counters of lb worker 'lb'",
        ]
    );
}

#[test]
fn reset_of_a_plain_worker_clears_its_errors_too() {
    let desk = Desk::new();
    desk.ajp("solo").errors.set(3);
    desk.done("cmd=reset&w=solo");
    assert_eq!(desk.ajp("solo").errors.get(), 0);
}

#[test]
fn recover_lets_a_member_in_error_be_tried_with_the_largest_value() {
    let desk = Desk::new();
    desk.member(0).value.set(50);
    desk.member(1).state.set(mod_jk::balancer::State::Error);
    desk.ajp("m2").reply_timeouts.set(3);
    desk.done("cmd=recover&w=lb&sw=m2");
    assert_eq!(desk.member_field("m2", "state"), "ERR/REC");
    assert_eq!((desk.member(1).value.get(), desk.ajp("m2").reply_timeouts.get()), (50, 0));
    assert_eq!(desk.lines("recovery"), ["Status worker 'st' marked sub worker 'm2' of lb worker 'lb' for recovery"]);
}

#[test]
fn recover_leaves_values_of_busyness_alone() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&vlm=B");
    assert_eq!(desk.lb().method(), Method::Busyness);
    desk.member(0).value.set(50);
    desk.member(1).state.set(mod_jk::balancer::State::Error);
    desk.done("cmd=recover&w=lb&sw=m2");
    assert_eq!(desk.member(1).value.get(), 0);
}

#[test]
fn recover_fails_for_what_is_not_in_error() {
    let desk = Desk::new();
    const FAILED: &str = "Marking worker for recovery failed";
    assert_eq!(desk.refused("cmd=recover&w=lb&sw=m2"), FAILED);
    assert_eq!(desk.refused("cmd=recover&w=lb"), FAILED);
    assert_eq!(desk.refused("cmd=recover&w=solo"), FAILED);
}

#[test]
fn status_workers_have_nothing_to_change() {
    let desk = Desk::new();
    assert_eq!(desk.refused("cmd=update&w=st"), "Update failed");
    assert_eq!(desk.refused("cmd=reset&w=st"), "Reset failed");
    let page = desk.ask("cmd=edit&w=st");
    assert!(
        page.contains("Result: ERROR - Error in generating this worker&#39;s configuration form.")
            || page.contains("Result: ERROR - Error in generating this worker's configuration form."),
        "{page}"
    );
    desk.done("cmd=edit&w=st");
}

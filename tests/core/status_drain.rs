//! `cmd=drain`: what it begins, what it refuses, what ends it, and what is shown meanwhile.
//!
//! Not here: other children and the watchdog (tests/httpd/status_drain.rs).

use mod_jk::balancer::{Activation, State};
use serde_json::Value;

use crate::desk::{Desk, NOW};

fn member(desk: &Desk, index: usize) -> Value {
    let page: Value = serde_json::from_str(&desk.ask("mime=json")).unwrap();
    page["balancers"][0]["members"][index].clone()
}

fn is_draining(desk: &Desk, index: usize) -> bool {
    desk.member(index).drain().is_on()
}

#[test]
fn a_drain_disables_the_member_and_keeps_its_deadline() {
    let desk = Desk::new();
    desk.done("cmd=drain&w=lb&sw=m2&until=30m");
    assert_eq!(desk.member_field("m2", "activation"), "DIS");
    let drain = member(&desk, 1)["drain"].clone();
    assert_eq!((&drain["since_unix"], &drain["until_unix"]), (&NOW.into(), &(NOW + 1_800).into()));
    assert_eq!((&drain["quiet_s"], &drain["sessions_seen"]), (&300.into(), &0.into()));
    assert_eq!(member(&desk, 0)["drain"], Value::Null);
    assert_eq!(
        desk.lines("Status worker"),
        [
            "Status worker 'st' changing 'activation' for sub worker 'm2' of lb worker 'lb' from 'ACT' to 'DIS'",
            "Status worker 'st' drains sub worker 'm2' of lb worker 'lb': it is stopped in 1800 s at the latest, or when no request \
             came for 300 s",
        ]
    );
    desk.done("cmd=drain&w=lb&sw=m2&quiet=0s");
    let drain = member(&desk, 1)["drain"].clone();
    assert_eq!((&drain["until_unix"], &drain["quiet_s"]), (&Value::Null, &0.into()), "asked again, it begins anew");
}

#[test]
fn what_is_left_is_shown_in_every_new_format() {
    let desk = Desk::new();
    desk.done("cmd=drain&w=lb&sw=m1&until=10m");
    for session in ["a.m1", "b.m1", "a.m1"] {
        desk.member(0).drain().see(session.as_bytes(), NOW);
    }
    assert_eq!(member(&desk, 0)["drain"]["sessions_seen"], 2);
    assert_eq!(member(&desk, 0)["drain"]["last_request_unix"], NOW);
    let page = desk.ask("cmd=show&w=lb&sw=m1");
    let left = "draining: 0 requests in progress, about 2 sessions seen since; stopped in 600 s at the latest, or after 300 s without \
                a request";
    assert!(page.contains(left), "{page}");
    assert!(
        desk.ask("cmd=drain&w=lb&sw=m1&until=10m").contains("about 0 sessions seen since"),
        "the answer shows it as well"
    );
    let metrics = desk.ask("mime=prom");
    assert!(metrics.contains("\njk_member_draining{lb=\"lb\",worker=\"m1\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\njk_member_draining{lb=\"lb\",worker=\"m2\"} 0\n"), "{metrics}");
    assert!(metrics.contains("\njk_member_drain_sessions{lb=\"lb\",worker=\"m1\"} 0\n"), "{metrics}");
}

#[test]
fn a_disabled_member_with_requests_of_its_sessions_is_not_called_drained() {
    const FULL: &str = "low=\"600\" high=\"600\" optimum=\"600\" value=\"600\"";
    let desk = Desk::new();
    for activation in ["d", "s"] {
        desk.member(1).sessions.set(10);
        desk.done(&format!("cmd=update&w=lb&sw=m2&vwa={activation}"));
        let page = desk.ask("cmd=show&w=lb&sw=m2");
        assert!(
            page.contains("no request in progress, no new one in the last 10 minutes") && page.contains(FULL),
            "{page}"
        );
        assert!(!page.contains("drained") && !page.contains("sessions seen"), "{page}");
    }
    desk.ajp("m2").count_used(NOW - 25);
    desk.ajp("m2").count_used(NOW - 25);
    let page = desk.ask("");
    let known = "no request in progress, 2 in the last 10 minutes, the last one within 30 s";
    assert_eq!(page.matches(known).count(), 2, "at the top and at the member: {page}");
    assert!(!page.contains("drained") && !page.contains(FULL), "{page}");
}

#[test]
fn the_page_has_a_button_for_it_and_no_link_that_repeats_it() {
    let desk = Desk::new();
    assert!(desk.ask("").contains("formaction=\"/jkstatus?cmd=drain&amp;from=list&amp;w=lb&amp;sw=m1&amp;until=30m\""));
    let page = desk.ask("cmd=drain&w=lb&sw=m1&until=30m&from=list");
    assert!(
        page.contains("content=\"3;url=/jkstatus?cmd=list\"") && page.contains("data-back=\"/jkstatus?cmd=list\""),
        "{page}"
    );
    assert!(page.contains("Result: OK") && page.contains("Draining m1"), "{page}");
    assert!(!page.contains("cmd=drain"), "{page}");
}

#[test]
fn bad_values_are_refused_and_change_nothing() {
    let desk = Desk::new();
    for value in
        ["", "30", "m", "0s", "31d", "-5m", "1h30m", "soon", "9999999999999999999999m", "5%0am", &"9".repeat(5_000)]
    {
        let message = desk.refused(&format!("cmd=drain&w=lb&sw=m1&until={value}"));
        assert!(message.contains("until must be a time from 1s to 30d") && message.len() < 240, "{message}");
    }
    assert!(desk.refused("cmd=drain&w=lb&sw=m1&quiet=x").contains("quiet must be a time from 0s to 30d"));
    for (query, message) in [
        ("cmd=drain", "NULL or EMPTY worker param"),
        ("cmd=drain&w=nosuch&sw=m1", "Could not find given worker"),
        ("cmd=drain&w=lb&sw=nosuch", "could not find sub worker"),
        ("cmd=drain&w=lb&sw=", "EMPTY sub worker param"),
        ("cmd=drain&w=lb&sw=m*", "wildcard not allowed in sub worker for this command"),
        ("cmd=drain&w=solo&sw=m1", "worker type has no sub workers"),
        ("cmd=drain&w=lb", "Drain failed: it needs a member of a load balancer (w and sw); nothing was changed"),
        ("cmd=drain&w=solo", "Drain failed: it needs a member of a load balancer (w and sw); nothing was changed"),
        ("cmd=drain&w=st", "Drain failed: it needs a member of a load balancer (w and sw); nothing was changed"),
        ("opt=32&cmd=drain&w=lb&sw=m1", "This command is not allowed in read only mode."),
    ] {
        assert_eq!(desk.refused(query), message, "{query}");
    }
    assert_eq!(desk.member_field("m1", "activation"), "ACT");
    assert!(!is_draining(&desk, 0) && desk.lines("Status worker").is_empty());
    desk.done("cmd=update&w=lb&sw=m1&vwa=s");
    let message = "Drain failed: sub worker 'm1' is stopped already; nothing was changed";
    assert_eq!(desk.refused("cmd=drain&w=lb&sw=m1"), message);
}

#[test]
fn any_other_word_of_the_admin_ends_it() {
    for query in [
        "cmd=update&w=lb&sw=m1&vwa=a",
        "cmd=update&w=lb&sw=m1&vwa=d",
        "cmd=update&w=lb&sw=m1&vwa=s",
        "cmd=reset&w=lb&sw=m1",
        "cmd=reset&w=lb",
        "cmd=update&w=lb&att=vwa&val0=0&val1=0&val2=0",
        "cmd=update&w=lb&att=vwa&val0=2",
    ] {
        let desk = Desk::new();
        desk.done("cmd=drain&w=lb&sw=m1&until=30m");
        assert!(is_draining(&desk, 0));
        desk.done(query);
        assert!(!is_draining(&desk, 0), "{query}");
    }
}

#[test]
fn other_edits_leave_it_alone() {
    let desk = Desk::new();
    desk.done("cmd=drain&w=lb&sw=m1&until=30m");
    desk.done("cmd=update&w=lb&sw=m1&vwa=1&vwf=4");
    desk.done("cmd=update&w=lb&sw=m2&vwa=1");
    // The form for all members, and the one of the member, as they are shown.
    desk.done("cmd=update&w=lb&att=vwa&val0=1&val1=0&val2=2");
    desk.done("cmd=update&w=lb&att=vwa&val0=1");
    desk.done(
        "cmd=update&from=list&w=lb&sw=m1&vwa=1&vwf=4&vwn=m1&vwr=&vwc=&vwd=0&vahst=127.0.0.1&vaprt=8011&vacpt=0&vapng=10000\
         &vact=0&vapt=0&vart=0&var=2&vari=100&vacpi=0&varo=0&vabl=0&vamps=8192",
    );
    assert!(is_draining(&desk, 0), "a form sends the activation it shows");
    assert!(desk.lines("'drain'").is_empty());
}

#[test]
fn a_reset_tells_the_log_which_drains_it_ended() {
    for query in ["cmd=reset&w=lb&sw=m1", "cmd=reset&w=lb"] {
        let desk = Desk::new();
        desk.done("cmd=drain&w=lb&sw=m1&until=30m");
        desk.done(query);
        desk.done(query);
        let line = "Status worker 'st' changing 'drain' for sub worker 'm1' of lb worker 'lb' from 'on' to 'off'";
        assert_eq!(desk.lines("'drain'"), [line], "{query}");
    }
}

#[test]
fn a_member_is_stopped_when_its_time_is_up_or_when_it_is_empty() {
    for (query, why) in [("until=1s", "the time to drain is up"), ("quiet=0s", "drained, nothing is left")] {
        let desk = Desk::new();
        desk.done(&format!("cmd=drain&w=lb&sw=m1&{query}"));
        desk.lbs()[0].end_drains(desk.log());
        assert_eq!((desk.member(0).activation(), is_draining(&desk, 0)), (Activation::Stopped, false), "{query}");
        let line = format!("(lb) changing 'activation' for sub worker 'm1' from 'DIS' to 'STP': {why}");
        assert_eq!(desk.lines("'DIS' to 'STP'"), [line]);
        assert_eq!(desk.member(1).activation(), Activation::Active);
    }
}

#[test]
fn a_member_is_not_stopped_before() {
    let desk = Desk::new();
    desk.done("cmd=drain&w=lb&sw=m1&until=30d&quiet=30d");
    desk.member(0).state.set(State::Error);
    desk.lbs()[0].end_drains(desk.log());
    assert_eq!((desk.member(0).activation(), is_draining(&desk, 0)), (Activation::Disabled, true));
}

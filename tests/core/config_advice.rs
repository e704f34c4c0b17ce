//! Each rule of advice: what sets it off, and that an orderly file sets none off.

use mod_jk::properties::Severity;

use crate::config_reading::{FILE, of, read};

/// Advice on a file whose only worker `w` has its timeouts.
fn advice(lines: &str) -> Vec<String> {
    let text = format!("worker.list=w\nworker.w.socket_timeout=60\n{lines}");
    of(&read(&text).1, Severity::Advice)
}

/// Advice on a file with a balancer `lb` of members `w` and `v` that is in order.
fn balancer(lines: &str) -> Vec<String> {
    let text = format!(
        "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=w,v\nworker.w.socket_timeout=60\nworker.v.socket_timeout=60\n\
         worker.v.port=1\n{lines}"
    );
    of(&read(&text).1, Severity::Advice)
}

#[test]
fn says_nothing_about_an_orderly_file() {
    assert_eq!(advice(""), [""; 0]);
    assert_eq!(balancer(""), [""; 0]);
}

#[test]
fn sees_names_without_definition() {
    let found = of(&read("worker.list=status,tomcta1\nworker.tomcat1.port=1").1, Severity::Advice);
    assert_eq!(
        found.get(..2).unwrap_or_default(),
        [
            format!(
                "{FILE}:1: worker.list names \"status\", of which nothing else is said: an ajp13 worker for localhost:8009; a status page \
                 needs worker.status.type=status"
            ),
            format!(
                "{FILE}:1: worker.list names \"tomcta1\", of which nothing else is said: an ajp13 worker for localhost:8009; did you \
                 mean \"tomcat1\"?"
            ),
        ]
    );
    let member = balancer("worker.lb.balance_workers=x");
    assert!(
        member.iter().any(|one| one.contains("worker.lb.balance_workers names \"x\", of which nothing else")),
        "{member:?}"
    );
}

#[test]
fn sees_balancers_without_type() {
    assert_eq!(
        advice("worker.w.balance_workers=w"),
        [format!("{FILE}:3: worker.w.balance_workers is given, but without worker.w.type=lb it means nothing")]
    );
}

#[test]
fn sees_workers_that_cannot_be_used() {
    assert_eq!(
        advice("worker.x.port=1\nworker.x.host=h"),
        [format!(
            "{FILE}:3: worker \"x\" can never be used: it is not in worker.list and no balancer has it as a member"
        )]
    );
    let template = "worker.t.port=1\nworker.w.reference=worker.t\nworker.w.sub.host=1";
    assert_eq!(advice(template), [""; 0], "templates and parts of used names are used");
    let unlisted = advice("worker.lb.type=lb\nworker.lb.balance_workers=x\nworker.x.port=1");
    assert_eq!(unlisted.len(), 1, "members of an unlisted balancer are not reported again: {unlisted:?}");
}

#[test]
fn sees_attributes_that_do_nothing_where_they_stand() {
    for (lines, expected) in [
        (
            "worker.w.recover_time=1",
            "worker.w.recover_time has no effect: \"w\" is of type ajp13, which does not have this attribute",
        ),
        (
            "worker.w.maintain=1",
            "worker.w.maintain has no effect: \"w\" is of type ajp13, which does not have this attribute",
        ),
        (
            "worker.lb.socket_timeout=1",
            "worker.lb.socket_timeout has no effect: \"lb\" is of type lb, which does not have this attribute",
        ),
    ] {
        assert_eq!(balancer(lines), [format!("{FILE}:7: {expected}")]);
    }
    assert_eq!(
        advice("worker.w.lbfactor=1"),
        [""; 0],
        "attributes of members on other workers are harmless and common"
    );
}

#[test]
fn an_attribute_of_a_template_is_useless_only_if_nobody_can_use_it() {
    let shared =
        "worker.t.retries=2\nworker.t.recover_time=9\nworker.w.reference=worker.t\nworker.lb.reference=worker.t";
    assert_eq!(balancer(shared), [""; 0]);
    let wasted = "worker.t.recover_time=9\nworker.w.reference=worker.t\nworker.v.reference=worker.t";
    let found = balancer(wasted);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found.iter().all(|one| one.starts_with(&format!("{FILE}:7: worker.t.recover_time has no effect"))),
        "{found:?}"
    );
}

#[test]
fn sees_settings_of_this_module_in_the_wrong_place() {
    assert_eq!(
        balancer("jkx.worker.w.slow_start=1\njkx.worker.lb.unix_socket=/s\njkx.worker.x.unix_socket=/s"),
        [
            format!("{FILE}:7: jkx.worker.w.slow_start has no effect on this type of worker"),
            format!("{FILE}:8: jkx.worker.lb.unix_socket has no effect on this type of worker"),
            format!("{FILE}:9: jkx.worker.x.unix_socket is for a worker that does not exist; did you mean \"v\"?"),
        ]
    );
}

#[test]
fn sees_forgotten_timeouts_of_all_workers_at_once() {
    let found = of(&read("worker.list=a,b\nworker.a.port=1\nworker.b.socket_connect_timeout=1").1, Severity::Advice);
    assert_eq!(
        found,
        [
            "no socket_timeout and no reply_timeout for a, b: requests wait for ever for a backend that hangs, until no thread of httpd is \
             left",
            "no socket_connect_timeout for a: a host that is down without a word is waited for as long as the system tries, often two \
             minutes",
        ]
    );
}

#[test]
fn sees_pools_that_serve_nobody() {
    assert_eq!(
        advice("worker.w.connection_pool_size=0\nworker.w.connection_acquire_timeout=0"),
        [
            format!("{FILE}:3: worker \"w\" has a pool of 0 connections: every request is refused"),
            format!("{FILE}:4: worker.w.connection_acquire_timeout is 0: C mod_jk never gets a connection then"),
        ]
    );
}

#[test]
fn sees_options_that_let_a_post_be_sent_again() {
    assert_eq!(
        advice("worker.w.recovery_options=0"),
        [format!(
            "{FILE}:3: worker.w.recovery_options=0 lets a request that was sent be sent again, up to 2 times in all, also a POST; leave it out \
             or use 3"
        )]
    );
    let found = balancer("worker.w.recovery_options=4");
    assert!(found.iter().any(|one| one.contains("up to 8 times in all")), "{found:?}");
    assert_eq!(advice("worker.w.recovery_options=3"), [""; 0]);
    assert_eq!(advice("worker.w.recovery_options=0\nworker.w.retries=1"), [""; 0]);
}

#[test]
fn sees_members_that_are_one_backend() {
    assert_eq!(
        balancer("worker.w.port=1"),
        [format!("{FILE}:6: members \"w\" and \"v\" of the balancer \"lb\" are both localhost:1")]
    );
    assert_eq!(balancer("worker.w.port=1\nworker.w.host=other"), [""; 0]);
}

#[test]
fn sees_redirects_to_nowhere() {
    assert_eq!(
        balancer("worker.v.route=r\nworker.w.redirect=v"),
        [format!(
            "{FILE}:8: worker.w.redirect must be the route of another member of \"lb\", found \"v\"; did you mean \"r\"?"
        )]
    );
    assert_eq!(balancer("worker.w.redirect=v"), [""; 0]);
    assert_eq!(balancer("worker.v.domain=d\nworker.w.redirect=d"), [""; 0]);
}

#[test]
fn sees_balancers_that_cannot_work_well() {
    for (lines, expected) in [
        (
            "worker.w.activation=d\nworker.v.activation=s",
            "2: no member of the balancer \"lb\" is active: requests without a session are refused",
        ),
        (
            "worker.lb.sticky_session=0\nworker.lb.sticky_session_force=1",
            "8: worker.lb.sticky_session_force has no effect without worker.lb.sticky_session",
        ),
        ("worker.maintain=0", "7: worker.maintain is 0: members in error never come back by themselves"),
        (
            "worker.w.reply_timeout=1000",
            "7: reply_timeout without worker.lb.max_reply_timeouts: a single slow page takes the whole member out of service",
        ),
    ] {
        assert_eq!(balancer(lines), [format!("{FILE}:{expected}")]);
    }
}

#[test]
fn sees_what_other_tools_left_behind() {
    for (value, found) in [
        ("$TOMCAT_IP", "$TOMCAT_IP"),
        ("${host}.local", "${host}"),
        ("a{{ host }}", "{{ host }}"),
        ("<%= h %>", "<%= h %>"),
        ("${open", "${open"),
    ] {
        let expected = format!(
            "{FILE}:3: worker.w.host contains {found:?}, which nothing replaces here; variables are written $(NAME)"
        );
        assert_eq!(advice(&format!("worker.w.host={value}")), [expected]);
    }
    assert_eq!(advice("worker.w.secret=a$B{{c}}"), [""; 0], "a secret may be anything");
    assert_eq!(advice("worker.w.route=a$b$"), [""; 0]);
}

#[test]
fn sees_invisible_characters_and_keys_without_worker() {
    assert_eq!(
        advice("worker.w.route=a\u{a0}\nworker.host=h"),
        [
            format!(
                "{FILE}:3: \"worker.w.route\" or its value contains an invisible character (such as a no-break space)"
            ),
            format!("{FILE}:4: worker.host names no worker; it is written worker.<name>.<attribute>"),
        ]
    );
}

//! What follows from what is given: derived defaults, sorts of workers, members, and the values that are refused or corrected.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use mod_jk::balancer::{Activation, Lock, Method};
use mod_jk::config::{ExtraMethod, SettingOrigin, WorkerConfig};
use mod_jk::properties::{Origin, Severity};

use crate::config_reading::{FILE, accepted, ajp, errors, lb, member, of, read, status, warnings};

/// A balancer with two members and more lines.
fn balancer(lines: &str) -> String {
    format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=w,v\nworker.v.port=1\n{lines}")
}

#[test]
fn refuses_a_port_that_is_none() {
    for (port, expected) in [
        ("80a", "found \"80a\""),
        ("AJP_PORT_1", "found \"AJP_PORT_1\""),
        ("-1", "found \"-1\""),
        ("65536", "found \"65536\""),
        ("99999999999", "found \"99999999999\""),
        ("8.0", "found \"8.0\""),
    ] {
        assert_eq!(
            errors(&format!("worker.list=w1\n\nworker.w1.port={port}")),
            [format!("{FILE}:3: worker.w1.port must be a number from 1 to 65535, {expected}")]
        );
    }
}

#[test]
fn accepts_every_port_there_is() {
    for (port, expected) in [("0", 0), ("1", 1), ("65535", 65_535), ("+80", 80), ("8k", 8_192)] {
        assert_eq!(ajp(&accepted(&format!("worker.list=w\nworker.w.port={port}")), "w").settings.port, expected);
    }
}

#[test]
fn names_the_line_of_the_template_a_wrong_value_came_from_and_that_once() {
    let text = "worker.list=a,b\nworker.t.port=x\nworker.t.retries=0\nworker.a.reference=worker.t\nworker.b.reference=worker.t";
    let (_, findings) = read(text);
    assert_eq!(
        of(&findings, Severity::Error),
        [format!("{FILE}:2: worker.t.port must be a number from 1 to 65535, found \"x\"")]
    );
    assert_eq!(
        of(&findings, Severity::Warning),
        [format!("{FILE}:3: worker.t.retries must be at least 1, found 0; 1 is used")]
    );
}

#[test]
fn keeps_the_numbers_of_c_mod_jk_but_not_its_silence() {
    for (line, show, warning) in [
        ("retries=3x", "3", "must be a number, found \"3x\"; 3 is used"),
        ("retries=x", "2", "must be a number, found \"x\"; the default 2 is used"),
        ("retries=0", "1", "must be at least 1, found 0; 1 is used"),
        ("retries=-5", "1", "must be at least 1, found -5; 1 is used"),
        (
            "retries=99999999999",
            "2",
            "must be a number of at most 2147483647, found \"99999999999\"; the default 2 is used",
        ),
    ] {
        let text = format!("worker.list=w\nworker.w.{line}");
        assert_eq!(ajp(&read(&text).0, "w").settings.retries.to_string(), show, "{line}");
        assert_eq!(warnings(&text), [format!("{FILE}:2: worker.w.retries {warning}")], "{line}");
    }
}

#[test]
fn a_repeated_number_counts_with_its_first_value() {
    let text = balancer("worker.maintain=10\nworker.maintain=20\nworker.w.distance=1\nworker.w.distance=2");
    let config = accepted(&text);
    assert_eq!((config.maintain_s, member(&config, "w").distance), (10, 1));
    assert_eq!(warnings(&text).len(), 4, "one for the repeat and one for the number, each");
}

#[test]
fn takes_negative_times_for_off() {
    let config = accepted(
        "worker.list=w\nworker.maintain=-1\nworker.w.socket_timeout=-1\nworker.w.reply_timeout=-1\nworker.w.busy_limit=-3\n\
         worker.w.socket_connect_timeout=-1",
    );
    let w = ajp(&config, "w");
    assert_eq!((config.maintain_s, w.socket_timeout_s, w.settings.reply_timeout_ms), (0, 0, 0));
    assert_eq!((w.settings.busy_limit, w.socket_connect_timeout_ms), (0, 0));
}

#[test]
fn moves_the_packet_size_into_its_bounds() {
    for (given, expected, warned) in [
        ("8192", 8_192, false),
        ("64k", 65_536, false),
        ("1", 8_192, true),
        ("8193", 9_216, true),
        ("9000", 9_216, true),
        ("65535", 65_536, true),
        ("70000", 65_536, true),
        ("-1", 8_192, true),
        ("2147483647", 65_536, true),
    ] {
        let text = format!("worker.list=w\nworker.w.max_packet_size={given}");
        assert_eq!(ajp(&accepted(&text), "w").settings.max_packet_size, expected, "{given}");
        assert_eq!(warnings(&text).len(), usize::from(warned), "{given}");
    }
}

#[test]
fn raises_a_small_socket_buffer_to_the_packet_size() {
    let text = "worker.list=w\nworker.w.max_packet_size=16384\nworker.w.socket_buffer=100";
    assert_eq!(ajp(&accepted(text), "w").socket_buffer, 16_384);
    assert_eq!(
        warnings(text),
        [format!("{FILE}:3: worker.w.socket_buffer must be at least max_packet_size, found 100; 16384 is used")]
    );
    assert_eq!(ajp(&accepted("worker.list=w\nworker.w.socket_buffer=0"), "w").socket_buffer, 0);
}

#[test]
fn derives_the_connect_timeout_from_the_socket_timeout() {
    for (lines, expected) in [
        ("worker.w.socket_timeout=3", 3_000),
        ("worker.w.socket_timeout=3\nworker.w.socket_connect_timeout=50", 50),
        ("worker.w.socket_timeout=3\nworker.w.socket_connect_timeout=0", 0),
        ("worker.w.socket_timeout=2147483647", 2_147_483_647),
    ] {
        assert_eq!(
            ajp(&accepted(&format!("worker.list=w\n{lines}")), "w").socket_connect_timeout_ms,
            expected,
            "{lines}"
        );
    }
}

#[test]
fn derives_probes_from_the_ping_mode() {
    for (mode, connect, prepost, interval) in [
        ("C", 1_500, 0, 0),
        ("P", 0, 1_500, 0),
        ("I", 0, 0, 15),
        ("A", 1_500, 1_500, 15),
        ("icp", 1_500, 1_500, 15),
        ("x", 0, 0, 0),
    ] {
        let settings =
            ajp(&accepted(&format!("worker.list=w\nworker.w.ping_timeout=1500\nworker.w.ping_mode={mode}")), "w")
                .settings
                .clone();
        let found = (settings.connect_timeout_ms, settings.prepost_timeout_ms, settings.connection_ping_interval_s);
        assert_eq!(found, (connect, prepost, interval), "{mode}");
    }
}

#[test]
fn given_probes_win_over_the_ping_mode() {
    let config = accepted(
        "worker.list=w\nworker.w.ping_mode=A\nworker.w.connect_timeout=7\nworker.w.prepost_timeout=-1\n\
         worker.w.connection_ping_interval=9",
    );
    let settings = &ajp(&config, "w").settings;
    assert_eq!(
        (settings.connect_timeout_ms, settings.prepost_timeout_ms, settings.connection_ping_interval_s),
        (7, 0, 9)
    );
    assert_eq!(ajp(&accepted("worker.list=w\nworker.w.ping_mode=I"), "w").settings.connection_ping_interval_s, 100);
}

#[test]
fn names_the_letters_of_a_ping_mode_that_mean_nothing() {
    let text = "worker.list=w\nworker.w.ping_mode=CZ";
    assert!(ajp(&accepted(text), "w").ping_mode.connect);
    assert_eq!(
        warnings(text),
        [format!("{FILE}:2: worker.w.ping_mode must be letters of C, P, I and A, found \"CZ\"; \"Z\" is ignored")]
    );
}

#[test]
fn derives_the_pool_from_the_threads() {
    for (lines, size, least) in [
        ("", 25, 13),
        ("worker.w.connection_pool_size=4", 4, 2),
        ("worker.w.connection_pool_size=4\nworker.w.cachesize=9", 4, 2),
        ("worker.w.connection_pool_size=-1\nworker.w.cachesize=9", 9, 5),
        ("worker.w.connection_pool_size=-1", 25, 13),
        ("worker.w.connection_pool_size=0", 0, 0),
        ("worker.w.connection_pool_minsize=-1", 25, 25),
        ("worker.w.connection_pool_minsize=0", 25, 0),
    ] {
        let config = accepted(&format!("worker.list=w\n{lines}"));
        let w = ajp(&config, "w");
        assert_eq!((w.connection_pool_size, w.connection_pool_minsize), (size, least), "{lines}");
    }
}

#[test]
fn a_negative_pool_timeout_gives_way_to_its_old_name() {
    let config = accepted("worker.list=w\nworker.w.connection_pool_timeout=-1\nworker.w.cache_timeout=30");
    assert_eq!(ajp(&config, "w").settings.connection_pool_timeout_s, 30);
}

#[test]
fn derives_the_acquire_timeout_and_never_makes_a_worker_unusable() {
    for (lines, expected) in [
        ("", 200),
        ("worker.w.retries=5", 500),
        ("worker.w.retries=1\nworker.w.retry_interval=50", 50),
        ("worker.w.retry_interval=0", 200),
        ("worker.w.retry_interval=-7", 200),
        ("worker.w.connection_acquire_timeout=1", 1),
    ] {
        let config = accepted(&format!("worker.list=w\n{lines}"));
        assert_eq!(ajp(&config, "w").connection_acquire_timeout_ms, expected, "{lines}");
    }
    assert_eq!(ajp(&accepted("worker.list=w\nworker.w.retry_interval=0"), "w").settings.retry_interval_ms, 0);
}

#[test]
fn tells_recovery_options_given_from_not_given() {
    for (lines, expected) in [
        ("", None),
        ("worker.w.recovery_options=0", Some(0)),
        ("worker.w.recovery_options=19", Some(19)),
        ("worker.w.recovery_options=-1", Some(u32::MAX)),
        ("worker.w.recovery_options=x", None),
    ] {
        assert_eq!(
            ajp(&accepted(&format!("worker.list=w\n{lines}")), "w").settings.recovery_options,
            expected,
            "{lines}"
        );
    }
}

#[test]
fn reads_the_statuses_that_count_as_failures() {
    let text = "worker.list=w\nworker.w.fail_on_status=500,x -503\t404z\nworker.w.fail_on_status=400";
    assert_eq!(ajp(&accepted(text), "w").fail_on_status, [500, -503, 404, 400]);
    assert_eq!(
        warnings(text),
        [
            format!("{FILE}:3: worker.w.fail_on_status must be a list of numbers, found \"x\"; it is left out"),
            format!("{FILE}:3: worker.w.fail_on_status must be a list of numbers, found \"404z\"; 404 is used"),
        ]
    );
}

#[test]
fn splits_host_and_port() {
    for (lines, host, port) in [
        ("host=h", "h", 8_009),
        ("host=h:8010", "h", 8_010),
        ("host=h:8010\nworker.w.port=8010", "h", 8_010),
        ("host=10.0.0.1:1", "10.0.0.1", 1),
        ("host=::1", "::1", 8_009),
        ("host=fe80::1%eth0", "fe80::1%eth0", 8_009),
        ("host=[::1]", "::1", 8_009),
        ("host=[::1]:8010", "::1", 8_010),
        ("host=[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("host=2001:db8::8010", "2001:db8::8010", 8_009),
    ] {
        let config = accepted(&format!("worker.list=w\nworker.w.{lines}"));
        let settings = &ajp(&config, "w").settings;
        assert_eq!((settings.host.as_str(), settings.port), (host, port), "{lines}");
    }
}

#[test]
fn refuses_hosts_that_nobody_can_understand() {
    for (lines, expected) in [
        ("host=h:x", "2: worker.w.host must be a number from 1 to 65535, found \"x\""),
        ("host=h:", "2: worker.w.host must be a number from 1 to 65535, found \"\""),
        ("host=:80", "2: worker.w.host must have a name or an address before the colon, found \":80\""),
        ("host=[::1", "2: worker.w.host must have a ] behind the address, found \"[::1\""),
        ("host=[localhost]", "2: worker.w.host must have an IPv6 address between [ and ], found \"[localhost]\""),
        ("host=[::1]8010", "2: worker.w.host must have nothing or :port behind the ], found \"[::1]8010\""),
        ("host=h:1\nworker.w.port=2", "3: worker.w.port says 2, but worker.w.host says 1; which one is it?"),
    ] {
        assert_eq!(errors(&format!("worker.list=w\nworker.w.{lines}")), [format!("{FILE}:{expected}")], "{lines}");
    }
}

#[test]
fn refuses_texts_that_do_not_fit_the_shared_records() {
    let long = "x".repeat(64);
    for name in ["route", "domain", "redirect", "host", "source"] {
        assert_eq!(
            errors(&balancer(&format!("worker.w.{name}={long}"))),
            [format!("{FILE}:5: worker.w.{name} must have at most 63 bytes, found 64")],
            "{name}"
        );
        assert!(errors(&balancer(&format!("worker.w.{name}={}", "x".repeat(63)))).is_empty(), "{name}");
    }
    for name in ["session_cookie", "session_path", "session_cookie_path"] {
        assert_eq!(
            errors(&balancer(&format!("worker.lb.{name}={long}"))),
            [format!("{FILE}:5: worker.lb.{name} must have at most 63 bytes, found 64")],
            "{name}"
        );
    }
    assert_eq!(
        errors(&format!("worker.list={long}")),
        [format!("{FILE}:1: worker name {long:?} must have at most 63 bytes, found 64")]
    );
    assert!(errors(&format!("worker.list={}", "x".repeat(63))).is_empty());
}

#[test]
fn refuses_a_secret_that_is_no_longer_what_was_written() {
    let mut findings = Vec::new();
    let mut properties = mod_jk::properties::Properties::new();
    properties.read(b"worker.list=w\nworker.w.secret=caf\xE9", FILE, &mut findings);
    let (_, findings) = mod_jk::config::build(&properties, &mod_jk::config::Defaults::default());
    assert_eq!(
        of(&findings, Severity::Error),
        [format!("{FILE}:2: worker.w.secret must be UTF-8, or it would not be sent as it was written")]
    );
}

#[test]
fn without_a_list_there_is_one_worker() {
    for text in ["", "worker.list=\n"] {
        let config = accepted(text);
        assert_eq!(config.ajp.len(), 1, "{text:?}");
        assert_eq!((config.ajp[0].name.as_str(), config.ajp[0].settings.port), ("ajp13", 8_009));
    }
}

#[test]
fn refuses_a_list_without_names() {
    assert_eq!(errors("worker.list=,"), [format!("{FILE}:1: worker.list must name at least one worker")]);
}

#[test]
fn a_repeated_name_of_the_list_counts_once() {
    let text = "worker.list=a,b\nworker.list=a c,a";
    let config = accepted(text);
    assert_eq!(config.ajp.iter().map(|worker| worker.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(warnings(text), [format!("{FILE}:2: worker.list names \"a\" again; once is enough")]);
}

#[test]
fn knows_the_types_of_workers() {
    for (sort, expected) in [
        ("ajp12", "found \"ajp12\", which is not built; use ajp13"),
        ("ajp14", "found \"ajp14\", which is not built; use ajp13"),
        ("AJP13", "found \"AJP13\"; did you mean ajp13?"),
        ("staus", "found \"staus\"; did you mean status?"),
        ("nosuch", "found \"nosuch\""),
    ] {
        assert_eq!(
            errors(&format!("worker.list=x\nworker.x.type={sort}")),
            [format!("{FILE}:2: worker.x.type must be ajp13, lb or status, {expected}")]
        );
    }
}

#[test]
fn accepts_any_character_in_a_worker_name() {
    let config = accepted("worker.list=a.b,a/b,a@b,\u{e4}\nworker.a.b.port=1\nworker.\u{e4}.port=2");
    assert_eq!((ajp(&config, "a.b").settings.port, ajp(&config, "\u{e4}").settings.port), (1, 2));
}

#[test]
fn a_balancer_needs_members() {
    for lines in ["", "worker.lb.balance_workers=,"] {
        let found = errors(&format!("worker.list=lb\nworker.lb.type=lb\n{lines}"));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("worker.lb.balance_workers must name at least one member of the balancer"),
            "{found:?}"
        );
        assert!(found[0].starts_with(FILE));
    }
}

#[test]
fn the_old_name_of_the_member_list_counts_when_the_new_one_is_missing() {
    let members =
        |lines: &str| lb(&accepted(&format!("worker.list=lb\nworker.lb.type=lb\n{lines}")), "lb").members.len();
    assert_eq!(members("worker.lb.balanced_workers=a,b"), 2);
    assert_eq!(members("worker.lb.balanced_workers=a,b\nworker.lb.balance_workers=c"), 1);
}

#[test]
fn refuses_members_that_are_not_ajp_workers() {
    for sort in ["lb", "status"] {
        let text = format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=w,x\nworker.x.type={sort}");
        let expected = format!(
            "{FILE}:3: worker.lb.balance_workers must name workers of type ajp13, found \"x\", which has type {sort}"
        );
        assert_eq!(errors(&text), [expected]);
    }
}

#[test]
fn refuses_members_that_cannot_be_told_apart() {
    let text = balancer("worker.w.route=r\nworker.v.route=r");
    assert_eq!(
        errors(&text),
        [format!(
            "{FILE}:6: members \"w\" and \"v\" of the balancer \"lb\" have the same route \"r\"; each needs its own"
        )]
    );
    assert_eq!(
        errors(&balancer("worker.lb.balance_workers=w")),
        [format!("{FILE}:5: worker.lb.balance_workers names \"w\" twice; a member can be there once")]
    );
    assert_eq!(errors(&balancer("worker.w.jvm_route=v")).len(), 1);
}

#[test]
fn one_ajp_worker_serves_all_that_name_it() {
    let text = "worker.list=m,l1,l2\nworker.l1.type=lb\nworker.l1.balance_workers=m\nworker.l2.type=lb\nworker.l2.balance_workers=m\n\
                worker.m.retries=0";
    let config = accepted(text);
    assert_eq!(config.ajp.len(), 1);
    assert!(matches!(config.list[0], WorkerConfig::Ajp(0)));
    assert_eq!((lb(&config, "l1").members[0].ajp, lb(&config, "l2").members[0].ajp), (0, 0));
    assert_eq!(warnings(text).len(), 1, "what is wrong with it is said once");
}

#[test]
fn the_secret_of_a_balancer_is_for_members_without_one() {
    let text = balancer("worker.lb.secret=shared\nworker.v.secret=own");
    let config = accepted(&text);
    assert_eq!(ajp(&config, "w").secret.as_deref(), Some("shared"));
    assert_eq!(ajp(&config, "v").secret.as_deref(), Some("own"));
    let expected =
        SettingOrigin::Inherited { from: "worker.lb".to_owned(), origin: Origin { file: FILE.into(), line: 5 } };
    assert_eq!(config.origin_of("w", "secret"), expected);
    assert!(config.properties_dump.iter().all(|(key, _)| !key.ends_with("secret")));
}

#[test]
fn two_balancers_with_different_secrets_cannot_share_a_member_unnoticed() {
    let text = "worker.list=l1,l2\nworker.l1.type=lb\nworker.l1.balance_workers=m\nworker.l1.secret=a\nworker.l2.type=lb\n\
                worker.l2.balance_workers=m\nworker.l2.secret=b";
    assert_eq!(ajp(&accepted(text), "m").secret.as_deref(), Some("a"));
    assert_eq!(
        warnings(text),
        [format!(
            "{FILE}:7: \"m\" is a member of balancers with different secrets; the one of \"l2\" is not used for it"
        )]
    );
}

#[test]
fn derives_the_domain_from_the_route() {
    for (lines, route, domain) in [
        ("", "w", ""),
        ("worker.w.route=d.r", "d.r", "d"),
        ("worker.w.route=d.r.x", "d.r.x", "d"),
        ("worker.w.route=d.r\nworker.w.domain=e", "d.r", "e"),
        ("worker.w.jvm_route=old", "old", ""),
        ("worker.w.jvm_route=old\nworker.w.route=new", "new", ""),
    ] {
        let config = accepted(&balancer(lines));
        let settings = member(&config, "w");
        assert_eq!((settings.route.as_str(), settings.domain.as_str()), (route, domain), "{lines}");
    }
    let config = accepted("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=d.w");
    assert_eq!(member(&config, "d.w").domain, "d", "a route taken from the name counts as well");
}

#[test]
fn knows_all_ways_to_say_an_activation() {
    for (lines, expected) in [
        ("", Activation::Active),
        ("worker.w.activation=a", Activation::Active),
        ("worker.w.activation=DIS", Activation::Disabled),
        ("worker.w.activation=stopped", Activation::Stopped),
        ("worker.w.activation=0", Activation::Active),
        ("worker.w.activation=1", Activation::Disabled),
        ("worker.w.activation=2", Activation::Stopped),
        ("worker.w.activation=x", Activation::Active),
        ("worker.w.disabled=1", Activation::Disabled),
        ("worker.w.stopped=1", Activation::Stopped),
        ("worker.w.stopped=1\nworker.w.disabled=1", Activation::Stopped),
        ("worker.w.stopped=1\nworker.w.activation=a", Activation::Active),
        ("worker.w.stopped=0\nworker.w.disabled=1", Activation::Disabled),
        ("worker.w.port=0", Activation::Stopped),
        ("worker.w.port=0\nworker.w.activation=a", Activation::Stopped),
        ("worker.w.port=0\njkx.worker.w.unix_socket=/s", Activation::Active),
    ] {
        assert_eq!(member(&accepted(&balancer(lines)), "w").activation, expected, "{lines}");
    }
}

#[test]
fn warns_of_choices_that_are_taken_for_their_first_letter() {
    for (lines, method, lock, warning) in [
        ("method=R", Method::Request, Lock::Optimistic, ""),
        ("method=Session", Method::Sessions, Lock::Optimistic, ""),
        ("method=4", Method::Next, Lock::Optimistic, ""),
        ("lock=pessimistic", Method::Request, Lock::Pessimistic, ""),
        (
            "method=sticky",
            Method::Sessions,
            Lock::Optimistic,
            "method must be one of Request, Traffic, Busyness, Sessions, Next, found \"sticky\"; only the first character 's' counts",
        ),
        (
            "method=x",
            Method::Request,
            Lock::Optimistic,
            "method must be one of Request, Traffic, Busyness, Sessions, Next, found \"x\"; Request is used",
        ),
    ] {
        let text = balancer(&format!("worker.lb.{lines}"));
        let settings = lb(&accepted(&text), "lb").settings.clone();
        assert_eq!((settings.method, settings.lock), (method, lock), "{lines}");
        let expected: Vec<String> =
            if warning.is_empty() { Vec::new() } else { vec![format!("{FILE}:5: worker.lb.{warning}")] };
        assert_eq!(warnings(&text), expected, "{lines}");
    }
}

#[test]
fn warns_of_yes_and_no_that_are_neither() {
    for (value, expected, warning) in [
        ("maybe", true, "found \"maybe\"; the default true is used"),
        ("2", true, "found \"2\"; the default true is used"),
        ("never", false, "found \"never\"; it counts as false"),
    ] {
        let text = balancer(&format!("worker.lb.sticky_session={value}"));
        assert_eq!(lb(&accepted(&text), "lb").settings.sticky_session, expected, "{value}");
        assert_eq!(warnings(&text), [format!("{FILE}:5: worker.lb.sticky_session must be true or false, {warning}")]);
    }
}

#[test]
fn derives_the_times_of_a_balancer() {
    for (lines, recover, escalation) in [
        ("", 60, 30),
        ("worker.lb.recover_time=0", 1, 0),
        ("worker.lb.recover_time=7", 7, 3),
        ("worker.lb.recover_time=7\nworker.lb.error_escalation_time=0", 7, 0),
        ("worker.lb.error_escalation_time=-4", 60, 0),
    ] {
        let settings = lb(&accepted(&balancer(lines)), "lb").settings.clone();
        assert_eq!((settings.recover_time_s, settings.error_escalation_time_s), (recover, escalation), "{lines}");
    }
    let settings = |lines: &str| lb(&accepted(&balancer(lines)), "lb").settings.clone();
    assert_eq!(settings("worker.lb.max_reply_timeouts=-1").max_reply_timeouts, u32::MAX);
    assert_eq!(settings("worker.lb.retries=0").retries, 1);
    assert_eq!(settings("worker.lb.retry_interval=-1").retry_interval_ms, 0);
}

#[test]
fn tries_no_more_members_than_there_are() {
    let tries = |lines: &str| lb(&accepted(&balancer(lines)), "lb").lb_retries;
    assert_eq!((tries(""), tries("worker.lb.lb_retries=9"), tries("worker.lb.lb_retries=0")), (2, 2, 1));
}

#[test]
fn reads_the_settings_only_this_module_has() {
    let config = accepted(&balancer(
        "jkx.worker.w.unix_socket=/run/tomcat.sock\njkx.health=on\njkx.slow_start=30\njkx.worker.lb.health_interval=5\n\
         jkx.worker.lb.health_timeout=700\njkx.worker.lb.health_rise=4\njkx.worker.lb.health_fall=6\njkx.worker.lb.method=latency\n\
         jkx.worker.lb.slow_start=60",
    ));
    assert_eq!(ajp(&config, "w").unix_socket.as_deref(), Some("/run/tomcat.sock"));
    let extras = &lb(&config, "lb").extras;
    assert!(extras.health, "what is said for all holds where nothing else is said");
    assert_eq!((extras.health_interval_s, extras.health_timeout_ms), (5, 700));
    assert_eq!((extras.health_rise, extras.health_fall, extras.slow_start_s), (4, 6, 60));
    assert_eq!(extras.method, Some(ExtraMethod::Latency));
}

#[test]
fn refuses_socket_paths_that_cannot_be() {
    let text = |path: &str| format!("worker.list=w\njkx.worker.w.unix_socket={path}");
    assert_eq!(
        errors(&text("tomcat.sock")),
        [format!("{FILE}:2: jkx.worker.w.unix_socket must be an absolute path, found \"tomcat.sock\"")]
    );
    assert_eq!(errors(&text(&format!("/{}", "x".repeat(107)))).len(), 1);
    assert!(errors(&text(&format!("/{}", "x".repeat(106)))).is_empty());
}

#[test]
fn warns_of_a_method_it_does_not_have() {
    let text = balancer("jkx.worker.lb.method=magic");
    assert_eq!(lb(&accepted(&text), "lb").extras.method, None);
    assert_eq!(
        warnings(&text),
        [format!("{FILE}:5: jkx.worker.lb.method must be latency, found \"magic\"; it is ignored")]
    );
}

#[test]
fn collects_the_mounts_of_listed_workers_in_order() {
    let config = accepted("worker.list=b,a\nworker.a.mount=/a\nworker.b.mount=/b -!/c\nworker.c.mount=/never");
    let mounts: Vec<_> = config.mounts.iter().map(|(worker, pattern)| format!("{worker}:{pattern}")).collect();
    assert_eq!(mounts, ["b:/b", "b:-!/c", "a:/a"]);
    assert_eq!(
        errors(&balancer("worker.lb.mount=/ok *.jsp")),
        [format!("{FILE}:5: worker.lb.mount must be a list of patterns that begin with /, found \"*.jsp\"")]
    );
}

#[test]
fn reads_ratings_and_says_where_they_make_no_sense() {
    let text = "worker.list=s\nworker.s.type=status\nworker.s.good=a,z\nworker.s.bad=a.e";
    assert_eq!(status(&accepted(text), "s").good, ["a", "z"]);
    assert_eq!(
        warnings(text),
        [
            format!(
                "{FILE}:3: worker.s.good must be letters a d s (activation) and o i b r e (state), found \"z\"; it is ignored"
            ),
            format!("{FILE}:3: worker.s.good names what bad names too; bad wins there"),
        ]
    );
}

#[test]
fn knows_where_every_setting_comes_from() {
    let text = "worker.list=w\nworker.t.host=h\nworker.w.reference=worker.t\nworker.w.port=1\nworker.w.cachesize=3\n\
                jkx.worker.w.unix_socket=/s";
    let config = accepted(text);
    let at = |line| Origin { file: FILE.into(), line };
    assert_eq!(config.origin_of("w", "port"), SettingOrigin::Written(at(4)));
    assert_eq!(config.origin_of("w", "host"), SettingOrigin::Inherited { from: "worker.t".to_owned(), origin: at(2) });
    assert_eq!(config.origin_of("w", "retries"), SettingOrigin::Default);
    assert_eq!(config.origin_of("w", "connection_pool_size"), SettingOrigin::Written(at(5)), "under its old name");
    assert_eq!(config.origin_of("w", "unix_socket"), SettingOrigin::Written(at(6)));
    assert_eq!(config.origin_of("", "list"), SettingOrigin::Written(at(1)));
    assert_eq!(config.origin_of("nobody", "port"), SettingOrigin::Default);
}

#[test]
fn the_dump_has_all_entries_in_order_and_the_inherited_ones_last() {
    let config = accepted(
        "b=1\nworker.list=w\nworker.t.host=h\nworker.t.secret=s\nworker.w.reference=worker.t\nworker.w.port=1",
    );
    let keys: Vec<&str> = config.properties_dump.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["b", "worker.list", "worker.t.host", "worker.w.reference", "worker.w.port", "worker.w.host"]);
}

#[test]
fn reports_everything_that_is_wrong_in_one_run() {
    let text = "worker.list=a,b,c,lb\nworker.a.type=nosuch\nworker.b.port=x\nworker.c.reference=worker.gone\nworker.lb.type=lb\n\
                worker.x.unknown=1";
    let found = errors(text);
    for part in
        ["worker.a.type", "worker.b.port", "worker.c.reference", "worker.lb.balance_workers", "worker.x.unknown"]
    {
        assert_eq!(found.iter().filter(|error| error.contains(part)).count(), 1, "{part}: {found:#?}");
    }
    assert_eq!(found.len(), 5);
}

//! Every attribute of the reference is accepted and does what it says: one row each.
//!
//! Not here: wrong values (`config_build`). Rows without an effect must leave the configuration as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use mod_jk::balancer::{Activation, Lock, Method};
use mod_jk::config::attributes::{ATTRIBUTES, Preset, Scope, attribute};
use mod_jk::config::{Config, LbSettings, WorkerConfig};

use crate::config_reading::{accepted, ajp, assert_same, lb, member, status};

/// What stands around the line under test.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    Ajp,
    Lb,
    Status,
}
use Around::{Ajp, Lb, Nothing, Status};

impl Around {
    fn text(self) -> &'static str {
        match self {
            Nothing => "",
            Ajp => "worker.list=w\n",
            Lb => "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=w,v\nworker.v.port=1\n",
            Status => "worker.list=s\nworker.s.type=status\n",
        }
    }
}

type Show = fn(&Config) -> String;

/// Name, surroundings, lines, and what must then be seen; `None` = nothing changes.
type Row = (&'static str, Around, &'static str, Option<(Show, &'static str)>);

fn sort(config: &Config) -> String {
    let sort = |worker: &WorkerConfig| match worker {
        WorkerConfig::Ajp(place) => config.ajp[*place].name.clone(),
        WorkerConfig::Lb(lb) => format!("lb {}", lb.name),
        WorkerConfig::Status(status) => format!("status {}", status.name),
    };
    config.list.iter().map(sort).collect::<Vec<_>>().join(",")
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(global_rows());
    rows.extend(ajp_rows());
    rows.extend(lb_rows());
    rows.extend(status_rows());
    rows.extend(old_rows());
    rows
}

fn global_rows() -> Vec<Row> {
    vec![
        ("worker.list", Nothing, "worker.list=a,b c", Some((sort, "a,b,c"))),
        ("worker.maintain", Ajp, "worker.maintain=7", Some((|c| c.maintain_s.to_string(), "7"))),
        ("type", Ajp, "worker.w.type=status", Some((sort, "status w"))),
        ("reference", Ajp, "t.host=h\nworker.w.reference=t", Some((|c| ajp(c, "w").settings.host.clone(), "h"))),
        (
            "mount",
            Ajp,
            "worker.w.mount=/a !/b",
            Some((|c| format!("{:?}", c.mounts), r#"[("w", "/a"), ("w", "!/b")]"#)),
        ),
        ("list", Ajp, "worker.w.list=x", None),
        ("maintain", Ajp, "worker.w.maintain=7", None),
    ]
}

fn ajp_rows() -> Vec<Row> {
    vec![
        ("host", Ajp, "worker.w.host=h", Some((|c| ajp(c, "w").settings.host.clone(), "h"))),
        ("port", Ajp, "worker.w.port=80", Some((|c| ajp(c, "w").settings.port.to_string(), "80"))),
        (
            "source",
            Ajp,
            "worker.w.source=10.0.0.1",
            Some((|c| format!("{:?}", ajp(c, "w").source), r#"Some("10.0.0.1")"#)),
        ),
        ("prefer_ipv6", Ajp, "worker.w.prefer_ipv6=1", Some((|c| ajp(c, "w").prefer_ipv6.to_string(), "true"))),
        ("secret", Ajp, "worker.w.secret=s", Some((|c| format!("{:?}", ajp(c, "w").secret), r#"Some("s")"#))),
        ("secretkey", Ajp, "worker.w.secretkey=s", None),
        ("socket_timeout", Ajp, "worker.w.socket_timeout=3", Some((|c| ajp(c, "w").socket_timeout_s.to_string(), "3"))),
        (
            "socket_connect_timeout",
            Ajp,
            "worker.w.socket_connect_timeout=30",
            Some((|c| ajp(c, "w").socket_connect_timeout_ms.to_string(), "30")),
        ),
        (
            "socket_keepalive",
            Ajp,
            "worker.w.socket_keepalive=on",
            Some((|c| ajp(c, "w").socket_keepalive.to_string(), "true")),
        ),
        (
            "socket_buffer",
            Ajp,
            "worker.w.socket_buffer=9000",
            Some((|c| ajp(c, "w").socket_buffer.to_string(), "9000")),
        ),
        (
            "connection_pool_size",
            Ajp,
            "worker.w.connection_pool_size=5",
            Some((|c| ajp(c, "w").connection_pool_size.to_string(), "5")),
        ),
        (
            "connection_pool_minsize",
            Ajp,
            "worker.w.connection_pool_minsize=2",
            Some((|c| ajp(c, "w").connection_pool_minsize.to_string(), "2")),
        ),
        (
            "connection_pool_timeout",
            Ajp,
            "worker.w.connection_pool_timeout=9",
            Some((|c| ajp(c, "w").settings.connection_pool_timeout_s.to_string(), "9")),
        ),
        (
            "connection_acquire_timeout",
            Ajp,
            "worker.w.connection_acquire_timeout=9",
            Some((|c| ajp(c, "w").connection_acquire_timeout_ms.to_string(), "9")),
        ),
        (
            "connection_ping_interval",
            Ajp,
            "worker.w.connection_ping_interval=9",
            Some((|c| ajp(c, "w").settings.connection_ping_interval_s.to_string(), "9")),
        ),
        (
            "ping_timeout",
            Ajp,
            "worker.w.ping_timeout=9",
            Some((|c| ajp(c, "w").settings.ping_timeout_ms.to_string(), "9")),
        ),
        (
            "ping_mode",
            Ajp,
            "worker.w.ping_mode=cI",
            Some((
                |c| format!("{:?}", ajp(c, "w").ping_mode),
                "PingMode { connect: true, prepost: false, interval: true }",
            )),
        ),
        (
            "connect_timeout",
            Ajp,
            "worker.w.connect_timeout=9",
            Some((|c| ajp(c, "w").settings.connect_timeout_ms.to_string(), "9")),
        ),
        (
            "prepost_timeout",
            Ajp,
            "worker.w.prepost_timeout=9",
            Some((|c| ajp(c, "w").settings.prepost_timeout_ms.to_string(), "9")),
        ),
        (
            "reply_timeout",
            Ajp,
            "worker.w.reply_timeout=1m",
            Some((|c| ajp(c, "w").settings.reply_timeout_ms.to_string(), "1048576")),
        ),
        ("retries", Ajp, "worker.w.retries=3", Some((|c| ajp(c, "w").settings.retries.to_string(), "3"))),
        (
            "retry_interval",
            Ajp,
            "worker.w.retry_interval=3",
            Some((|c| ajp(c, "w").settings.retry_interval_ms.to_string(), "3")),
        ),
        (
            "recovery_options",
            Ajp,
            "worker.w.recovery_options=0",
            Some((|c| format!("{:?}", ajp(c, "w").settings.recovery_options), "Some(0)")),
        ),
        (
            "fail_on_status",
            Ajp,
            "worker.w.fail_on_status=500 -503",
            Some((|c| format!("{:?}", ajp(c, "w").fail_on_status), "[500, -503]")),
        ),
        ("busy_limit", Ajp, "worker.w.busy_limit=3", Some((|c| ajp(c, "w").settings.busy_limit.to_string(), "3"))),
        (
            "max_packet_size",
            Ajp,
            "worker.w.max_packet_size=16k",
            Some((|c| ajp(c, "w").settings.max_packet_size.to_string(), "16384")),
        ),
        ("lb_retries", Ajp, "worker.w.lb_retries=3", None),
        ("lbfactor", Lb, "worker.w.lbfactor=3", Some((|c| member(c, "w").lb_factor.to_string(), "3"))),
        ("distance", Lb, "worker.w.distance=-3", Some((|c| member(c, "w").distance.to_string(), "-3"))),
        ("route", Lb, "worker.w.route=r", Some((|c| member(c, "w").route.clone(), "r"))),
        ("domain", Lb, "worker.w.domain=d", Some((|c| member(c, "w").domain.clone(), "d"))),
        ("redirect", Lb, "worker.w.redirect=v", Some((|c| member(c, "w").redirect.clone(), "v"))),
        ("activation", Lb, "worker.w.activation=d", Some((|c| format!("{:?}", member(c, "w").activation), "Disabled"))),
    ]
}

fn lb_rows() -> Vec<Row> {
    vec![
        ("balance_workers", Lb, "worker.lb.balance_workers=u", Some((|c| lb(c, "lb").members.len().to_string(), "3"))),
        (
            "sticky_session",
            Lb,
            "worker.lb.sticky_session=0",
            Some((|c| lb(c, "lb").settings.sticky_session.to_string(), "false")),
        ),
        (
            "sticky_session_force",
            Lb,
            "worker.lb.sticky_session_force=1",
            Some((|c| lb(c, "lb").settings.sticky_session_force.to_string(), "true")),
        ),
        (
            "method",
            Lb,
            "worker.lb.method=Session",
            Some((|c| format!("{:?}", lb(c, "lb").settings.method), "Sessions")),
        ),
        ("lock", Lb, "worker.lb.lock=P", Some((|c| format!("{:?}", lb(c, "lb").settings.lock), "Pessimistic"))),
        ("retries", Lb, "worker.lb.retries=5", Some((|c| lb(c, "lb").settings.retries.to_string(), "5"))),
        ("lb_retries", Lb, "worker.lb.lb_retries=1", Some((|c| lb(c, "lb").lb_retries.to_string(), "1"))),
        (
            "retry_interval",
            Lb,
            "worker.lb.retry_interval=5",
            Some((|c| lb(c, "lb").settings.retry_interval_ms.to_string(), "5")),
        ),
        (
            "recover_time",
            Lb,
            "worker.lb.recover_time=5",
            Some((|c| lb(c, "lb").settings.recover_time_s.to_string(), "5")),
        ),
        (
            "error_escalation_time",
            Lb,
            "worker.lb.error_escalation_time=5",
            Some((|c| lb(c, "lb").settings.error_escalation_time_s.to_string(), "5")),
        ),
        (
            "max_reply_timeouts",
            Lb,
            "worker.lb.max_reply_timeouts=5",
            Some((|c| lb(c, "lb").settings.max_reply_timeouts.to_string(), "5")),
        ),
        ("session_cookie", Lb, "worker.lb.session_cookie=C", Some((|c| lb(c, "lb").session_cookie.clone(), "C"))),
        ("session_path", Lb, "worker.lb.session_path=;c", Some((|c| lb(c, "lb").session_path.clone(), ";c"))),
        (
            "set_session_cookie",
            Lb,
            "worker.lb.set_session_cookie=1",
            Some((|c| lb(c, "lb").set_session_cookie.to_string(), "true")),
        ),
        (
            "session_cookie_path",
            Lb,
            "worker.lb.session_cookie_path=/c",
            Some((|c| lb(c, "lb").session_cookie_path.clone(), "/c")),
        ),
    ]
}

fn status_rows() -> Vec<Row> {
    vec![
        ("css", Status, "worker.s.css=/c", Some((|c| format!("{:?}", status(c, "s").css), r#"Some("/c")"#))),
        ("read_only", Status, "worker.s.read_only=true", Some((|c| status(c, "s").read_only.to_string(), "true"))),
        ("user", Status, "worker.s.user=a b", Some((|c| status(c, "s").users.join("+"), "a+b"))),
        (
            "user_case_insensitive",
            Status,
            "worker.s.user_case_insensitive=Y",
            Some((|c| status(c, "s").user_case_insensitive.to_string(), "true")),
        ),
        ("good", Status, "worker.s.good=a.o d", Some((|c| status(c, "s").good.join("+"), "a.o+d"))),
        ("bad", Status, "worker.s.bad=e", Some((|c| status(c, "s").bad.join("+"), "e"))),
        ("prefix", Status, "worker.s.prefix=p", Some((|c| status(c, "s").prefix.clone(), "p"))),
        ("ns", Status, "worker.s.ns=-", Some((|c| status(c, "s").ns.clone(), ""))),
        ("xmlns", Status, "worker.s.xmlns=xmlns=\"x\"", Some((|c| status(c, "s").xmlns.clone(), "xmlns=\"x\""))),
        (
            "doctype",
            Status,
            "worker.s.doctype=<!D>",
            Some((|c| format!("{:?}", status(c, "s").doctype), r#"Some("<!D>")"#)),
        ),
    ]
}

fn old_rows() -> Vec<Row> {
    vec![
        ("cachesize", Ajp, "worker.w.cachesize=5", Some((|c| ajp(c, "w").connection_pool_size.to_string(), "5"))),
        (
            "cache_timeout",
            Ajp,
            "worker.w.cache_timeout=5",
            Some((|c| ajp(c, "w").settings.connection_pool_timeout_s.to_string(), "5")),
        ),
        ("recycle_timeout", Ajp, "worker.w.recycle_timeout=5", None),
        (
            "balanced_workers",
            Nothing,
            "worker.list=lb\nworker.lb.type=lb\nworker.lb.balanced_workers=a,b,c",
            Some((|c| lb(c, "lb").members.len().to_string(), "3")),
        ),
        ("jvm_route", Lb, "worker.w.jvm_route=r", Some((|c| member(c, "w").route.clone(), "r"))),
        ("disabled", Lb, "worker.w.disabled=1", Some((|c| format!("{:?}", member(c, "w").activation), "Disabled"))),
        ("stopped", Lb, "worker.w.stopped=1", Some((|c| format!("{:?}", member(c, "w").activation), "Stopped"))),
        ("local_worker", Lb, "worker.w.local_worker=1", None),
        ("local_worker_only", Lb, "worker.w.local_worker_only=1", None),
        ("sysprops", Ajp, "worker.w.sysprops=x", None),
        ("stdout", Ajp, "worker.w.stdout=x", None),
        ("stderr", Ajp, "worker.w.stderr=x", None),
        ("mx", Ajp, "worker.w.mx=1", None),
        ("ms", Ajp, "worker.w.ms=1", None),
        ("class_path", Ajp, "worker.w.class_path=x", None),
        ("bridge", Ajp, "worker.w.bridge=x", None),
        ("jvm_lib", Ajp, "worker.w.jvm_lib=x", None),
        ("ld_path", Ajp, "worker.w.ld_path=x", None),
        ("cmd_line", Ajp, "worker.w.cmd_line=x", None),
        ("native_lib", Ajp, "worker.w.native_lib=x", None),
        ("max_reuse_connections", Ajp, "worker.w.max_reuse_connections=250", None),
    ]
}

#[test]
fn every_attribute_is_accepted_and_takes_effect() {
    for (name, around, lines, effect) in rows() {
        let without = accepted(around.text());
        let with = accepted(&format!("{}{lines}\n", around.text()));
        match effect {
            Some((show, expected)) => {
                assert_eq!(show(&with), expected, "{name}: {lines}");
                let same = around.text() != "" && show(&without) == expected;
                assert!(!same, "{name}: the test would pass without {lines}");
            }
            None => assert_same(&with, &without),
        }
    }
}

#[test]
fn the_rows_above_are_all_that_the_table_has() {
    let tested: Vec<&str> = rows().iter().map(|(name, ..)| *name).collect();
    assert_eq!(tested.len(), 86, "85 of the reference and one of ColdFusion's");
    let mut known: Vec<&str> = ATTRIBUTES.iter().map(|row| row.name).collect();
    let mut tested_sorted = tested;
    known.sort_unstable();
    tested_sorted.sort_unstable();
    assert_eq!(tested_sorted, known);
}

#[test]
fn every_row_of_the_table_is_documented_and_unique() {
    let mut seen = BTreeSet::new();
    for row in ATTRIBUTES {
        assert!(seen.insert((row.name, format!("{:?}", row.applies_to))), "{} is there twice", row.name);
        assert!(!row.doc.is_empty() && row.doc.is_ascii() && !row.doc.ends_with('.'), "{}", row.name);
    }
    let editable: Vec<&str> =
        ATTRIBUTES.iter().map(|row| row.status_parameter).filter(|text| !text.is_empty()).collect();
    assert_eq!(editable.len(), 28);
    assert_eq!(editable.iter().collect::<BTreeSet<_>>().len(), 28, "a status parameter belongs to one attribute");
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = accepted("worker.list=w,lb,s\nworker.lb.type=lb\nworker.lb.balance_workers=w\nworker.s.type=status");
    let w = ajp(&config, "w");
    assert_eq!(w.settings, mod_jk::config::AjpSettings::default());
    assert_eq!((w.socket_timeout_s, w.socket_connect_timeout_ms, w.socket_buffer), (0, 0, 0));
    assert_eq!((w.connection_pool_size, w.connection_pool_minsize, w.connection_acquire_timeout_ms), (25, 13, 200));
    assert_eq!((&w.source, &w.secret, &w.unix_socket), (&None, &None, &None));
    assert!(!w.prefer_ipv6 && !w.socket_keepalive && w.fail_on_status.is_empty());
    let lb = lb(&config, "lb");
    assert_eq!(lb.settings, LbSettings::default());
    assert_eq!((lb.settings.method, lb.settings.lock), (Method::Request, Lock::Optimistic));
    assert_eq!((lb.session_cookie.as_str(), lb.session_path.as_str()), ("JSESSIONID", ";jsessionid"));
    assert_eq!((lb.set_session_cookie, lb.session_cookie_path.as_str()), (false, "/"));
    assert_eq!(lb.extras, mod_jk::config::LbExtras::default());
    let m = member(&config, "w");
    assert_eq!((m.route.as_str(), m.domain.as_str(), m.redirect.as_str()), ("w", "", ""));
    assert_eq!((m.distance, m.lb_factor, m.activation), (0, 1, Activation::Active));
    let s = status(&config, "s");
    assert_eq!(
        (s.ns.as_str(), s.xmlns.as_str(), s.prefix.as_str()),
        ("jk:", "xmlns:jk=\"http://tomcat.apache.org\"", "worker")
    );
    assert_eq!((s.good.join(","), s.bad.join(",")), ("a.o,a.i,a.b,a.r".to_owned(), "s,e".to_owned()));
    assert!(!s.read_only && s.users.is_empty() && !s.user_case_insensitive && s.css.is_none() && s.doctype.is_none());
    assert_eq!(config.maintain_s, 60);
}

#[test]
fn the_table_knows_attributes_by_the_sort_of_worker() {
    assert_eq!(attribute("retries", Scope::Lb).unwrap().status_parameter, "vlr");
    assert_eq!(attribute("retries", Scope::Member).unwrap().status_parameter, "var");
    assert_eq!(attribute("port", Scope::Ajp).unwrap().preset, Preset::Is("8009"));
    assert!(attribute("method", Scope::Ajp).is_none());
    assert!(attribute("lbfactor", Scope::Ajp).is_none());
}

//! A balancer over scripted containers: sessions stick, and a member that refuses is stepped over.
//!
//! Not here: shares, states and recovery in time (tests/core/balancer_*.rs).

use crate::support::backend::{Backend, ask, get, text};
use crate::support::http_client::Request;
use crate::support::httpd::{Builder, Httpd, under_every_mpm};
use crate::support::tomcat::Tomcat;

/// A balancer `lb` over members at these ports; the route is the member's name.
fn balancer(members: &[(&str, u16)], more: &str) -> Builder {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let mut workers =
        format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={}\n{more}", names.join(","));
    for (name, port) in members {
        workers += &format!("worker.{name}.type=ajp13\nworker.{name}.host=127.0.0.1\nworker.{name}.port={port}\n");
    }
    Httpd::builder().workers(&workers).config("JkMount /* lb\n")
}

fn cookie(session: &str) -> Request {
    Request::new("GET", "/").header("Cookie", format!("other=1; JSESSIONID={session}"))
}

under_every_mpm! {
    fn sessions_stick_by_cookie_and_by_path(mpm: Mpm) {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let httpd = balancer(&[("a", a.port()), ("b", b.port())], "").mpm(mpm).start();
        for _ in 0..4 {
            assert_eq!(ask(&httpd, &cookie("x1.a")).text(), "a");
            assert_eq!(ask(&httpd, &cookie("x2.b")).text(), "b");
            assert_eq!(get(&httpd, "/p/q;jsessionid=x3.a?c=d").text(), "a");
            assert_eq!(get(&httpd, "/p/q;jsessionid=x4.b?c=d").text(), "b");
        }
    }

    fn next_member_serves_when_one_refuses(mpm: Mpm) {
        let b = Backend::named("b");
        let httpd = balancer(&[("a", Tomcat::closed_port()), ("b", b.port())], "").mpm(mpm).start();
        for _ in 0..6 {
            assert_eq!(ask(&httpd, &cookie("x1.a")).text(), "b");
            assert_eq!(ask(&httpd, &Request::new("POST", "/")).text(), "b");
        }
    }

    fn no_member_left_is_503(mpm: Mpm) {
        let ports = [("a", Tomcat::closed_port()), ("b", Tomcat::closed_port())];
        let httpd = balancer(&ports, "").mpm(mpm).start();
        for _ in 0..3 {
            assert_eq!(get(&httpd, "/").status(), 503);
        }
    }
}

#[test]
fn requests_without_session_are_shared_out() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "").start();
    for _ in 0..20 {
        assert_eq!(get(&httpd, "/").status(), 200);
    }
    assert_eq!((a.count(), b.count()), (10, 10));
}

#[test]
fn chosen_member_is_told_its_route() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "worker.b.route=node2\n").start();
    assert_eq!(ask(&httpd, &cookie("x.node2")).text(), "b");
    assert_eq!(b.last().request.route.as_deref().map(text).as_deref(), Some("node2"));
    assert_eq!(ask(&httpd, &cookie("x.a")).text(), "a");
    assert_eq!(a.last().request.route.as_deref().map(text).as_deref(), Some("a"));
}

#[test]
fn sticky_session_force_refuses_other_members() {
    let b = Backend::named("b");
    let httpd =
        balancer(&[("a", Tomcat::closed_port()), ("b", b.port())], "worker.lb.sticky_session_force=1\n").start();
    assert_eq!(ask(&httpd, &cookie("x.a")).status(), 503);
    assert_eq!(ask(&httpd, &cookie("x.b")).text(), "b");
}

#[test]
fn sticky_session_can_be_switched_off() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "worker.lb.sticky_session=0\n").start();
    for _ in 0..10 {
        ask(&httpd, &cookie("x.a"));
    }
    assert_eq!((a.count(), b.count()), (5, 5));
}

#[test]
fn variable_can_ignore_the_session() {
    for (value, ignored) in [("1", true), ("", true), ("0", false), ("no", false)] {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let config = format!("SetEnv JK_STICKY_IGNORE {value}\n");
        let httpd = balancer(&[("a", a.port()), ("b", b.port())], "").config(&config).start();
        for _ in 0..4 {
            ask(&httpd, &cookie("x.a"));
        }
        assert_eq!((a.count(), b.count()), if ignored { (2, 2) } else { (4, 0) }, "{value:?}");
    }
}

#[test]
fn variable_can_name_the_route() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = "SetEnv JK_ROUTE b\nLogFormat \"route=%{JK_WORKER_ROUTE}n\" r\nCustomLog logs/route.log r\n";
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "").config(config).start();
    for _ in 0..3 {
        assert_eq!(ask(&httpd, &cookie("x.a")).text(), "b");
    }
    assert_eq!(b.last().request.route.as_deref(), Some(&b"b"[..]));
}

#[test]
fn rule_can_change_the_session_names() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "")
        .config(
            "JkMount /named/* \"lb;session_cookie=SID;session_path=;sid\"\nJkMount /free/* \"lb;sticky_ignore=1\"\n",
        )
        .start();
    for _ in 0..3 {
        assert_eq!(
            ask(&httpd, &Request::new("GET", "/named/x").header("Cookie", "SID=1.b; JSESSIONID=1.a")).text(),
            "b"
        );
        assert_eq!(ask(&httpd, &Request::new("GET", "/named/x;sid=1.a")).text(), "a");
    }
    let before = (a.count(), b.count());
    for _ in 0..6 {
        ask(&httpd, &Request::new("GET", "/free/x").header("Cookie", "JSESSIONID=1.a"));
    }
    assert!(a.count() > before.0 && b.count() > before.1, "a session that is ignored does not stick");
}

#[test]
fn rule_can_take_members_out() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = "JkMount /d/* \"lb;disabled=a\"\nJkMount /s/* \"lb;stopped=a\"\n";
    let httpd = balancer(&[("a", a.port()), ("b", b.port())], "").config(config).start();
    for _ in 0..4 {
        assert_eq!(get(&httpd, "/d/x").text(), "b");
        assert_eq!(get(&httpd, "/s/x;jsessionid=1.a").text(), "b");
        assert_eq!(get(&httpd, "/d/x;jsessionid=1.a").text(), "a", "a disabled member keeps its sessions");
    }
    assert_eq!(a.last().attribute("JK_LB_ACTIVATION").as_deref(), Some("DIS"));
}

#[test]
fn balancer_can_set_the_cookie_itself() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let httpd = balancer(
        &[("a", a.port()), ("b", b.port())],
        "worker.lb.set_session_cookie=1\nworker.lb.session_cookie=ROUTE\n",
    )
    .start();
    let response = get(&httpd, "/");
    let cookie = format!("ROUTE=.{};PATH=/;HttpOnly", response.text());
    assert_eq!(response.header("Set-Cookie"), Some(cookie.as_str()));
    for _ in 0..3 {
        let again = ask(&httpd, &Request::new("GET", "/").header("Cookie", &cookie[.."ROUTE=.a".len()]));
        assert_eq!((again.header("Set-Cookie"), again.text()), (None, response.text()));
    }
}

#[test]
fn too_large_request_does_not_mark_the_member() {
    let a = Backend::named("a");
    let httpd = balancer(&[("a", a.port())], "").config("LimitRequestFieldSize 20000\n").start();
    for _ in 0..3 {
        assert_eq!(ask(&httpd, &Request::new("GET", "/").header("X-Long", "y".repeat(9_000))).status(), 413);
        assert_eq!(get(&httpd, "/").text(), "a");
    }
}

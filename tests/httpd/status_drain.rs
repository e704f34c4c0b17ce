//! `cmd=drain` in a real httpd: who still gets in, and that the end comes with and without a watchdog, in every child.
//!
//! Not here: values and answers (tests/core/status_drain.rs).

use std::time::Duration;

use crate::support::backend::{Backend, ask, get};
use crate::support::http_client::Request;
use crate::support::httpd::{Builder, Httpd, under_every_mpm};
use crate::support::wait;

const STOPPED: &str = "changing 'activation' for sub worker 'm1' from 'DIS' to 'STP'";

/// A balancer `lb` under /app; without any maintenance, so that nothing but requests and the watchdog can end a drain.
fn pair(backends: &[Backend; 2]) -> Builder {
    let workers = format!(
        "worker.maintain=0\nworker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1,m2\nworker.st.type=status\n{}{}",
        backends[0].worker("m1"),
        backends[1].worker("m2")
    );
    Httpd::builder().workers(&workers).config("JkMount /app/* lb\nJkMount /jkstatus st\n")
}

fn backends() -> [Backend; 2] {
    [Backend::named("m1"), Backend::named("m2")]
}

fn with_session(httpd: &Httpd, session: &str) -> String {
    ask(httpd, &Request::new("GET", "/app/x").header("Cookie", format!("JSESSIONID={session}"))).text()
}

fn member(httpd: &Httpd) -> serde_json::Value {
    let page: serde_json::Value = serde_json::from_str(&get(httpd, "/jkstatus?mime=json").text()).unwrap();
    page["balancers"][0]["members"][0].clone()
}

#[test]
fn only_sessions_of_the_member_still_reach_it_and_are_counted() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let answer = get(&httpd, "/jkstatus?mime=txt&cmd=drain&w=lb&sw=m1&until=30m");
    assert_eq!(answer.text(), "Result: type=OK message=\"Action finished\"\n");
    for _ in 0..20 {
        assert_eq!(get(&httpd, "/app/x").text(), "m2");
    }
    for session in ["a.m1", "b.m1", "a.m1", "c.m1", "z.m2"] {
        assert_eq!(with_session(&httpd, session), session.rsplit('.').next().unwrap());
    }
    assert_eq!(member(&httpd)["drain"]["sessions_seen"], 3);
    assert_eq!(member(&httpd)["activation"], "DIS");
}

under_every_mpm! {
    fn at_the_deadline_the_next_request_in_any_child_finds_the_member_stopped(mpm: Mpm) {
        let backends = backends();
        let httpd = pair(&backends).mpm(mpm).start();
        get(&httpd, "/jkstatus?cmd=drain&w=lb&sw=m1&until=1s");
        wait::until(Duration::from_secs(60), "another member", || with_session(&httpd, "a.m1") == "m2");
        assert_eq!(member(&httpd)["activation"], "STP");
        for _ in 0..50 {
            assert_eq!(with_session(&httpd, "a.m1"), "m2");
        }
        assert_eq!(httpd.jk_log().matches(STOPPED).count(), 1, "one child stops it");
    }
}

#[test]
fn the_watchdog_stops_it_without_any_request() {
    let backends = backends();
    let httpd = pair(&backends).config("JkWatchdogInterval 1\n").start();
    get(&httpd, "/jkstatus?cmd=drain&w=lb&sw=m1&until=30m&quiet=1s");
    let line = httpd.await_jk_log(STOPPED);
    assert!(line.contains("[info]") && line.contains("drained, nothing is left"), "{line}");
    assert_eq!(member(&httpd)["drain"], serde_json::Value::Null);
}

#[test]
fn a_drain_goes_on_over_a_graceful_restart_when_edits_are_kept() {
    for (keep, expected) in [("JkXKeepEdits On\n", "DIS"), ("", "ACT")] {
        let backends = backends();
        let mut httpd = pair(&backends).config(keep).start();
        get(&httpd, "/jkstatus?cmd=drain&w=lb&sw=m1&until=30m");
        with_session(&httpd, "a.m1");
        let before = member(&httpd)["drain"].clone();
        httpd.graceful();
        let after = member(&httpd);
        assert_eq!(after["activation"], expected);
        assert_eq!(after["drain"] == before, expected == "DIS", "{after}");
    }
}

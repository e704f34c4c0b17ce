//! Where a session's requests go, by condition of its member (reference: lb-shm-status.md section 6.4, section 6.6).
//!
//! Not here: how sessions are found in a request (tests/core), what a failure costs (`lb_failure.rs`). The surprising thing: with a
//! forced session a healthy cluster answers 503 for a member that is stopped.

use crate::support::cluster::{Cluster, Mode, fetch};
use crate::support::httpd::Httpd;

/// Whom `count` requests of the session `abc.w2` reach, or their status: three members, `more` in the workers file.
fn whom(more: &str, is_down: bool, count: usize) -> Vec<String> {
    let mut cluster = Cluster::start(3);
    if is_down {
        cluster.members[1].set(Mode::Down);
    }
    let httpd = cluster.httpd(more).start();
    answers(&httpd, Some("abc.w2"), count)
}

fn answers(httpd: &Httpd, session: Option<&str>, count: usize) -> Vec<String> {
    let answer = |(status, name): (u16, String)| if status == 200 { name } else { status.to_string() };
    (0..count).map(|_| answer(fetch(httpd, session))).collect()
}

const FORCE: &str = "worker.lb.sticky_session_force=1\n";

/// The same with sticky_session_force: nobody else may serve the session.
#[track_caller]
fn refuses_when_forced(more: &str, is_down: bool) {
    assert_eq!(whom(&format!("{FORCE}{more}"), is_down, 2), ["503", "503"], "{more}");
}

#[test]
fn session_goes_to_its_member() {
    assert_eq!(whom("", false, 3), ["w2", "w2", "w2"]);
    assert_eq!(whom(FORCE, false, 3), ["w2", "w2", "w2"]);
}

#[test]
fn disabled_member_keeps_its_sessions_and_is_told() {
    for more in ["worker.w2.activation=d", "worker.lb.sticky_session_force=1\nworker.w2.activation=d"] {
        let cluster = Cluster::start(3);
        let httpd = cluster.httpd(more).start();
        assert_eq!(answers(&httpd, Some("abc.w2"), 2), ["w2", "w2"]);
        for (_, request) in cluster.take() {
            assert_eq!(request.attribute("JK_LB_ACTIVATION"), Some(&b"DIS"[..]));
            assert_eq!(request.route.as_deref(), Some(&b"w2"[..]));
        }
        assert_eq!(answers(&httpd, None, 4), ["w1", "w3", "w1", "w3"]);
    }
}

#[test]
fn session_of_a_stopped_member_is_balanced_unless_forced() {
    assert_eq!(whom("worker.w2.activation=s", false, 3), ["w1", "w3", "w1"]);
    refuses_when_forced("worker.w2.activation=s", false);
}

#[test]
fn session_of_a_stopped_member_follows_its_redirect_even_to_a_disabled_member() {
    let redirect = "worker.w2.activation=s\nworker.w2.redirect=w3\n";
    assert_eq!(whom(redirect, false, 3), ["w3", "w3", "w3"]);
    assert_eq!(whom(&format!("{redirect}worker.w3.activation=d"), false, 3), ["w3", "w3", "w3"]);
    assert_eq!(whom(&format!("{redirect}worker.w3.activation=s"), false, 2), ["w1", "w1"]);
    refuses_when_forced(redirect, false);
}

#[test]
fn session_of_a_stopped_member_stays_in_its_domain() {
    let domain = "worker.w2.activation=s\nworker.w2.domain=d\nworker.w1.domain=d\n";
    assert_eq!(whom(domain, false, 3), ["w1", "w1", "w1"]);
    refuses_when_forced(domain, false);
}

#[test]
fn session_of_a_dead_member_is_balanced_unless_forced() {
    assert_eq!(whom("", true, 3), ["w1", "w3", "w1"]);
    refuses_when_forced("", true);
}

#[test]
fn session_of_a_dead_member_follows_its_redirect() {
    for activation in ["a", "d"] {
        let redirect = format!("worker.w2.redirect=w3\nworker.w3.activation={activation}\n");
        assert_eq!(whom(&redirect, true, 3), ["w3", "w3", "w3"], "{activation}");
    }
    assert_eq!(whom("worker.w2.redirect=w3\nworker.w3.activation=s", true, 2), ["w1", "w1"]);
    refuses_when_forced("worker.w2.redirect=w3", true);
}

#[test]
fn session_of_a_dead_member_stays_in_its_domain() {
    let domain = "worker.w2.domain=d\nworker.w1.domain=d\n";
    assert_eq!(whom(domain, true, 3), ["w1", "w1", "w1"]);
    refuses_when_forced(domain, true);
}

#[test]
fn only_member_serves_any_session_when_active_and_its_own_when_disabled() {
    for (activation, others, own) in [("a", "w1", "w1"), ("d", "503", "w1"), ("s", "503", "503")] {
        let cluster = Cluster::start(1);
        let httpd = cluster.httpd(&format!("worker.w1.activation={activation}")).start();
        assert_eq!(answers(&httpd, Some("abc.w9"), 1), [others], "{activation}");
        assert_eq!(answers(&httpd, Some("abc.w1"), 1), [own], "{activation}");
    }
}

#[test]
fn disabled_cluster_serves_only_the_sessions_it_has() {
    let cluster = Cluster::start(2);
    let httpd = cluster.httpd("worker.$W.activation=d").start();
    assert_eq!(answers(&httpd, Some("abc.w2"), 2), ["w2", "w2"]);
    assert_eq!(answers(&httpd, Some("abc.w9"), 1), ["503"]);
    assert_eq!(answers(&httpd, None, 1), ["503"]);
}

#[test]
fn hot_standby_takes_over_from_the_member_that_names_it() {
    let mut cluster = Cluster::start(3);
    let standby = "worker.w1.redirect=w2\nworker.w2.activation=d\nworker.w3.activation=d\n";
    let httpd = cluster.httpd(standby).start();
    assert_eq!(answers(&httpd, None, 2), ["w1", "w1"]);
    cluster.members[0].set(Mode::Down);
    assert_eq!(answers(&httpd, None, 3), ["w2", "w2", "w2"]);
    for (session, member) in [("a.w1", "w2"), ("a.w2", "w2"), ("a.w3", "w3")] {
        assert_eq!(answers(&httpd, Some(session), 1), [member], "{session}");
    }
}

#[test]
fn nearest_members_serve_as_long_as_there_are_any() {
    let mut cluster = Cluster::start(3);
    let httpd = cluster.httpd("worker.w1.distance=1\nworker.w3.distance=1\n").start();
    assert_eq!(answers(&httpd, None, 3), ["w2", "w2", "w2"]);
    cluster.members[1].set(Mode::Down);
    assert_eq!(answers(&httpd, None, 4), ["w3", "w1", "w3", "w1"]);
}

#[test]
fn domain_in_a_session_leads_to_its_members_in_turn() {
    let cluster = Cluster::start(3);
    let domains = "worker.w1.domain=d1\nworker.w2.domain=d1\nworker.w3.route=d2.w3\n";
    let httpd = cluster.httpd(domains).start();
    assert_eq!(answers(&httpd, Some("a.d1"), 2), ["w1", "w2"]);
    assert_eq!(answers(&httpd, Some("a.d1.zzz"), 2), ["w1", "w2"]);
    assert_eq!(cluster.take().pop().unwrap().1.route.as_deref(), Some(&b"d1"[..]));
    assert_eq!(answers(&httpd, Some("a.d2.w3"), 1), ["w3"]);
    assert_eq!(answers(&httpd, Some("a.d2.other"), 1), ["w3"]);
}

#[test]
fn forced_route_of_the_environment_wins_over_the_session() {
    let cluster = Cluster::start(3);
    let httpd = cluster.httpd("").config("SetEnv JK_ROUTE w3\n").start();
    assert_eq!(answers(&httpd, Some("abc.w2"), 2), ["w3", "w3"]);
}

#[test]
fn session_cookie_of_the_balancer_names_the_member_that_served() {
    let mut cluster = Cluster::start(2);
    let httpd = cluster.httpd("worker.lb.set_session_cookie=1\nworker.lb.retry_interval=0").start();
    let get = crate::support::http_client::Request::new("GET", "/x");
    let first = crate::support::backend::ask(&httpd, &get);
    assert_eq!(first.head.all("Set-Cookie"), ["JSESSIONID=.w1;PATH=/;HttpOnly"]);
    cluster.members[1].set(Mode::Down);
    // One cookie, though two members were tried (C sends both).
    let second = crate::support::backend::ask(&httpd, &get);
    assert_eq!((second.status(), second.head.all("Set-Cookie")), (200, vec!["JSESSIONID=.w1;PATH=/;HttpOnly"]));
    let sticky = crate::support::backend::ask(&httpd, &get.header("Cookie", "JSESSIONID=.w1"));
    assert!(sticky.head.all("Set-Cookie").is_empty());
}

#[test]
fn session_cookie_names_the_member_where_the_session_was_found_by_its_domain() {
    let cluster = Cluster::start(2);
    let more = "worker.lb.set_session_cookie=1\nworker.w1.route=d.n1\nworker.w2.route=d.n2\nworker.w1.activation=s";
    let httpd = cluster.httpd(more).start();
    let get = crate::support::http_client::Request::new("GET", "/x").header("Cookie", "JSESSIONID=abc.d.n1");
    let moved = crate::support::backend::ask(&httpd, &get);
    assert_eq!(moved.head.all("Set-Cookie"), ["JSESSIONID=.d.n2;PATH=/;HttpOnly"]);
}

//! What failures of members cost: who is tried, how often, with which status in the end, and who is left alone afterwards
//! (reference: lb-shm-status.md section 2.9, section 6.2, section 6.3, section 6.5).
//!
//! Not here: how long it takes. The surprising thing: a request that nobody can serve counts as tried by all, so the next one begins
//! where this one ended.

use std::thread;

use crate::support::backend::ask;
use crate::support::cluster::{Cluster, Mode, PATIENCE, fetch, fetch_at};
use crate::support::http_client::{Body, Request};
use crate::support::wait;

/// No pauses between attempts and rounds.
const AT_ONCE: &str = "worker.lb.retry_interval=0\nworker.$W.retry_interval=0\n";

/// Three members in this mode; statuses and deliveries of `count` requests.
fn all(mode: Mode, more: &str, count: usize) -> Vec<(u16, String)> {
    let mut cluster = Cluster::start(3);
    cluster.members.iter_mut().for_each(|member| member.set(mode));
    let httpd = cluster.httpd(&format!("{AT_ONCE}{more}")).start();
    (0..count).map(|_| (fetch(&httpd, None).0, cluster.picks())).collect()
}

fn outcome(status: u16, picks: &str) -> (u16, String) {
    (status, picks.to_owned())
}

#[test]
fn attempts_are_member_retries_times_members_per_round_times_rounds() {
    for (more, picks) in [
        ("", "11223311"),
        ("worker.lb.lb_retries=3", "112233112233"),
        ("worker.lb.lb_retries=9", "112233112233"),
        ("worker.lb.retries=1", "1122"),
        ("worker.lb.retries=3\nworker.lb.lb_retries=1", "112233"),
        ("worker.$W.retries=1", "1231"),
    ] {
        assert_eq!(all(Mode::Break, more, 1), [outcome(502, picks)], "{more}");
    }
}

#[test]
fn request_after_all_failed_forces_recovery_once() {
    let outcomes = all(Mode::Break, "worker.lb.lb_retries=3\nworker.$W.recovery_options=0", 2);
    assert_eq!(outcomes, [outcome(502, "112233112233"), outcome(503, "112233")]);
}

#[test]
fn dead_members_answer_503_until_one_is_back() {
    let mut cluster = Cluster::start(3);
    cluster.members.iter_mut().for_each(|member| member.set(Mode::Down));
    let httpd = cluster.httpd(AT_ONCE).start();
    assert_eq!([fetch(&httpd, None).0, fetch(&httpd, None).0], [503, 503]);
    cluster.members[1].set(Mode::Serve);
    assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
}

#[test]
fn dead_member_costs_no_request_and_is_left_alone() {
    let mut cluster = Cluster::start(3);
    cluster.members[0].set(Mode::Down);
    let httpd = cluster.httpd(AT_ONCE).start();
    (0..6).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert_eq!(cluster.picks(), "232323");
    assert_eq!(httpd.jk_log().matches("service failed, worker w1 is in error state").count(), 1);
}

#[test]
fn request_that_failed_over_notes_its_first_and_its_last_member() {
    let fields = "NAME ACCESSED SESSIONS ERRORS BUSY ACTIVATION STATE VALUE READ TRANSFERRED".split(' ');
    let notes =
        |which| fields.clone().map(|field| format!("%{{JK_LB_{which}_{field}}}n")).collect::<Vec<_>>().join(" ");
    let format = format!("LogFormat \"{}|{}\" notes\nCustomLog logs/notes.log notes\n", notes("FIRST"), notes("LAST"));
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let httpd = cluster.httpd(AT_ONCE).config(&format).start();
    assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
    let log = || std::fs::read_to_string(httpd.root().join("logs/notes.log")).unwrap();
    wait::until(PATIENCE, "the notes", || log().ends_with('\n'));
    let log = log();
    let (first, last) = log.trim_end().split_once('|').unwrap();
    assert!(first.starts_with("w1 1 1 1 0 ACT ERR ") && first.ends_with(" 0 0"), "{first}");
    assert!(last.starts_with("w2 1 1 0 0 ACT OK ") && !last.contains('-') && !last.ends_with(" 0 0"), "{last}");
}

/// A request that goes well gets all notes about its member at one go, unless something is unusual about its notes.
#[test]
fn notes_about_a_member_are_the_same_however_they_are_made() {
    let fields = "NAME ERRORS BUSY ACTIVATION STATE ACCESSED SESSIONS VALUE READ TRANSFERRED".split(' ');
    let of = |which| fields.clone().map(|field| format!("%{{JK_LB_{which}_{field}}}n")).collect::<Vec<_>>().join(" ");
    let config = format!(
        "LogFormat \"%{{cookie}}n|%{{JK_WORKER_NAME}}n %{{JK_WORKER_TYPE}}n %{{JK_WORKER_ROUTE}}n|{}|{}|%{{JK_REQUEST_DURATION}}n\" \
         notes\nCustomLog logs/notes.log notes\n<Location /tracked>\nCookieTracking on\n</Location>\n\
         <Location /forced>\nSetEnv JK_ROUTE w1\n</Location>\n",
        of("FIRST"),
        of("LAST")
    );
    let cluster = Cluster::start(1);
    let httpd = cluster.httpd(AT_ONCE).load("mod_usertrack").config(&config).start();
    for path in ["/plain", "/tracked", "/forced"] {
        assert_eq!(fetch_at(httpd.address(), path, None), (200, "w1".to_owned()));
    }
    let log = || std::fs::read_to_string(httpd.root().join("logs/notes.log")).unwrap();
    wait::until(PATIENCE, "the notes", || log().lines().count() == 3 && log().ends_with('\n'));
    for (count, line) in (1..).zip(log().lines()) {
        let [cookie, general, first, last, duration] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!(cookie != "-", count == 2, "{line}");
        assert_eq!((general, first), ("lb lb w1", last), "{line}");
        // A route that is forced makes a session of the request.
        let new = count.min(2);
        assert!(first.starts_with(&format!("w1 0 0 ACT OK {count} {new} {count} ")), "{line}");
        let bytes = first.split(' ').skip(8).map(|bytes| bytes.parse::<u64>().unwrap()).collect::<Vec<_>>();
        assert!(bytes.len() == 2 && bytes.iter().all(|bytes| (20..10_000).contains(bytes)), "{line}");
        assert!(duration.starts_with("0."), "{line}");
    }
}

#[test]
fn post_is_delivered_once_when_its_member_dies_after_reading_it() {
    let mut cluster = Cluster::start(3);
    cluster.members[0].set(Mode::Break);
    let httpd = cluster.httpd(AT_ONCE).start();
    let post = Request::new("POST", "/order").body(Body::Length(b"one book".to_vec()));
    assert_eq!(ask(&httpd, &post).status(), 502);
    assert_eq!(cluster.picks(), "1");
    assert_eq!(ask(&httpd, &post).status(), 200);
    assert_eq!(cluster.picks(), "2");
}

#[test]
fn post_is_delivered_as_often_as_recovery_options_allow() {
    let mut cluster = Cluster::start(3);
    cluster.members.iter_mut().for_each(|member| member.set(Mode::Break));
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.$W.recovery_options=0")).start();
    let post = Request::new("POST", "/order").body(Body::Length(b"one book".to_vec()));
    assert_eq!(ask(&httpd, &post).status(), 502);
    assert_eq!(cluster.picks(), "11223311");
}

#[test]
fn response_that_breaks_off_after_its_head_is_said_to_be_half() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::BreakAfterHead);
    let httpd = cluster.httpd(AT_ONCE).start();
    assert_eq!(fetch(&httpd, None).0, 502);
    httpd.await_jk_log("unrecoverable error 502, request failed on worker w1 in the middle of its response: ");
    assert_eq!(cluster.picks(), "1");
    cluster.members[0].set(Mode::Break);
    assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w2".to_owned()));
    let post = Request::new("POST", "/order").body(Body::Length(b"one book".to_vec()));
    cluster.members[1].set(Mode::Break);
    assert_eq!(ask(&httpd, &post).status(), 502);
    httpd.await_jk_log("unrecoverable error 502, request failed on worker w2, which may have it: ");
}

#[test]
fn post_goes_to_another_member_when_its_own_refuses_the_connection() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let httpd = cluster.httpd(AT_ONCE).start();
    let post = Request::new("POST", "/order").body(Body::Length(b"one book".to_vec()));
    assert_eq!(ask(&httpd, &post).text(), "w2");
}

#[test]
fn reply_timeout_fails_over_and_puts_the_member_in_error() {
    let mut cluster = Cluster::start(3);
    cluster.members[0].set(Mode::MuteButCpong);
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.w1.reply_timeout=100")).start();
    (0..4).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert_eq!(cluster.picks(), "112323");
}

#[test]
fn reply_timeout_without_recovery_is_504() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::MuteButCpong);
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.w1.reply_timeout=100\nworker.$W.recovery_options=3")).start();
    assert_eq!(fetch(&httpd, None).0, 504);
    assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
    assert_eq!(cluster.picks(), "12");
}

#[test]
fn tolerated_reply_timeouts_leave_the_member_in_service() {
    let mut cluster = Cluster::start(2);
    cluster.members[1].set(Mode::MuteButCpong);
    let more = "worker.w2.reply_timeout=50\nworker.$W.retries=1\nworker.lb.max_reply_timeouts=3";
    let httpd = cluster.httpd(&format!("{AT_ONCE}{more}")).start();
    (0..6).for_each(|_| assert_eq!(fetch(&httpd, Some("a.w2")), (200, "w1".to_owned())));
    assert_eq!(cluster.picks(), "2121212111");
}

#[test]
fn member_without_cpong_is_found_by_the_ping_and_gets_no_request() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Mute);
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.$W.ping_mode=A\nworker.$W.ping_timeout=100")).start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    assert_eq!(cluster.picks(), "222");
}

#[test]
fn status_that_means_failure_takes_the_member_out() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Status(503));
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.$W.fail_on_status=503\nworker.$W.retries=1")).start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    assert_eq!(cluster.picks(), "1222");
}

#[test]
fn status_that_means_a_soft_failure_leaves_the_member_in_service() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Status(503));
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.$W.fail_on_status=-503\nworker.$W.retries=1")).start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w2".to_owned())));
    assert_eq!(cluster.picks(), "121212");
}

#[test]
fn status_that_means_nothing_is_passed_on() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Status(503));
    let httpd = cluster.httpd("").start();
    assert_eq!([fetch(&httpd, None).0, fetch(&httpd, None).0, fetch(&httpd, None).0], [503, 200, 503]);
}

#[test]
fn full_member_passes_its_sessions_on_until_it_has_room() {
    for more in ["worker.w2.busy_limit=1", "worker.w2.connection_pool_size=1\nworker.w2.connection_acquire_timeout=50"]
    {
        let cluster = Cluster::start(2);
        let httpd = cluster.httpd(&format!("{AT_ONCE}{more}")).start();
        let address = httpd.address();
        let held = thread::spawn(move || fetch_at(address, "/hold", Some("a.w2")));
        cluster.member(2).await_held(1);
        assert_eq!(fetch(&httpd, Some("a.w2")), (200, "w1".to_owned()), "{more}");
        cluster.member(2).release();
        assert_eq!(held.join().unwrap(), (200, "w2".to_owned()), "{more}");
        assert_eq!(fetch(&httpd, Some("a.w2")), (200, "w2".to_owned()), "{more}");
    }
}

/// Deliveries of two requests to w2, which breaks them while another one runs there.
fn broken_beside_a_running_request(escalation: u32) -> String {
    let mut cluster = Cluster::start(2);
    let more = format!("{AT_ONCE}worker.$W.retries=1\nworker.lb.error_escalation_time={escalation}");
    let httpd = cluster.httpd(&more).start();
    let address = httpd.address();
    let held = thread::spawn(move || fetch_at(address, "/hold", Some("a.w2")));
    cluster.member(2).await_held(1);
    cluster.picks();
    cluster.members[1].set(Mode::Break);
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, Some("a.w2")), (200, "w1".to_owned())));
    let picks = cluster.picks();
    cluster.members[1].set(Mode::Serve);
    cluster.member(2).release();
    assert_eq!(held.join().unwrap(), (200, "w2".to_owned()));
    picks
}

#[test]
fn member_that_works_on_another_request_is_not_given_up_at_once() {
    assert_eq!(broken_beside_a_running_request(3_600), "2121");
}

#[test]
fn escalation_time_of_zero_believes_the_first_failure() {
    assert_eq!(broken_beside_a_running_request(0), "211");
}

#[test]
fn member_that_is_back_is_used_again_after_the_recover_time() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.lb.recover_time=1\nworker.maintain=1")).start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    cluster.members[0].set(Mode::Serve);
    wait::until(PATIENCE, "w1 to be used again", || fetch(&httpd, None) == (200, "w1".to_owned()));
    // It begins with the load of the others: no flood.
    cluster.picks();
    (0..4).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert!(["2121", "1212"].contains(&cluster.picks().as_str()));
}

#[test]
fn client_that_breaks_off_leaves_the_member_in_service() {
    let cluster = Cluster::start(1);
    let httpd = cluster.httpd("").start();
    let mut client = crate::support::http_client::Client::connect(httpd.address()).unwrap();
    client.send_bytes(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf").unwrap();
    client.reset().unwrap();
    httpd.await_jk_log("unrecoverable error 400");
    assert_eq!(fetch(&httpd, None), (200, "w1".to_owned()));
    assert!(!httpd.jk_log().contains("error state"));
}

//! The status worker in a real httpd: changes reach every child, users are httpd's, and browsers are kept in their place.
//!
//! Not here: the four formats line by line (`status_replay.rs`), which values are accepted (tests/core).

use std::collections::BTreeSet;

use crate::support::backend::{Backend, ask, get};
use crate::support::http_client::{Client, Request};
use crate::support::httpd::{Builder, Httpd, under_every_mpm};

/// A balancer `lb` of two backends under /app, and a status worker.
fn pair(backends: &[Backend; 2]) -> Builder {
    let workers = format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1,m2\nworker.st.type=status\n{}{}",
        backends[0].worker("m1"),
        backends[1].worker("m2")
    );
    Httpd::builder().workers(&workers).config("JkMount /app/* lb\nJkMount /jkstatus st\n")
}

fn backends() -> [Backend; 2] {
    [Backend::named("m1"), Backend::named("m2")]
}

#[track_caller]
fn done(httpd: &Httpd, query: &str) {
    let answer = get(httpd, &format!("/jkstatus?mime=txt&{query}"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "Result: type=OK message=\"Action finished\"\n"));
}

/// Who answers, asked by as many connections at a time as there are children, so that each child is asked.
fn answers_of_all_children(httpd: &Httpd, rounds: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut answers, mut pids) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..rounds {
        let path = format!("/app/{round}");
        answers.insert(get(httpd, &path).text());
        let line = httpd.await_access_log(&format!("GET {path} "));
        pids.insert(line.split(' ').next().unwrap().to_owned());
        if pids.len() == httpd.children().len() && round > 20 {
            break;
        }
    }
    (answers, pids)
}

under_every_mpm! {
    fn a_stopped_member_gets_no_request_from_any_child(mpm: Mpm) {
        let backends = backends();
        let httpd = pair(&backends).mpm(mpm).start();
        done(&httpd, "cmd=update&w=lb&sw=m1&vwa=s");
        let (answers, pids) = answers_of_all_children(&httpd, 2_000);
        assert_eq!(pids.len(), 2, "both children were asked");
        assert_eq!(answers, BTreeSet::from(["m2".to_owned()]));
        assert_eq!(backends[0].count(), 0);
    }
}

#[test]
fn settings_of_a_member_hold_in_every_child() {
    let backends = backends();
    let httpd = pair(&backends).start();
    done(&httpd, &format!("cmd=update&w=lb&sw=m1&vaprt={}", backends[1].port()));
    let (answers, pids) = answers_of_all_children(&httpd, 2_000);
    assert_eq!((answers, pids.len()), (BTreeSet::from(["m2".to_owned()]), 2));
}

#[test]
fn changes_are_in_the_log_of_the_module() {
    let backends = backends();
    let httpd = pair(&backends).start();
    done(&httpd, "cmd=update&w=lb&sw=m2&vwa=1");
    let line = httpd.await_jk_log(
        "Status worker 'st' changing 'activation' for sub worker 'm2' of lb worker 'lb' from 'ACT' to 'DIS'",
    );
    assert!(line.contains("[info]"), "{line}");
}

#[test]
fn a_post_is_read_by_its_query_alone() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let request = Request::new("POST", "/jkstatus?mime=txt&cmd=update&w=lb&sw=m1&vwa=d")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(crate::support::http_client::Body::Length(b"vwa=s&vwf=9".to_vec()));
    let mut client = Client::connect(httpd.address()).unwrap();
    assert_eq!(client.exchange(&request).unwrap().status(), 200);
    let list = client.exchange(&Request::new("GET", "/jkstatus?mime=txt")).unwrap().text();
    assert!(list.contains("activation=DIS lbfactor=1"), "{list}");
}

#[test]
fn a_change_that_a_foreign_page_asks_for_gets_403() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let stop = "/jkstatus?cmd=update&w=lb&sw=m1&vwa=s";
    for (name, value) in
        [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://evil.example"), ("Referer", "http://evil.example/page")]
    {
        let answer = ask(&httpd, &Request::new("GET", stop).header(name, value));
        assert_eq!(answer.status(), 403, "{name}");
        assert!(answer.text().contains("a page of another site"), "{name}");
    }
    assert!(get(&httpd, "/jkstatus?mime=txt").text().contains("activation=ACT"));
    let own = format!("http://{}/jkstatus", httpd.address());
    let request = Request::new("GET", stop).header("Host", httpd.address().to_string()).header("Referer", &own);
    assert_eq!(ask(&httpd, &request).status(), 200);
    assert!(get(&httpd, "/jkstatus?mime=txt").text().contains("activation=STP"));
}

#[test]
fn the_whole_listing_has_a_length_and_a_head_request_has_no_body() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let listing = get(&httpd, "/jkstatus");
    let length: usize = listing.header("Content-Length").unwrap().parse().unwrap();
    assert_eq!(length, listing.body.len());
    let head = ask(&httpd, &Request::new("HEAD", "/jkstatus"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[test]
fn listing_shows_a_changed_mount_file() {
    let backends = backends();
    let httpd = pair(&backends).file("rules", "/one=lb\n").config("JkMountFile rules\nJkMountFileReload 0\n").start();
    assert!(get(&httpd, "/jkstatus?mime=txt").text().contains("uri=\"/one\""));
    httpd.write_file("rules", "/twenty=lb\n");
    let listing = get(&httpd, "/jkstatus?mime=txt").text();
    assert!(listing.contains("uri=\"/twenty\"") && !listing.contains("uri=\"/one\""), "{listing}");
}

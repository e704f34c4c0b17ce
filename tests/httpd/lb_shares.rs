//! Who gets how many requests, with several children and threads at a time (reference: lb-shm-status.md section 6.1).
//!
//! Not here: the policy on its own (tests/core/balancer_*.rs). The surprising thing: shares are exact under concurrency as well, because
//! the load of a member is counted in shared memory when it is elected.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, fetch, fetch_at};
use crate::support::httpd::under_every_mpm;

const FACTORS: &str = "worker.w1.lbfactor=1\nworker.w2.lbfactor=2\nworker.w3.lbfactor=3\n";

fn shares(cluster: &Cluster) -> Vec<usize> {
    let mut shares = BTreeMap::<String, usize>::new();
    shares.extend(cluster.members.iter().map(|member| (member.name.clone(), 0)));
    cluster.take().into_iter().for_each(|(name, _)| *shares.get_mut(&name).unwrap() += 1);
    shares.into_values().collect()
}

#[test]
fn picks_follow_the_factors_one_by_one() {
    for method in ["R", "S", "N", "T"] {
        let cluster = Cluster::start(3);
        let httpd = cluster.httpd(&format!("{FACTORS}worker.lb.method={method}")).start();
        (0..18).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
        assert_eq!(cluster.picks(), "123323123323123323", "{method}");
    }
}

#[test]
fn idle_members_take_turns_under_busyness_whatever_their_factors() {
    let cluster = Cluster::start(3);
    let httpd = cluster.httpd(&format!("{FACTORS}worker.lb.method=B")).start();
    (0..9).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert_eq!(cluster.picks(), "123123123");
}

#[test]
fn busy_members_get_nothing_more_under_busyness() {
    let cluster = Cluster::start(3);
    let httpd = cluster.httpd("worker.lb.method=B").start();
    let address = httpd.address();
    let held = thread::spawn(move || fetch_at(address, "/hold", Some("a.w2")));
    cluster.member(2).await_held(1);
    cluster.take();
    (0..6).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert_eq!(cluster.picks(), "131313");
    cluster.member(2).release();
    assert_eq!(held.join().unwrap(), (200, "w2".to_owned()));
}

#[test]
fn member_with_large_answers_gets_fewer_requests_under_traffic() {
    let cluster = Cluster::start(3);
    let httpd = cluster.httpd("worker.lb.method=T").start();
    (0..120).for_each(|_| assert_eq!(fetch_at(httpd.address(), "/x?w3=20000", None).0, 200));
    let shares = shares(&cluster);
    assert!(shares[0].abs_diff(shares[1]) <= 1 && (1..=4).contains(&shares[2]), "{shares:?}");
}

#[test]
fn requests_of_sessions_and_stateless_ones_do_not_count_under_sessions() {
    let cluster = Cluster::start(3);
    let stateless = "SetEnvIf Request_URI ^/stateless JK_STATELESS=1\n";
    let httpd = cluster.httpd(&format!("{FACTORS}worker.lb.method=S")).config(stateless).start();
    (0..12).for_each(|_| assert_eq!(fetch(&httpd, Some("abc.w1")).1, "w1"));
    (0..6).for_each(|_| assert_eq!(fetch_at(httpd.address(), "/stateless", None).0, 200));
    cluster.take();
    (0..12).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert_eq!(shares(&cluster), [2, 4, 6]);
}

under_every_mpm! {
    fn shares_follow_the_factors_over_children_and_threads(mpm: Mpm) {
        let cluster = Cluster::start(3);
        let httpd = cluster.httpd(FACTORS).mpm(mpm).children(3).start();
        let address = httpd.address();
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(move || (0..50).for_each(|_| assert_eq!(fetch_at(address, "/x", None).0, 200)));
            }
        });
        let shares = shares(&cluster);
        // Two requests may look at the same instant; each time that shifts one request.
        for (share, fair) in shares.iter().zip([50, 100, 150]) {
            assert!(share.abs_diff(fair) <= 6, "{shares:?}");
        }
    }
}

#[test]
fn more_than_sixty_four_members_share_evenly() {
    let cluster = Cluster::start(70);
    let httpd = cluster.httpd("").start();
    (0..140).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    assert!(shares(&cluster).iter().all(|share| *share == 2));
}

#[test]
fn latency_method_prefers_whoever_answers_first() {
    let cluster = Cluster::start(2);
    let httpd = cluster.httpd("jkx.worker.lb.method=latency").start();
    let address = httpd.address();
    // w2 works on a request and has never been measured; w1 is asked as long as that lasts.
    let held = thread::spawn(move || fetch_at(address, "/hold", Some("a.w2")));
    cluster.member(2).await_held(1);
    // So slow that no hiccup of this machine makes w1 look slower afterwards.
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(3) {
        assert_eq!(fetch(&httpd, None).1, "w1");
    }
    cluster.member(2).release();
    assert_eq!(held.join().unwrap(), (200, "w2".to_owned()));
    // Now w2 is known to be slow.
    (0..6).for_each(|_| assert_eq!(fetch(&httpd, None).1, "w1"));
}

#[test]
fn worker_of_several_balancers_is_one_worker_with_a_condition_in_each() {
    let cluster = Cluster::start(2);
    let more = "worker.list=other\nworker.other.type=lb\nworker.other.balance_workers=w1,w2\nworker.w1.busy_limit=1\n";
    let httpd = cluster.httpd(more).config("JkMount /other* other\n").start();
    let address = httpd.address();
    let held = thread::spawn(move || fetch_at(address, "/hold", Some("a.w1")));
    cluster.member(1).await_held(1);
    // Busy counts jointly: the other balancer finds the limit reached, and goes on.
    assert_eq!(fetch_at(address, "/other", Some("a.w1")), (200, "w2".to_owned()));
    cluster.member(1).release();
    assert_eq!(held.join().unwrap().0, 200);
    assert_eq!(fetch_at(address, "/other", Some("a.w1")), (200, "w1".to_owned()));
}

#[test]
fn serves_with_more_than_a_thousand_workers() {
    let cluster = Cluster::start(1);
    let mut more = String::new();
    for number in 0..1_100 {
        more.push_str(&format!(
            "worker.list=plain{number}\nworker.plain{number}.host=127.0.0.1\nworker.plain{number}.port=1\n"
        ));
    }
    let httpd = cluster.httpd(&more).start();
    assert_eq!(fetch(&httpd, None), (200, "w1".to_owned()));
    assert_eq!(fetch_at(httpd.address(), "/x", Some("a.w1")), (200, "w1".to_owned()));
}

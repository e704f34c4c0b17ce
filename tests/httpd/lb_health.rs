//! Background health: who finds out that a member is down, and that it is back.
//!
//! Not here: the rules of rise and fall (`shm::ProbeStreak`, `balancer::maintenance`). The surprising thing: a mute member is told from a
//! busy one by connections that come although no request does.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::cluster::{Cluster, Mode, PATIENCE, fetch, fetch_at};
use crate::support::httpd::{Builder, under_every_mpm};
use crate::support::wait;

const QUICK: &str = "worker.lb.retry_interval=0\nworker.$W.retry_interval=0\nworker.lb.recover_time=1\nworker.maintain=1\n\
                     worker.$W.ping_mode=A\nworker.$W.ping_timeout=200\n";
const HEALTH: &str = "jkx.worker.lb.health=on\njkx.worker.lb.health_interval=1\njkx.worker.lb.health_timeout=300\n\
                      jkx.worker.lb.health_fall=2\njkx.worker.lb.health_rise=1\n";

fn watched(cluster: &Cluster, more: &str) -> Builder {
    cluster.httpd(&format!("{QUICK}{more}")).config("JkWatchdogInterval 1\n")
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

under_every_mpm! {
    fn mute_member_is_tried_by_the_prober_and_by_no_request_until_it_answers(mpm: Mpm) {
        let mut cluster = Cluster::start(2);
        let httpd = watched(&cluster, "").mpm(mpm).children(2).start();
        // It is known to answer CPings.
        wait::until(PATIENCE, "w1 to serve", || fetch(&httpd, None).1 == "w1");
        cluster.members[0].set(Mode::Mute);
        wait::until(PATIENCE, "w1 to be found mute", || {
            assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
            httpd.jk_log().contains("worker w1 is in error state")
        });
        let failures = || httpd.jk_log().matches("service failed, worker w1").count();
        let (connections, failed) = (cluster.member(1).connections(), failures());
        cluster.picks();
        wait::until(PATIENCE, "w1 to be probed", || {
            assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
            cluster.member(1).connections() > connections + 2
        });
        assert!(!cluster.picks().contains('1'));
        assert_eq!(failures(), failed);
        cluster.members[0].set(Mode::Serve);
        wait::until(PATIENCE, "w1 to serve again", || fetch(&httpd, None).1 == "w1");
        assert!(httpd.jk_log().contains("(lb) worker w1 goes from ERR to ERR/REC"));
    }
}

under_every_mpm! {
    fn watchdog_is_one_thread_of_each_child_and_blocks_all_signals(mpm: Mpm) {
        let cluster = Cluster::start(1);
        let httpd = watched(&cluster, "").mpm(mpm).children(2).start();
        let children = httpd.children();
        assert_eq!(children.len(), 2);
        for pid in children {
            let watchdogs = || threads(pid, "jk-watchdog");
            // The thread gives itself its name.
            wait::until(PATIENCE, "the thread", || watchdogs().len() == 1);
            let mask = watchdogs().remove(0);
            // All but SIGKILL (9) and SIGSTOP (19), which nobody can block, and 32 and 33, which the C library keeps for itself.
            let mask = mask | 1 << 8 | 1 << 18 | 1 << 31 | 1 << 32;
            assert_eq!(mask, u64::MAX, "{mask:#x}");
        }
    }
}

/// Blocked signals of each thread of that name.
fn threads(pid: u32, name: &str) -> Vec<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while it is looked at.
    let statuses = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let field = |status: &str, field: &str| {
        status.lines().find_map(|line| line.strip_prefix(field)).map(str::trim).unwrap_or_default().to_owned()
    };
    let named = statuses.filter(|status| field(status, "Name:") == name);
    named.map(|status| u64::from_str_radix(&field(&status, "SigBlk:"), 16).unwrap()).collect()
}

#[test]
fn member_that_never_answered_a_cping_comes_back_by_a_request() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Break);
    let more = QUICK.replace("worker.$W.ping_mode=A\n", "");
    let httpd = cluster.httpd(&more).config("JkWatchdogInterval 1\n").start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    cluster.members[0].set(Mode::KnowsNoCping);
    wait::until(PATIENCE, "w1 to serve", || fetch(&httpd, None).1 == "w1");
}

#[test]
fn dead_member_gets_no_request_before_it_listens_again() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let httpd = watched(&cluster, "").config("JkLogLevel debug\n").start();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    let failures = || httpd.jk_log().matches("service failed, worker w1").count();
    wait::until(PATIENCE, "three probes", || {
        assert_eq!(fetch(&httpd, None), (200, "w2".to_owned()));
        httpd.jk_log().matches("(w1) failed a probe").count() >= 3
    });
    assert_eq!(failures(), 1);
    cluster.members[0].set(Mode::Serve);
    wait::until(PATIENCE, "w1 to serve", || fetch(&httpd, None).1 == "w1");
}

#[test]
fn hung_member_is_out_before_a_user_meets_it() {
    let mut cluster = Cluster::start(2);
    let httpd = watched(&cluster, HEALTH).start();
    wait::until(PATIENCE, "both to have answered a CPing", || cluster.members.iter().all(|member| member.cpings() > 0));
    cluster.members[0].set(Mode::Mute);
    httpd.await_jk_log("(lb) worker w1 is in error state: 2 probes in a row failed");
    (0..4).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    assert_eq!(cluster.picks(), "2222");
    assert!(!httpd.jk_log().contains("service failed"));
    cluster.members[0].set(Mode::Serve);
    wait::until(PATIENCE, "w1 to serve again", || fetch(&httpd, None).1 == "w1");
}

#[test]
fn member_that_one_balancer_finds_hung_is_out_in_all() {
    let mut cluster = Cluster::start(2);
    let plain =
        "worker.list=plain\nworker.plain.type=lb\nworker.plain.balance_workers=w1,w2\nworker.plain.recover_time=1\n";
    let httpd = watched(&cluster, &format!("{HEALTH}{plain}")).config("JkMount /plain plain\n").start();
    wait::until(PATIENCE, "both to have answered a CPing", || cluster.members.iter().all(|member| member.cpings() > 0));
    cluster.members[0].set(Mode::Mute);
    httpd.await_jk_log("(plain) worker w1 is in error state: 2 probes in a row failed");
    let plain = || fetch_at(httpd.address(), "/plain", None);
    (0..4).for_each(|_| assert_eq!(plain(), (200, "w2".to_owned())));
    assert!(!httpd.jk_log().contains("service failed"));
    cluster.members[0].set(Mode::Serve);
    wait::until(PATIENCE, "w1 to serve again", || plain().1 == "w1");
}

#[test]
fn balancer_whose_members_all_hang_is_calm_and_tries_one_of_them_per_request() {
    let mut cluster = Cluster::start(2);
    let httpd = watched(&cluster, HEALTH).config("JkLogLevel debug\n").start();
    wait::until(PATIENCE, "both to have answered a CPing", || cluster.members.iter().all(|member| member.cpings() > 0));
    cluster.members.iter_mut().for_each(|member| member.set(Mode::Mute));
    let count = |text| httpd.jk_log().matches(text).count();
    wait::until(PATIENCE, "both to be found hung", || count("is in error state: 2 probes in a row failed") == 2);
    let probes = || count(") failed a probe");
    let (probed, tried) = (probes(), count("is chosen"));
    wait::until(PATIENCE, "more probes", || probes() >= probed + 6);
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None).0, 503));
    assert_eq!(count("is chosen"), tried + 3);
    assert_eq!((count("is in error state"), count("goes from ERR"), count("Forcing recovery")), (2, 0, 0));
    cluster.members[1].set(Mode::Serve);
    wait::until(PATIENCE, "w2 to serve again", || fetch(&httpd, None) == (200, "w2".to_owned()));
}

#[test]
fn healthy_members_are_left_alone_unless_wanted() {
    let cluster = Cluster::start(2);
    let httpd = watched(&cluster, "").config("JkLogLevel debug\n").start();
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    // Something that happens after a whole round of the watchdog: unused members become idle.
    httpd.await_jk_log("worker w2 goes from OK to OK/IDLE");
    assert!(!httpd.jk_log().contains("a probe"));
}

#[test]
fn one_child_of_all_probes_a_member_at_a_time() {
    let cluster = Cluster::start(1);
    let begin = unix_s();
    let _httpd = watched(&cluster, HEALTH).children(4).start();
    wait::until(PATIENCE, "some probes", || cluster.member(1).cpings() >= 4);
    let (probes, seconds) = (cluster.member(1).cpings() as u64, unix_s() - begin);
    assert!(probes <= seconds + 1, "{probes} probes in {seconds} s");
}

#[test]
fn stopped_members_are_not_probed() {
    let cluster = Cluster::start(2);
    let _httpd = watched(&cluster, &format!("{HEALTH}worker.w1.activation=s")).start();
    wait::until(PATIENCE, "probes of w2", || cluster.member(2).cpings() >= 2);
    assert_eq!(cluster.member(1).connections(), 0);
}

#[test]
fn child_ends_at_once_while_a_mute_member_is_probed() {
    let mut cluster = Cluster::start(1);
    cluster.members[0].set(Mode::Mute);
    let patient = "jkx.worker.lb.health_timeout=60000";
    let httpd = watched(&cluster, &format!("{HEALTH}{patient}")).start();
    wait::until(PATIENCE, "a probe", || cluster.member(1).connections() > 0);
    // httpd complains in its error log when a child does not end within three seconds, and that fails the test.
    httpd.stop();
}

#[test]
fn idle_connections_are_pinged_by_the_watchdog() {
    let cluster = Cluster::start(1);
    let pings = "worker.$W.ping_mode=I\nworker.$W.connection_ping_interval=1";
    let httpd = watched(&cluster, pings).start();
    assert_eq!(fetch(&httpd, None).0, 200);
    wait::until(PATIENCE, "pings of the idle connection", || cluster.member(1).cpings() >= 2);
    assert_eq!(cluster.member(1).connections(), 1);
}

#[test]
fn without_a_watchdog_a_request_tries_the_member_after_the_recover_time() {
    let mut cluster = Cluster::start(2);
    let more = format!("{QUICK}worker.w1.reply_timeout=50\nworker.$W.retries=1");
    let httpd = cluster.httpd(&more).start();
    assert_eq!(fetch(&httpd, None).1, "w1");
    cluster.members[0].set(Mode::MuteButCpong);
    wait::until(PATIENCE, "a second delivery to w1", || {
        assert_eq!(fetch(&httpd, None).0, 200);
        cluster.members.iter().all(|member| member.cpings() > 0)
            && httpd.jk_log().matches("service failed, worker w1 is in error state").count() >= 2
    });
}

#[test]
fn member_in_slow_start_gets_less_than_its_share() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let httpd = watched(&cluster, "jkx.worker.lb.slow_start=3600").start();
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, None).1, "w2"));
    cluster.members[0].set(Mode::Serve);
    wait::until(PATIENCE, "w1 to serve again", || fetch(&httpd, None).1 == "w1");
    cluster.picks();
    (0..20).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    let share = cluster.picks().matches('1').count();
    assert!(share <= 5, "{share} of 20");
}

#[test]
fn hundreds_of_silent_members_do_not_keep_the_prober_from_the_others() {
    // Nobody accepts: connections stay without an answer, or are not even made once the queue is full.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let backend = crate::support::backend::Backend::echo();
    let port = silent.local_addr().unwrap().port();
    let names: Vec<String> = (1..=300).map(|number| format!("h{number}")).collect();
    let members: String =
        names.iter().map(|name| format!("worker.{name}.host=127.0.0.1\nworker.{name}.port={port}\n")).collect();
    let workers = format!(
        "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={},last\n{members}{}jkx.worker.lb.health=on\n\
         jkx.worker.lb.health_interval=1\njkx.worker.lb.health_timeout=1000\n",
        names.join(","),
        backend.worker("last")
    );
    let config = "JkMount /* lb\nJkWatchdogInterval 1\n";
    let _httpd = crate::support::httpd::Httpd::builder().children(1).workers(&workers).config(config).start();
    wait::until(PATIENCE, "the last member to be probed", || backend.connections() > 0);
}

#[test]
fn health_without_a_watchdog_is_told_at_the_start() {
    let cluster = Cluster::start(1);
    let builder = |config: &str| cluster.httpd("jkx.worker.lb.health=on\n").config(config);
    let told = "jkx.worker.<lb>.health=on does nothing for lb: the watchdog makes the probes; set JkWatchdogInterval";
    assert!(builder("").start().error_log().contains(told));
    assert!(!builder("JkWatchdogInterval 1\n").start().error_log().contains(told));
}

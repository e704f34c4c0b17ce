//! Two real Tomcats that replicate their sessions, under load: crash and return, hang, rolling restart.
//!
//! Not here: whether Tomcat replicates. The surprising thing: a request that was under way when its Tomcat died may have counted there and
//! is repeated on the other one, so a session's counter may jump, but never falls back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::backend::get;
use crate::support::http_client::{Client, Request, Response};
use crate::support::httpd::Httpd;
use crate::support::tomcat_server::{Options, Replication, TomcatServer};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(120);
const CLIENTS: usize = 8;
/// The settings of a deployment from 2009 that is still copied, with probes.
const SETTINGS: &str = "worker.lb.recover_time=2\nworker.maintain=1\n";
const MEMBER_SETTINGS: [&str; 5] =
    ["ping_mode=A", "ping_timeout=2000", "socket_connect_timeout=1000", "socket_timeout=20", "retries=1"];

/// Two Tomcats behind one httpd. One pair at a time: four Java machines are too many for small hosts.
struct Pair {
    httpd: Httpd,
    tomcats: [TomcatServer; 2],
    _turn: MutexGuard<'static, ()>,
}

impl Pair {
    fn start(synchronous: bool) -> Pair {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = receiver_ports();
        let start = |own: usize| {
            let replication = Some(Replication { ports: ports.clone(), own, synchronous });
            TomcatServer::start(&format!("node{}", own + 1), Options { replication, ..Options::default() })
        };
        let tomcats = [start(0), start(1)];
        let mut workers = "worker.list=lb,status\nworker.status.type=status\nworker.lb.type=lb\n".to_owned();
        workers.push_str(&format!("worker.lb.balance_workers=node1,node2\n{SETTINGS}"));
        for tomcat in &tomcats {
            workers.push_str(&tomcat.worker());
            MEMBER_SETTINGS.iter().for_each(|line| workers.push_str(&format!("worker.{}.{line}\n", tomcat.name())));
        }
        let config = "JkMount /* lb\nJkMount /status status\nJkWatchdogInterval 1\n";
        let httpd = Httpd::builder().threads(16).workers(&workers).config(config).start();
        let pair = Pair { httpd, tomcats, _turn: turn };
        wait::until(PATIENCE, "both to serve", || pair.new_user() != pair.new_user());
        pair
    }

    /// The Tomcat that serves a new user.
    #[track_caller]
    fn new_user(&self) -> String {
        let response = get(&self.httpd, "/counter.jsp");
        assert_eq!(response.status(), 200);
        fact(&response, "node")
    }

    /// A command for the status worker, which must agree.
    #[track_caller]
    fn command(&self, query: &str) -> String {
        let response = get(&self.httpd, &format!("/status?mime=prop&{query}"));
        let text = response.text();
        assert!(response.status() == 200 && text.contains("worker.result.type=OK"), "{text}");
        text
    }
}

/// Two free ports for the receivers. Below the range that the system gives to connections, one of which could take them before Tomcat does.
fn receiver_ports() -> Vec<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap() * 2;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (first..32_000).filter(free).take(2).collect()
}

/// A line of the page.
#[track_caller]
fn fact(response: &Response, name: &str) -> String {
    let text = response.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// One user with a session and, between, users without; ends when told, and returns how many requests of the session there were.
fn user(address: SocketAddr, hangs: bool, ends: &AtomicBool, served: &AtomicUsize) {
    let (mut session, mut visits) = (None::<String>, 0_u32);
    while !ends.load(Ordering::SeqCst) {
        let mut request = Request::new("GET", "/counter.jsp");
        if let Some(session) = &session {
            request = request.header("Cookie", format!("JSESSIONID={session}"));
        }
        let response = Client::once(address, &request).expect("an answer");
        assert_eq!(response.status(), 200, "{}", response.text());
        let now: u32 = fact(&response, "visits").parse().unwrap();
        // A request that a frozen Tomcat has counted is counted again by the other one, which may not have heard of it yet.
        let lasts = if hangs { now > 1 || visits <= 1 } else { now > visits };
        assert!(lasts, "a session with {visits} visits came back with {now}");
        (session, visits) = (Some(fact(&response, "session")), now);
        let stranger = Client::once(address, &Request::new("GET", "/counter.jsp")).expect("an answer");
        assert_eq!((stranger.status(), fact(&stranger, "visits")), (200, "1".to_owned()));
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// Does `events` while the clients go on; each of their requests must succeed, and their sessions must last.
fn under_load(pair: &mut Pair, hangs: bool, events: impl FnOnce(&mut Pair, &dyn Fn())) {
    let (address, ends, served) = (pair.httpd.address(), AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let users: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| user(address, hangs, &ends, &served))).collect();
        let alive = || users.iter().all(|user| !user.is_finished());
        let go_on = || {
            let target = served.load(Ordering::SeqCst) + 5 * CLIENTS;
            let enough = || served.load(Ordering::SeqCst) >= target || !alive();
            wait::until(PATIENCE, "the clients to go on", enough);
        };
        go_on();
        events(pair, &go_on);
        ends.store(true, Ordering::SeqCst);
        users.into_iter().for_each(|user| user.join().unwrap());
    });
}

#[test]
fn sessions_survive_the_crash_of_their_tomcat_and_its_return() {
    let mut pair = Pair::start(true);
    under_load(&mut pair, false, |pair, go_on| {
        pair.tomcats[0].kill();
        go_on();
        pair.tomcats[0].start_again();
        wait::until(PATIENCE, "node1 to serve again", || pair.new_user() == "node1");
        go_on();
    });
}

#[test]
fn sessions_survive_a_rolling_restart_by_stop_and_activate() {
    let mut pair = Pair::start(true);
    under_load(&mut pair, false, |pair, go_on| {
        for at in 0..2 {
            let name = pair.tomcats[at].name().to_owned();
            pair.command(&format!("cmd=update&w=lb&sw={name}&vwa=s"));
            let idle = format!("worker.{name}.busy=0");
            wait::until(PATIENCE, "no requests on the stopped member", || {
                get(&pair.httpd, "/status?mime=prop").text().contains(&idle)
            });
            go_on();
            pair.tomcats[at].stop();
            pair.tomcats[at].start_again();
            pair.command(&format!("cmd=update&w=lb&sw={name}&vwa=a"));
            wait::until(PATIENCE, "the member to serve again", || pair.new_user() == name);
            go_on();
        }
    });
    assert!(!pair.httpd.jk_log().contains("service failed"), "no request met a Tomcat that was down");
}

#[test]
fn hung_tomcat_is_met_by_one_user_and_fails_none() {
    let mut pair = Pair::start(false);
    pair.tomcats[0].freeze();
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        pair.new_user();
        times.push(start.elapsed());
    }
    let following: Duration = times.iter().skip(2).sum();
    println!(
        "users of the hung cluster: the slowest of the first two {:?}, all others {following:?}",
        times[0].max(times[1])
    );
    assert_eq!(pair.httpd.jk_log().matches("service failed, worker node1").count(), 1);
    pair.tomcats[0].thaw();
    wait::until(PATIENCE, "node1 to serve again", || pair.new_user() == "node1");
}

#[test]
fn load_goes_on_while_a_tomcat_hangs() {
    let mut pair = Pair::start(false);
    under_load(&mut pair, true, |pair, go_on| {
        pair.tomcats[0].freeze();
        go_on();
        pair.tomcats[0].thaw();
        wait::until(PATIENCE, "node1 to serve again", || pair.new_user() == "node1");
        go_on();
    });
}

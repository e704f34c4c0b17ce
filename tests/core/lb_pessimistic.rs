//! A balancer with `lock=Pessimistic` and the log it writes to.
//!
//! Not here: the lock itself (`shm_processes.rs`). The surprising thing: the sink of the log tries the lock, which refuses a thread that
//! holds it already.

use std::sync::{Arc, Mutex};

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::balancer::Lock;
use mod_jk::config::{AjpConfig, Config, LbConfig, LbSettings, MemberConfig, WorkerConfig};
use mod_jk::log::{Level, Logger, Sink, Stamp};
use mod_jk::shm::{Plan, Region};
use mod_jk::worker::lb::{Balance, LbWorker, Trail};
use mod_jk::worker::shared::{AjpShared, Shared};
use mod_jk::worker::{AjpWorker, BodyKind, Log, Request};

use crate::engine::Client;
use crate::tomcat::Tomcat;

/// Lines, and whether the shared lock could be had while they were written.
struct Witness {
    region: Arc<Region>,
    lines: Mutex<Vec<(String, bool)>>,
}

impl Sink for Witness {
    fn write_line(&self, line: &[u8]) {
        let is_free = self.region.lock().is_ok();
        self.lines.lock().unwrap().push((String::from_utf8_lossy(line).into_owned(), is_free));
    }
}

#[test]
fn nothing_is_logged_while_the_shared_lock_is_held() {
    let tomcat = Tomcat::once(|peer| peer.serve(b"hello"));
    let mut ajp = AjpConfig { name: "w1".to_owned(), connection_pool_size: 1, ..AjpConfig::default() };
    (ajp.settings.host, ajp.settings.port) = ("127.0.0.1".to_owned(), tomcat.port());
    let lb = LbConfig {
        name: "lb".to_owned(),
        settings: LbSettings { lock: Lock::Pessimistic, ..LbSettings::default() },
        members: vec![MemberConfig::default()],
        lb_retries: 1,
        ..LbConfig::default()
    };
    let config = Config { list: vec![WorkerConfig::Lb(lb.clone())], ajp: vec![ajp.clone()], ..Config::default() };
    let region = Arc::new(Region::anonymous(&Plan::new(&config, 1, 0).unwrap()).unwrap());
    let shared = Arc::new(Shared::new(Arc::clone(&region)));
    let worker = Arc::new(AjpWorker::new(ajp, Arc::new(AjpShared::new(Arc::clone(&shared), 0))));
    let balancer = LbWorker::new(lb, shared, 0, vec![worker]);
    let witness = Arc::new(Witness { region, lines: Mutex::default() });
    let logger = Logger::new(Level::Trace, Stamp::local(b""), Arc::clone(&witness) as Arc<dyn Sink>);
    let forward = ForwardRequest { method: b"GET", protocol: b"HTTP/1.1", uri: b"/", ..ForwardRequest::default() };
    let (mut request, mut client) = (Request::new(&forward, BodyKind::None), Client::default());
    // A session that is nobody's has a line of its own.
    let balance = Balance { cookies: &[b"JSESSIONID=a.other"], ..Balance::default() };
    let log = Log { logger: &logger, context: b"id" };
    assert!(balancer.service(&mut request, &mut client, &balance, log, &mut Trail::default()).is_ok());
    let lines = witness.lines.lock().unwrap();
    assert!(lines.iter().any(|(line, _)| line.contains("member w1 is chosen")));
    assert!(lines.iter().all(|(_, is_free)| *is_free), "{lines:?}");
}

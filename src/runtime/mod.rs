//! Composition root: everything one configuration needs while it serves.
//!
//! Not here: httpd (`apache`), any policy. The surprising thing: it is built in the parent, before the children are forked, and so
//! starts no thread and opens no connection.

pub mod live_map;

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::{Config, WorkerConfig};
use crate::log::{Level, Logger, log_at};
use crate::shm::{Plan, Region};
use crate::status::{Ask, Page, Scene, Site, StatusWorker};
use crate::worker::health::Prober;
use crate::worker::lb::LbWorker;
use crate::worker::shared::{AjpShared, Shared};
use crate::worker::{AjpWorker, Alarm, Log};
use live_map::LiveMap;

/// What httpd says about itself.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Most children at a time (ServerLimit).
    pub children: u32,
    /// JkShmFile as an absolute path; the pid is appended.
    pub shm_file: String,
    /// JkShmSize; 0 = not given.
    pub shm_size_kib: u32,
    /// A watchdog thread does the maintenance.
    pub watchdog: bool,
    /// Unix time, seconds.
    pub now_s: u64,
    /// The shared memory before a graceful restart: its counters and error states are taken over.
    pub previous: Option<Arc<Region>>,
    /// What was edited at run time is taken over as well (JkXKeepEdits).
    pub keep_edits: bool,
}

/// A worker that requests can be mapped to.
#[derive(Debug)]
pub enum Worker {
    /// `type=ajp13`.
    Ajp(Arc<AjpWorker>),
    /// `type=lb`.
    Lb(Arc<LbWorker>),
    /// `type=status`.
    Status(Box<StatusWorker>),
}

impl Worker {
    /// Word of the note JK_WORKER_TYPE.
    pub fn type_name(&self) -> &'static CStr {
        match self {
            Self::Ajp(_) => c"ajp13",
            Self::Lb(_) => c"lb",
            Self::Status(_) => c"status",
        }
    }
}

/// A server or virtual host, as the status worker lists its rules.
#[derive(Clone, Debug)]
pub struct Server {
    /// How it is named.
    pub label: Arc<str>,
    /// Its rules.
    pub map: Arc<LiveMap>,
}

/// One configuration at work.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    shared: Arc<Shared>,
    ajp: Vec<Arc<AjpWorker>>,
    workers: Vec<Worker>,
    by_name: HashMap<Vec<u8>, usize>,
    /// The main server and virtual hosts that have URI rules.
    servers: OnceLock<Vec<Server>>,
    /// A thread of this process does the maintenance; requests need not.
    watchdog: AtomicBool,
    /// Unix seconds of this process's last maintenance.
    maintained_s: AtomicU64,
    /// A thread of this process is at it.
    maintaining: AtomicBool,
}

impl Runtime {
    /// Creates the shared memory and the workers, and looks up their addresses.
    ///
    /// # Errors
    /// A sentence that says what cannot be had; nothing is left behind.
    pub fn new(config: Config, limits: &Limits, logger: &Logger) -> Result<Self, String> {
        let plan = Plan::new(&config, usize::try_from(limits.children).unwrap_or(usize::MAX), limits.now_s)
            .map_err(|error| error.to_string())?;
        let size = (limits.shm_size_kib > 0).then(|| u64::from(limits.shm_size_kib));
        let has_name = limits.previous.as_ref().is_some_and(|previous| previous.has_its_name());
        let region = Region::create(Path::new(&limits.shm_file), size, &plan).map_err(|error| error.to_string())?;
        if let Some(what) = region.replaced().filter(|_| !has_name) {
            let text = "stood in the way of the shared memory file and was removed";
            log_at!(logger, Level::Warn, b"JK_INIT", "{what} {text}");
        }
        if let Some(Err(error)) = limits.previous.as_ref().map(|previous| region.adopt(previous, limits.keep_edits)) {
            let text = "counters and states of the time before the restart are lost";
            log_at!(logger, Level::Error, b"JK_INIT", "{text}: {error}");
        }
        let shared = Arc::new(Shared::new(Arc::new(region)));
        let ajp: Vec<_> = config
            .ajp
            .iter()
            .enumerate()
            .map(|(index, worker)| {
                Arc::new(AjpWorker::new(worker.clone(), Arc::new(AjpShared::new(Arc::clone(&shared), index))))
            })
            .collect();
        for worker in &ajp {
            if let Err(error) = worker.resolve() {
                log_at!(
                    logger,
                    Level::Error,
                    b"JK_INIT",
                    "({}) {error}; requests to it get 503 until this is mended",
                    worker.name()
                );
            }
        }
        let (mut workers, mut by_name, mut lbs) = (Vec::new(), HashMap::new(), 0_usize);
        for listed in &config.list {
            let (name, worker) = match listed {
                WorkerConfig::Ajp(index) => {
                    let Some(worker) = ajp.get(*index) else { continue };
                    (worker.name().to_owned(), Worker::Ajp(Arc::clone(worker)))
                }
                WorkerConfig::Lb(lb) => {
                    let members = lb.members.iter().filter_map(|member| ajp.get(member.ajp).cloned()).collect();
                    let worker = LbWorker::new(lb.clone(), Arc::clone(&shared), lbs, members);
                    worker.set_prober(limits.watchdog);
                    lbs = lbs.saturating_add(1);
                    (lb.name.clone(), Worker::Lb(Arc::new(worker)))
                }
                WorkerConfig::Status(status) => {
                    (status.name.clone(), Worker::Status(Box::new(StatusWorker::new(status.clone()))))
                }
            };
            by_name.entry(name.into_bytes()).or_insert(workers.len());
            workers.push(worker);
        }
        Ok(Self {
            config,
            shared,
            ajp,
            workers,
            by_name,
            servers: OnceLock::new(),
            watchdog: AtomicBool::new(limits.watchdog),
            maintained_s: AtomicU64::new(limits.now_s),
            maintaining: AtomicBool::new(false),
        })
    }

    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells which servers there are, once, when their rules have been read.
    pub fn set_servers(&self, servers: Vec<Server>) {
        // A second call would come from a second post_config of one configuration, which is refused elsewhere.
        let _ = self.servers.set(servers);
    }

    /// Lets a status worker answer a request.
    pub fn status(&self, worker: &StatusWorker, ask: &Ask<'_>, log: Log<'_>) -> Page {
        let sites = || {
            let servers = self.servers.get().map(Vec::as_slice).unwrap_or_default();
            let site = |server: &Server| Site {
                label: Arc::clone(&server.label),
                map: server.map.refreshed(ask.now_s, log.logger, log.context),
            };
            servers.iter().map(site).collect()
        };
        let (config, shared, ajp) = (&self.config, &*self.shared, self.ajp.as_slice());
        worker.answer(&Scene { config, shared, ajp, sites: &sites, log, now_s: ask.now_s }, ask)
    }

    /// The worker of that name in `worker.list`.
    pub fn find(&self, name: &[u8]) -> Option<&Worker> {
        self.workers.get(*self.by_name.get(name)?)
    }

    /// Called once in each child: claims its entry in the shared memory.
    pub fn enter_child(&self) {
        self.shared.enter_child();
    }

    /// The child ends: idle connections are closed, its entry is given back.
    pub fn leave_child(&self) {
        for worker in &self.ajp {
            worker.shut_down();
        }
        self.shared.leave_child();
    }

    /// The shared memory, which outlives this configuration in a graceful restart.
    pub fn region(&self) -> Arc<Region> {
        Arc::clone(&self.shared.region)
    }

    /// This process has no watchdog after all: requests do the maintenance and the probing.
    pub fn do_without_watchdog(&self) {
        self.watchdog.store(false, Ordering::Relaxed);
        self.balancers().for_each(|balancer| balancer.set_prober(false));
    }

    /// Without a watchdog, requests do the maintenance (reference: lb-shm-status.md section 2.10).
    pub fn maintain_without_watchdog(&self, logger: &Logger) {
        if self.watchdog.load(Ordering::Relaxed) {
            return;
        }
        let log = Log { logger, context: b"MAINTAIN" };
        if let Some(_turn) = self.begin_maintenance(log) {
            let now = Instant::now();
            self.ajp.iter().for_each(|worker| worker.maintain(now, log));
        }
    }

    /// The watchdog of this process: maintenance and probes until `alarm` rings. `interval` is JkWatchdogInterval.
    pub fn watch(&self, interval: Duration, alarm: &Alarm, logger: &Logger) {
        let log = Log { logger, context: b"WATCHDOG" };
        let mut prober = Prober::new(self.balancers());
        let pause = interval.min(self.shortest_health_interval().unwrap_or(interval));
        let (mut maintain_at, mut look_at) = (Instant::now() + interval, Instant::now() + pause);
        loop {
            prober.wait(alarm, maintain_at.min(look_at));
            if alarm.is_rung() {
                return;
            }
            prober.advance(log);
            let now = Instant::now();
            if now >= look_at {
                prober.begin_due(unix_s(), log);
                look_at = now + pause;
            }
            if now >= maintain_at {
                self.maintain_with(&mut prober, log);
                maintain_at = now + interval;
            }
        }
    }

    fn maintain_with(&self, prober: &mut Prober, log: Log<'_>) {
        if let Some(_turn) = self.begin_maintenance(log) {
            let now = Instant::now();
            for worker in &self.ajp {
                worker.shrink(now, log);
                prober.begin_checkups(worker, log);
            }
        }
    }

    fn balancers(&self) -> impl Iterator<Item = &Arc<LbWorker>> {
        self.workers.iter().filter_map(|worker| match worker {
            Worker::Lb(balancer) => Some(balancer),
            Worker::Ajp(_) | Worker::Status(_) => None,
        })
    }

    /// Of the balancers whose healthy members are probed.
    fn shortest_health_interval(&self) -> Option<Duration> {
        let extras = self.balancers().map(|balancer| &balancer.config().extras).filter(|extras| extras.health);
        extras.map(|extras| Duration::from_secs(extras.health_interval_s.into())).min()
    }

    /// When maintenance is due in this process and no other thread is at it: does the part for all processes, if no other one did,
    /// and leaves this process's own part to the caller.
    fn begin_maintenance(&self, log: Log<'_>) -> Option<Turn<'_>> {
        let interval_s = u64::from(self.config.maintain_s);
        let now_s = unix_s();
        let since_s = now_s.saturating_sub(self.maintained_s.load(Ordering::Relaxed));
        if interval_s == 0 || since_s < interval_s || self.maintaining.swap(true, Ordering::Acquire) {
            return None;
        }
        let turn = Turn(&self.maintaining);
        self.maintained_s.store(now_s, Ordering::Relaxed);
        if self.shared.region.claim_maintenance(now_s, interval_s) {
            self.maintain_for_all(now_s, log);
        }
        Some(turn)
    }

    fn maintain_for_all(&self, now_s: u64, log: Log<'_>) {
        match self.shared.region.reap_children() {
            Ok(0) => {}
            Ok(dead) => log_at!(
                log.logger,
                Level::Warn,
                log.context,
                "{dead} httpd children died with requests; their counts were taken back"
            ),
            Err(error) => log_at!(log.logger, Level::Error, log.context, "{error}"),
        }
        for worker in &self.workers {
            if let Worker::Lb(lb) = worker {
                lb.maintain(now_s, self.config.maintain_s, log);
            }
        }
        for worker in &self.ajp {
            worker.shared().become_idle_if_unused();
        }
    }
}

/// This thread's turn to maintain; ends when dropped, whatever happened.
struct Turn<'r>(&'r AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

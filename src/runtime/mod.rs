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
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::{Config, WorkerConfig};
use crate::log::{Level, Logger, log_at};
use crate::shm::{Plan, Region};
use crate::status::{Ask, Page, Scene, Site, StatusWorker};
use crate::worker::lb::LbWorker;
use crate::worker::shared::{AjpShared, Shared};
use crate::worker::{AjpWorker, Log};
use live_map::LiveMap;

/// What httpd says about itself.
#[derive(Clone, Debug)]
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
}

/// A worker that requests can be mapped to.
#[derive(Debug)]
pub enum Worker {
    /// `type=ajp13`.
    Ajp(Arc<AjpWorker>),
    /// `type=lb`.
    Lb(LbWorker),
    /// `type=status`.
    Status(StatusWorker),
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
    watchdog: bool,
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
        let region = Region::create(Path::new(&limits.shm_file), size, &plan).map_err(|error| error.to_string())?;
        if let Some(what) = region.replaced() {
            log_at!(
                logger,
                Level::Warn,
                b"JK_INIT",
                "{what} stood in the way of the shared memory file and was removed"
            );
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
                    lbs = lbs.saturating_add(1);
                    (lb.name.clone(), Worker::Lb(worker))
                }
                WorkerConfig::Status(status) => {
                    (status.name.clone(), Worker::Status(StatusWorker::new(status.clone())))
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
            watchdog: limits.watchdog,
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

    /// Without a watchdog, requests do the maintenance (reference: lb-shm-status.md section 2.10).
    pub fn maintain_without_watchdog(&self, logger: &Logger) {
        if !self.watchdog {
            self.maintain(logger);
        }
    }

    /// Maintenance, when it is due: of this process's connections, and, in one process at a time, of the balancers.
    pub fn maintain(&self, logger: &Logger) {
        let interval_s = u64::from(self.config.maintain_s);
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let last_s = self.maintained_s.load(Ordering::Relaxed);
        if interval_s == 0
            || now_s.saturating_sub(last_s) < interval_s
            || self.maintaining.swap(true, Ordering::Acquire)
        {
            return;
        }
        self.maintained_s.store(now_s, Ordering::Relaxed);
        let log = Log { logger, context: b"WATCHDOG" };
        if self.shared.region.claim_maintenance(now_s, interval_s) {
            self.maintain_for_all(now_s, log);
        }
        let now = Instant::now();
        for worker in &self.ajp {
            worker.maintain(now, log);
        }
        self.maintaining.store(false, Ordering::Release);
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

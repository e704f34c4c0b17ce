//! Composition root: everything one configuration needs while it serves.
//!
//! Not here: httpd (`apache`), any policy. The surprising thing: it is built in the parent, before the children are forked, and so
//! starts no thread and opens no connection.

pub mod live_map;

use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::{AjpConfig, Config, WorkerConfig};
use crate::log::{Level, Logger, log_at};
use crate::shm::{Plan, Region, ShmError, remove_leftovers, unix_s};
use crate::status::{Ask, Host, Page, Scene, Site, StatusWorker};
use crate::worker::clock::Moment;
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
    /// Its rules; `None` = nothing is mapped there.
    pub map: Option<Arc<LiveMap>>,
    /// How requests find it.
    pub host: Host,
}

/// One configuration at work.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    shared: Arc<Shared>,
    ajp: Vec<Arc<AjpWorker>>,
    lbs: Vec<Arc<LbWorker>>,
    workers: Vec<Worker>,
    /// Of the workers, in their order. A name that C cannot have is empty here.
    names: Arc<[CString]>,
    /// Names in order, with the places of their workers. Searched by halving: that is cheaper than a hash of strangers' bytes.
    by_name: Vec<(Vec<u8>, usize)>,
    /// The main server and the virtual hosts, in httpd's order.
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
        let region = create_region(&config, limits, logger)?;
        let shared = Arc::new(Shared::new(Arc::new(region)));
        let worker_of = |(index, worker): (usize, &AjpConfig)| {
            Arc::new(AjpWorker::new(worker.clone(), Arc::new(AjpShared::new(Arc::clone(&shared), index))))
        };
        let ajp: Vec<_> = config.ajp.iter().enumerate().map(worker_of).collect();
        for worker in &ajp {
            if let Err(error) = worker.resolve() {
                let name = worker.name();
                log_at!(
                    logger,
                    Level::Error,
                    b"JK_INIT",
                    "({name}) {error}; requests to it get 503 until this is mended"
                );
            }
        }
        let (mut workers, mut by_name, mut lbs) = (Vec::new(), Vec::new(), Vec::new());
        for listed in &config.list {
            let (name, worker) = match listed {
                WorkerConfig::Ajp(index) => {
                    let Some(worker) = ajp.get(*index) else { continue };
                    (worker.name().to_owned(), Worker::Ajp(Arc::clone(worker)))
                }
                WorkerConfig::Lb(lb) => {
                    let members = lb.members.iter().filter_map(|member| ajp.get(member.ajp).cloned()).collect();
                    let worker = Arc::new(LbWorker::new(lb.clone(), Arc::clone(&shared), lbs.len(), members));
                    worker.set_prober(limits.watchdog);
                    lbs.push(Arc::clone(&worker));
                    (lb.name.clone(), Worker::Lb(worker))
                }
                WorkerConfig::Status(status) => {
                    (status.name.clone(), Worker::Status(Box::new(StatusWorker::new(status.clone()))))
                }
            };
            by_name.push((name.into_bytes(), workers.len()));
            workers.push(worker);
        }
        let names =
            by_name.iter().map(|(name, _): &(Vec<u8>, usize)| CString::new(name.as_slice()).unwrap_or_default());
        let names = names.collect();
        // Of two with the same name the first counts.
        by_name.sort();
        by_name.dedup_by(|later, first| later.0 == first.0);
        Ok(Self {
            config,
            shared,
            ajp,
            lbs,
            workers,
            names,
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
                map: server
                    .map
                    .as_ref()
                    .map(|map| map.refreshed(ask.now_s, log.logger, log.context))
                    .unwrap_or_default(),
                host: server.host.clone(),
            };
            servers.iter().map(site).collect()
        };
        let (config, shared, ajp) = (&self.config, &*self.shared, self.ajp.as_slice());
        worker.answer(&Scene { config, shared, ajp, lbs: &self.lbs, sites: &sites, log, now_s: ask.now_s }, ask)
    }

    /// The worker of that name in `worker.list`.
    pub fn find(&self, name: &[u8]) -> Option<&Worker> {
        let place = self.by_name.binary_search_by(|(known, _)| known.as_slice().cmp(name)).ok()?;
        self.workers.get(self.by_name.get(place)?.1)
    }

    /// The names of the workers in `worker.list`, each at its place; empty = it cannot be had by place.
    pub fn names(&self) -> &Arc<[CString]> {
        &self.names
    }

    /// The worker at a place, and its name.
    #[inline]
    pub fn at(&self, place: u32) -> Option<(&CStr, &Worker)> {
        let place = place as usize;
        Some((self.names.get(place)?, self.workers.get(place)?))
    }

    /// Called once in each child: claims its entry in the shared memory.
    pub fn enter_child(&self, logger: &Logger) {
        mend(&self.shared.region, logger, b"CHILD_INIT");
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
    /// `about_s` is the time a moment ago: when it is not due by that, no clock need be read.
    #[inline]
    pub fn maintain_without_watchdog(&self, about_s: u64, logger: &Logger) {
        let last_s = self.maintained_s.load(Ordering::Relaxed);
        if is_due(about_s, last_s, u64::from(self.config.maintain_s)) && !self.watchdog.load(Ordering::Relaxed) {
            self.maintain_now(logger);
        }
    }

    #[cold]
    fn maintain_now(&self, logger: &Logger) {
        let log = Log { logger, context: b"MAINTAIN" };
        if let Some(_turn) = self.begin_maintenance(log) {
            let now = Moment::now();
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
                self.lbs.iter().for_each(|lb| lb.end_drains(log));
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
            let now = Moment::now();
            for worker in &self.ajp {
                worker.shrink(now, log);
                prober.begin_checkups(worker, log);
            }
        }
    }

    fn balancers(&self) -> impl Iterator<Item = &Arc<LbWorker>> {
        self.lbs.iter()
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
        let last_s = self.maintained_s.load(Ordering::Relaxed);
        if !is_due(now_s, last_s, interval_s) || self.maintaining.swap(true, Ordering::Acquire) {
            return None;
        }
        let turn = Turn(&self.maintaining);
        self.maintained_s.store(now_s, Ordering::Relaxed);
        mend(&self.shared.region, log.logger, log.context);
        if self.shared.region.claim_maintenance(now_s, interval_s) {
            self.maintain_for_all(now_s, log);
        }
        self.shared.keep_child();
        Some(turn)
    }

    fn restore(&self, log: Log<'_>) {
        let restored = match self.shared.region.restore() {
            Ok(restored) => restored,
            Err(error) => {
                log_at!(log.logger, Level::Error, log.context, "{error}");
                return;
            }
        };
        if restored.slots > 0 {
            log_at!(
                log.logger,
                Level::Error,
                log.context,
                "somebody wrote over {} slots of the shared memory; they begin anew as configured, their counters and edits are lost",
                restored.slots
            );
        }
        if restored.counts {
            let text =
                "the counts of requests and connections in flight begin anew, those of this moment are not counted";
            log_at!(log.logger, Level::Warn, log.context, "somebody wrote over the shared memory: {text}");
        }
    }

    fn maintain_for_all(&self, now_s: u64, log: Log<'_>) {
        // First this: what was written over the table of children names no dead.
        self.restore(log);
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
        self.shared.region.catch_up();
        for lb in &self.lbs {
            lb.maintain(now_s, self.config.maintain_s, log);
            lb.end_drains(log);
        }
        for worker in &self.ajp {
            worker.shared().become_idle_if_unused();
        }
    }
}

/// An interval of 0 means never. A clock that was set back makes it due, instead of pausing it until the old time comes again.
fn is_due(now_s: u64, last_s: u64, interval_s: u64) -> bool {
    interval_s > 0 && now_s.abs_diff(last_s) >= interval_s
}

/// Creates the shared memory, in place of what is in the way, and takes over what the one before knows.
fn create_region(config: &Config, limits: &Limits, logger: &Logger) -> Result<Region, String> {
    let plan = Plan::new(config, usize::try_from(limits.children).unwrap_or(usize::MAX), limits.now_s)
        .map_err(|error| error.to_string())?;
    let size = (limits.shm_size_kib > 0).then(|| u64::from(limits.shm_size_kib));
    if limits.previous.is_none() {
        for leftover in remove_leftovers(Path::new(&limits.shm_file)) {
            let text = "was left behind by an httpd that was killed; it is removed";
            log_at!(logger, Level::Info, b"JK_INIT", "the shared memory file {} {text}", leftover.display());
        }
    }
    if let Some(previous) = &limits.previous {
        mend(previous, logger, b"JK_INIT");
    }
    let has_name = limits.previous.as_ref().is_some_and(|previous| previous.has_its_name());
    let region = Region::create(Path::new(&limits.shm_file), size, &plan).map_err(|error| error.to_string())?;
    if let Some(what) = region.replaced().filter(|_| !has_name) {
        let text = "stood in the way of the shared memory file and was removed";
        log_at!(logger, Level::Warn, b"JK_INIT", "{what} {text}");
    }
    if let Some(previous) = &limits.previous
        && let Err(error) = take_over(&region, previous, limits.keep_edits)
    {
        let text = "counters and states of the time before the restart are lost";
        log_at!(logger, Level::Error, b"JK_INIT", "{text}: {error}");
    }
    Ok(region)
}

/// What the generation before has counted, and goes on counting.
fn take_over(region: &Region, previous: &Arc<Region>, keep_edits: bool) -> Result<(), ShmError> {
    previous.catch_up();
    region.adopt(previous, keep_edits)?;
    region.follow(previous)
}

/// Makes the file of the shared memory whole if somebody cut it, and says so.
fn mend(region: &Region, logger: &Logger, context: &[u8]) {
    let path = || region.path().unwrap_or(Path::new("")).display();
    match region.mend() {
        Ok(None) => {}
        Ok(Some(found)) => log_at!(
            logger,
            Level::Error,
            context,
            "somebody cut the shared memory file {} to {found} of {} bytes; it is whole again, but counters and edits are lost: a rotation \
             of logs must leave this file alone",
            path(),
            region.size()
        ),
        Err(error) => log_at!(logger, Level::Error, context, "the shared memory file was cut: {error}"),
    }
}

/// This thread's turn to maintain; ends when dropped, whatever happened.
struct Turn<'r>(&'r AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::is_due;

    #[test]
    fn maintenance_goes_on_when_the_clock_is_set_back() {
        assert!(!is_due(1_059, 1_000, 60) && is_due(1_060, 1_000, 60));
        assert!(!is_due(990, 1_000, 60) && is_due(900, 1_000, 60));
        assert!(!is_due(9_999, 0, 0));
    }
}

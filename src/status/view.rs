//! What can be shown, as a plain snapshot: taken once, so that all formats say the same.
//!
//! Not here: how it looks (`export.rs`, `html.rs`). The surprising thing: the numbers are those of all children, but an address is what
//! this child has resolved; right after a change it may be "unresolved" here until a request needs it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Scene, Site};
use crate::balancer::rating::{Rating, Ratings};
use crate::balancer::{Activation, State};
use crate::config::{AjpSettings, LbConfig, LbSettings, MemberSettings, WorkerConfig};
use crate::shm::{BUCKETS, Cause, Draining, FAILINGS, Failing, Histogram};
use crate::uri_map::Rule;

/// Everything that an answer shows of the workers.
#[derive(Debug, Default)]
pub struct View {
    /// Load balancers, in the order of `worker.list`.
    pub balancers: Vec<Balancer>,
    /// AJP workers of `worker.list`, in its order.
    pub workers: Vec<Ajp>,
}

/// One load balancer.
#[derive(Debug)]
pub struct Balancer {
    /// Its name.
    pub name: String,
    /// In force.
    pub settings: LbSettings,
    /// Members in all, shown or not.
    pub member_count: usize,
    /// Members rated good, degraded, bad.
    pub rated: [usize; 3],
    /// Requests in progress.
    pub busy: u32,
    /// Most of them at a time.
    pub max_busy: u64,
    /// Seconds to the next maintenance: at least, at most.
    pub to_maintenance: (u64, u64),
    /// Seconds since 1970.
    pub last_reset: u64,
    /// Those shown.
    pub members: Vec<Member>,
    /// URI rules that name it.
    pub maps: Vec<Map>,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// Its place in the balancer.
    pub place: usize,
    /// The AJP worker behind it.
    pub ajp: Ajp,
    /// In force.
    pub settings: MemberSettings,
    /// Error state.
    pub state: State,
    /// Since when it is what it is, seconds since 1970, and why.
    pub state_since: (u64, Cause),
    /// Share of the load, as steps of `value`.
    pub multiplier: u64,
    /// Accumulated load.
    pub value: u64,
    /// Elections without a session.
    pub sessions: u64,
    /// Failures.
    pub errors: u64,
    /// It is being emptied.
    pub drain: Option<Draining>,
    /// First of consecutive errors; 0 = none.
    pub first_error: u64,
    /// Seconds to a new try: at least, at most; 0 unless in error.
    pub to_recovery: (u64, u64),
    /// What a monitoring script should think of it.
    pub rating: Rating,
}

/// One AJP worker. The counters are joint for all balancers that use it.
#[derive(Debug)]
pub struct Ajp {
    /// Its place in the configuration.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// In force.
    pub settings: AjpSettings,
    /// Resolved address with port, or a word.
    pub address: String,
    /// Local address to connect from.
    pub source: Option<String>,
    /// What was observed last.
    pub state: State,
    /// Requests.
    pub used: u64,
    /// Failed ones.
    pub errors: u64,
    /// Spoilt by their clients.
    pub client_errors: u64,
    /// Replies that came too late.
    pub reply_timeouts: u64,
    /// Attempts made again because one here failed.
    pub retries: u64,
    /// Failed attempts, in the order of [`Failing::ALL`].
    pub failures: [u64; FAILINGS],
    /// Why the last one failed.
    pub last_failure: Option<Failing>,
    /// Connections that each child may have.
    pub pool_size: u32,
    /// Bytes to the container.
    pub transferred: u64,
    /// Bytes from the container.
    pub read: u64,
    /// Requests in progress.
    pub busy: u32,
    /// Most of them at a time.
    pub max_busy: u64,
    /// Connections.
    pub connected: u32,
    /// Most of them at a time.
    pub max_connected: u64,
    /// Seconds since 1970.
    pub last_reset: u64,
    /// Seconds since 1970 of the last error; 0 = none.
    pub error_time: u64,
    /// Whole responses.
    pub response: Times,
    /// First bytes of responses.
    pub first_byte: Times,
    /// URI rules that name it; empty for members.
    pub maps: Vec<Map>,
}

/// How long something took.
#[derive(Clone, Debug)]
pub struct Times {
    /// Counts of the buckets of [`Histogram`].
    pub counts: [u64; BUCKETS],
    /// Microseconds in all.
    pub sum_us: u64,
}

impl Times {
    fn of(histogram: &Histogram) -> Self {
        Self { counts: histogram.counts(), sum_us: histogram.sum_us() }
    }
}

/// One URI rule of one server.
#[derive(Debug)]
pub struct Map {
    /// Counted from 1 for each worker.
    pub id: usize,
    /// Server or virtual host.
    pub server: Arc<str>,
    /// The rule.
    pub rule: Rule,
}

/// Takes snapshots.
pub(super) struct Viewer<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) ratings: &'a Ratings,
    /// Members are wanted, and not only counted.
    members: bool,
    sites: Vec<Site>,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, ratings: &'a Ratings, members: bool) -> Self {
        Self { scene, ratings, members, sites: (scene.sites)() }
    }

    /// All workers of `worker.list`.
    pub(super) fn all(&self, balancers: bool, workers: bool) -> View {
        let mut view = View::default();
        let mut lbs = 0_usize;
        for worker in &self.scene.config.list {
            match worker {
                WorkerConfig::Ajp(index) if workers => view.workers.extend(self.plain(*index)),
                WorkerConfig::Lb(lb) => {
                    if balancers {
                        view.balancers.extend(self.balancer(lbs, lb, None));
                    }
                    lbs = lbs.saturating_add(1);
                }
                WorkerConfig::Ajp(_) | WorkerConfig::Status(_) => {}
            }
        }
        view
    }

    /// A load balancer, with all members or those at the places `only`.
    pub(super) fn balancer(&self, lb: usize, config: &LbConfig, only: Option<&[usize]>) -> Option<Balancer> {
        let region = &self.scene.shared.region;
        let slot = region.lb(lb)?;
        let settings = slot.settings();
        let to_maintenance = self.to_maintenance(slot.last_maintain_time.get());
        let mut balancer = Balancer {
            name: config.name.clone(),
            member_count: config.members.len(),
            rated: [0; 3],
            busy: region.lb_busy(lb),
            max_busy: slot.max_busy.get(),
            to_maintenance,
            last_reset: slot.last_reset.get(),
            members: Vec::new(),
            maps: self.maps(&config.name),
            settings,
        };
        for (index, (slot, member)) in region.plan().members_of(lb).zip(&config.members).enumerate() {
            let Some(found) = region.member(slot) else { continue };
            let rating = self.ratings.of(found.activation(), found.state.get());
            if let Some(count) = balancer.rated.get_mut(rating as usize) {
                *count = count.saturating_add(1);
            }
            if self.members && only.is_none_or(|only| only.contains(&index)) {
                balancer.members.extend(self.member(index, slot, member.ajp, &balancer));
            }
        }
        Some(balancer)
    }

    fn member(&self, place: usize, slot: usize, ajp: usize, balancer: &Balancer) -> Option<Member> {
        let found = self.scene.shared.region.member(slot)?;
        let settings = found.settings();
        let state = found.state.get();
        let since_error = self.scene.now_s.saturating_sub(found.last_error_time.get());
        let recovery = u64::from(balancer.settings.recover_time_s).saturating_sub(since_error);
        let to_recovery = if state == State::Error {
            let most = recovery.saturating_add(self.scene.config.maintain_s.into());
            (recovery.max(balancer.to_maintenance.0), most)
        } else {
            (0, 0)
        };
        Some(Member {
            place,
            ajp: self.ajp(ajp)?,
            state,
            state_since: found.state_since(),
            multiplier: found.multiplier(),
            value: found.value.get(),
            sessions: found.sessions.get(),
            errors: found.errors.get(),
            drain: found.drain().state(),
            first_error: found.first_error_time.get(),
            to_recovery,
            rating: self.ratings.of(settings.activation, state),
            settings,
        })
    }

    /// An AJP worker of `worker.list`.
    pub(super) fn plain(&self, index: usize) -> Option<Ajp> {
        let ajp = self.ajp(index)?;
        Some(Ajp { maps: self.maps(&ajp.name), ..ajp })
    }

    fn ajp(&self, index: usize) -> Option<Ajp> {
        let (scene, region) = (self.scene, &self.scene.shared.region);
        let (config, slot) = (scene.config.ajp.get(index)?, region.ajp(index)?);
        let settings = slot.settings();
        Some(Ajp {
            index,
            name: config.name.clone(),
            address: self.address(index, &settings),
            settings,
            source: config.source.clone(),
            state: slot.state.get(),
            used: slot.used.get(),
            errors: slot.errors.get(),
            client_errors: slot.client_errors.get(),
            reply_timeouts: slot.reply_timeouts.get(),
            retries: slot.retries.get(),
            failures: slot.failures(),
            last_failure: slot.last_failure(),
            pool_size: config.connection_pool_size,
            transferred: slot.transferred.get(),
            read: slot.read.get(),
            busy: region.ajp_busy(index),
            max_busy: slot.max_busy.get(),
            connected: region.ajp_connected(index),
            max_connected: slot.max_connected.get(),
            last_reset: slot.last_reset.get(),
            error_time: slot.error_time.get(),
            response: Times::of(&slot.response_time),
            first_byte: Times::of(&slot.first_byte_time),
            maps: Vec::new(),
        })
    }

    /// `ip:port` without brackets, as ever; `invalid` for port 0, `unresolved` when this child has not looked it up yet.
    fn address(&self, index: usize, settings: &AjpSettings) -> String {
        let Some(worker) = self.scene.ajp.get(index) else { return "invalid".to_owned() };
        if let Some(path) = &worker.config().unix_socket {
            return format!("unix:{path}");
        }
        if settings.port == 0 {
            return "invalid".to_owned();
        }
        let ip = worker.known_ip().or_else(|| settings.host.parse().ok());
        ip.map_or_else(|| "unresolved".to_owned(), |ip| format!("{ip}:{}", settings.port))
    }

    fn maps(&self, worker: &str) -> Vec<Map> {
        let rules = self.sites.iter().flat_map(|site| {
            let rules = site.map.rules_of(worker.as_bytes());
            rules.map(|(_, rule)| (Arc::clone(&site.label), rule.clone()))
        });
        (1..).zip(rules).map(|(id, (server, rule))| Map { id, server, rule }).collect()
    }

    fn to_maintenance(&self, last_s: u64) -> (u64, u64) {
        let interval = u64::from(self.scene.config.maintain_s);
        let age = self.scene.now_s.saturating_sub(last_s);
        (interval.saturating_sub(age), interval.saturating_mul(2).saturating_sub(age))
    }
}

impl Ajp {
    /// Open connections on which no request runs.
    #[must_use]
    pub fn idle(&self) -> u32 {
        self.connected.saturating_sub(self.busy)
    }
}

impl Member {
    /// Whether it may be tried again at once by `cmd=recover`.
    #[must_use]
    pub fn can_recover(&self) -> bool {
        self.state == State::Error
    }

    /// Whether requests without a session may go to it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state.is_usable(self.settings.activation)
    }

    /// `ACT`, `DIS` or `STP`.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.settings.activation
    }
}

/// Seconds since 1970 as a date.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Local time of the server.
    pub zone: TimeZone,
}

impl Clock {
    /// The local time of this process: `TZ` or /etc/localtime; UTC if neither can be read.
    #[must_use]
    pub fn local() -> Self {
        Self { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC) }
    }

    /// In the letters of strftime; empty for a time beyond the year 9999.
    #[must_use]
    pub fn format(&self, letters: &str, unix_s: u64) -> String {
        let timestamp = i64::try_from(unix_s).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        timestamp.map(|time| time.to_zoned(self.zone.clone()).strftime(letters).to_string()).unwrap_or_default()
    }

    /// `YYYYMMDDHHMMSS`.
    #[must_use]
    pub fn packed(&self, unix_s: u64) -> String {
        self.format("%Y%m%d%H%M%S", unix_s)
    }

    /// `+0000`.
    #[must_use]
    pub fn offset(&self, unix_s: u64) -> String {
        self.format("%z", unix_s)
    }

    /// `YYYY-MM-DD HH:MM:SS +0000`.
    #[must_use]
    pub fn readable(&self, unix_s: u64) -> String {
        self.format("%Y-%m-%d %H:%M:%S %z", unix_s)
    }
}

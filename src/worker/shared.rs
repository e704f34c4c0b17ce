//! What the children share about one AJP worker, as the engine sees it: a handle to its slot in shared memory.
//!
//! Not here: the mapping (`shm`). The surprising thing: the handle is made in the parent and learns in each child, by
//! `Shared::enter_child`, in whose name it counts.

use std::sync::Arc;

use crate::balancer::State;
use crate::config::{AjpConfig, AjpSettings, Config, WorkerConfig};
use crate::shm::{self, AjpSlot, Child, Connected, Failing, Found, OwnChild, Plan, ProbeStreak, Region, ShmError};

pub use crate::shm::AjpNumbers as Numbers;

/// The shared memory, and in whose name this process counts.
#[derive(Debug)]
pub struct Shared {
    /// The slots.
    pub region: Arc<Region>,
    child: OwnChild,
}

impl Shared {
    /// For the parent; each child calls [`Self::enter_child`].
    pub fn new(region: Arc<Region>) -> Self {
        Self { region, child: OwnChild::default() }
    }

    /// Claims this child's entry. Without one (more children than planned, a broken lock) counts are kept all the same, but not taken
    /// back when the child is killed.
    pub fn enter_child(&self) {
        self.child.claim(&self.region);
    }

    /// Claims it again when somebody wrote over it; does nothing in the parent.
    pub fn keep_child(&self) {
        self.child.keep(&self.region);
    }

    /// Gives the entry back.
    pub fn leave_child(&self) {
        if let Some(child) = self.child.claimed() {
            // A lock that cannot be taken leaves the entry to the reaping of the dead.
            let _ = self.region.release_child(child);
        }
    }

    /// In whose name this process counts.
    pub fn child(&self) -> Child {
        self.child.get()
    }

    /// Unix time in seconds, as the slots keep it.
    pub fn now_s(&self) -> u64 {
        shm::unix_s()
    }
}

/// Settings, counters and state of one AJP worker.
#[derive(Clone, Debug)]
pub struct AjpShared {
    shared: Arc<Shared>,
    ajp: usize,
}

impl AjpShared {
    /// The worker with this index in the plan of the region. The index must be one of the plan.
    pub fn new(shared: Arc<Shared>, ajp: usize) -> Self {
        Self { shared, ajp }
    }

    /// A worker of its own, with memory that nobody else sees: for tools and tests.
    ///
    /// # Errors
    /// [`ShmError`] when there is no memory, or a text is too long.
    pub fn alone(settings: AjpSettings) -> Result<Self, ShmError> {
        let worker = AjpConfig { name: "alone".to_owned(), settings, ..AjpConfig::default() };
        let config = Config { list: vec![WorkerConfig::Ajp(0)], ajp: vec![worker], ..Config::default() };
        let region = Region::anonymous(&Plan::new(&config, 1, 0)?)?;
        Ok(Self::new(Arc::new(Shared::new(Arc::new(region))), 0))
    }

    /// The slot; `None` never happens for an index of the plan, and then counts as a worker that is switched off.
    pub(super) fn slot(&self) -> Option<&AjpSlot> {
        self.shared.region.ajp(self.ajp)
    }

    /// The settings that are numbers.
    pub fn numbers(&self) -> Numbers {
        self.shared.region.ajp_numbers(self.ajp).unwrap_or_else(switched_off)
    }

    /// The few of them that every request needs.
    #[inline(always)]
    pub fn essentials(&self) -> shm::AjpEssentials {
        match self.shared.region.ajp_essentials(self.ajp) {
            Some(essentials) => essentials,
            None => self.replaced_essentials(),
        }
    }

    #[cold]
    fn replaced_essentials(&self) -> shm::AjpEssentials {
        self.numbers().essentials()
    }

    /// Host and port, with the sequence number they belong to.
    pub fn address(&self) -> (u32, String, u16) {
        let Some(address) = self.shared.region.ajp_address(self.ajp) else { return (0, String::new(), 0) };
        (address.sequence, address.host.as_str().to_owned(), address.port)
    }

    /// Changes whenever host or port do; what was derived from an older one is stale.
    pub fn address_sequence(&self) -> u32 {
        self.slot().map_or(0, AjpSlot::address_sequence)
    }

    /// Applies `change` under the writers' lock, for all children.
    ///
    /// # Errors
    /// [`ShmError`] when the lock cannot be taken or a text is too long; nothing is changed then.
    pub fn update(&self, change: impl FnOnce(&mut AjpSettings)) -> Result<(), ShmError> {
        let writer = self.shared.region.lock()?;
        let mut settings = self.slot().ok_or(ShmError::NoSuchSlot)?.settings();
        change(&mut settings);
        writer.set_ajp_settings(self.ajp, &settings)
    }

    fn count(&self, counter: impl FnOnce(&AjpSlot) -> &shm::Counter, amount: u64) -> u64 {
        self.slot().map_or(0, |slot| {
            let counter = counter(slot);
            counter.add(amount);
            counter.get()
        })
    }

    /// One more request for this worker.
    pub fn count_used(&self) {
        if let Some(slot) = self.slot() {
            slot.count_used(self.shared.now_s());
        }
    }

    /// One more failed request; returns the new count.
    pub fn count_error(&self) -> u64 {
        let Some(slot) = self.slot() else { return 0 };
        slot.count_error(self.shared.now_s());
        slot.errors.get()
    }

    /// One more request that its client spoilt; returns the new count.
    pub fn count_client_error(&self) -> u64 {
        self.count(|slot| &slot.client_errors, 1)
    }

    /// One more failed attempt.
    pub fn count_failure(&self, failing: Failing) {
        if let Some(slot) = self.slot() {
            slot.count_failure(failing);
        }
    }

    /// One more attempt that is made again because one here failed.
    pub fn count_retry(&self) {
        self.count(|slot| &slot.retries, 1);
    }

    /// One more attempt that ran into `reply_timeout`.
    pub fn count_reply_timeout(&self) {
        self.count(|slot| &slot.reply_timeouts, 1);
    }

    /// Reply timeouts are forgotten, all or in part: recovery and decay.
    pub fn set_reply_timeouts(&self, left: u64) {
        if let Some(slot) = self.slot() {
            slot.reply_timeouts.set(left);
        }
    }

    /// Reply timeouts are forgotten.
    pub fn reset_reply_timeouts(&self) {
        self.set_reply_timeouts(0);
    }

    /// Bytes read from and written to the container.
    pub fn count_bytes(&self, read: u64, transferred: u64) {
        self.count(|slot| &slot.read, read);
        self.count(|slot| &slot.transferred, transferred);
    }

    /// A response has come to its end, so many nanoseconds after the request was sent, and these bytes were read from and written to the
    /// container for it: the worker is well.
    #[inline]
    pub fn record_response(&self, took_ns: u64, read: u64, transferred: u64) {
        let Some(slot) = self.slot() else { return };
        slot.response_time.record(took_ns);
        slot.read.add(read);
        slot.transferred.add(transferred);
        if slot.state.get() != State::Ok {
            slot.state.set(State::Ok);
        }
    }

    #[inline]
    /// The first byte of a response has come, so many nanoseconds after the request was sent.
    pub fn record_first_byte_time(&self, took_ns: u64) {
        if let Some(slot) = self.slot() {
            slot.first_byte_time.record(took_ns);
        }
    }

    /// How long responses took, and how long their first bytes; `None` never happens for an index of the plan.
    pub fn times(&self) -> Option<(&shm::Histogram, &shm::Histogram)> {
        self.slot().map(|slot| (&slot.response_time, &slot.first_byte_time))
    }

    /// A request begins; it is busy while the guard lives.
    #[inline(always)]
    pub fn begin_request(&self) -> shm::Busy<'_> {
        self.shared.region.enter_ajp(self.shared.child(), self.ajp)
    }

    /// A connection was opened; it is counted while the guard lives.
    pub fn connect(&self) -> Connected {
        self.shared.region.connect(self.shared.child(), self.ajp)
    }

    /// What was observed last; informational, it never stops a request (reference: ajp-side.md section 7.2).
    pub fn state(&self) -> State {
        self.slot().map_or(State::Error, |slot| slot.state.get())
    }

    /// Stores what was observed.
    pub fn set_state(&self, state: State) {
        if let Some(slot) = self.slot()
            && slot.state.get() != state
        {
            slot.state.set(state);
        }
    }

    /// Maintenance: a worker that nobody used since the last one is idle.
    pub fn become_idle_if_unused(&self) {
        let Some(slot) = self.slot() else { return };
        let used = slot.used.get();
        if slot.used_snapshot.get() == used {
            slot.state.change(State::Ok, State::Idle);
        }
        slot.used_snapshot.set(used);
    }

    /// Whether this worker ever answered a CPing; only such workers are probed in the background (DEVIATIONS section 6).
    pub fn cpong_seen(&self) -> bool {
        self.slot().is_some_and(AjpSlot::cpong_seen)
    }

    /// Notes a CPong.
    pub fn note_cpong(&self) {
        if let Some(slot) = self.slot() {
            slot.note_cpong();
        }
    }

    /// Whether this caller is the one who probes this worker now (`AjpSlot::claim_probe`).
    pub fn claim_probe(&self, now_s: u64, interval_s: u64) -> bool {
        self.slot().is_some_and(|slot| slot.claim_probe(now_s, interval_s))
    }

    /// What the background probes found last.
    pub fn probe_streak(&self) -> ProbeStreak {
        self.slot().map(AjpSlot::probe_streak).unwrap_or_default()
    }

    /// One more result of a probe.
    pub fn record_probe(&self, found: Found) {
        if let Some(slot) = self.slot() {
            slot.record_probe(found);
        }
    }

    /// What the probes found before says nothing any more.
    pub fn forget_probes(&self) {
        if let Some(slot) = self.slot() {
            slot.forget_probes();
        }
    }

    fn counter(&self, counter: impl FnOnce(&AjpSlot) -> &shm::Counter) -> u64 {
        self.slot().map_or(0, |slot| counter(slot).get())
    }

    /// Requests so far.
    pub fn used(&self) -> u64 {
        self.counter(|slot| &slot.used)
    }

    /// Failed requests so far.
    pub fn errors(&self) -> u64 {
        self.counter(|slot| &slot.errors)
    }

    /// Requests spoilt by their clients so far.
    pub fn client_errors(&self) -> u64 {
        self.counter(|slot| &slot.client_errors)
    }

    /// Attempts so far that were made again because one here failed.
    pub fn retries(&self) -> u64 {
        self.counter(|slot| &slot.retries)
    }

    /// Failed attempts of this kind so far.
    pub fn failures(&self, failing: Failing) -> u64 {
        self.slot().and_then(|slot| slot.failures().get(failing as usize).copied()).unwrap_or(0)
    }

    /// Attempts that ran into `reply_timeout` so far.
    pub fn reply_timeouts(&self) -> u64 {
        self.counter(|slot| &slot.reply_timeouts)
    }

    /// Bytes read from the container so far.
    pub fn read(&self) -> u64 {
        self.counter(|slot| &slot.read)
    }

    /// Bytes written to the container so far.
    pub fn transferred(&self) -> u64 {
        self.counter(|slot| &slot.transferred)
    }

    /// Requests in progress, over all children.
    pub fn busy(&self) -> u32 {
        self.shared.region.ajp_busy(self.ajp)
    }

    /// Most requests in progress so far.
    pub fn max_busy(&self) -> u64 {
        self.counter(|slot| &slot.max_busy)
    }

    /// Open connections, over all children.
    pub fn connected(&self) -> u32 {
        self.shared.region.ajp_connected(self.ajp)
    }

    /// Most open connections so far.
    pub fn max_connected(&self) -> u64 {
        self.counter(|slot| &slot.max_connected)
    }
}

#[cold]
fn switched_off() -> Numbers {
    let settings = AjpSettings::default();
    Numbers {
        address_sequence: 0,
        port: 0,
        connection_pool_timeout_s: 0,
        ping_timeout_ms: settings.ping_timeout_ms,
        connect_timeout_ms: 0,
        prepost_timeout_ms: 0,
        reply_timeout_ms: 0,
        connection_ping_interval_s: 0,
        retries: 1,
        retry_interval_ms: 0,
        recovery_options: None,
        busy_limit: 0,
        max_packet_size: settings.max_packet_size,
    }
}

//! What the children share about one AJP worker, as the engine sees it: settings an admin can change, counters, state.
//!
//! Not here: the mapping itself (`shm`). The surprising thing: this one lives in the process; it has the interface of the
//! slot so that the engine runs and is tested without shared memory.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use crate::balancer::State;
use crate::config::AjpSettings;

/// The numbers among [`AjpSettings`], copied once per request without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Changes whenever host or port do.
    pub address_sequence: u32,
    /// See [`AjpSettings::port`].
    pub port: u16,
    /// See [`AjpSettings::connection_pool_timeout_s`].
    pub connection_pool_timeout_s: u32,
    /// See [`AjpSettings::ping_timeout_ms`].
    pub ping_timeout_ms: u32,
    /// See [`AjpSettings::connect_timeout_ms`].
    pub connect_timeout_ms: u32,
    /// See [`AjpSettings::prepost_timeout_ms`].
    pub prepost_timeout_ms: u32,
    /// See [`AjpSettings::reply_timeout_ms`].
    pub reply_timeout_ms: u32,
    /// See [`AjpSettings::connection_ping_interval_s`].
    pub connection_ping_interval_s: u32,
    /// See [`AjpSettings::retries`].
    pub retries: u32,
    /// See [`AjpSettings::retry_interval_ms`].
    pub retry_interval_ms: u32,
    /// See [`AjpSettings::recovery_options`].
    pub recovery_options: Option<u32>,
    /// See [`AjpSettings::busy_limit`].
    pub busy_limit: u32,
    /// See [`AjpSettings::max_packet_size`].
    pub max_packet_size: u32,
}

/// Settings, counters and state of one AJP worker.
#[derive(Debug, Default)]
pub struct AjpShared {
    settings: RwLock<AjpSettings>,
    address_sequence: AtomicU32,
    used: AtomicU64,
    errors: AtomicU64,
    client_errors: AtomicU64,
    reply_timeouts: AtomicU64,
    read: AtomicU64,
    transferred: AtomicU64,
    busy: AtomicU32,
    max_busy: AtomicU32,
    connected: AtomicU32,
    max_connected: AtomicU32,
    state: AtomicU8,
    cpong_seen: AtomicBool,
}

impl AjpShared {
    /// Starts with `settings`, everything else zero and the state idle.
    pub fn new(settings: AjpSettings) -> Self {
        Self { settings: RwLock::new(settings), ..Self::default() }
    }

    /// The settings that are numbers.
    pub fn numbers(&self) -> Numbers {
        let s = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        Numbers {
            address_sequence: self.address_sequence.load(Relaxed),
            port: s.port,
            connection_pool_timeout_s: s.connection_pool_timeout_s,
            ping_timeout_ms: s.ping_timeout_ms,
            connect_timeout_ms: s.connect_timeout_ms,
            prepost_timeout_ms: s.prepost_timeout_ms,
            reply_timeout_ms: s.reply_timeout_ms,
            connection_ping_interval_s: s.connection_ping_interval_s,
            retries: s.retries,
            retry_interval_ms: s.retry_interval_ms,
            recovery_options: s.recovery_options,
            busy_limit: s.busy_limit,
            max_packet_size: s.max_packet_size,
        }
    }

    /// Host and port, with the sequence number they belong to.
    pub fn address(&self) -> (u32, String, u16) {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        (self.address_sequence.load(Relaxed), settings.host.clone(), settings.port)
    }

    /// Changes whenever host or port do; what was derived from an older one is stale.
    pub fn address_sequence(&self) -> u32 {
        self.address_sequence.load(Relaxed)
    }

    /// Applies `change`; the address sequence moves when host or port differ afterwards.
    pub fn update(&self, change: impl FnOnce(&mut AjpSettings)) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let before = (settings.host.clone(), settings.port);
        change(&mut settings);
        if before != (settings.host.clone(), settings.port) {
            self.address_sequence.fetch_add(1, Relaxed);
        }
    }

    /// One more request for this worker.
    pub fn count_used(&self) {
        self.used.fetch_add(1, Relaxed);
    }

    /// One more failed request; returns the new count.
    pub fn count_error(&self) -> u64 {
        self.errors.fetch_add(1, Relaxed) + 1
    }

    /// One more request that its client spoilt; returns the new count.
    pub fn count_client_error(&self) -> u64 {
        self.client_errors.fetch_add(1, Relaxed) + 1
    }

    /// One more attempt that ran into `reply_timeout`.
    pub fn count_reply_timeout(&self) {
        self.reply_timeouts.fetch_add(1, Relaxed);
    }

    /// Bytes read from and written to the container.
    pub fn count_bytes(&self, read: u64, transferred: u64) {
        self.read.fetch_add(read, Relaxed);
        self.transferred.fetch_add(transferred, Relaxed);
    }

    /// A request begins; returns how many are in progress with it.
    pub fn begin_request(&self) -> u32 {
        let busy = self.busy.fetch_add(1, Relaxed).saturating_add(1);
        self.max_busy.fetch_max(busy, Relaxed);
        busy
    }

    /// A request is over.
    pub fn end_request(&self) {
        decrement(&self.busy);
    }

    /// A connection was opened.
    pub fn connection_opened(&self) {
        let connected = self.connected.fetch_add(1, Relaxed).saturating_add(1);
        self.max_connected.fetch_max(connected, Relaxed);
    }

    /// A connection was closed.
    pub fn connection_closed(&self) {
        decrement(&self.connected);
    }

    /// What was observed last; informational, it never stops a request (reference: ajp-side.md section 7.2).
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Ok,
            2 => State::Recover,
            3 => State::Forced,
            4 => State::Busy,
            5 => State::Error,
            6 => State::Probe,
            _ => State::Idle,
        }
    }

    /// Stores what was observed.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Whether this worker ever answered a CPing; only such workers are probed in the background (DEVIATIONS section 6).
    pub fn cpong_seen(&self) -> bool {
        self.cpong_seen.load(Relaxed)
    }

    /// Notes a CPong.
    pub fn note_cpong(&self) {
        self.cpong_seen.store(true, Relaxed);
    }

    /// Requests so far.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Failed requests so far.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Requests spoilt by their clients so far.
    pub fn client_errors(&self) -> u64 {
        self.client_errors.load(Relaxed)
    }

    /// Attempts that ran into `reply_timeout` so far.
    pub fn reply_timeouts(&self) -> u64 {
        self.reply_timeouts.load(Relaxed)
    }

    /// Bytes read from the container so far.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes written to the container so far.
    pub fn transferred(&self) -> u64 {
        self.transferred.load(Relaxed)
    }

    /// Requests in progress.
    pub fn busy(&self) -> u32 {
        self.busy.load(Relaxed)
    }

    /// Most requests in progress so far.
    pub fn max_busy(&self) -> u32 {
        self.max_busy.load(Relaxed)
    }

    /// Open connections.
    pub fn connected(&self) -> u32 {
        self.connected.load(Relaxed)
    }

    /// Most open connections so far.
    pub fn max_connected(&self) -> u32 {
        self.max_connected.load(Relaxed)
    }
}

/// Subtracts one, not below zero: a reset may come between an increment and its decrement.
fn decrement(counter: &AtomicU32) {
    let _ = counter.fetch_update(Relaxed, Relaxed, |value| value.checked_sub(1));
}

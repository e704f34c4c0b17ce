//! The slots all children share: one per AJP worker name; those of load balancers are in `lb.rs`, those of members in `member.rs`.
//!
//! Not here: busy and connected counts, which are kept per child (`children.rs`), and the rules for writing (`writer.rs`).
//! The surprising thing: slots have no constructor. They lie in the mapping, all zero at first, and any bytes are a valid slot.
//!
//! Layout of 2026-11-30, version 5 (`header::VERSION`); offsets in bytes, every line of 64 bytes is one cache line:
//!
//! ```text
//!  AjpSlot (1472)                               LbSlot (256)                       MemberSlot (640)
//!    0  name                                      0  name                            0  value, multiplier, rank, hashes,
//!   64  sequence, in use, state, CPong seen,     64  sequence, in use, times,           state, sequence, numbers of both sides
//!       times, snapshot                              max_busy, drains               64  counters, times, in use
//!  128  side 0: numbers                         128  side 0: numbers               128  name
//!  192          host                            192  side 1: numbers               192  side 0: route, domain, redirect
//!  256  side 1: numbers                                                            384  side 1: route, domain, redirect
//!  320          host
//!  384  counters of each request
//!  448  response time  (3 lines)                                                    576  drain
//!  640  time to first byte  (3 lines)
//!  832  history  (8 lines)
//! 1344  retries, failures by kind  (2 lines)
//! ```
//!
//! What each request reads (numbers) is apart from what each request writes (counters). The one exception is line 0 of a
//! member: choosing needs value, state and settings together, and gets them from a single line.

use super::cause::{FAILINGS, Failing};
use super::cell::{Counter, StateCell, Text, TextCell, Word, check_of, legal};
use super::error::ShmError;
use super::histogram::Histogram;
use super::history::{History, PERIODS, Period};
use super::probe::{Found, ProbeStreak};
use super::sequence::{Pair, Sequence};
use crate::balancer::{State, route_hash};
use crate::config::AjpSettings;

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<AjpSlot>() == 1_472 && align_of::<AjpSlot>() == 64);
    assert!(std::mem::offset_of!(AjpSlot, used) == 384 && std::mem::offset_of!(AjpSlot, response_time) == 448);
};

/// What is known of one AJP worker name, jointly for all load balancers that use it (reference: lb-shm-status.md section 3.3).
/// Times are seconds since 1970; 0 = never.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct AjpSlot {
    name: TextCell,
    sequence: Sequence,
    in_use: Word,
    /// State of a worker that is used alone; members have their own.
    pub state: StateCell,
    cpong_seen: Word,
    /// Last error.
    pub error_time: Counter,
    /// Last reset of the counters; at first, the start.
    pub last_reset: Counter,
    /// Last global maintenance.
    pub last_maintain_time: Counter,
    /// `used` at the last maintenance: equal means idle.
    pub used_snapshot: Counter,
    /// When a background probe was begun last.
    probed: Counter,
    /// Results of background probes in a row; see [`ProbeStreak`].
    probes: Counter,
    sides: Pair<AjpSide>,
    /// Requests given to this worker ("elected").
    pub used: Counter,
    /// Failed requests.
    pub errors: Counter,
    /// Requests that failed because of the client.
    pub client_errors: Counter,
    /// Replies that came too late; decays.
    pub reply_timeouts: Counter,
    /// Bytes received from the backend.
    pub read: Counter,
    /// Bytes sent to the backend.
    pub transferred: Counter,
    /// Most requests at a time; kept by `Region::enter_ajp`.
    pub max_busy: Counter,
    /// Most connections at a time; kept by `Region::connect`.
    pub max_connected: Counter,
    /// From the first byte sent to the end of the response.
    pub response_time: Histogram,
    /// From the first byte sent to the first byte received.
    pub first_byte_time: Histogram,
    history: History,
    /// Attempts that were made again, here or on another member, because one on this worker failed.
    pub retries: Counter,
    /// Failed attempts, by [`Failing`].
    failures: [Counter; FAILINGS],
    /// Number of the last one; counts only when there was any.
    last_failure: Counter,
    _spare: Counter,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct AjpSide {
    address_sequence: Word,
    port: Word,
    connection_pool_timeout_s: Word,
    ping_timeout_ms: Word,
    connect_timeout_ms: Word,
    prepost_timeout_ms: Word,
    reply_timeout_ms: Word,
    connection_ping_interval_s: Word,
    retries: Word,
    retry_interval_ms: Word,
    recovery_options_set: Word,
    recovery_options: Word,
    busy_limit: Word,
    max_packet_size: Word,
    /// [`check_of`] all of the above.
    check: Word,
    /// [`check_of`] what [`Address`] has.
    address_check: Word,
    host: TextCell,
}

/// The numbers of [`AjpSettings`], for the request path: one `Copy` value, no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AjpNumbers {
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
    /// See [`AjpSettings::retries`]; at least 1.
    pub retries: u32,
    /// See [`AjpSettings::retry_interval_ms`].
    pub retry_interval_ms: u32,
    /// See [`AjpSettings::recovery_options`].
    pub recovery_options: Option<u32>,
    /// See [`AjpSettings::busy_limit`].
    pub busy_limit: u32,
    /// See [`AjpSettings::max_packet_size`]; 8192 to 65536 and a multiple of 1024, whatever is stored.
    pub max_packet_size: u32,
}

/// Those of [`AjpNumbers`] that a request needs which goes well; the others are read when something has failed, as they are then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AjpEssentials {
    /// See [`AjpNumbers::address_sequence`].
    pub address_sequence: u32,
    /// See [`AjpSettings::port`].
    pub port: u16,
    /// See [`AjpSettings::prepost_timeout_ms`].
    pub prepost_timeout_ms: u32,
    /// See [`AjpSettings::reply_timeout_ms`].
    pub reply_timeout_ms: u32,
    /// See [`AjpSettings::busy_limit`].
    pub busy_limit: u32,
    /// See [`AjpNumbers::max_packet_size`].
    pub max_packet_size: u32,
}

impl AjpNumbers {
    /// The few that every request needs.
    #[must_use]
    pub fn essentials(&self) -> AjpEssentials {
        AjpEssentials {
            address_sequence: self.address_sequence,
            port: self.port,
            prepost_timeout_ms: self.prepost_timeout_ms,
            reply_timeout_ms: self.reply_timeout_ms,
            busy_limit: self.busy_limit,
            max_packet_size: self.max_packet_size,
        }
    }

    /// Those of a configuration, where the slot has none.
    pub(super) fn of(settings: &AjpSettings) -> Self {
        Self {
            address_sequence: NO_SEQUENCE,
            port: settings.port,
            connection_pool_timeout_s: settings.connection_pool_timeout_s,
            ping_timeout_ms: settings.ping_timeout_ms,
            connect_timeout_ms: settings.connect_timeout_ms,
            prepost_timeout_ms: settings.prepost_timeout_ms,
            reply_timeout_ms: settings.reply_timeout_ms,
            connection_ping_interval_s: settings.connection_ping_interval_s,
            retries: settings.retries.max(1),
            retry_interval_ms: settings.retry_interval_ms,
            recovery_options: settings.recovery_options,
            busy_limit: settings.busy_limit,
            max_packet_size: settings.max_packet_size,
        }
    }
}

/// Tag of addresses that are not the slot's.
const NO_SEQUENCE: u32 = u32::MAX;

/// Where to connect: host and port of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or address literal.
    pub host: Text,
    /// TCP port; 0 = contact disabled.
    pub port: u16,
    /// Tag for what is resolved from this; compare with [`AjpSlot::address_sequence`].
    pub sequence: u32,
}

impl AjpSlot {
    /// The worker's name.
    #[must_use]
    pub fn name(&self) -> Text {
        self.name.load()
    }

    /// Whether a worker lives here; spare slots are empty until one joins.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.in_use.get() != 0
    }

    /// Tag of the settings; differs after each change of any of them.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence.tag()
    }

    /// Tag of host and port; differs after each change of either. Unchecked: of a wrong one nothing comes but a look at the address.
    #[inline]
    #[must_use]
    pub fn address_sequence(&self) -> u32 {
        self.sequence.read(|side| self.sides.at(side).address_sequence.get())
    }

    /// The numeric settings, consistent: two cache lines that only an admin's update writes. `None`: somebody wrote over them.
    #[must_use]
    pub fn numbers(&self) -> Option<AjpNumbers> {
        self.sequence.read(|side| self.sides.at(side).numbers())
    }

    /// The few of them that every request needs.
    #[inline(always)]
    #[must_use]
    pub fn essentials(&self) -> Option<AjpEssentials> {
        self.sequence.read(|side| self.sides.at(side).essentials())
    }

    /// Host and port, consistent. `None`: somebody wrote over them.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.sequence.read(|side| self.sides.at(side).address())
    }

    /// All settings, consistent; allocates the host. The defaults where somebody wrote over them, until [`super::Region::restore`].
    #[must_use]
    pub fn settings(&self) -> AjpSettings {
        let found = self.sequence.read(|side| {
            let side = self.sides.at(side);
            Some((side.numbers()?, side.address()?.host))
        });
        let Some((numbers, host)) = found else { return AjpSettings::default() };
        AjpSettings {
            host: host.as_str().to_owned(),
            port: numbers.port,
            connection_pool_timeout_s: numbers.connection_pool_timeout_s,
            ping_timeout_ms: numbers.ping_timeout_ms,
            connect_timeout_ms: numbers.connect_timeout_ms,
            prepost_timeout_ms: numbers.prepost_timeout_ms,
            reply_timeout_ms: numbers.reply_timeout_ms,
            connection_ping_interval_s: numbers.connection_ping_interval_s,
            retries: numbers.retries,
            retry_interval_ms: numbers.retry_interval_ms,
            recovery_options: numbers.recovery_options,
            busy_limit: numbers.busy_limit,
            max_packet_size: numbers.max_packet_size,
        }
    }

    /// Whether this worker ever answered a CPing; only such workers are probed in the background (DEVIATIONS section 6).
    #[inline]
    #[must_use]
    pub fn cpong_seen(&self) -> bool {
        self.cpong_seen.get() != 0
    }

    /// Notes a CPong. Stores only the first time, so the line stays shared.
    #[inline]
    pub fn note_cpong(&self) {
        if !self.cpong_seen() {
            self.cpong_seen.set(1);
        }
    }

    /// Whether this caller is the one who probes this worker now: at most one per `interval_s` over all children.
    ///
    /// Race: as `Region::claim_maintenance`.
    #[must_use]
    pub fn claim_probe(&self, now_s: u64, interval_s: u64) -> bool {
        let last = self.probed.get();
        now_s.abs_diff(last) >= interval_s && self.probed.replace(last, now_s)
    }

    /// One more failed attempt.
    pub fn count_failure(&self, failing: Failing) {
        if let Some(counter) = self.failures.get(failing as usize) {
            counter.add(1);
        }
        self.last_failure.set(failing as u64);
    }

    /// Failed attempts, in the order of [`Failing::ALL`].
    #[must_use]
    pub fn failures(&self) -> [u64; FAILINGS] {
        std::array::from_fn(|place| self.failures.get(place).map_or(0, Counter::get))
    }

    /// Why the last one failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failing> {
        let last = usize::try_from(self.last_failure.get()).ok().and_then(|place| Failing::ALL.get(place));
        last.copied().filter(|last| self.failures.get(*last as usize).is_some_and(|counter| counter.get() > 0))
    }

    /// The counters that only grow, in a fixed order.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Counter> {
        let plain = [&self.used, &self.errors, &self.client_errors, &self.read, &self.transferred, &self.retries];
        let times = self.response_time.counters().chain(self.first_byte_time.counters());
        plain.into_iter().chain(&self.failures).chain(times)
    }

    pub(super) fn adopt_failures(&self, old: &Self) {
        self.retries.set(old.retries.get());
        self.failures.iter().zip(&old.failures).for_each(|(new, old)| new.set(old.get()));
        self.last_failure.set(old.last_failure.get());
    }

    /// What the background probes found last.
    #[must_use]
    pub fn probe_streak(&self) -> ProbeStreak {
        ProbeStreak::from_code(self.probes.get())
    }

    /// One more result. Returns the streak with it.
    pub fn record_probe(&self, found: Found) -> ProbeStreak {
        // One prober at a time per worker (`claim_probe`), so nothing is lost between the two calls.
        let streak = self.probe_streak().then(found);
        self.probes.set(streak.code());
        streak
    }

    /// What was found before says nothing any more: the worker just failed a request. The next probe is due at once.
    pub fn forget_probes(&self) {
        self.probes.set(ProbeStreak::default().code());
        self.probed.set(0);
    }

    /// One more request, at `now_s`.
    #[inline]
    pub fn count_used(&self, now_s: u64) {
        self.history.turn(now_s, &self.used, &self.errors);
        self.used.add(1);
    }

    /// A response has come to its end, so many nanoseconds after the request was sent, and these bytes were read from and written
    /// to the container for it: the worker is well.
    #[inline(always)]
    pub fn record_response(&self, took_ns: u64, read: u64, transferred: u64) {
        self.response_time.record(took_ns);
        self.read.add(read);
        self.transferred.add(transferred);
        if self.state.get() != State::Ok {
            self.state.set(State::Ok);
        }
    }

    /// One more failed request, at `now_s`.
    pub fn count_error(&self, now_s: u64) {
        self.history.turn(now_s, &self.used, &self.errors);
        self.error_time.set(now_s);
        self.errors.add(1);
    }

    /// Requests and errors of the last ten minutes, per [`super::PERIOD_S`] seconds; the period of `now_s` comes last.
    #[must_use]
    pub fn history(&self, now_s: u64) -> [Period; PERIODS] {
        self.history.recent(now_s, self.used.get(), self.errors.get())
    }

    /// Takes over what happened lately; the counters are taken over by the caller.
    pub(super) fn adopt_history(&self, old: &Self) {
        self.history.adopt(&old.history);
    }

    /// Puts a worker into an empty slot. The caller holds the writers' lock, or is alone.
    pub(super) fn occupy(&self, name: &Text, now_s: u64) {
        self.name.store(name);
        self.last_reset.set(now_s);
        self.last_maintain_time.set(now_s);
        self.in_use.set(1);
    }

    /// The caller holds the writers' lock, or is alone.
    pub(super) fn store(&self, settings: &AjpSettings) -> Result<(), ShmError> {
        let host = text("host", &settings.host)?;
        let old = self.sides.at(self.sequence.current());
        let moved = old.host.load() != host || old.port.get() != u32::from(settings.port);
        let address_sequence = old.address_sequence.get().wrapping_add(u32::from(moved));
        self.sequence.write(|side| self.sides.at(side).store(settings, &host, address_sequence));
        Ok(())
    }

    /// Reset of a plain worker; a member's reset leaves `errors` (reference: lb-shm-status.md section 4.6).
    pub(super) fn reset(&self, now_s: u64, with_errors: bool) {
        for counter in [
            &self.used,
            &self.used_snapshot,
            &self.client_errors,
            &self.reply_timeouts,
            &self.read,
            &self.transferred,
            &self.max_busy,
            &self.max_connected,
            &self.retries,
        ] {
            counter.set(0);
        }
        if with_errors {
            self.errors.set(0);
        }
        self.history.reset(with_errors);
        self.failures.iter().for_each(|counter| counter.set(0));
        self.response_time.reset();
        self.first_byte_time.reset();
        self.last_reset.set(now_s);
    }

    pub(super) fn sequence_word(&self) -> &Sequence {
        &self.sequence
    }

    /// Leaves the slot as a writer does that is killed before its last store.
    #[cfg(all(test, not(loom)))]
    pub(super) fn abandon_half_way(&self, settings: &AjpSettings) {
        let host = Text::new(&settings.host).unwrap_or_default();
        self.sequence.abandon(|side| self.sides.at(side).store(settings, &host, u32::MAX));
    }

    pub(super) fn set_cpong_seen(&self, seen: bool) {
        self.cpong_seen.set(u32::from(seen));
    }
}

impl AjpSide {
    #[inline]
    fn port(&self) -> u16 {
        u16::try_from(self.port.get()).unwrap_or(0)
    }

    /// What [`Self::store`] wrote: the check word says so, and that made the numbers legal.
    fn numbers(&self) -> Option<AjpNumbers> {
        (self.check_of_numbers() == self.check.get()).then(|| AjpNumbers {
            address_sequence: self.address_sequence.get(),
            port: self.port(),
            connection_pool_timeout_s: self.connection_pool_timeout_s.get(),
            ping_timeout_ms: self.ping_timeout_ms.get(),
            connect_timeout_ms: self.connect_timeout_ms.get(),
            prepost_timeout_ms: self.prepost_timeout_ms.get(),
            reply_timeout_ms: self.reply_timeout_ms.get(),
            connection_ping_interval_s: self.connection_ping_interval_s.get(),
            retries: self.retries.get().max(1),
            retry_interval_ms: self.retry_interval_ms.get(),
            recovery_options: (self.recovery_options_set.get() != 0).then(|| self.recovery_options.get()),
            busy_limit: self.busy_limit.get(),
            max_packet_size: self.max_packet_size(),
        })
    }

    /// The same for the few.
    #[inline(always)]
    fn essentials(&self) -> Option<AjpEssentials> {
        (self.check_of_numbers() == self.check.get()).then(|| AjpEssentials {
            address_sequence: self.address_sequence.get(),
            port: self.port(),
            prepost_timeout_ms: self.prepost_timeout_ms.get(),
            reply_timeout_ms: self.reply_timeout_ms.get(),
            busy_limit: self.busy_limit.get(),
            max_packet_size: self.max_packet_size(),
        })
    }

    /// A buffer is cut to this size, so it is made legal here and not where it is used.
    #[inline]
    fn max_packet_size(&self) -> u32 {
        self.max_packet_size.get().clamp(8_192, 65_536) & !1_023
    }

    fn address(&self) -> Option<Address> {
        (self.check_of_address() == self.address_check.get()).then(|| Address {
            host: self.host.load(),
            port: self.port(),
            sequence: self.address_sequence.get(),
        })
    }

    #[inline]
    fn check_of_numbers(&self) -> u32 {
        check_of([
            &self.address_sequence,
            &self.port,
            &self.connection_pool_timeout_s,
            &self.ping_timeout_ms,
            &self.connect_timeout_ms,
            &self.prepost_timeout_ms,
            &self.reply_timeout_ms,
            &self.connection_ping_interval_s,
            &self.retries,
            &self.retry_interval_ms,
            &self.recovery_options_set,
            &self.recovery_options,
            &self.busy_limit,
            &self.max_packet_size,
        ])
    }

    fn check_of_address(&self) -> u32 {
        check_of([&self.address_sequence, &self.port]) ^ route_hash(self.host.load().as_bytes())
    }

    fn store(&self, settings: &AjpSettings, host: &Text, address_sequence: u32) {
        self.address_sequence.set(address_sequence);
        self.port.set(u32::from(settings.port));
        self.connection_pool_timeout_s.set(legal(settings.connection_pool_timeout_s));
        self.ping_timeout_ms.set(legal(settings.ping_timeout_ms));
        self.connect_timeout_ms.set(legal(settings.connect_timeout_ms));
        self.prepost_timeout_ms.set(legal(settings.prepost_timeout_ms));
        self.reply_timeout_ms.set(legal(settings.reply_timeout_ms));
        self.connection_ping_interval_s.set(legal(settings.connection_ping_interval_s));
        self.retries.set(legal(settings.retries));
        self.retry_interval_ms.set(legal(settings.retry_interval_ms));
        self.recovery_options_set.set(u32::from(settings.recovery_options.is_some()));
        self.recovery_options.set(settings.recovery_options.unwrap_or(0));
        self.busy_limit.set(legal(settings.busy_limit));
        self.max_packet_size.set(settings.max_packet_size);
        self.host.store(host);
        self.check.set(self.check_of_numbers());
        self.address_check.set(self.check_of_address());
    }
}

pub(super) fn text(what: &'static str, value: &str) -> Result<Text, ShmError> {
    Text::new(value).ok_or_else(|| ShmError::TextTooLong { what, text: value.to_owned() })
}

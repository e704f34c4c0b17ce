//! `jkx.worker.<lb>.method=latency` and slow start: what the policy needs from clock, shared memory and random numbers.
//!
//! Not here: the policy (`balancer::latency`). The surprising thing: time is taken by standing between the worker and its downstream, so
//! the engine needs to know nothing of it, and other methods pay nothing.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::{ClientError, Downstream, Failure, Log, MemberContext, Parts, Request, Served};
use super::{LbWorker, Member};
use crate::ajp::response::ResponseHead;
use crate::balancer::MemberView;
use crate::balancer::latency::{estimate, observe, pick, slow_start_factor, slowed};
use crate::shm::MemberSlot;

/// After this time without a new answer an average counts half.
const DECAY_US: u64 = 10_000_000;

impl LbWorker {
    /// `draw` is the number of this choice, of which the random numbers are made.
    pub(super) fn pick_by_latency(&self, members: &[MemberView], draw: u64) -> Option<usize> {
        let now_ms = unix_ms();
        let estimate_us = |index| {
            let (average_us, age_ms) = self.slot(index).map_or((0, 0), |slot| slot.latency(now_ms));
            estimate(average_us, age_ms.saturating_mul(1_000), DECAY_US)
        };
        pick(members, estimate_us, scrambled(draw))
    }

    /// The attempt, and a look at the clock when the first byte of the answer comes.
    pub(super) fn timed(
        &self,
        member: &Member,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        context: &MemberContext<'_>,
        log: Log<'_>,
    ) -> Result<Served, Failure> {
        let started = Instant::now();
        let mut watched = Watched { inner: downstream, answered: None };
        let result = member.worker.service(request, &mut watched, context, log);
        if let (Some(answered), Some(slot)) = (watched.answered, self.shared.region.member(member.slot)) {
            let took_us = u64::try_from(answered.duration_since(started).as_micros()).unwrap_or(u64::MAX);
            let now_ms = unix_ms();
            let (average_us, age_ms) = slot.latency(now_ms);
            slot.set_latency(observe(average_us, took_us, age_ms.saturating_mul(1_000), DECAY_US), now_ms);
        }
        result
    }

    /// What one election of a member that came back lately adds to its load.
    pub(super) fn slowed(&self, slot: &MemberSlot, multiplier: u64) -> u64 {
        let recovered_s = slot.recovered_s();
        if recovered_s == 0 {
            return multiplier;
        }
        // Later than now: the clock was set back, and nobody knows when it was.
        let Some(since_s) = self.shared.now_s().checked_sub(recovered_s) else { return multiplier };
        slowed(multiplier, slow_start_factor(since_s, self.config.extras.slow_start_s))
    }
}

/// A downstream that remembers when the response began.
struct Watched<'d> {
    inner: &'d mut dyn Downstream,
    answered: Option<Instant>,
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// SplitMix64: consecutive numbers in, evenly spread ones out.
fn scrambled(number: u64) -> u64 {
    let mut word = number.wrapping_add(u64::from(std::process::id()) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Downstream for Watched<'_> {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        self.inner.read_body(buffer)
    }

    fn held_body(&self) -> usize {
        self.inner.held_body()
    }

    fn lend_body<'p>(&'p mut self, length: usize, parts: &mut Parts<'p>) {
        self.inner.lend_body(length, parts);
    }

    fn start(&mut self, head: &ResponseHead<'_>) {
        self.answered.get_or_insert_with(Instant::now);
        self.inner.start(head);
    }

    fn body(&mut self, bytes: &[u8]) {
        self.inner.body(bytes);
    }

    fn pass(&mut self, flush: bool) -> Result<(), ClientError> {
        self.inner.pass(flush)
    }

    fn discard(&mut self) {
        self.inner.discard();
    }

    fn finish(&mut self) -> Result<(), ClientError> {
        self.inner.finish()
    }

    fn queue_header(&mut self, set_cookie: Option<&[u8]>) {
        self.inner.queue_header(set_cookie);
    }

    fn committed(&self) -> bool {
        self.inner.committed()
    }
}

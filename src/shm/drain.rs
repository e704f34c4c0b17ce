//! A member that is being emptied: until when, and which sessions still come. One cache line, written only while it lasts.
//!
//! Not here: when it is over (`worker`), and the activation, which is an ordinary setting. The surprising thing: sessions are counted
//! without being kept. Each sets one of 384 bits, and the number of bits tells how many there were, to a few per cent.

use super::cell::{Counter, Word};
use crate::balancer::route_hash;

/// Words of the bits.
const WORDS: usize = 6;
const BITS: u32 = 384;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Drain>() == 64 && WORDS * 64 == BITS as usize);

/// The record of one member. Times are seconds since 1970; 0 = none.
#[derive(Debug)]
#[repr(C)]
pub struct Drain {
    since: Word,
    until: Word,
    quiet_s: Word,
    last_seen: Word,
    seen: [Counter; WORDS],
}

/// A drain under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining {
    /// When it began.
    pub since_s: u64,
    /// When the member is stopped at the latest; `None` = whenever it is empty.
    pub until_s: Option<u64>,
    /// It is empty when nothing came for this long.
    pub quiet_s: u64,
    /// When a request came last, or the beginning.
    pub last_seen_s: u64,
    /// Sessions of which requests came, about.
    pub sessions: u32,
}

/// Why a drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Nothing runs, and nothing came for a while.
    Empty,
    /// Its time is up.
    Deadline,
}

impl Draining {
    /// Whether the member is to be stopped now; `busy` requests run on it.
    #[must_use]
    pub fn end(&self, now_s: u64, busy: u32) -> Option<DrainEnd> {
        if self.until_s.is_some_and(|until_s| now_s >= until_s) {
            Some(DrainEnd::Deadline)
        } else if busy == 0 && now_s.saturating_sub(self.last_seen_s) >= self.quiet_s {
            Some(DrainEnd::Empty)
        } else {
            None
        }
    }
}

impl Drain {
    /// Whether one is under way.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.since.get() != 0
    }

    /// What is known of it.
    #[must_use]
    pub fn state(&self) -> Option<Draining> {
        let since_s = u64::from(self.since.get());
        (since_s > 0).then(|| Draining {
            since_s,
            until_s: Some(u64::from(self.until.get())).filter(|until_s| *until_s > 0),
            quiet_s: self.quiet_s.get().into(),
            last_seen_s: u64::from(self.last_seen.get()).max(since_s),
            sessions: estimate(self.seen.iter().map(|word| word.get().count_ones()).sum()),
        })
    }

    /// Notes a request of a session.
    ///
    /// Race: of two sessions that come at once both bits are set; of two times either may stay.
    pub fn see(&self, session: &[u8], now_s: u64) {
        self.last_seen.set(seconds(now_s));
        // FNV's low bits depend on few letters; the multiplication lets all of them count.
        let bit = (route_hash(session).wrapping_mul(0x9E37_79B1) >> 8) % BITS;
        if let Some(word) = self.seen.get((bit / 64) as usize) {
            word.set_bits(1 << (bit % 64));
        }
    }

    /// The caller holds the writers' lock.
    pub(super) fn begin(&self, now_s: u64, until_s: Option<u64>, quiet_s: u64) {
        self.seen.iter().for_each(|word| word.set(0));
        self.last_seen.set(0);
        self.until.set(until_s.map_or(0, seconds));
        self.quiet_s.set(seconds(quiet_s));
        self.since.set(seconds(now_s).max(1));
    }

    /// Returns whether one was under way. The caller holds the writers' lock.
    pub(super) fn cancel(&self) -> bool {
        let was_on = self.is_on();
        self.since.set(0);
        was_on
    }

    /// Goes on where the one of another generation is.
    pub(super) fn adopt(&self, old: &Self) {
        self.until.set(old.until.get());
        self.quiet_s.set(old.quiet_s.get());
        self.last_seen.set(old.last_seen.get());
        self.seen.iter().zip(&old.seen).for_each(|(new, old)| new.set(old.get()));
        self.since.set(old.since.get());
    }
}

fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// How many sessions it takes on average until so many bits are set: the sum of 384/k for the bits that were still clear.
fn estimate(set: u32) -> u32 {
    let thousandths: u32 = (0..set.min(BITS)).map(|before| BITS * 1_000 / (BITS - before)).sum();
    (thousandths + 500) / 1_000
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain() -> Drain {
        // SAFETY: atomics, for which all zero is a value (rule 2).
        unsafe { std::mem::zeroed() }
    }

    #[test]
    fn counts_sessions_once_however_often_they_come() {
        for sessions in [0_u32, 1, 2, 5, 40, 300, 1_000] {
            let drain = drain();
            drain.begin(100, None, 10);
            for round in 0..3 {
                for session in 0..sessions {
                    drain.see(format!("0A1B2C{session:08X}.node1").as_bytes(), 100 + round);
                }
            }
            let found = drain.state().map_or(0, |state| state.sessions);
            let tolerance = sessions / 6 + u32::from(sessions > 2);
            assert!(found.abs_diff(sessions) <= tolerance, "{sessions}: {found}");
        }
    }

    #[test]
    fn is_over_at_the_deadline_or_when_nothing_came_for_a_while() {
        let drain = drain();
        assert_eq!(drain.state(), None);
        drain.begin(1_000, Some(1_600), 300);
        let end = |now_s, busy| drain.state().and_then(|state| state.end(now_s, busy));
        assert_eq!([end(1_000, 0), end(1_299, 0), end(1_300, 1)], [None; 3]);
        assert_eq!(end(1_300, 0), Some(DrainEnd::Empty));
        drain.see(b"a", 1_250);
        assert_eq!([end(1_300, 0), end(1_549, 0)], [None; 2]);
        assert_eq!(end(1_600, 5), Some(DrainEnd::Deadline));
        assert!(drain.cancel() && !drain.cancel() && !drain.is_on());
    }

    #[test]
    fn begins_anew_without_what_it_saw_before() {
        let drain = drain();
        drain.begin(1_000, None, 300);
        drain.see(b"a", 1_250);
        drain.begin(2_000, Some(2_010), 0);
        let expected = Draining { since_s: 2_000, until_s: Some(2_010), quiet_s: 0, last_seen_s: 2_000, sessions: 0 };
        assert_eq!(drain.state(), Some(expected));
    }
}

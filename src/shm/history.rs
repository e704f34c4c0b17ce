//! The last ten minutes of one AJP worker: requests and errors per ten seconds, for the picture on the status page.
//!
//! Not here: the counters themselves (`slot.rs`) and the clock; both come in. The surprising thing: nobody has to come by every ten
//! seconds. Whoever counts first in a new period closes the one that was open; until then nothing was counted, so all that the
//! counters grew by belongs to the open one. A request costs one load of a word that changes six times a minute.

use super::cell::Counter;

/// Periods that a history keeps, the open one included.
pub const PERIODS: usize = 60;
/// Length of a period in seconds.
pub const PERIOD_S: u64 = 10;

/// The ring, 512 bytes. A closed period is one word, so that it is never read half:
///
/// ```text
///  63                 40 39          24 23                   0
///   number of the period |    errors    |      requests            numbers modulo 2^24 (5 years), counts stop at their most
/// ```
#[derive(Debug)]
#[repr(C)]
pub(super) struct History {
    /// Number of the open period: seconds since 1970 by [`PERIOD_S`].
    open: Counter,
    /// The worker's counter of requests when it was opened.
    used: Counter,
    /// The same of errors.
    errors: Counter,
    _spare: Counter,
    /// The period with number `n` is at `n % PERIODS`.
    closed: [Counter; PERIODS],
}

const REQUESTS_MOST: u64 = (1 << 24) - 1;
const ERRORS_MOST: u64 = (1 << 16) - 1;
const NUMBER_MASK: u64 = (1 << 24) - 1;

/// What happened in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
}

impl History {
    /// To be called before something is counted. Who read the clock just before the turn and comes just after it counts in the new
    /// period; only a clock that was set back by more than that turns a period back.
    ///
    /// Race: of several callers at the turn one closes the period. Until it has stored the new beginnings, a reader may take what was
    /// counted in the old period for that of the new one, for an instant; nothing is lost.
    #[inline]
    pub(super) fn turn(&self, now_s: u64, used: &Counter, errors: &Counter) {
        let (open, now) = (self.open.get(), now_s / PERIOD_S);
        if (open < now || open > now.saturating_add(1)) && self.open.replace(open, now) {
            self.close(open, used.get(), errors.get());
        }
    }

    fn close(&self, number: u64, used: u64, errors: u64) {
        let period = self.since_open(used, errors);
        // A fresh ring has no open period.
        if number != 0
            && let Some(cell) = self.cell(number)
        {
            let counts = period.errors.min(ERRORS_MOST) << 24 | period.requests.min(REQUESTS_MOST);
            cell.set((number & NUMBER_MASK) << 40 | counts);
        }
        self.used.set(used);
        self.errors.set(errors);
    }

    fn since_open(&self, used: u64, errors: u64) -> Period {
        Period { requests: used.saturating_sub(self.used.get()), errors: errors.saturating_sub(self.errors.get()) }
    }

    fn cell(&self, number: u64) -> Option<&Counter> {
        self.closed.get(usize::try_from(number).unwrap_or(0) % PERIODS)
    }

    /// The last [`PERIODS`] periods, the one of `now_s` last.
    pub(super) fn recent(&self, now_s: u64, used: u64, errors: u64) -> [Period; PERIODS] {
        let (open, now) = (self.open.get(), now_s / PERIOD_S);
        std::array::from_fn(|index| {
            let age = (PERIODS - 1).saturating_sub(index) as u64;
            let number = now.saturating_sub(age);
            if number == open {
                return self.since_open(used, errors);
            }
            let word = self.cell(number).map_or(0, Counter::get);
            if word >> 40 != number & NUMBER_MASK {
                return Period::default();
            }
            Period { requests: word & REQUESTS_MOST, errors: word >> 24 & ERRORS_MOST }
        })
    }

    /// The counters begin at 0 again, or errors do not.
    pub(super) fn reset(&self, with_errors: bool) {
        self.used.set(0);
        if with_errors {
            self.errors.set(0);
        }
    }

    /// Takes over what `old` saw, together with its worker's counters.
    pub(super) fn adopt(&self, old: &Self) {
        for (new, old) in [(&self.open, &old.open), (&self.used, &old.used), (&self.errors, &old.errors)] {
            new.set(old.get());
        }
        self.closed.iter().zip(&old.closed).for_each(|(new, old)| new.set(old.get()));
    }
}

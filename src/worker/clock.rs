//! Moments of the request path: nanoseconds of the monotonic clock in one word.
//!
//! Not here: deadlines of waits, which are `std::time::Instant`s. The surprising thing: it is the same clock; but an `Instant` is two
//! numbers with a carry between them, and a request subtracts them five times.

use std::ops::Add;
use std::time::Duration;

use crate::shm;

/// A point in time, good for differences only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// This moment.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        Self(shm::monotonic_ns())
    }

    /// Nanoseconds since `earlier`; 0 when that comes later.
    #[inline]
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since `earlier`; none when that comes later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Stops at the end of the clock, five centuries after it began.
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_those_of_what_was_added_and_never_negative() {
        let now = Moment::now();
        let later = now + Duration::from_millis(1_500);
        assert_eq!((later.nanos_since(now), later.since(now)), (1_500_000_000, Duration::from_millis(1_500)));
        assert_eq!((now.nanos_since(later), now.since(later)), (0, Duration::ZERO));
        assert!(later > now && Moment::now() >= now);
        assert_eq!((now + Duration::MAX).nanos_since(later + Duration::MAX), 0);
    }
}

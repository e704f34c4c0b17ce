//! How long things take: counts per power of two, for percentiles and OpenMetrics.
//!
//! Not here: the clock; nanoseconds come in. The surprising thing: `count` and `sum` are not one snapshot, so a mean taken while
//! requests run may be off by those requests.

use super::cell::Counter;

/// Buckets of a [`Histogram`], the last one without upper bound.
pub const BUCKETS: usize = 23;

/// Upper bound of the first bucket, in microseconds; each further bucket doubles it (64 us to 134 s).
const FIRST_BOUND_US: u64 = 64;

/// A histogram of durations in shared memory: 23 buckets and the sum, 192 bytes.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, took_ns: u64) {
        let took_us = took_ns / 1_000;
        if let Some(bucket) = self.buckets.get(bucket_of(took_us)) {
            bucket.add(1);
        }
        self.sum_us.add(took_us);
    }

    /// Count of each bucket, not cumulated.
    #[must_use]
    pub fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|i| self.buckets.get(i).map_or(0, Counter::get))
    }

    /// Sum of all durations, microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }

    /// Largest duration that bucket `index` counts, microseconds; `None` for the last bucket, which has no bound.
    #[must_use]
    pub fn bound_us(index: usize) -> Option<u64> {
        (index + 1 < BUCKETS).then(|| u32::try_from(index).ok()).flatten().map(|doublings| FIRST_BOUND_US << doublings)
    }

    /// All numbers.
    pub(super) fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.buckets.iter().chain([&self.sum_us])
    }

    /// Sets all to 0.
    pub(super) fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.set(0));
        self.sum_us.set(0);
    }

    /// Takes over what `old` counted.
    pub(super) fn adopt(&self, old: &Self) {
        self.buckets.iter().zip(&old.buckets).for_each(|(new, old)| new.add(old.get()));
        self.sum_us.add(old.sum_us.get());
    }
}

/// The first bucket whose bound is at least `took_us`.
fn bucket_of(took_us: u64) -> usize {
    let above = took_us.saturating_sub(1) / FIRST_BOUND_US;
    let doublings = u64::BITS - above.leading_zeros();
    usize::try_from(doublings).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_bound_belongs_to_its_bucket_and_the_next_microsecond_to_the_next() {
        for bucket in 0..BUCKETS - 1 {
            let bound = Histogram::bound_us(bucket).unwrap_or(0);
            assert_eq!(bucket_of(bound), bucket);
            assert_eq!(bucket_of(bound + 1), bucket + 1);
        }
    }

    #[test]
    fn the_last_bucket_takes_everything_longer() {
        assert_eq!(Histogram::bound_us(BUCKETS - 1), None);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(0), 0);
    }
}

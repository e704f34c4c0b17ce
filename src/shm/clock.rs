//! The clocks: seconds since 1970, as slots keep them, and the nanoseconds of [`crate::worker::clock::Moment`].
//!
//! Not here: arithmetic with moments. The surprising thing: the seconds are those of the kernel's last tick, a few milliseconds late, which
//! costs a load where the exact time costs a look at the processor's counter and its conversion.

/// Unix time in seconds.
#[must_use]
pub fn unix_s() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec of ours to be written. Linux knows this clock; where it did not, the time would stay 0.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0)
}

/// Nanoseconds of the clock that nobody sets (CLOCK_MONOTONIC), which is also that of [`std::time::Instant`]; it began when the machine did.
#[inline]
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec of ours to be written. Every Linux knows this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn agrees_with_the_exact_clock() {
        let exact_s = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = exact_s().saturating_sub(1);
        let seen = unix_s();
        assert!((before..=exact_s()).contains(&seen), "{seen}");
    }

    #[test]
    fn nanoseconds_pass_as_fast_as_those_of_the_standard_clock() {
        let (outer, before) = (std::time::Instant::now(), monotonic_ns());
        std::thread::yield_now();
        let (inner, after) = (std::time::Instant::now(), monotonic_ns());
        let (inner, outer) = (inner.duration_since(outer).as_nanos(), outer.elapsed().as_nanos());
        let seen = u128::from(after - before);
        assert!(seen <= outer && after >= before, "{seen} of at most {outer}, {inner} between");
    }
}

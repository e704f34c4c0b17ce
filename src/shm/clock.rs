//! The time as slots keep it: seconds since 1970.
//!
//! Not here: how long things take (`std::time::Instant`). The surprising thing: it is the time of the kernel's last tick, a few milliseconds
//! late, which costs a load where the exact time costs a look at the processor's counter and its conversion.

/// Unix time in seconds.
#[must_use]
pub fn unix_s() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec of ours to be written. Linux knows this clock; where it did not, the time would stay 0.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0)
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
}

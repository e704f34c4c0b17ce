//! Waiting for a condition with a deadline: the one place in the tests that sleeps (tests/tidy.rs sees to that).
//!
//! Not here: asserting that something is quick. The deadline only bounds a failing test, so it is generous; the surprising thing
//! is that a test that asserts "nothing happens" cannot be written with it, and must wait for something that happens after.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is asked.
const STEP: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// Names `what` was waited for when `deadline` has passed and the condition, asked once more, does not hold.
#[track_caller]
pub(crate) fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    until_some(deadline, what, || condition().then_some(()));
}

/// Waits until `value` yields something, and returns it.
///
/// # Panics
/// As [`until`].
#[track_caller]
pub(crate) fn until_some<T>(deadline: Duration, what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= deadline;
        if let Some(value) = value() {
            return value;
        }
        assert!(!late, "waited {deadline:?} in vain for {what}");
        sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    #![allow(unused_imports, dead_code, reason = "the benchmark includes this file, and there nothing is a test")]
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn waits_until_the_condition_holds() {
        let mut asked = 0;
        until(Duration::from_secs(60), "the third question", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    fn condition_is_asked_even_when_the_deadline_has_passed() {
        assert_eq!(until_some(Duration::ZERO, "seven", || Some(7)), 7);
    }

    #[test]
    fn failure_names_what_was_waited_for() {
        let failure = catch_unwind(|| until(Duration::from_millis(1), "rain in the desert", || false));
        let message = failure.err().and_then(|panic| panic.downcast::<String>().ok());
        assert!(message.is_some_and(|message| message.contains("in vain for rain in the desert")));
    }
}

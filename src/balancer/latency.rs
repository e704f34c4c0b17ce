//! `jkx.worker.<lb>.method=latency` and slow start: choice by time to first byte, and a gentle way back for recovered members.
//!
//! Not here: C mod_jk's methods (`method.rs`), clock and random numbers (both come in). The surprising thing: a member that is never
//! asked looks faster and faster, on purpose - otherwise one slow answer would exclude it for ever.

use super::MemberView;

/// What a never measured member that already works on a request is taken for, microseconds: it gets one request to show itself, not all.
pub const UNKNOWN_US: u64 = 1_000_000;

/// Full weight of [`slow_start_factor`].
pub const FULL_WEIGHT: u32 = 1_000;

/// Weight at the moment of recovery, so that there is something to learn from.
pub const LEAST_WEIGHT: u32 = 100;

/// The new average of a member's times to first byte, after one more of `sample_us`.
///
/// A slower answer counts in full at once (peak); a faster one only as far as time has passed since the last: after `decay_us` half of the
/// difference is gone, after nine times that, nine tenths. `previous_us` 0 = never measured.
#[must_use]
pub fn observe(previous_us: u64, sample_us: u64, elapsed_us: u64, decay_us: u64) -> u64 {
    let sample_us = sample_us.max(1); // 0 means "never measured"
    if sample_us >= previous_us { sample_us } else { towards(previous_us, sample_us, elapsed_us, decay_us) }
}

/// What the average is worth after `idle_us` without an answer: it falls towards 0.
#[must_use]
pub fn estimate(average_us: u64, idle_us: u64, decay_us: u64) -> u64 {
    towards(average_us, 0, idle_us, decay_us)
}

/// From `from`, which is the larger, to `to`, by the fraction elapsed / (elapsed + decay). Not an exponential: whole numbers suffice, and the
/// ends are the same.
fn towards(from: u64, to: u64, elapsed_us: u64, decay_us: u64) -> u64 {
    let elapsed = u128::from(elapsed_us);
    let whole = elapsed + u128::from(decay_us);
    let fallen = (u128::from(from - to) * elapsed).checked_div(whole).unwrap_or(0);
    from - u64::try_from(fallen).unwrap_or(0)
}

/// Power of two choices: of two usable members of the nearest distance, drawn by `random`, the one that is expected to answer first.
/// `None` = nobody is usable.
///
/// `estimate_us(index)` is the member's [`estimate`], 0 = unknown. It is multiplied by the requests that would then be running there and by
/// the member's multiplier, so that lbfactor and slow start count as under the other methods.
///
/// Allocates nothing; walks the members two to four times.
#[must_use]
pub fn pick(members: &[MemberView], estimate_us: impl Fn(usize) -> u64, random: u64) -> Option<usize> {
    let nearest = members.iter().filter(|member| member.is_usable()).map(|member| member.distance).min()?;
    let candidates =
        || members.iter().enumerate().filter(|(_, member)| member.is_usable() && member.distance == nearest);
    let count = candidates().count() as u64;
    let first = below(count, random >> 32);
    // One of the others: the numbers from the first one on move up by one.
    let second = below(count - 1, random & u64::from(u32::MAX));
    let second = if second >= first { second + 1 } else { second };
    let first = candidates().nth(usize::try_from(first).ok()?)?;
    let Some(second) = candidates().nth(usize::try_from(second).ok()?) else {
        return Some(first.0); // there is only one
    };
    let cost = |(index, member): (usize, &MemberView)| expected_wait(member, estimate_us(index));
    Some(if cost(second) < cost(first) { second.0 } else { first.0 })
}

/// A number below `limit` (0 for a limit of 0) from 32 random bits.
const fn below(limit: u64, random: u64) -> u64 {
    (limit * random) >> 32
}

fn expected_wait(member: &MemberView, estimate_us: u64) -> u128 {
    let estimate_us = match (estimate_us, member.busy) {
        (0, 0) => return 0,
        (0, _) => UNKNOWN_US,
        (known, _) => known,
    };
    let waiting = u128::from(estimate_us) * (u128::from(member.busy) + 1);
    waiting.saturating_mul(u128::from(member.multiplier))
}

/// Weight in thousandths, `LEAST_WEIGHT` to `FULL_WEIGHT`, rising evenly while `since_recovery_s` goes from 0 to `slow_start_s`.
/// `slow_start_s` 0 = no slow start.
#[must_use]
pub fn slow_start_factor(since_recovery_s: u64, slow_start_s: u32) -> u32 {
    if since_recovery_s >= u64::from(slow_start_s) {
        return FULL_WEIGHT;
    }
    // Below slow_start_s, so it fits in 32 bits.
    let gained = u64::from(FULL_WEIGHT - LEAST_WEIGHT) * since_recovery_s / u64::from(slow_start_s);
    LEAST_WEIGHT + u32::try_from(gained).unwrap_or(0)
}

/// Multiplier of a member with this [`slow_start_factor`]: each of its requests counts as several.
#[must_use]
pub fn slowed(multiplier: u64, factor: u32) -> u64 {
    let slowed = u128::from(multiplier) * u128::from(FULL_WEIGHT) / u128::from(factor.max(1));
    u64::try_from(slowed).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::super::{Activation, State};
    use super::*;

    const DECAY_US: u64 = 10_000_000;

    fn member(busy: u32) -> MemberView {
        MemberView {
            state: State::Ok,
            activation: Activation::Active,
            distance: 0,
            multiplier: 1,
            value: 0,
            busy,
            route_hash: 0,
            domain_hash: 0,
        }
    }

    /// A sequence of random numbers, always the same.
    fn randoms() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x9E37_79B9_7F4A_7C15_u64), |state| {
            let mut next = *state;
            next ^= next << 13;
            next ^= next >> 7;
            next ^= next << 17;
            Some(next)
        })
    }

    #[test]
    fn slower_answer_counts_at_once() {
        assert_eq!(observe(1_000, 9_000, 0, DECAY_US), 9_000);
        assert_eq!(observe(0, 9_000, 0, DECAY_US), 9_000);
    }

    #[test]
    fn faster_answer_counts_as_time_passes() {
        assert_eq!(observe(9_000, 1_000, 0, DECAY_US), 9_000);
        assert_eq!(observe(9_000, 1_000, DECAY_US, DECAY_US), 5_000);
        assert_eq!(observe(9_000, 1_000, 9 * DECAY_US, DECAY_US), 1_800);
        assert_eq!(observe(u64::MAX, 1, u64::MAX, 0), 1);
    }

    #[test]
    fn measured_member_never_looks_unmeasured() {
        assert_eq!(observe(0, 0, 0, DECAY_US), 1);
        assert_eq!(observe(5, 0, u64::MAX, 0), 1);
    }

    #[test]
    fn member_that_is_never_asked_looks_faster_with_time() {
        assert_eq!(estimate(8_000, 0, DECAY_US), 8_000);
        assert_eq!(estimate(8_000, DECAY_US, DECAY_US), 4_000);
        assert_eq!(estimate(8_000, u64::MAX, 1), 1);
        assert_eq!(estimate(8_000, 0, 0), 8_000);
    }

    #[test]
    fn of_two_members_the_faster_gets_the_request() {
        let members = [member(0), member(0)];
        for random in randoms().take(100) {
            assert_eq!(pick(&members, |index| [5_000, 3_000][index], random), Some(1));
        }
    }

    #[test]
    fn running_requests_weigh_against_a_fast_member() {
        let members = [member(1), member(3)];
        for random in randoms().take(100) {
            assert_eq!(pick(&members, |index| [5_000, 3_000][index], random), Some(0));
        }
    }

    #[test]
    fn multiplier_weighs_as_under_the_other_methods() {
        let mut members = [member(0), member(0)];
        members[1].multiplier = 2;
        for random in randoms().take(100) {
            assert_eq!(pick(&members, |index| [5_000, 3_000][index], random), Some(0));
        }
    }

    #[test]
    fn never_measured_member_gets_one_request_and_then_waits_for_its_answer() {
        let mut members = [member(0), member(0)];
        for random in randoms().take(100) {
            assert_eq!(pick(&members, |index| [5_000, 0][index], random), Some(1));
        }
        members[1].busy = 1;
        for random in randoms().take(100) {
            assert_eq!(pick(&members, |index| [5_000, 0][index], random), Some(0));
        }
    }

    #[test]
    fn only_usable_members_of_the_nearest_distance_are_drawn_and_all_of_them_are() {
        let mut members = [member(0); 6];
        members[1].state = State::Error;
        members[2].activation = Activation::Disabled;
        members[4].distance = 1;
        let mut picks = [0_u32; 6];
        for random in randoms().take(3_000) {
            picks[pick(&members, |_| 1_000, random).unwrap()] += 1;
        }
        for (index, count) in picks.into_iter().enumerate() {
            let open = [0, 3, 5].contains(&index);
            assert!(if open { count > 800 } else { count == 0 }, "{picks:?}");
        }
    }

    #[test]
    fn single_candidate_is_taken_and_none_is_none() {
        let mut members = [member(0), member(0)];
        members[0].state = State::Busy;
        for random in [0, u64::MAX, 1 << 40] {
            assert_eq!(pick(&members, |_| 7, random), Some(1));
        }
        members[1].state = State::Probe;
        assert_eq!(pick(&members, |_| 7, 3), None);
        assert_eq!(pick(&[], |_| 7, 3), None);
    }

    #[test]
    fn weight_rises_evenly_to_full() {
        assert_eq!(slow_start_factor(0, 60), LEAST_WEIGHT);
        assert_eq!(slow_start_factor(30, 60), 550);
        assert_eq!(slow_start_factor(59, 60), 985);
        assert_eq!(slow_start_factor(60, 60), FULL_WEIGHT);
        assert_eq!(slow_start_factor(0, 0), FULL_WEIGHT);
        assert_eq!(slow_start_factor(u64::from(u32::MAX) - 1, u32::MAX), 999);
    }

    #[test]
    fn slowed_member_counts_each_request_as_several() {
        assert_eq!(slowed(6, FULL_WEIGHT), 6);
        assert_eq!(slowed(6, LEAST_WEIGHT), 60);
        assert_eq!(slowed(u64::MAX, LEAST_WEIGHT), u64::MAX);
        assert_eq!(slowed(6, 0), 6_000);
    }
}

//! The balancing methods: what counts as load, and how it decays.
//!
//! Not here: the comparison of loads (`mod.rs`). The surprising thing: Traffic and Busyness change the load only around the
//! response, Request and Sessions only at the election, so the same value means something else under each method.

use std::fmt;

/// How load is counted (`worker.<lb>.method`; codes 0 to 4 in this order; reference: lb-shm-status.md section 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Requests, weighted by lbfactor.
    #[default]
    Request,
    /// Bytes in both directions on the AJP side.
    Traffic,
    /// Requests in progress.
    Busyness,
    /// Requests without a session id.
    Sessions,
    /// Like `Sessions`, but maintenance subtracts the minimum instead of halving.
    Next,
}

impl Method {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Request, Self::Traffic, Self::Busyness, Self::Sessions, Self::Next];

    /// Reads the first character only, as C does: R, T, B, S, N in any case, or 0 to 4. `None` = not one of these; configuration and
    /// status page then take the default (reference: lb-shm-status.md section 1.5, section 4.5).
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        match text.as_ref().first()?.to_ascii_lowercase() {
            b'r' | b'0' => Some(Self::Request),
            b't' | b'1' => Some(Self::Traffic),
            b'b' | b'2' => Some(Self::Busyness),
            b's' | b'3' => Some(Self::Sessions),
            b'n' | b'4' => Some(Self::Next),
            _ => None,
        }
    }

    /// The number of C mod_jk, as the shared memory keeps it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Traffic => 1,
            Self::Busyness => 2,
            Self::Sessions => 3,
            Self::Next => 4,
        }
    }

    /// The opposite of [`Self::code`]; an unknown code means `Request`, the default.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Traffic,
            2 => Self::Busyness,
            3 => Self::Sessions,
            4 => Self::Next,
            _ => Self::Request,
        }
    }

    /// The word of the status page (reference: lb-shm-status.md section 4.7).
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Traffic => "Traffic",
            Self::Busyness => "Busyness",
            Self::Sessions => "Sessions",
            Self::Next => "Next",
        }
    }

    /// Load after the member was elected and its connection obtained. `new_session`: the request has no session id (an unknown route
    /// counts as one) and is not stateless. Loads stop at the largest number instead of starting again at 0: members that got there tie.
    #[must_use]
    pub const fn value_after_election(self, value: u64, multiplier: u64, new_session: bool) -> u64 {
        match self {
            Self::Request | Self::Busyness => value.saturating_add(multiplier),
            Self::Sessions | Self::Next if new_session => value.saturating_add(multiplier),
            Self::Sessions | Self::Next | Self::Traffic => value,
        }
    }

    /// Load after the response, or after the attempt failed. `bytes`: read plus written on the AJP side. `multiplier` must be the one given
    /// to [`Self::value_after_election`] for this request, or the busyness of the member drifts.
    #[must_use]
    pub const fn value_after_response(self, value: u64, multiplier: u64, bytes: u64) -> u64 {
        match self {
            Self::Traffic => value.saturating_add(bytes.saturating_mul(multiplier)),
            // A reset in between has set it to 0.
            Self::Busyness => value.saturating_sub(multiplier),
            Self::Request | Self::Sessions | Self::Next => value,
        }
    }

    /// Load after maintenance. `exponent`: see [`decay_exponent`]; `least`: smallest load among the usable members, used by `Next` only.
    #[must_use]
    pub const fn value_after_maintenance(self, value: u64, exponent: u32, least: u64) -> u64 {
        match self {
            Self::Request | Self::Traffic | Self::Sessions => match value.checked_shr(exponent) {
                Some(decayed) => decayed,
                None => 0,
            },
            Self::Next => value.saturating_sub(least),
            Self::Busyness => value,
        }
    }

    /// Load of a member that becomes `Recover`: the largest of its balancer, so that it is not flooded. Busyness counts what is really
    /// running and stays.
    #[must_use]
    pub const fn value_after_recovery(self, value: u64, largest: u64) -> u64 {
        match self {
            Self::Busyness => value,
            Self::Request | Self::Traffic | Self::Sessions | Self::Next => largest,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.text())
    }
}

/// What is held while a member is chosen (`worker.<lb>.lock`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nothing shared between children.
    #[default]
    Optimistic,
    /// The writers' lock of the shared memory.
    Pessimistic,
}

impl Lock {
    /// Reads the first character only: O or P in any case, or 0 or 1. `None` = not one of these.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        match text.as_ref().first()?.to_ascii_lowercase() {
            b'o' | b'0' => Some(Self::Optimistic),
            b'p' | b'1' => Some(Self::Pessimistic),
            _ => None,
        }
    }

    /// The number of C mod_jk.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Optimistic => 0,
            Self::Pessimistic => 1,
        }
    }

    /// The opposite of [`Self::code`]; an unknown code means `Optimistic`, the default.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Pessimistic,
            _ => Self::Optimistic,
        }
    }

    /// The word of the status page (reference: lb-shm-status.md section 4.7).
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Optimistic => "Optimistic",
            Self::Pessimistic => "Pessimistic",
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.text())
    }
}

/// Least common multiple of the lbfactors of a balancer, from which the members' multipliers follow.
///
/// Exact, and then equal to C's, up to [`CommonMultiple::limit`]. Beyond it C overflows sooner or later and serves anybody; here the
/// limit takes the place of the multiple and shares are off by at most lbfactor by twice the limit: one in eight thousand at a factor of
/// a million, and under Traffic, which counts bytes, one in three hundred at a factor of a hundred thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommonMultiple(u64);

impl CommonMultiple {
    /// The largest limit.
    pub const LIMIT: u64 = 1 << 32;

    /// Leaves 32 bits of a load for counting requests, or 40 for counting bytes: a terabyte between two maintenances.
    #[must_use]
    pub const fn limit(method: Method) -> u64 {
        match method {
            Method::Traffic => 1 << 24,
            Method::Request | Method::Busyness | Method::Sessions | Method::Next => Self::LIMIT,
        }
    }

    /// Of all members, stopped and broken ones included. A factor of 0 counts as 1.
    #[must_use]
    pub fn of(method: Method, factors: impl IntoIterator<Item = u32>) -> Self {
        let (mut multiple, limit) = (1_u64, Self::limit(method));
        for factor in factors {
            let factor = u64::from(factor.max(1));
            // At most 2^32 times 2^32 / 1: the product may not fit, the limit does.
            let Some(next) = (multiple / greatest_common_divisor(multiple, factor)).checked_mul(factor) else {
                return Self(limit);
            };
            if next > limit {
                return Self(limit);
            }
            multiple = next;
        }
        Self(multiple)
    }

    /// What one election adds to the load of a member with this factor; at least 1.
    #[must_use]
    pub fn multiplier(self, factor: u32) -> u64 {
        let factor = u64::from(factor.max(1));
        // Rounded; exact whenever the factor divides.
        ((self.0 + factor / 2) / factor).max(1)
    }
}

/// By which power of two loads are divided now: whole maintenance intervals since the last time, 0 for `maintain_s` of 0
/// (reference: lb-shm-status.md section 2.10).
#[must_use]
pub fn decay_exponent(now_s: u64, last_maintenance_s: u64, maintain_s: u32) -> u32 {
    let intervals = now_s.saturating_sub(last_maintenance_s).checked_div(u64::from(maintain_s)).unwrap_or(0);
    u32::try_from(intervals).unwrap_or(u32::MAX)
}

const fn greatest_common_divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multipliers(factors: &[u32]) -> Vec<u64> {
        let common = CommonMultiple::of(Method::Request, factors.iter().copied());
        factors.iter().map(|factor| common.multiplier(*factor)).collect()
    }

    #[test]
    fn multipliers_are_the_common_multiple_divided_by_the_factor() {
        assert_eq!(multipliers(&[1, 2, 3]), [6, 3, 2]);
        assert_eq!(multipliers(&[1, 1, 1]), [1, 1, 1]);
        assert_eq!(multipliers(&[4, 6]), [3, 2]);
        assert_eq!(multipliers(&[5]), [1]);
        assert_eq!(multipliers(&[10, 100, 1000]), [100, 10, 1]);
    }

    #[test]
    fn factor_of_zero_counts_as_one() {
        assert_eq!(multipliers(&[0, 2]), [2, 1]);
    }

    #[test]
    fn multipliers_stay_in_proportion_when_the_common_multiple_is_out_of_reach() {
        let factors: Vec<u32> = (1..=100).collect();
        let multipliers = multipliers(&factors);
        for (factor, multiplier) in factors.iter().zip(multipliers) {
            let weight = u64::from(*factor) * multiplier;
            assert!(weight.abs_diff(CommonMultiple::LIMIT) <= u64::from(*factor), "{factor} {multiplier}");
        }
    }

    #[test]
    fn common_multiple_is_exact_up_to_its_limit_and_rounds_beyond() {
        assert_eq!(multipliers(&[65_536, 1 << 31, 1]), [65_536 >> 1, 1, 1 << 31]);
        assert_eq!(multipliers(&[65_536, 65_537]), [65_536, 65_535]);
        assert_eq!(multipliers(&[u32::MAX, 2_500_000_000]), [1, 2]);
    }

    #[test]
    fn multiplier_is_never_zero() {
        assert_eq!(multipliers(&[u32::MAX, u32::MAX - 1]), [1, 1]);
        assert_eq!(CommonMultiple::of(Method::Request, [1]).multiplier(u32::MAX), 1);
    }

    #[test]
    fn each_method_counts_its_own_events() {
        // method, after an election without session, with session, after a response of 100 bytes
        for (method, new, known, response) in [
            (Method::Request, 13, 13, 10),
            (Method::Traffic, 10, 10, 310),
            (Method::Busyness, 13, 13, 7),
            (Method::Sessions, 13, 10, 10),
            (Method::Next, 13, 10, 10),
        ] {
            assert_eq!(method.value_after_election(10, 3, true), new, "{method}");
            assert_eq!(method.value_after_election(10, 3, false), known, "{method}");
            assert_eq!(method.value_after_response(10, 3, 100), response, "{method}");
        }
    }

    #[test]
    fn busyness_does_not_fall_below_zero() {
        assert_eq!(Method::Busyness.value_after_response(2, 3, 0), 0);
    }

    #[test]
    fn loads_stop_at_the_largest_number() {
        assert_eq!(Method::Request.value_after_election(u64::MAX - 1, 3, true), u64::MAX);
        assert_eq!(Method::Traffic.value_after_response(1, u64::MAX, 2), u64::MAX);
    }

    #[test]
    fn maintenance_halves_per_interval_except_for_next_and_busyness() {
        for (method, expected) in [
            (Method::Request, 7),
            (Method::Traffic, 7),
            (Method::Sessions, 7),
            (Method::Next, 20),
            (Method::Busyness, 30),
        ] {
            assert_eq!(method.value_after_maintenance(30, 2, 10), expected, "{method}");
        }
    }

    #[test]
    fn long_absence_decays_everything() {
        assert_eq!(Method::Request.value_after_maintenance(u64::MAX, 64, 0), 0);
        assert_eq!(Method::Request.value_after_maintenance(u64::MAX, u32::MAX, 0), 0);
    }

    #[test]
    fn next_does_not_fall_below_zero() {
        assert_eq!(Method::Next.value_after_maintenance(5, 0, 9), 0);
    }

    #[test]
    fn recovering_member_gets_the_largest_load_except_for_busyness() {
        for method in Method::ALL {
            let expected = if method == Method::Busyness { 4 } else { 22 };
            assert_eq!(method.value_after_recovery(4, 22), expected, "{method}");
        }
    }

    #[test]
    fn exponent_counts_whole_intervals() {
        assert_eq!(decay_exponent(105, 100, 1), 5);
        assert_eq!(decay_exponent(159, 100, 60), 0);
        assert_eq!(decay_exponent(160, 100, 60), 1);
        assert_eq!(decay_exponent(90, 100, 60), 0);
        assert_eq!(decay_exponent(90, 0, 0), 0);
        assert_eq!(decay_exponent(u64::MAX, 0, 1), u32::MAX);
    }

    #[test]
    fn words_are_read_by_their_first_character_or_digit() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.text()), Some(method));
            assert_eq!(Method::parse(method.text().to_lowercase()), Some(method));
            assert_eq!(Method::parse(method.code().to_string()), Some(method));
            assert_eq!(Method::from_code(method.code()), method);
        }
        assert_eq!((Method::parse(""), Method::parse("x"), Method::parse("5")), (None, None, None));
        assert_eq!(Method::from_code(9), Method::Request);
        for lock in [Lock::Optimistic, Lock::Pessimistic] {
            assert_eq!(Lock::parse(lock.text()), Some(lock));
            assert_eq!(Lock::parse(lock.code().to_string()), Some(lock));
            assert_eq!(Lock::from_code(lock.code()), lock);
        }
        assert_eq!((Lock::parse(""), Lock::parse("x")), (None, None));
    }
}

//! `good` and `bad` of status workers: which members count as what (reference: lb-shm-status.md section 5).
//!
//! Not here: the pages that show it (`status`). The surprising thing: an element with two letters is a pair, one letter stands for
//! all pairs with it, and `bad` wins where the lists overlap.

use crate::balancer::{Activation, State};

/// How a member is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// Counted as good.
    Good,
    /// In neither list.
    Degraded,
    /// Counted as bad.
    Bad,
}

/// Pairs of activation and state, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs(u16);

/// State letters, in the order of their bits; `n` is an older letter for `i`.
const STATES: [char; 5] = ['o', 'i', 'b', 'r', 'e'];
const ACTIVATIONS: [char; 3] = ['a', 'd', 's'];

impl Pairs {
    /// The pairs that a list names, and its elements that name none.
    #[must_use]
    pub fn of(list: &[String]) -> (Self, Vec<String>) {
        let mut pairs = Self::default();
        let mut unknown = Vec::new();
        for element in list {
            match Self::of_element(element) {
                Some(found) => pairs.0 |= found.0,
                None => unknown.push(element.clone()),
            }
        }
        (pairs, unknown)
    }

    /// One letter, or two with a dot between; only the first letter of each part counts.
    fn of_element(element: &str) -> Option<Self> {
        match element.split_once('.') {
            Some((left, right)) => Some(Self(Self::of_letter(left)?.0 & Self::of_letter(right)?.0)),
            None => Self::of_letter(element),
        }
    }

    fn of_letter(part: &str) -> Option<Self> {
        let letter = match part.chars().next()?.to_ascii_lowercase() {
            'n' => 'i',
            letter => letter,
        };
        let all = |test: &dyn Fn(usize, usize) -> bool| {
            let pairs =
                (0..ACTIVATIONS.len()).flat_map(|activation| (0..STATES.len()).map(move |state| (activation, state)));
            Self(
                pairs
                    .filter(|(activation, state)| test(*activation, *state))
                    .fold(0, |bits, (a, s)| bits | Self::bit(a, s)),
            )
        };
        if let Some(wanted) = ACTIVATIONS.iter().position(|known| *known == letter) {
            return Some(all(&|activation, _| activation == wanted));
        }
        let wanted = STATES.iter().position(|known| *known == letter)?;
        Some(all(&|_, state| state == wanted))
    }

    fn bit(activation: usize, state: usize) -> u16 {
        1 << (activation * STATES.len() + state)
    }

    /// Whether the pair is among them.
    #[must_use]
    pub fn contain(self, activation: Activation, state: State) -> bool {
        let activation = match activation {
            Activation::Active => 0,
            Activation::Disabled => 1,
            Activation::Stopped => 2,
        };
        let state = match state {
            State::Ok => 0,
            State::Idle => 1,
            State::Busy => 2,
            State::Recover | State::Forced | State::Probe => 3,
            State::Error => 4,
        };
        self.0 & Self::bit(activation, state) != 0
    }

    /// Whether both name a pair.
    #[must_use]
    pub fn overlap(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Rates a member.
#[must_use]
pub fn rate(good: Pairs, bad: Pairs, activation: Activation, state: State) -> Rating {
    if bad.contain(activation, state) {
        Rating::Bad
    } else if good.contain(activation, state) {
        Rating::Good
    } else {
        Rating::Degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn rates_every_pair_by_default_as_the_reference_table_says() {
        let (good, _) = Pairs::of(&list("a.o,a.i,a.b,a.r"));
        let (bad, _) = Pairs::of(&list("s,e"));
        let states = [State::Ok, State::Idle, State::Busy, State::Recover, State::Probe, State::Forced, State::Error];
        for (activation, expected) in
            [(Activation::Active, "gggggg b"), (Activation::Disabled, "dddddd b"), (Activation::Stopped, "bbbbbb b")]
        {
            for (state, expected) in states.iter().zip(expected.replace(' ', "").chars()) {
                let letter = match rate(good, bad, activation, *state) {
                    Rating::Good => 'g',
                    Rating::Degraded => 'd',
                    Rating::Bad => 'b',
                };
                assert_eq!(letter, expected, "{activation:?} {state:?}");
            }
        }
    }

    #[test]
    fn takes_n_for_idle_words_for_their_first_letter_and_names_the_unknown() {
        let (pairs, unknown) = Pairs::of(&list("Disabled.na,z,a.q"));
        assert!(pairs.contain(Activation::Disabled, State::Idle));
        assert!(!pairs.contain(Activation::Disabled, State::Ok));
        assert_eq!(unknown, ["z", "a.q"]);
    }

    #[test]
    fn sees_where_two_lists_overlap() {
        let of = |text| Pairs::of(&list(text)).0;
        assert!(of("a").overlap(of("o")));
        assert!(!of("a.o").overlap(of("a.i,d")));
    }
}

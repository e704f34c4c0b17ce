//! Ratings of the status worker: which members are good, degraded or bad (`worker.<status>.good` and `.bad`).
//!
//! Not here: counting and printing (`status`). The surprising thing: everything that is neither good nor bad is degraded, and what is
//! both is bad.

use std::fmt;

use super::state::{Activation, State};

/// What a monitoring script should think of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rating {
    /// Listed as good.
    Good,
    /// Listed nowhere.
    Degraded,
    /// Listed as bad.
    Bad,
}

/// The rules of one status worker (reference: lb-shm-status.md section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratings {
    good: Pairs,
    bad: Pairs,
}

/// What is wrong with the rules; they work nevertheless. The text is C's log line without the name of the status worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatingProblem {
    /// An entry begins with a letter that means nothing; the entry contributes nothing.
    UnknownLetter(char),
    /// Pairs in both lists, which therefore are bad: the intersection, then the two lists, as bit masks.
    Overlap {
        /// Pairs in both.
        both: u32,
        /// The good ones.
        good: u32,
        /// The bad ones.
        bad: u32,
    },
}

impl Ratings {
    /// From the entries as written; a list without entries means its default.
    #[must_use]
    pub fn new<T: AsRef<str>>(good: &[T], bad: &[T]) -> (Self, Vec<RatingProblem>) {
        let mut problems = Vec::new();
        let default = Self::default();
        let ratings = Self {
            good: if good.is_empty() { default.good } else { Pairs::parse(good, &mut problems) },
            bad: if bad.is_empty() { default.bad } else { Pairs::parse(bad, &mut problems) },
        };
        let both = ratings.good.0 & ratings.bad.0;
        if both != 0 {
            problems.push(RatingProblem::Overlap { both, good: ratings.good.0, bad: ratings.bad.0 });
        }
        (ratings, problems)
    }

    /// The rating of a member in this condition; rule extensions are not considered.
    #[must_use]
    pub const fn of(&self, activation: Activation, state: State) -> Rating {
        let pair = Pairs::with_activation(activation).and(Pairs::with_state(state));
        if self.bad.0 & pair.0 != 0 {
            Rating::Bad
        } else if self.good.0 & pair.0 != 0 {
            Rating::Good
        } else {
            Rating::Degraded
        }
    }
}

impl Default for Ratings {
    /// Good: active and not in error. Bad: stopped, or in error.
    fn default() -> Self {
        let active = Pairs::with_activation(Activation::Active);
        let error = Pairs::with_state(State::Error);
        Self { good: Pairs(active.0 & !error.0), bad: Pairs::with_activation(Activation::Stopped).or(error) }
    }
}

impl fmt::Display for RatingProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLetter(letter) => write!(formatter, "Unknown rating type '{letter}'"),
            Self::Overlap { both, good, bad } => write!(
                formatter,
                "has non empty intersection '{both:08x}' between good rating for '{good:08x}' and bad rating for '{bad:08x}'"
            ),
        }
    }
}

/// A set of (activation, state) pairs. One byte per activation, from the lowest: active, disabled, stopped; in each byte one bit per group of
/// states: OK, IDLE, BUSY, recovering in any way, ERR. Bits without a group belong to all sets that name an activation only, as C prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pairs(u32);

impl Pairs {
    const NONE: Self = Self(0);

    const fn with_activation(activation: Activation) -> Self {
        match activation {
            Activation::Active => Self(0x0000_00FF),
            Activation::Disabled => Self(0x0000_FF00),
            Activation::Stopped => Self(0x00FF_0000),
        }
    }

    const fn with_state(state: State) -> Self {
        match state {
            State::Ok => Self(0x0001_0101),
            State::Idle => Self(0x0002_0202),
            State::Busy => Self(0x0004_0404),
            State::Recover | State::Probe | State::Forced => Self(0x0008_0808),
            State::Error => Self(0x0010_1010),
        }
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn parse<T: AsRef<str>>(entries: &[T], problems: &mut Vec<RatingProblem>) -> Self {
        entries.iter().fold(Self::NONE, |pairs, entry| pairs.or(Self::parse_entry(entry.as_ref(), problems)))
    }

    /// One letter, or two joined by a dot; only the first letter of each part counts.
    fn parse_entry(entry: &str, problems: &mut Vec<RatingProblem>) -> Self {
        let (first, second) = entry.split_once('.').unwrap_or((entry, ""));
        let mut pairs: Option<Self> = None;
        for letter in [first, second].iter().filter_map(|part| part.chars().next()) {
            let Some(of_letter) = Self::with_letter(letter) else {
                problems.push(RatingProblem::UnknownLetter(letter));
                return Self::NONE;
            };
            pairs = Some(pairs.map_or(of_letter, |pairs| pairs.and(of_letter)));
        }
        pairs.unwrap_or(Self::NONE)
    }

    const fn with_letter(letter: char) -> Option<Self> {
        Some(match letter.to_ascii_lowercase() {
            'a' => Self::with_activation(Activation::Active),
            'd' => Self::with_activation(Activation::Disabled),
            's' => Self::with_activation(Activation::Stopped),
            'o' => Self::with_state(State::Ok),
            'i' | 'n' => Self::with_state(State::Idle),
            'b' => Self::with_state(State::Busy),
            'r' => Self::with_state(State::Recover),
            'e' => Self::with_state(State::Error),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratings(good: &[&str], bad: &[&str]) -> Ratings {
        let (ratings, problems) = Ratings::new(good, bad);
        assert_eq!(problems, []);
        ratings
    }

    fn row(ratings: &Ratings, activation: Activation) -> String {
        let letter = |state| match ratings.of(activation, state) {
            Rating::Good => 'g',
            Rating::Degraded => 'd',
            Rating::Bad => 'b',
        };
        State::ALL.into_iter().map(letter).collect()
    }

    fn table(ratings: &Ratings) -> [String; 3] {
        Activation::ALL.map(|activation| row(ratings, activation))
    }

    // The order of the letters below: IDLE OK REC FRC BUSY ERR PRB.

    #[test]
    fn active_members_are_good_and_stopped_or_broken_ones_bad_by_default() {
        assert_eq!(table(&Ratings::default()), ["gggggbg", "dddddbd", "bbbbbbb"]);
        assert_eq!(ratings(&[], &[]), Ratings::default());
    }

    #[test]
    fn documented_defaults_are_the_defaults() {
        assert_eq!(table(&ratings(&["a.o", "a.i", "a.b", "a.r"], &["s", "e"])), table(&Ratings::default()));
    }

    #[test]
    fn setting_one_list_keeps_the_default_of_the_other() {
        assert_eq!(table(&ratings(&["d.o"], &[])), ["dddddbd", "dgdddbd", "bbbbbbb"]);
        assert_eq!(table(&ratings(&[], &["d.r"])), ["gggggdg", "ddbbddb", "ddddddd"]);
    }

    #[test]
    fn single_letter_covers_all_pairs_with_it() {
        assert_eq!(table(&ratings(&["o"], &["i"])), ["bgddddd"; 3]);
        assert_eq!(table(&ratings(&["n"], &["b"])), ["gdddbdd"; 3]);
    }

    #[test]
    fn only_the_first_letter_of_each_part_counts() {
        assert_eq!(ratings(&["active.ok"], &["Stopped"]), ratings(&["a.o"], &["s"]));
    }

    #[test]
    fn bad_wins_and_the_overlap_is_reported() {
        let (ratings, problems) = Ratings::new(&["a"], &["a.o"]);
        assert_eq!(ratings.of(Activation::Active, State::Ok), Rating::Bad);
        assert_eq!(ratings.of(Activation::Active, State::Idle), Rating::Good);
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["has non empty intersection '00000001' between good rating for '000000ff' and bad rating for '00000001'"]
        );
    }

    #[test]
    fn unknown_letter_is_reported_and_its_entry_contributes_nothing() {
        let (ratings, problems) = Ratings::new(&["z", "a.z", "a.o"], &["s"]);
        assert_eq!(problems, [RatingProblem::UnknownLetter('z'); 2]);
        assert_eq!(problems.first().map(ToString::to_string).as_deref(), Some("Unknown rating type 'z'"));
        assert_eq!(row(&ratings, Activation::Active), "dgddddd");
    }

    #[test]
    fn empty_entry_contributes_nothing() {
        assert_eq!(table(&ratings(&[""], &["", "."])), ["ddddddd"; 3]);
    }

    #[test]
    fn pair_of_two_activations_is_empty() {
        assert_eq!(table(&ratings(&["a.d"], &["s.a"])), ["ddddddd"; 3]);
    }
}

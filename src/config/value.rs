//! How one value is read: numbers, yes and no, lists, first letters (reference: lb-shm-status.md section 1.5).
//!
//! Not here: which attribute wants what (`attributes`), complaints (`reader`). The surprising thing: C mod_jk never refuses a value;
//! so these functions say what it would make of a text, and whether the text really says that.

use super::PingMode;
use crate::balancer::{Activation, Lock, Method};

/// What a text says as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// This number and nothing else.
    Whole(i32),
    /// This number with other text behind it, which C mod_jk overlooks.
    Trailing(i32),
    /// A number that 32 bits with sign do not hold.
    TooBig,
    /// No digits where a number should begin.
    Nothing,
}

impl Number {
    /// The number C mod_jk uses, if it uses one.
    #[must_use]
    pub fn value(self) -> Option<i32> {
        match self {
            Self::Whole(value) | Self::Trailing(value) => Some(value),
            Self::TooBig | Self::Nothing => None,
        }
    }
}

/// Reads a decimal number with optional sign; `k` or `m` directly behind it multiply by 1024 and 1048576.
#[must_use]
pub fn number(text: &str) -> Number {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end).unwrap_or((digits, ""));
    if digits.is_empty() {
        return Number::Nothing;
    }
    let (factor, rest) = match rest.bytes().next() {
        Some(b'k' | b'K') => (1_024, rest.get(1..).unwrap_or_default()),
        Some(b'm' | b'M') => (1_048_576, rest.get(1..).unwrap_or_default()),
        _ => (1, rest),
    };
    let value = digits.parse::<i64>().ok().and_then(|value| value.checked_mul(factor));
    let value = value.map(|value| if negative { -value } else { value });
    match value.and_then(|value| i32::try_from(value).ok()) {
        Some(value) if rest.trim_end().is_empty() => Number::Whole(value),
        Some(value) => Number::Trailing(value),
        None => Number::TooBig,
    }
}

/// Reads yes or no: the first letter decides, but digits and `on`/`off` count only as the whole text. The second value says whether
/// it is a usual way to write it.
#[must_use]
pub fn boolean(text: &str) -> Option<(bool, bool)> {
    let text = text.to_ascii_lowercase();
    let value = match text.as_bytes() {
        b"1" | b"on" | [b't' | b'y', ..] => true,
        b"0" | b"off" | [b'f' | b'n', ..] => false,
        _ => return None,
    };
    let usual = ["1", "on", "t", "true", "y", "yes", "0", "off", "f", "false", "n", "no"].contains(&text.as_str());
    Some((value, usual))
}

/// Splits a list at blanks, tabs and commas; empty elements vanish.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', ',']).filter(|name| !name.is_empty())
}

/// Reads the letters of `ping_mode`; the second value holds those that mean nothing.
#[must_use]
pub fn ping_mode(text: &str) -> (PingMode, String) {
    let mut mode = PingMode::default();
    let mut unknown = String::new();
    for letter in text.chars() {
        match letter.to_ascii_uppercase() {
            'C' => mode.connect = true,
            'P' => mode.prepost = true,
            'I' => mode.interval = true,
            'A' => mode = PingMode { connect: true, prepost: true, interval: true },
            _ => unknown.push(letter),
        }
    }
    (mode, unknown)
}

/// A value with a name, of which the first letter or the number is enough.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static> {
    /// The value.
    pub value: T,
    /// Its name; the first letter decides.
    pub name: &'static str,
}

/// Balancing methods, in the order of their numbers.
pub static METHODS: [Choice<Method>; 5] = [
    Choice { value: Method::Request, name: "Request" },
    Choice { value: Method::Traffic, name: "Traffic" },
    Choice { value: Method::Busyness, name: "Busyness" },
    Choice { value: Method::Sessions, name: "Sessions" },
    Choice { value: Method::Next, name: "Next" },
];

/// Locks, in the order of their numbers.
pub static LOCKS: [Choice<Lock>; 2] =
    [Choice { value: Lock::Optimistic, name: "Optimistic" }, Choice { value: Lock::Pessimistic, name: "Pessimistic" }];

/// Activations, in the order of their numbers.
pub static ACTIVATIONS: [Choice<Activation>; 3] = [
    Choice { value: Activation::Active, name: "active" },
    Choice { value: Activation::Disabled, name: "disabled" },
    Choice { value: Activation::Stopped, name: "stopped" },
];

/// Finds the choice a text means by its first letter or digit, in any case. The second value says whether the whole text says so:
/// it is the name, the beginning of it, or the name with more behind it (`Session`, `Requests`).
#[must_use]
pub fn choice<T: Copy>(text: &str, choices: &'static [Choice<T>]) -> Option<(T, bool)> {
    let text = text.to_ascii_lowercase();
    let first = text.chars().next()?;
    choices.iter().zip('0'..).find_map(|(choice, digit)| {
        let name = choice.name.to_ascii_lowercase();
        if first == digit {
            return Some((choice.value, text.len() == 1));
        }
        name.starts_with(first).then(|| (choice.value, name.starts_with(&text) || text.starts_with(&name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_the_c_library_does() {
        use Number::{Nothing, TooBig, Trailing, Whole};
        for (text, expected) in [
            ("0", Whole(0)),
            ("8009", Whole(8009)),
            (" \t12", Whole(12)),
            ("+5", Whole(5)),
            ("-3", Whole(-3)),
            ("007", Whole(7)),
            ("2k", Whole(2_048)),
            ("2K", Whole(2_048)),
            ("1m", Whole(1_048_576)),
            ("1M", Whole(1_048_576)),
            ("-1k", Whole(-1_024)),
            ("12x", Trailing(12)),
            ("1 k", Trailing(1)),
            ("1kb", Trailing(1_024)),
            ("10*20", Trailing(10)),
            ("1.5", Trailing(1)),
            ("0x10", Trailing(0)),
            ("2147483647", Whole(i32::MAX)),
            ("-2147483648", Whole(i32::MIN)),
            ("2147483648", TooBig),
            ("2048m", TooBig),
            ("99999999999999999999", TooBig),
            ("", Nothing),
            ("-", Nothing),
            ("+-1", Nothing),
            ("abc", Nothing),
            ("k", Nothing),
            ("\u{661}", Nothing),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_yes_and_no_by_the_first_letter_but_digits_whole() {
        for (text, expected) in [
            ("1", Some((true, true))),
            ("0", Some((false, true))),
            ("on", Some((true, true))),
            ("OFF", Some((false, true))),
            ("True", Some((true, true))),
            ("yes", Some((true, true))),
            ("f", Some((false, true))),
            ("No", Some((false, true))),
            ("nope", Some((false, false))),
            ("tomorrow", Some((true, false))),
            ("10", None),
            ("00", None),
            ("2", None),
            ("maybe", None),
            ("onward", None),
            ("offset", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn splits_lists_at_blanks_tabs_and_commas() {
        assert_eq!(names(" a,b\tc ,, d;e ").collect::<Vec<_>>(), ["a", "b", "c", "d;e"]);
    }

    #[test]
    fn reads_ping_letters_in_any_case_and_order() {
        let mode = |connect, prepost, interval| PingMode { connect, prepost, interval };
        for (text, expected, unknown) in [
            ("C", mode(true, false, false), ""),
            ("p", mode(false, true, false), ""),
            ("I", mode(false, false, true), ""),
            ("ip", mode(false, true, true), ""),
            ("a", mode(true, true, true), ""),
            ("C,P", mode(true, true, false), ","),
            ("xyz", mode(false, false, false), "xyz"),
        ] {
            assert_eq!(ping_mode(text), (expected, unknown.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn finds_choices_by_first_letter_or_number() {
        for (text, expected) in [
            ("R", Some((Method::Request, true))),
            ("requests", Some((Method::Request, true))),
            ("random", Some((Method::Request, false))),
            ("T", Some((Method::Traffic, true))),
            ("Session", Some((Method::Sessions, true))),
            ("sticky", Some((Method::Sessions, false))),
            ("b", Some((Method::Busyness, true))),
            ("2", Some((Method::Busyness, true))),
            ("4", Some((Method::Next, true))),
            ("40", Some((Method::Next, false))),
            ("5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(choice(text, &METHODS), expected, "{text:?}");
        }
        assert_eq!(choice("1", &LOCKS), Some((Lock::Pessimistic, true)));
        assert_eq!(choice("dis", &ACTIVATIONS), Some((Activation::Disabled, true)));
        assert_eq!(choice("STP", &ACTIVATIONS), Some((Activation::Stopped, false)));
    }
}

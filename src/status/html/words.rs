//! Numbers, times and states as people read them.
//!
//! Not here: the words of the old formats (`balancer`, `export.rs`); those are in the tables of the page. The surprising thing: every
//! colour comes with a word, because some see no colours.

use crate::balancer::rating::Rating;
use crate::balancer::{Activation, State};
use crate::status::view::Clock;

/// With commas between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(4));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 member`, `2 members`.
pub(super) fn count(many: usize, what: &str) -> String {
    let s = if many == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(many as u64))
}

/// A time that has passed, in its two largest units at most.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A time of the day, with the day when that is not today's.
pub(super) fn moment(clock: &Clock, then_s: u64, now_s: u64) -> String {
    let day = |time| clock.format("%Y-%m-%d", time);
    clock.format(if day(then_s) == day(now_s) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }, then_s)
}

/// Bytes in the largest unit that leaves a number.
pub(super) fn size(bytes: u64) -> String {
    let (mut unit, mut left) = (0_usize, bytes);
    while left >= 10_240 {
        left /= 1_024;
        unit = unit.saturating_add(1);
    }
    format!("{left}{}", ["", "K", "M", "G", "T", "P"].get(unit).unwrap_or(&"E"))
}

/// A count with its mean per second.
pub(super) fn rate(count: u64, seconds: u64) -> String {
    match count.checked_div(seconds) {
        Some(rate) => format!("{count} ({rate}/sec)"),
        None => count.to_string(),
    }
}

/// What a badge says.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Ok => "OK",
        State::Idle => "OK, idle",
        State::Busy => "Busy",
        State::Recover => "Recovering",
        State::Forced => "Forced",
        State::Probe => "Probing",
        State::Error => "Error",
    }
}

/// Its colour.
pub(super) fn state_colour(state: State) -> &'static str {
    match state {
        State::Ok | State::Idle => "good",
        State::Busy | State::Recover | State::Forced | State::Probe => "degraded",
        State::Error => "bad",
    }
}

/// Colour of an activation.
pub(super) fn activation_colour(activation: Activation) -> &'static str {
    match activation {
        Activation::Active => "good",
        Activation::Disabled => "degraded",
        Activation::Stopped => "bad",
    }
}

/// `good`, `degraded`, `bad`: a word and a colour.
pub(in crate::status) fn rating_word(rating: Rating) -> &'static str {
    match rating {
        Rating::Good => "good",
        Rating::Degraded => "degraded",
        Rating::Bad => "bad",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 12, 999, 1_000, 123_456, 1_234_567].map(number);
        assert_eq!(shown, ["0", "12", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let shown = [0, 59, 60, 3_599, 3_600, 7_380, 90_000].map(span);
        assert_eq!(shown, ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "2 h 3 min", "1 d 1 h"]);
    }
}

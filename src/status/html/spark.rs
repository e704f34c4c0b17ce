//! The last ten minutes of a worker as a small picture with its text.
//!
//! Not here: the counting (`shm`). The surprising thing: all members of a balancer are drawn to one scale, so that a member that gets
//! less looks like one that gets less.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::words::number;
use crate::shm::{PERIOD_S, PERIODS, Period};

/// Height of the picture in its own units; a unit of width is a period.
const HEIGHT: u64 = 20;

/// Requests as bars that stand, errors as bars that hang. `scale` is the count that is as high as the picture.
pub(super) fn spark(periods: &[Period; PERIODS], scale: u64) -> Markup {
    let (requests, errors) = totals(periods);
    let most = busiest(periods);
    let minutes = PERIOD_S * PERIODS as u64 / 60;
    let mut text = format!("{} requests in {minutes} minutes", number(requests));
    if requests > 0 {
        text.push_str(&format!(", at most {} in {PERIOD_S} seconds", number(most)));
    }
    if errors > 0 {
        text.push_str(&format!(", {} errors", number(errors)));
    }
    html! {
        svg.spark viewBox={ "0 0 " (PERIODS) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(text) {
            path.axis d={ "M0 " (HEIGHT) "H" (PERIODS) } {}
            @if requests > 0 { path.requests d=(bars(periods, |period| period.requests, scale, true)) {} }
            @if errors > 0 { path.errors d=(bars(periods, |period| period.errors, scale, false)) {} }
        }
    }
}

/// Requests and errors of all periods.
pub(super) fn totals(periods: &[Period; PERIODS]) -> (u64, u64) {
    let sum = |(requests, errors): (u64, u64), period: &Period| {
        (requests.saturating_add(period.requests), errors.saturating_add(period.errors))
    };
    periods.iter().fold((0, 0), sum)
}

/// Most requests in one period.
pub(super) fn busiest(periods: &[Period; PERIODS]) -> u64 {
    periods.iter().map(|period| period.requests).max().unwrap_or(0)
}

/// The outline of the bars. Equal neighbours are one step, because a page may have a thousand of these.
fn bars(periods: &[Period; PERIODS], what: impl Fn(&Period) -> u64, scale: u64, stand: bool) -> String {
    let level = |height: u64| if stand { HEIGHT.saturating_sub(height) } else { height };
    let height = |period: &Period| {
        let count = what(period);
        let height = count.saturating_mul(HEIGHT).checked_div(scale).unwrap_or(HEIGHT);
        // What is not nothing is seen.
        height.clamp(u64::from(count > 0), HEIGHT)
    };
    let mut path = format!("M0 {}", level(0));
    for run in periods.chunk_by(|one, next| height(one) == height(next)) {
        let at = level(run.first().map_or(0, height));
        // Writing to a String cannot fail.
        let _ = write!(path, "V{at}h{}", run.len());
    }
    let _ = write!(path, "V{}z", level(0));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(last: &[(u64, u64)]) -> [Period; PERIODS] {
        let mut periods = [Period::default(); PERIODS];
        for (period, (requests, errors)) in periods.iter_mut().rev().zip(last.iter().rev()) {
            *period = Period { requests: *requests, errors: *errors };
        }
        periods
    }

    #[test]
    fn bars_stand_as_high_as_their_share_of_the_scale() {
        let periods = periods(&[(5, 0), (5, 0), (10, 0), (0, 0)]);
        assert_eq!(bars(&periods, |period| period.requests, 10, true), "M0 20V20h56V10h2V0h1V20h1V20z");
    }

    #[test]
    fn one_among_millions_is_still_seen_and_nothing_leaves_the_picture() {
        let periods = periods(&[(1, 1), (9_000_000, 0)]);
        assert_eq!(bars(&periods, |period| period.requests, 1_000_000, true), "M0 20V20h58V19h1V0h1V20z");
        assert_eq!(bars(&periods, |period| period.errors, 1_000_000, false), "M0 0V0h58V1h1V0h1V0z");
    }

    #[test]
    fn the_picture_says_in_words_what_it_shows() {
        let shown = spark(&periods(&[(1_500, 2), (20, 0)]), 2_000).into_string();
        let text = "1,520 requests in 10 minutes, at most 1,500 in 10 seconds, 2 errors";
        assert!(shown.contains(&format!("role=\"img\" aria-label=\"{text}\"")), "{shown}");
        assert!(spark(&periods(&[]), 0).into_string().contains("\"0 requests in 10 minutes\""));
    }
}

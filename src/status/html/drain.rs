//! Drains for people: the button, what is left, and the page after the click.
//!
//! Not here: the listing around it (`card.rs`). The surprising thing: the page after the click does not ask for the drain again when it
//! is reloaded; it leads back to the listing, which shows the progress.

use maud::{Markup, html};

use super::Screen;
use super::spark::totals;
use super::words::{count, number};
use crate::balancer::Activation;
use crate::shm::{Draining, PERIOD_S, PERIODS, Period};
use crate::status::command::Verb;
use crate::status::view::Member;

/// Begins a drain; only active members have it.
pub(super) fn button(screen: &Screen<'_>, lb: &str, member: &Member) -> Markup {
    let name = &member.ajp.name;
    if member.activation() != Activation::Active || screen.is_read_only() {
        return Markup::default();
    }
    let link = screen.coming_back(screen.link().verb(Verb::Drain).with("w", lb).with("sw", name)).with("until", "30m");
    link.button("Drain", &format!("Drain {name}: no new sessions, stopped in 30 minutes or when empty"), "")
}

/// The page after `cmd=drain`.
pub(super) fn page(screen: &Screen<'_>) -> Markup {
    let members = screen.view.balancers.iter().flat_map(|balancer| &balancer.members);
    html! {
        (screen.done())
        @for member in members {
            @if let Some(drain) = &member.drain {
                section.card.degraded {
                    h2 { "Draining " (member.ajp.name) }
                    p { (left(screen, drain, member.ajp.busy)) }
                    p.hint { "It gets requests of its sessions, and no others. Activate, disable, stop or reset it to end the drain." }
                }
            }
        }
        p { (screen.way_back().anchor("Back to worker list")) }
    }
}

/// What is left, and when it ends.
pub(super) fn left(screen: &Screen<'_>, drain: &Draining, busy: u32) -> String {
    let now_s = screen.ask.now_s;
    let limit = drain
        .until_s
        .map_or_else(String::new, |until_s| format!(" in {} s at the latest, or", until_s.saturating_sub(now_s)));
    let quiet_s = drain.quiet_s.saturating_sub(now_s.saturating_sub(drain.last_seen_s));
    format!(
        "draining: {}, about {} seen since; stopped{limit} after {quiet_s} s without a request",
        running(busy),
        count(drain.sessions as usize, "session"),
    )
}

/// What is known of a member that gets no new sessions and is not being drained. Nobody counts its sessions, so nothing says "empty".
pub(super) fn quiet(busy: u32, history: &[Period; PERIODS]) -> String {
    let running = if busy == 0 { "no request in progress".to_owned() } else { running(busy) };
    let minutes = PERIOD_S * PERIODS as u64 / 60;
    match (totals(history).0, quiet_s(history)) {
        (0, _) => format!("{running}, no new one in the last {minutes} minutes"),
        (requests, quiet_s) => format!(
            "{running}, {} in the last {minutes} minutes, the last one within {} s",
            number(requests),
            quiet_s.saturating_add(PERIOD_S)
        ),
    }
}

fn running(busy: u32) -> String {
    format!("{} in progress", count(busy as usize, "request"))
}

/// Seconds in which no request began, as whole periods.
fn quiet_s(history: &[Period; PERIODS]) -> u64 {
    let periods = history.iter().rev().take_while(|period| period.requests == 0).count();
    PERIOD_S.saturating_mul(periods as u64)
}

/// How long a member has had no request. It is full, and green, when a drain would call it empty, or after ten minutes without one.
pub(super) fn meter(screen: &Screen<'_>, member: &Member, history: &[Period; PERIODS]) -> Markup {
    let (most, quiet_s) = match &member.drain {
        Some(drain) => (drain.quiet_s.max(1), screen.ask.now_s.saturating_sub(drain.last_seen_s)),
        None => (PERIOD_S * PERIODS as u64, quiet_s(history)),
    };
    let value = if member.ajp.busy == 0 { quiet_s.min(most) } else { 0 };
    let label = format!("Seconds without a request to {}", member.ajp.name);
    // Below `low` the bar is not green.
    html! { meter min="0" max=(most) low=(most) high=(most) optimum=(most) value=(value) aria-label=(label) {} }
}

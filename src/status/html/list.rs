//! The listing: what needs attention, a filter, the cards of the workers, the legend.
//!
//! Not here: a card (`card.rs`), the tables in it (`tables.rs`). The surprising thing: the filter is part of the URL as everything else,
//! so that an admin can keep a link to what is wrong.

use maud::{Markup, html};

use super::words::{count, moment, number, span, state_colour, state_name};
use super::{Screen, card, tables};
use crate::balancer::rating::Rating;
use crate::balancer::{Activation, State};
use crate::shm::{Cause, Failing};
use crate::status::command::{Options, Parameters, Verb};
use crate::status::view::{Ajp, Balancer, Member};

/// Most lines of what needs attention; the filter shows all.
const ATTENTION_MOST: usize = 12;

/// Which members and workers are wanted.
pub(super) struct Filter<'a> {
    find: &'a str,
    only: Only,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    All,
    Attention,
    Error,
    Inactive,
}

impl Only {
    const CHOICES: [(Self, &'static str, &'static str); 4] = [
        (Self::All, "all", "all"),
        (Self::Attention, "attention", "what needs attention"),
        (Self::Error, "error", "in error"),
        (Self::Inactive, "inactive", "disabled or stopped"),
    ];
}

impl<'a> Filter<'a> {
    pub(super) fn of(parameters: &'a Parameters) -> Self {
        let wanted = parameters.get("only").unwrap_or_default();
        let only = Only::CHOICES.iter().find(|(_, word, _)| *word == wanted).map_or(Only::All, |(only, ..)| *only);
        Self { find: parameters.get("find").unwrap_or_default().trim(), only }
    }

    pub(super) fn is_on(&self) -> bool {
        self.only != Only::All || !self.find.is_empty()
    }

    /// Whether a member is wanted; a balancer whose name is looked for is wanted as a whole.
    pub(super) fn wants(&self, balancer: &Balancer, member: &Member) -> bool {
        let texts =
            [&balancer.name, &member.ajp.name, &member.ajp.address, &member.settings.route, &member.settings.domain];
        let is_kind = match self.only {
            Only::All => true,
            Only::Attention => needs_attention(member),
            Only::Error => is_in_error(member.state),
            Only::Inactive => member.activation() != Activation::Active,
        };
        is_kind && texts.iter().any(|text| self.finds(text))
    }

    fn wants_plain(&self, worker: &Ajp) -> bool {
        let is_kind = match self.only {
            Only::All => true,
            Only::Attention | Only::Error => is_in_error(worker.state),
            Only::Inactive => false,
        };
        is_kind && (self.finds(&worker.name) || self.finds(&worker.address))
    }

    fn finds(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.find.to_lowercase())
    }
}

fn needs_attention(member: &Member) -> bool {
    member.rating != Rating::Good || is_in_error(member.state) || member.activation() != Activation::Active
}

fn is_in_error(state: State) -> bool {
    !matches!(state, State::Ok | State::Idle | State::Busy)
}

pub(super) fn workers(screen: &Screen<'_>) -> Markup {
    let view = screen.view;
    let filter = Filter::of(&screen.command.parameters);
    // Members that are hidden cannot be looked through.
    let has_members = !screen.has(Options::NO_MEMBERS);
    let is_wanted = |balancer: &&Balancer| {
        !filter.is_on() || !has_members || balancer.members.iter().any(|member| filter.wants(balancer, member))
    };
    let balancers: Vec<_> = view.balancers.iter().filter(is_wanted).collect();
    let workers: Vec<_> = view.workers.iter().filter(|worker| !filter.is_on() || filter.wants_plain(worker)).collect();
    html! {
        @if screen.command.verb == Verb::List {
            (glance(screen))
            (filter_form(screen, &filter))
        }
        (screen.toolbar())
        @if !balancers.is_empty() {
            h2 { "Load balancers " small { (balancers.len()) } }
            @for balancer in &balancers { (card::balancer(screen, balancer, &filter)) }
        }
        @if !workers.is_empty() {
            h2 { "AJP workers " small { (workers.len()) } }
            @for worker in &workers { (card::plain(screen, worker)) }
        }
        @if balancers.is_empty() && workers.is_empty() {
            p.empty {
                @if filter.is_on() { "Nothing matches this filter. " (unfiltered(screen).anchor("Show all")) }
                @else { "Nothing to show." }
            }
        }
        @if !screen.has(Options::NO_LEGEND) { (tables::legend()) }
    }
}

fn unfiltered<'a>(screen: &'a Screen<'_>) -> super::Link<'a> {
    screen.here().without("find").without("only")
}

/// Whether all is well, and if not, what is wrong, before anything else.
fn glance(screen: &Screen<'_>) -> Markup {
    let mut rated = [0_usize; 3];
    for balancer in &screen.view.balancers {
        for (sum, count) in rated.iter_mut().zip(balancer.rated) {
            *sum = sum.saturating_add(count);
        }
    }
    let members =
        screen.view.balancers.iter().flat_map(|balancer| balancer.members.iter().map(move |it| (balancer, it)));
    let mut troubled: Vec<_> = members.filter(|(_, member)| needs_attention(member)).collect();
    troubled.sort_by_key(|(_, member)| std::cmp::Reverse(member.rating as usize));
    let total: usize = rated.iter().sum();
    let worst = super::worst(rated);
    if total == 0 {
        return Markup::default();
    }
    html! {
        section.glance.(worst) aria-labelledby="glance" data-key="glance" {
            h2 id="glance" {
                @if troubled.is_empty() && worst == "good" { "All " (count(total, "member")) " are good" }
                @else if troubled.is_empty() { (count(total, "member")) }
                @else { (number(troubled.len() as u64)) " of " (count(total, "member")) " " @if troubled.len() == 1 { "needs" } @else { "need" } " attention" }
            }
            (super::ratings(rated))
            @if !troubled.is_empty() {
                ul { @for (balancer, member) in troubled.iter().take(ATTENTION_MOST) { (trouble(screen, balancer, member)) } }
                @if troubled.len() > ATTENTION_MOST {
                    p { (screen.here().with("only", "attention").anchor(&format!("Show all {}", troubled.len()))) }
                }
            }
        }
    }
}

fn trouble(screen: &Screen<'_>, balancer: &Balancer, member: &Member) -> Markup {
    let name = &member.ajp.name;
    let link = screen.link().verb(Verb::Show).with("w", &balancer.name).with("sw", name);
    html! {
        li data-key={ (balancer.name) "/" (name) } {
            a href=(link.url()) { (name) } " in " (balancer.name) " "
            @if is_in_error(member.state) {
                span class={ "badge " (state_colour(member.state)) } { (state_name(member.state)) } " "
                (since(screen, member)) " "
                (why(member)) " "
            }
            @if member.activation() != Activation::Active { (card::draining(screen, member)) }
        }
    }
}

/// Since when it has trouble: since the first of consecutive errors, or else since the change of its state; nothing when it has none.
pub(super) fn since(screen: &Screen<'_>, member: &Member) -> Markup {
    let now_s = screen.ask.now_s;
    let then_s = if member.first_error > 0 { member.first_error } else { member.state_since.0 };
    html! {
        @if then_s > 0 && has_trouble(member) {
            span.since { "since " (moment(&screen.ask.clock, then_s, now_s)) " (" (span(now_s.saturating_sub(then_s))) ")" }
        }
    }
}

/// Why it failed, as long as that matters.
pub(super) fn why(member: &Member) -> Markup {
    let (_, cause) = member.state_since;
    let failed = member.ajp.last_failure.filter(|last| *last != Failing::Client).map(Cause::Failed);
    // That it is tried again, or has been in error for long, does not say what is wrong with it.
    let cause = match cause {
        Cause::Failed(_) | Cause::ProbeFailed => cause,
        other => failed.unwrap_or(other),
    };
    html! {
        @if has_trouble(member) { span.why { (cause.text()) } }
    }
}

fn has_trouble(member: &Member) -> bool {
    member.first_error > 0 || is_in_error(member.state)
}

fn filter_form(screen: &Screen<'_>, filter: &Filter<'_>) -> Markup {
    html! {
        search data-key="search" {
            form.filter method="get" action=(screen.here().path()) {
                (screen.here().hidden(&["find", "only"]))
                label { "Find " input name="find" type="search" value=(filter.find) placeholder="name, address, route"; }
                label { "Show " select name="only" {
                    @for (only, word, text) in Only::CHOICES {
                        option value=(word) selected[only == filter.only] { (text) }
                    }
                } }
                button type="submit" { "Filter" }
                @if filter.is_on() { (unfiltered(screen).anchor("Show all")) }
            }
        }
    }
}

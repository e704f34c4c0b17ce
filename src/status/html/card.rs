//! A card: one balancer with its members, or one AJP worker, and what can be done about them.
//!
//! Not here: forms for settings (`form.rs`). The surprising thing: all buttons belong to one empty form at the end of the page
//! (`link::BUTTONS`), and each brings its own URL; a thousand members would otherwise be five thousand forms.

use maud::{Markup, html};

use super::list::{Filter, since, why};
use super::spark::{busiest, spark, totals};
use super::words::{activation_colour, count, number, rate, rating_word, size, span, state_colour, state_name};
use super::{Screen, drain, tables};
use crate::balancer::{Activation, State};
use crate::shm::{PERIODS, Period};
use crate::status::command::{Options, Verb};
use crate::status::field;
use crate::status::view::{Ajp, Balancer, Member};

/// Listings show the long tables of a balancer up to this many members; beyond, its own page does.
const TABLES_MOST: usize = 100;

/// What happened lately to a worker.
type History = [Period; PERIODS];

pub(super) fn balancer(screen: &Screen<'_>, balancer: &Balancer, filter: &Filter<'_>) -> Markup {
    let name = &balancer.name;
    let members: Vec<_> = balancer.members.iter().filter(|member| filter.wants(balancer, member)).collect();
    let histories: Vec<_> = members.iter().map(|member| history(screen, &member.ajp)).collect();
    let is_long = screen.command.verb == Verb::List && members.len() > TABLES_MOST;
    html! {
        section.card.(super::worst(balancer.rated)) aria-labelledby={ "lb-" (name) } data-key={ "lb-" (name) } {
            div.title {
                h3 id={ "lb-" (name) } { (name) }
                (super::ratings(balancer.rated))
                (worker_actions(screen, name, None, false))
            }
            @if !screen.has(Options::NO_LB_SUMMARY) { (summary(screen, balancer, &histories)) }
            @if !screen.has(Options::NO_MEMBERS) {
                @if filter.is_on() { p.hint { (number(members.len() as u64)) " of " (count(balancer.member_count, "member")) " shown" } }
                @if balancer.member_count == 0 { p.empty { "This balancer has no members." } }
                @if !members.is_empty() { (member_table(screen, balancer, &members, &histories)) }
            }
            div.more {
                @if is_long {
                    (screen.link().verb(Verb::Show).with("w", name).anchor("All counters, routes and AJP settings"))
                } @else if !members.is_empty() {
                    (tables::counters(screen, name, &members))
                    @if !screen.has(Options::NO_AJP_CONFIG) {
                        details {
                            summary { "AJP settings of the members" }
                            (tables::ajp_settings(name, &members.iter().map(|member| &member.ajp).collect::<Vec<_>>()))
                        }
                    }
                }
                @if !screen.has(Options::NO_LB_CONFIG) { (settings(balancer)) }
                @if !screen.has(Options::NO_MAPS) { (tables::maps(name, &balancer.maps)) }
                @if !screen.is_read_only() && !members.is_empty() { (aspect_form(screen, name)) }
            }
        }
    }
}

fn history(screen: &Screen<'_>, ajp: &Ajp) -> History {
    let slot = screen.scene.shared.region.ajp(ajp.index);
    slot.map_or([Period::default(); PERIODS], |slot| slot.history(screen.ask.now_s))
}

fn summary(screen: &Screen<'_>, balancer: &Balancer, histories: &[History]) -> Markup {
    let (least, most) = balancer.to_maintenance;
    let requests: u64 = histories.iter().map(|history| totals(history).0).sum();
    html! {
        dl.facts {
            div { dt { "Busy" } dd { (balancer.busy) small { " (max " (balancer.max_busy) ")" } } }
            div { dt { "Requests in 10 min" } dd { (number(requests)) } }
            div { dt { "Method" } dd { (balancer.settings.method.text()) } }
            div { dt { "Next maintenance" } dd { (least) "/" (most) " s" } }
            div { dt { "Last reset" } dd { (ago(screen, balancer.last_reset)) } }
        }
    }
}

fn ago(screen: &Screen<'_>, then_s: u64) -> String {
    format!("{} ago", span(screen.ask.now_s.saturating_sub(then_s)))
}

fn settings(balancer: &Balancer) -> Markup {
    let s = &balancer.settings;
    let yes = |on: bool| if on { "True" } else { "False" };
    html! {
        details {
            summary { "Balancer settings" }
            dl.facts {
                div { dt { "Type" } dd { "lb" } }
                div { dt { "Sticky Sessions" } dd { (yes(s.sticky_session)) } }
                div { dt { "Force Sticky Sessions" } dd { (yes(s.sticky_session_force)) } }
                div { dt { "Retries" } dd { (s.retries) } }
                div { dt { "LB Method" } dd { (s.method.text()) } }
                div { dt { "Locking" } dd { (s.lock.text()) } }
                div { dt { "Recover Wait Time" } dd { (s.recover_time_s) } }
                div { dt { "Error Escalation Time" } dd { (s.error_escalation_time_s) } }
                div { dt { "Max Reply Timeouts" } dd { (s.max_reply_timeouts) } }
            }
        }
    }
}

fn member_table(screen: &Screen<'_>, balancer: &Balancer, members: &[&Member], histories: &[History]) -> Markup {
    let name = &balancer.name;
    let all: u64 = balancer.members.iter().map(|member| member.ajp.used).sum();
    let scale = histories.iter().map(busiest).max().unwrap_or(0);
    html! {
        div.scroll role="region" tabindex="0" aria-label={ "Members of " (name) } {
            table.members {
                caption.unseen { "Members of " (name) }
                thead { tr {
                    th scope="col" { "Member" }
                    th scope="col" { "State" }
                    th scope="col" { "Last 10 minutes" }
                    th scope="col" { "Busy" }
                    th scope="col" { "Requests" }
                    th scope="col" { "Errors" }
                    th scope="col" { "Activation" }
                    @if !screen.is_read_only() { th scope="col" { "Actions" } }
                } }
                tbody { @for (member, history) in members.iter().zip(histories) {
                    (row(screen, name, member, history, Shares { all, scale }))
                } }
            }
        }
    }
}

/// What the numbers of a member are compared with.
struct Shares {
    /// Requests of all members.
    all: u64,
    /// Most requests of a member in one period.
    scale: u64,
}

fn row(screen: &Screen<'_>, lb: &str, member: &Member, history: &History, of: Shares) -> Markup {
    let ajp = &member.ajp;
    let percent = ajp.used.saturating_mul(100).checked_div(of.all).unwrap_or(0);
    let (requests, errors) = totals(history);
    let show = screen.link().verb(Verb::Show).with("w", lb).with("sw", &ajp.name);
    html! {
        tr class=(rating_word(member.rating)) data-key=(ajp.name) {
            th scope="row" {
                a href=(show.url()) { (ajp.name) }
                small { (ajp.address) }
                @if member.settings.route != ajp.name { small { "route " (member.settings.route) } }
            }
            td data-label="State" { (state(screen, member)) }
            td data-label="10 minutes" {
                (spark(history, of.scale))
                small { (number(requests)) @if requests == 1 { " request" } @else { " requests" } @if errors > 0 { ", " strong.bad { (count(errors.try_into().unwrap_or(usize::MAX), "error")) } } }
            }
            td data-label="Busy" { (busy(ajp)) }
            td data-label="Requests" {
                (number(ajp.used))
                meter min="0" max="100" value=(percent) aria-label={ "Share of the requests of " (ajp.name) } {}
                small { (percent) "%" }
            }
            td data-label="Errors" {
                @if member.errors > 0 { strong.bad { (number(member.errors)) } } @else { "0" }
                @if ajp.reply_timeouts > 0 { small { (count(ajp.reply_timeouts.try_into().unwrap_or(usize::MAX), "late reply")) } }
            }
            td data-label="Activation" { (activation(screen, lb, member, history)) }
            @if !screen.is_read_only() {
                td data-label="Actions" { (worker_actions(screen, lb, Some(&ajp.name), member.can_recover())) }
            }
        }
    }
}

fn busy(ajp: &Ajp) -> Markup {
    let most = ajp.max_busy.max(ajp.busy.into()).max(1);
    html! {
        (ajp.busy)
        meter min="0" max=(most) value=(ajp.busy) aria-label={ "Requests in progress on " (ajp.name) } {}
        small { "max " (ajp.max_busy) }
    }
}

fn state(screen: &Screen<'_>, member: &Member) -> Markup {
    html! {
        span class={ "badge " (state_colour(member.state)) } title=(member.state.text()) { (state_name(member.state)) }
        small { (since(screen, member)) }
        (why(member))
        @if member.can_recover() {
            small { "next try in " (member.to_recovery.0) " to " (member.to_recovery.1) " s" }
        }
    }
}

/// How far a member that gets no new sessions is from being empty.
pub(super) fn draining(screen: &Screen<'_>, member: &Member) -> Markup {
    let (activation, busy) = (member.activation(), member.ajp.busy);
    html! {
        span class={ "badge " (activation_colour(activation)) } { (activation.name()) } " "
        @if let Some(drain) = &member.drain { (drain::left(screen, drain, busy)) }
        @else { (drain::quiet(busy, &history(screen, &member.ajp))) }
    }
}

/// The activation, and the two others as buttons.
fn activation(screen: &Screen<'_>, lb: &str, member: &Member, history: &History) -> Markup {
    const CHOICES: [(Activation, &str); 3] =
        [(Activation::Active, "Activate"), (Activation::Disabled, "Disable"), (Activation::Stopped, "Stop")];
    let (now, name, ajp) = (member.activation(), &member.ajp.name, &member.ajp);
    html! {
        div.choices role="group" aria-label={ "Activation of " (name) } {
            @for (choice, word) in CHOICES {
                @if choice == now {
                    span class={ "now " (activation_colour(now)) } data-key=(word) { (now.name()) }
                } @else if !screen.is_read_only() {
                    @let link = screen.link().verb(Verb::Update).with("w", lb).with("sw", name);
                    (screen.coming_back(link).with("vwa", &choice.code().to_string()).button(word, &format!("{word} {name}"), ""))
                }
            }
            (drain::button(screen, lb, member))
        }
        @if now != Activation::Active {
            small.drain {
                @if let Some(drain) = &member.drain { (drain::left(screen, drain, ajp.busy)) }
                @else { (drain::quiet(ajp.busy, history)) }
                (drain::meter(screen, member, history))
            }
        }
    }
}

/// Show, edit, reset, recover: for a worker, or for a member of it.
fn worker_actions(screen: &Screen<'_>, worker: &str, sub: Option<&str>, can_recover: bool) -> Markup {
    let who = sub.unwrap_or(worker);
    let about = |verb: Verb| {
        let link = screen.link().verb(verb).with("w", worker);
        sub.map_or(link.clone(), |sub| link.with("sw", sub))
    };
    let change = |verb: Verb| screen.coming_back(about(verb));
    let is_shown = screen.command.verb == Verb::Show && screen.command.parameters.get("sw") == sub;
    html! {
        div.actions {
            @if can_recover && !screen.is_read_only() {
                (change(Verb::Recover).button("Recover", &format!("Recover {who}: try it again now"), "primary"))
            }
            @if !is_shown && sub.is_none() { a href=(about(Verb::Show).url()) aria-label={ "Show only " (who) } { "Show" } }
            @if !screen.is_read_only() {
                a href=(change(Verb::Edit).url()) aria-label={ "Edit " (who) } { "Edit" }
                (change(Verb::Reset).button("Reset", &format!("Reset the counters of {who}"), ""))
            }
        }
    }
}

fn aspect_form(screen: &Screen<'_>, lb: &str) -> Markup {
    let link = screen.coming_back(screen.link().verb(Verb::Edit).with("w", lb));
    html! {
        details {
            summary { "Edit one attribute of all members" }
            form.aspect method="get" action=(link.path()) {
                (link.hidden(&[]))
                label { "Attribute " select name="att" {
                    @for field in field::aspects() { option value=(field.param) { (field.label) } }
                } }
                button type="submit" { "Edit" }
            }
        }
    }
}

/// An AJP worker of `worker.list`.
pub(super) fn plain(screen: &Screen<'_>, ajp: &Ajp) -> Markup {
    let age = screen.ask.now_s.saturating_sub(ajp.last_reset);
    let history = history(screen, ajp);
    let worst = if ajp.state == State::Error { "bad" } else { "good" };
    html! {
        section.card.(worst) aria-labelledby={ "ajp-" (ajp.name) } data-key={ "ajp-" (ajp.name) } {
            div.title {
                h3 id={ "ajp-" (ajp.name) } { (ajp.name) }
                span class={ "badge " (state_colour(ajp.state)) } title=(ajp.state.text()) { (state_name(ajp.state)) }
                @if ajp.error_time > 0 { small { "last error " (ago(screen, ajp.error_time)) } }
                (worker_actions(screen, &ajp.name, None, false))
            }
            dl.facts {
                div { dt { "Address" } dd { (ajp.address) } }
                div { dt { "Last 10 minutes" } dd { (spark(&history, busiest(&history))) small { (number(totals(&history).0)) } } }
                div { dt { "Busy" } dd { (busy(ajp)) } }
                div { dt { "Connected" } dd { (ajp.connected) small { "max " (ajp.max_connected) } } }
                div { dt { "Requests" } dd { (rate(ajp.used, age)) } }
                div { dt { "Errors" } dd { @if ajp.errors > 0 { strong.bad { (number(ajp.errors)) } } @else { "0" } } }
                div { dt { "Client errors" } dd { (ajp.client_errors) } }
                div { dt { "Late replies" } dd { (ajp.reply_timeouts) } }
                div { dt { "Written" } dd { (size(ajp.transferred)) } }
                div { dt { "Read" } dd { (size(ajp.read)) } }
                div { dt { "Last reset" } dd { (ago(screen, ajp.last_reset)) } }
            }
            div.more {
                @if !screen.has(Options::NO_AJP_CONFIG) {
                    details { summary { "AJP settings" } (tables::ajp_settings(&ajp.name, &[ajp])) }
                }
                @if !screen.has(Options::NO_MAPS) { (tables::maps(&ajp.name, &ajp.maps)) }
            }
        }
    }
}

//! The listing: a card per balancer with its members, the AJP workers, URI rules, legend.
//!
//! Not here: forms for settings (`form.rs`). The surprising thing: the few numbers that tell whether all is well come first, and
//! everything else is folded under them, complete and under the names of old.

use maud::{Markup, html};

use super::Screen;
use crate::balancer::Activation;
use crate::balancer::State;
use crate::balancer::rating::Rating;
use crate::log::Shown;
use crate::status::command::{Options, Verb};
use crate::status::field;
use crate::status::view::{Ajp, Balancer, Map, Member};

pub(super) fn workers(screen: &Screen<'_>) -> Markup {
    let view = screen.view;
    let is_list = screen.command.verb == Verb::List;
    html! {
        @if is_list && !view.balancers.is_empty() {
            (heading(screen, "Load Balancing Worker", view.balancers.len(), Options::NO_BALANCERS))
        }
        @for balancer in &view.balancers { (card(screen, balancer)) }
        @if is_list && !view.workers.is_empty() {
            (heading(screen, "AJP Worker", view.workers.len(), Options::NO_AJP))
        }
        @for worker in &view.workers { (plain(screen, worker)) }
        @if is_list && view.balancers.is_empty() && view.workers.is_empty() { p { "Nothing to show." } }
        @if !screen.has(Options::NO_LEGEND) { (legend(screen)) }
    }
}

fn heading(screen: &Screen<'_>, what: &str, count: usize, bit: u32) -> Markup {
    let s = if count == 1 { "" } else { "s" };
    html! {
        h2 { "Listing " (what) (s) " (" (count) " Worker" (s) ") " (hide(screen, bit, &format!("all {what}s"))) }
    }
}

fn hide(screen: &Screen<'_>, bit: u32, what: &str) -> Markup {
    html! { a.hide href=(screen.here().toggled(bit).url()) aria-label={ "Hide " (what) } { "Hide" } }
}

fn card(screen: &Screen<'_>, balancer: &Balancer) -> Markup {
    let worst = match balancer.rated {
        [_, 0, 0] => "good",
        [_, _, 0] => "degraded",
        _ => "bad",
    };
    let name = &balancer.name;
    html! {
        section.card.(worst) aria-labelledby={ "lb-" (name) } {
            div.title {
                h3 id={ "lb-" (name) } { "Worker Status for " (name) }
                (ratings(balancer))
                (worker_actions(screen, name, None, false))
            }
            @if !screen.has(Options::NO_LB_SUMMARY) { (summary(screen, balancer)) }
            @if !screen.has(Options::NO_MEMBERS) {
                (members(screen, balancer))
                @if !screen.is_read_only() { (aspect_form(screen, name)) }
            }
            @if !screen.has(Options::NO_LB_CONFIG) { (settings(screen, balancer)) }
            @if !screen.has(Options::NO_MAPS) { (maps(screen, name, &balancer.maps)) }
        }
    }
}

fn ratings(balancer: &Balancer) -> Markup {
    html! {
        p.ratings {
            @for (count, word) in balancer.rated.into_iter().zip(["good", "degraded", "bad"]) {
                span class={ "badge " @if count > 0 { (word) } } { (count) " " (word) }
                " "
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
    let change = |verb: Verb| from_here(screen, about(verb));
    let is_shown = screen.command.verb == Verb::Show && screen.command.parameters.get("sw") == sub;
    html! {
        div.actions {
            @if !is_shown { a href=(about(Verb::Show).url()) aria-label={ "Show only " (who) } { "Show" } }
            @if !screen.is_read_only() {
                a href=(change(Verb::Edit).url()) aria-label={ "Edit " (who) } { "Edit" }
                (change(Verb::Reset).button("Reset", &format!("Reset the counters of {who}"), ""))
                @if can_recover {
                    (change(Verb::Recover).button("Recover", &format!("Try {who} again now"), "primary"))
                }
            }
        }
    }
}

/// A link for a command that comes back here.
fn from_here<'a>(screen: &'a Screen<'_>, link: super::link::Link<'a>) -> super::link::Link<'a> {
    let link = link.with("from", if screen.command.verb == Verb::Show { "show" } else { "list" });
    match screen.command.parameters.get("sw").filter(|_| screen.command.verb == Verb::Show) {
        Some(sub) => link.with("psw", sub),
        None => link,
    }
}

fn summary(screen: &Screen<'_>, balancer: &Balancer) -> Markup {
    let (least, most) = balancer.to_maintenance;
    html! {
        dl.facts {
            div { dt { "Busy" } dd { (balancer.busy) } }
            div { dt { "Max Busy" } dd { (balancer.max_busy) } }
            div { dt { "Next Maintenance" } dd { (least) "/" (most) " s" } }
            div { dt { "Last Reset" } dd { (ago(screen, balancer.last_reset)) } }
        }
        p.hint { (hide(screen, Options::NO_LB_SUMMARY, "the summaries of balancers")) }
    }
}

fn settings(screen: &Screen<'_>, balancer: &Balancer) -> Markup {
    let s = &balancer.settings;
    let yes = |on: bool| if on { "True" } else { "False" };
    html! {
        details {
            summary { "Settings" }
            (hide(screen, Options::NO_LB_CONFIG, "the settings of balancers"))
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

fn members(screen: &Screen<'_>, balancer: &Balancer) -> Markup {
    let name = &balancer.name;
    let requests: u64 = balancer.members.iter().map(|member| member.ajp.used).sum();
    html! {
        div.scroll role="region" tabindex="0" aria-label={ "Members of " (name) } {
            table.members {
                caption { "Balancer Members " (hide(screen, Options::NO_MEMBERS, "the members of balancers")) }
                thead { tr {
                    th scope="col" { "Member" }
                    th scope="col" { "State" }
                    th scope="col" { "Activation" }
                    th scope="col" { "Busy" }
                    th scope="col" { "Requests" }
                    th scope="col" { "Sessions" }
                    th scope="col" { "Errors" }
                    th scope="col" { "Last Error" }
                    th scope="col" { "Actions" }
                } }
                tbody { @for member in &balancer.members { (row(screen, name, member, requests)) } }
            }
        }
        details {
            summary { "All counters and routes" }
            (counters(screen, balancer))
        }
        @if !screen.has(Options::NO_AJP_CONFIG) {
            details {
                summary { "AJP settings of the members" }
                (hide(screen, Options::NO_AJP_CONFIG, "AJP settings"))
                (ajp_settings(&balancer.members.iter().map(|member| &member.ajp).collect::<Vec<_>>()))
            }
        }
    }
}

fn row(screen: &Screen<'_>, lb: &str, member: &Member, requests: u64) -> Markup {
    let ajp = &member.ajp;
    let most = ajp.max_busy.max(ajp.busy.into()).max(1);
    let percent = ajp.used.saturating_mul(100).checked_div(requests).unwrap_or(0);
    html! {
        tr class=(rating_word(member.rating)) {
            th scope="row" data-label="Member" {
                (ajp.name) " " small { (ajp.address) }
            }
            td data-label="State" {
                span class={ "badge " (state_word(member.state)) } title=(member.state.name()) { (member.state.text()) }
                @if member.can_recover() { " " small { "retry in " (member.to_recovery.0) "/" (member.to_recovery.1) " s" } }
            }
            td data-label="Activation" { (activation(screen, lb, member)) }
            td data-label="Busy" {
                (ajp.busy) " " meter min="0" max=(most) value=(ajp.busy) aria-label={ "Busy connections of " (ajp.name) } {}
                " " small { "max " (ajp.max_busy) }
                @if member.activation() != Activation::Active {
                    br; small { @if ajp.busy == 0 { "drained" } @else { "draining" } }
                }
            }
            td data-label="Requests" {
                (ajp.used) " " meter min="0" max="100" value=(percent) aria-label={ "Share of the requests of " (ajp.name) } {}
                " " small { (percent) "%" }
            }
            td data-label="Sessions" { (member.sessions) }
            td data-label="Errors" {
                (member.errors)
                @if ajp.reply_timeouts > 0 { " " small { (ajp.reply_timeouts) " reply timeouts" } }
            }
            td data-label="Last Error" {
                @if member.first_error > 0 { (screen.ask.clock.readable(member.first_error)) } @else { "-" }
            }
            td data-label="Actions" { (worker_actions(screen, lb, Some(&ajp.name), member.can_recover())) }
        }
    }
}

/// The activation, and the two others as buttons.
fn activation(screen: &Screen<'_>, lb: &str, member: &Member) -> Markup {
    let now = member.activation();
    let name = &member.ajp.name;
    html! {
        span class={ "badge " (activation_word(now)) } { (now.text()) }
        @if !screen.is_read_only() {
            div.actions {
                @for (choice, word) in [(Activation::Active, "Activate"), (Activation::Disabled, "Disable"), (Activation::Stopped, "Stop")] {
                    @if choice != now {
                        @let link = screen.link().verb(Verb::Update).with("w", lb).with("sw", name);
                        (from_here(screen, link).with("vwa", &choice.code().to_string())
                            .button(word, &format!("{word} {name}"), ""))
                    }
                }
            }
        }
    }
}

fn counters(screen: &Screen<'_>, balancer: &Balancer) -> Markup {
    const COLUMNS: [&str; 24] = [
        "Name", "Act", "State", "D", "F", "M", "V", "Acc", "Sess", "Err", "CE", "RE", "Wr", "Rd", "Busy", "MaxBusy",
        "Con", "MaxCon", "Route", "RR", "Cd", "Rs", "LR", "LE",
    ];
    html! {
        div.scroll role="region" tabindex="0" aria-label={ "All counters of " (balancer.name) } {
            table.numbers {
                thead { tr { @for column in COLUMNS { th scope="col" { (column) } } } }
                tbody { @for member in &balancer.members {
                    @let (ajp, s) = (&member.ajp, &member.settings);
                    @let age = screen.ask.now_s.saturating_sub(ajp.last_reset);
                    tr {
                        th scope="row" { (ajp.name) }
                        td { (s.activation.text()) } td { (member.state.text()) } td { (s.distance) }
                        td { (s.lb_factor) } td { (member.multiplier) } td { (member.value) }
                        td { (rate(ajp.used, age)) } td { (rate(member.sessions, age)) } td { (member.errors) }
                        td { (ajp.client_errors) } td { (ajp.reply_timeouts) }
                        td { (size(ajp.transferred)) } td { (size(ajp.read)) }
                        td { (ajp.busy) } td { (ajp.max_busy) } td { (ajp.connected) } td { (ajp.max_connected) }
                        td { (s.route) } td { (s.redirect) } td { (s.domain) }
                        td { (member.to_recovery.0) "/" (member.to_recovery.1) } td { (age) }
                        td { @if member.first_error > 0 { (screen.ask.clock.readable(member.first_error)) } }
                    }
                } }
            }
        }
    }
}

fn ajp_settings(workers: &[&Ajp]) -> Markup {
    const COLUMNS: [&str; 13] = [
        "Name",
        "Type",
        "Hostname",
        "Address:Port",
        "Source",
        "Connection Pool Timeout",
        "Connect Timeout",
        "Prepost Timeout",
        "Reply Timeout",
        "Retries",
        "Recovery Options",
        "Busy Limit",
        "Max Packet Size",
    ];
    html! {
        div.scroll role="region" tabindex="0" aria-label="AJP settings" {
            table.numbers {
                thead { tr { @for column in COLUMNS { th scope="col" { (column) } } } }
                tbody { @for ajp in workers {
                    @let s = &ajp.settings;
                    tr {
                        th scope="row" { (ajp.name) }
                        td { "ajp13" } td { (s.host) } td { (ajp.address) }
                        td { (ajp.source.as_deref().unwrap_or("undefined")) } td { (s.connection_pool_timeout_s) }
                        td { (s.connect_timeout_ms) } td { (s.prepost_timeout_ms) } td { (s.reply_timeout_ms) }
                        td { (s.retries) } td { (s.recovery_options.unwrap_or(0)) } td { (s.busy_limit) }
                        td { (s.max_packet_size) }
                    }
                } }
            }
        }
    }
}

fn aspect_form(screen: &Screen<'_>, lb: &str) -> Markup {
    let link = from_here(screen, screen.link().verb(Verb::Edit).with("w", lb));
    html! {
        form.aspect method="get" action=(link.path()) {
            (link.hidden(&[]))
            label { "Edit this attribute for all members: " select name="att" {
                @for field in field::aspects() { option value=(field.param) { (field.label) } }
            } }
            button type="submit" { "Go" }
        }
    }
}

/// An AJP worker of `worker.list`.
fn plain(screen: &Screen<'_>, ajp: &Ajp) -> Markup {
    let age = screen.ask.now_s.saturating_sub(ajp.last_reset);
    html! {
        section.card aria-labelledby={ "ajp-" (ajp.name) } {
            div.title {
                h3 id={ "ajp-" (ajp.name) } { "Worker Status for " (ajp.name) }
                span class={ "badge " (state_word(ajp.state)) } { (ajp.state.text()) }
                (worker_actions(screen, &ajp.name, None, false))
            }
            dl.facts {
                div { dt { "Address" } dd { (ajp.address) } }
                div { dt { "Busy" } dd { (ajp.busy) " (max " (ajp.max_busy) ")" } }
                div { dt { "Connected" } dd { (ajp.connected) " (max " (ajp.max_connected) ")" } }
                div { dt { "Requests" } dd { (rate(ajp.used, age)) } }
                div { dt { "Errors" } dd { (ajp.errors) } }
                div { dt { "Client Errors" } dd { (ajp.client_errors) } }
                div { dt { "Reply Timeouts" } dd { (ajp.reply_timeouts) } }
                div { dt { "Written" } dd { (size(ajp.transferred)) } }
                div { dt { "Read" } dd { (size(ajp.read)) } }
                div { dt { "Last Reset" } dd { (ago(screen, ajp.last_reset)) } }
                @if ajp.error_time > 0 { div { dt { "Last Error" } dd { (screen.ask.clock.readable(ajp.error_time)) } } }
            }
            @if !screen.has(Options::NO_AJP_CONFIG) {
                details {
                    summary { "Settings" }
                    (hide(screen, Options::NO_AJP_CONFIG, "AJP settings"))
                    (ajp_settings(&[ajp]))
                }
            }
            @if !screen.has(Options::NO_MAPS) { (maps(screen, &ajp.name, &ajp.maps)) }
        }
    }
}

fn maps(screen: &Screen<'_>, worker: &str, maps: &[Map]) -> Markup {
    const COLUMNS: [&str; 12] = [
        "Server",
        "URI",
        "Match Type",
        "Source",
        "Reply Timeout",
        "Sticky Ignore",
        "Stateless",
        "Fail on Status",
        "Active",
        "Disabled",
        "Stopped",
        "Use Server Errors",
    ];
    let s = if maps.len() == 1 { "" } else { "s" };
    html! {
        details {
            summary { "URI Mappings for " (worker) " (" (maps.len()) " map" (s) ")" }
            (hide(screen, Options::NO_MAPS, "URI mappings"))
            div.scroll role="region" tabindex="0" aria-label={ "URI mappings for " (worker) } {
                table.numbers {
                    thead { tr { @for column in COLUMNS { th scope="col" { (column) } } } }
                    tbody { @for map in maps { (map_row(map)) } }
                }
            }
        }
    }
}

fn map_row(map: &Map) -> Markup {
    let options = &map.rule.options;
    let text = |bytes: &[u8]| if bytes.is_empty() { "-".to_owned() } else { Shown(bytes).to_string() };
    let list =
        |list: &Option<crate::uri_map::MemberList>| list.as_ref().map_or("-".to_owned(), |list| text(&list.text));
    html! {
        tr {
            td { (map.server) } th scope="row" { (text(&map.rule.pattern)) }
            td { (map.rule.type_text()) } td { (map.rule.source.text()) }
            td { @match options.reply_timeout_ms { Some(timeout) => (timeout), None => "-1" } }
            td { (u8::from(options.sticky_ignore)) } td { (u8::from(options.stateless)) }
            td { (text(&options.fail_on_status_text)) } td { (list(&options.active)) } td { (list(&options.disabled)) }
            td { (list(&options.stopped)) } td { (options.use_server_errors) }
        }
    }
}

pub(in crate::status) fn rating_word(rating: Rating) -> &'static str {
    match rating {
        Rating::Good => "good",
        Rating::Degraded => "degraded",
        Rating::Bad => "bad",
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Ok | State::Idle => "good",
        State::Busy | State::Recover | State::Forced | State::Probe => "degraded",
        State::Error => "bad",
    }
}

fn activation_word(activation: Activation) -> &'static str {
    match activation {
        Activation::Active => "good",
        Activation::Disabled => "degraded",
        Activation::Stopped => "bad",
    }
}

fn ago(screen: &Screen<'_>, then: u64) -> String {
    format!("{} s ago", screen.ask.now_s.saturating_sub(then))
}

/// A count with its mean per second.
fn rate(count: u64, seconds: u64) -> String {
    match count.checked_div(seconds) {
        Some(rate) => format!("{count} ({rate}/sec)"),
        None => count.to_string(),
    }
}

/// Bytes in the largest unit that leaves a number.
fn size(bytes: u64) -> String {
    let (mut unit, mut left) = (0_usize, bytes);
    while left >= 10_240 {
        left /= 1_024;
        unit = unit.saturating_add(1);
    }
    format!("{left}{}", ["", "K", "M", "G", "T", "P"].get(unit).unwrap_or(&"E"))
}

fn legend(screen: &Screen<'_>) -> Markup {
    const WORDS: [(&str, &str); 22] = [
        ("Act", "Activation: ACT = active, DIS = disabled (its sessions go on), STP = stopped"),
        (
            "State",
            "OK, IDLE = no requests lately, BUSY = no free connection, ERR = in error, REC = recovering, PRB = probing, FRC = forced recovery",
        ),
        ("D", "Distance: members with a smaller one are preferred"),
        ("F", "Load balancer factor"),
        ("M", "Load balancer multiplicity"),
        ("V", "Load balancer value"),
        ("Acc", "Requests"),
        ("Sess", "Sessions created"),
        ("Err", "Failed requests"),
        ("CE", "Requests that failed because of their client"),
        ("RE", "Replies that came too late; decays"),
        ("Wr", "Bytes written to the worker"),
        ("Rd", "Bytes read from the worker"),
        ("Busy", "Requests in progress"),
        ("MaxBusy", "Most requests in progress at a time"),
        ("Con", "Connections"),
        ("MaxCon", "Most connections at a time"),
        ("RR", "Route of the member that takes over"),
        ("Cd", "Cluster domain"),
        ("Rs", "Seconds to the next try, at least and at most"),
        ("LR", "Seconds since the counters were reset"),
        ("LE", "Time of the error"),
    ];
    html! {
        details.legend {
            summary { "Legend" }
            (hide(screen, Options::NO_LEGEND, "the legend"))
            dl { @for (word, meaning) in WORDS { div { dt { (word) } dd { (meaning) } } } }
        }
    }
}

//! The tables under the cards, complete and under the names of old; and the legend that explains those names.
//!
//! Not here: what comes first on the page (`card.rs`).

use maud::{Markup, html};

use super::Screen;
use super::words::{count, rate, size};
use crate::log::Shown;
use crate::status::view::{Ajp, Map, Member};

pub(super) fn counters(screen: &Screen<'_>, balancer: &str, members: &[&Member]) -> Markup {
    const COLUMNS: [&str; 24] = [
        "Name", "Act", "State", "D", "F", "M", "V", "Acc", "Sess", "Err", "CE", "RE", "Wr", "Rd", "Busy", "MaxBusy",
        "Con", "MaxCon", "Route", "RR", "Cd", "Rs", "LR", "LE",
    ];
    html! {
        details {
            summary { "All counters and routes" }
        div.scroll role="region" tabindex="0" aria-label={ "All counters of " (balancer) } {
            table.numbers {
                thead { tr { @for column in COLUMNS { th scope="col" { (column) } } } }
                tbody { @for member in members {
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
}

pub(super) fn ajp_settings(of: &str, workers: &[&Ajp]) -> Markup {
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
        div.scroll role="region" tabindex="0" aria-label={ "AJP settings of " (of) } {
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

pub(super) fn maps(worker: &str, maps: &[Map]) -> Markup {
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
    html! {
        details {
            summary { "URI mappings (" (count(maps.len(), "map")) ")" }
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

pub(super) fn legend() -> Markup {
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
    const PAGE: [(&str, &str); 6] = [
        ("good", "All is well"),
        ("degraded", "Works, but not fully: disabled, or being tried again after an error"),
        ("bad", "Gets no requests: in error, or stopped"),
        ("Disabled", "No new sessions; those it has go on"),
        ("Stopped", "No requests at all"),
        ("10 minutes", "A bar is the requests of ten seconds, on one scale for all members; errors hang from the top"),
    ];
    html! {
        details.legend {
            summary { "Legend" }
            dl { @for (word, meaning) in PAGE { div { dt { (word) } dd { (meaning) } } } }
            h3 { "Columns of the tables" }
            dl { @for (word, meaning) in WORDS { div { dt { (word) } dd { (meaning) } } } }
        }
    }
}

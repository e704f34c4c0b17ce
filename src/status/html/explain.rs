//! `cmd=explain` for people: the form, the answer in one sentence, and the reasons under it.
//!
//! Not here: the reasons themselves (`status::explain`). The surprising thing: the page asks with the method GET, so that an answer has
//! an address that can be sent to a colleague.

use maud::{Markup, html};

use super::Screen;
use crate::status::command::Verb;
use crate::status::effective::Settings;
use crate::status::explain::{Explanation, Outcome};

/// The form, and the answer when there is one.
pub(super) fn page(screen: &Screen<'_>, told: Option<&Explanation<'_>>) -> Markup {
    html! {
        nav.toolbar aria-label="View" { (screen.link().verb(Verb::List).anchor("Back to worker list")) }
        section.card {
            h2 { "Where does a request go?" }
            form.edit method="get" action=(screen.link().path()) {
                (screen.link().verb(Verb::Explain).hidden(&["uri", "host", "cookie"]))
                (field(told.map(|told| told.uri.as_str()), "uri", "URI", "path of the request, as a browser sends it", true))
                (field(told.and_then(|told| told.host.as_deref()), "host", "Host", "Host header; empty: this server", false))
                (field(None, "cookie", "Cookie", "Cookie header, such as JSESSIONID=1234.tomcat1", false))
                p { button.primary type="submit" { "Explain" } }
            }
        }
        @if let Some(told) = told { (answer(told)) }
    }
}

fn field(value: Option<&str>, name: &str, label: &str, hint: &str, required: bool) -> Markup {
    let described = format!("{name}-hint");
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="text" value=(value.unwrap_or_default()) required[required] autocomplete="off"
                spellcheck="false" aria-describedby=(described);
            small id=(described) { (hint) }
        }
    }
}

fn answer(told: &Explanation<'_>) -> Markup {
    let is_served = matches!(told.outcome, Outcome::Forwarded | Outcome::Status);
    html! {
        section.card.(if is_served { "good" } else { "degraded" }) {
            h2 { "Answer" }
            p role="status" { strong { (told.reason) } }
            dl.facts {
                @for (name, value) in [
                    ("Server", &told.server), ("Path", &told.path), ("Worker", &told.worker), ("Member", &told.member), ("Route", &told.route),
                ] {
                    @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
                }
                @if let Some(status) = told.http_status { div { dt { "HTTP status" } dd { (status) } } }
                @if !told.session_routes.is_empty() {
                    div { dt { "Session routes" } dd { (told.session_routes.join(", ")) } }
                }
            }
            @if !told.host_is_known { p.hint { "No server has this name; the first one of the address serves it." } }
            p.hint { "Environment variables (no-jk, JK_WORKER_NAME, JK_ROUTE and the like) can send a request elsewhere." }
        }
        (rules(told))
        @if !told.members.is_empty() { (members(told)) }
        (settings("Settings of the balancer", &told.lb_settings))
        (settings("Timeouts and retries", &told.settings))
    }
}

fn table(title: &str, columns: &[&str], rows: &Markup) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            div.scroll role="region" tabindex="0" aria-label=(title) {
                table.numbers {
                    thead { tr { @for column in columns { th scope="col" { (column) } } } }
                    tbody { (rows) }
                }
            }
        }
    }
}

fn rules(told: &Explanation<'_>) -> Markup {
    if told.rules.is_empty() {
        return Markup::default();
    }
    let rows = html! {
        @for rule in &told.rules {
            tr {
                th scope="row" { (rule.uri) } td { (rule.worker) } td { (rule.kind) } td { (rule.source) }
                td { (rule.origin.as_deref().unwrap_or("-")) } td { (rule.why) }
            }
        }
    };
    table("Rules that match, in their order", &["URI", "Worker", "Type", "Source", "Origin", "Why"], &rows)
}

fn members(told: &Explanation<'_>) -> Markup {
    let rows = html! {
        @for member in &told.members {
            tr {
                th scope="row" { (member.name) } td { (member.route) }
                td { (member.activation) @if member.activation_of_rule { " (by the rule)" } }
                td { (member.state) } td { (member.distance) } td { (member.lbvalue) } td { (member.verdict) }
            }
        }
    };
    table("Members", &["Member", "Route", "Activation", "State", "Distance", "Load", "Why"], &rows)
}

fn settings(title: &str, settings: &Settings<'_>) -> Markup {
    if settings.0.is_empty() {
        return Markup::default();
    }
    let rows = html! {
        @for setting in &settings.0 {
            tr { th scope="row" { (setting.name) } td { (setting.value) } td { (setting.origin) } }
        }
    };
    table(title, &["Setting", "Value", "Origin"], &rows)
}

//! An explanation as text: one fact per line, so that `grep` finds it.
//!
//! Not here: which facts there are (`mod.rs`). The surprising thing: what a stranger sent may hold line breaks; they are shown as `@`.

use std::fmt::Write as _;

use super::{Explanation, Settings};

/// The answer in text format, without its result line.
pub(in crate::status) fn render(told: &Explanation<'_>) -> String {
    let mut out = Lines(String::new());
    out.line(format_args!("Explain: uri=\"{}\"", told.uri));
    for (name, value) in [("host", &told.host), ("server", &told.server), ("path", &told.path)] {
        if let Some(value) = value {
            out.line(format_args!("Explain: {name}=\"{value}\""));
        }
    }
    if !told.host_is_known {
        out.line(format_args!("Explain: no server has this name; the first one of the address serves it"));
    }
    for rule in &told.rules {
        let origin = rule.origin.as_deref().unwrap_or("-");
        out.line(format_args!(
            "Rule: uri=\"{}\" worker=\"{}\" type=\"{}\" source=\"{}\" origin=\"{origin}\" verdict={} why=\"{}\"",
            rule.uri, rule.worker, rule.kind, rule.source, rule.verdict, rule.why
        ));
    }
    for member in &told.members {
        let whose = if member.activation_of_rule { "rule" } else { "member" };
        out.line(format_args!(
            "Member: name={} route=\"{}\" activation={} activation_of={whose} state={} distance={} lbvalue={} verdict=\"{}\"",
            member.name, member.route, member.activation, member.state, member.distance, member.lbvalue, member.verdict
        ));
    }
    out.settings("Balancer setting", &told.lb_settings);
    out.settings("Setting", &told.settings);
    let name = |name: &Option<String>| name.as_deref().unwrap_or("-").to_owned();
    let status = told.http_status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let outcome = serde_json::to_value(told.outcome).ok();
    let outcome = outcome.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    out.line(format_args!(
        "Answer: outcome={outcome} worker={} member={} by={} route=\"{}\" http_status={status} reason=\"{}\"",
        name(&told.worker),
        name(&told.member),
        told.by.unwrap_or("-"),
        name(&told.route),
        told.reason
    ));
    out.0
}

struct Lines(String);

impl Lines {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let from = self.0.len();
        // A String takes everything.
        let _ = write!(self.0, "{text}");
        if self.0.get(from..).is_some_and(|line| line.chars().any(char::is_control)) {
            let line = self.0.split_off(from);
            self.0.extend(line.chars().map(|letter| if letter.is_control() { '@' } else { letter }));
        }
        self.0.push('\n');
    }

    fn settings(&mut self, what: &str, settings: &Settings<'_>) {
        for setting in &settings.0 {
            self.line(format_args!("{what}: {}=\"{}\" origin=\"{}\"", setting.name, setting.value, setting.origin));
        }
    }
}

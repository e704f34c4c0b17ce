//! The view as XML, text and properties: three writers for the same facts in the same order.
//!
//! Not here: new formats. The surprising thing: these formats are an interface that scripts read by name, by line and by column
//! number, so their oddities stay: text has `retries` before `connection_ping_interval`, properties put the ages of a member under the
//! name of its balancer, and two of those keys have a blank in them (reference: lb-shm-status.md section 4.8 to 4.10).

use std::fmt::{Display, Write as _};

use super::view::{Ajp, Balancer, Clock, Map, Member, View};
use super::{Ask, Outcome};
use crate::config::StatusConfig;
use crate::log::Shown;

/// What an answer in one of these formats consists of.
pub(super) struct Report<'a> {
    pub(super) config: &'a StatusConfig,
    pub(super) ask: &'a Ask<'a>,
    pub(super) head: Head,
    pub(super) body: Body<'a>,
    pub(super) outcome: &'a Outcome,
    /// The rules are listed, not only counted.
    pub(super) shows_maps: bool,
}

/// How much is said about the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// Nothing.
    None,
    /// Name and port.
    Server,
    /// Also time and versions.
    Full,
}

/// What comes between head and result.
pub(super) enum Body<'a> {
    Nothing,
    /// With counts of balancers and workers.
    List(&'a View),
    /// One worker.
    Show(&'a View),
    Dump(&'a [(String, String)]),
}

/// A fact: name, value, and whether the text format quotes it.
struct Fact<'a>(&'static str, &'a dyn Display, bool);

/// Where facts go.
type Take<'a> = dyn FnMut(Fact<'_>) + 'a;

/// Takes one object's facts to a writer.
trait Facts {
    fn each(&self, order: Order, clock: &Clock, now_s: u64, take: &mut Take<'_>);
}

/// Which of two orders the numbers of an AJP worker have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Xml,
    Text,
}

fn yes(on: bool) -> &'static str {
    if on { "True" } else { "False" }
}

impl Facts for Balancer {
    fn each(&self, _: Order, _: &Clock, now_s: u64, take: &mut Take<'_>) {
        let s = &self.settings;
        let mut plain = |name, value: &dyn Display| take(Fact(name, value, false));
        plain("type", &"lb");
        plain("sticky_session", &yes(s.sticky_session));
        plain("sticky_session_force", &yes(s.sticky_session_force));
        plain("retries", &s.retries);
        plain("recover_time", &s.recover_time_s);
        plain("error_escalation_time", &s.error_escalation_time_s);
        plain("max_reply_timeouts", &s.max_reply_timeouts);
        plain("method", &s.method.text());
        plain("lock", &s.lock.text());
        plain("member_count", &self.member_count);
        for (name, count) in ["good", "degraded", "bad"].into_iter().zip(self.rated) {
            plain(name, &count);
        }
        plain("busy", &self.busy);
        plain("max_busy", &self.max_busy);
        plain("map_count", &self.maps.len());
        plain("time_to_maintenance_min", &self.to_maintenance.0);
        plain("time_to_maintenance_max", &self.to_maintenance.1);
        plain("last_reset_at", &self.last_reset);
        plain("last_reset_ago", &now_s.saturating_sub(self.last_reset));
    }
}

impl Ajp {
    fn configuration(&self, order: Order, take: &mut Take<'_>) {
        let s = &self.settings;
        let mut plain = |name, value: &dyn Display| take(Fact(name, value, false));
        plain("type", &"ajp13");
        plain("host", &s.host);
        plain("port", &s.port);
        plain("address", &self.address);
        plain("source", &self.source.as_deref().unwrap_or("undefined"));
        plain("connection_pool_timeout", &s.connection_pool_timeout_s);
        plain("ping_timeout", &s.ping_timeout_ms);
        plain("connect_timeout", &s.connect_timeout_ms);
        plain("prepost_timeout", &s.prepost_timeout_ms);
        plain("reply_timeout", &s.reply_timeout_ms);
        if order == Order::Text {
            plain("retries", &s.retries);
        }
        plain("connection_ping_interval", &s.connection_ping_interval_s);
        if order == Order::Xml {
            plain("retries", &s.retries);
        }
        plain("recovery_options", &s.recovery_options.unwrap_or(0));
        plain("busy_limit", &s.busy_limit);
        plain("max_packet_size", &s.max_packet_size);
    }

    fn traffic(&self, take: &mut Take<'_>) {
        let mut plain = |name, value: &dyn Display| take(Fact(name, value, false));
        plain("client_errors", &self.client_errors);
        plain("reply_timeouts", &self.reply_timeouts);
        plain("transferred", &self.transferred);
        plain("read", &self.read);
        plain("busy", &self.busy);
        plain("max_busy", &self.max_busy);
        plain("connected", &self.connected);
        plain("max_connected", &self.max_connected);
    }
}

/// Ages: since the last reset, and of the error when there was one.
fn ages(last_reset: u64, error: u64, clock: &Clock, now_s: u64, take: &mut Take<'_>) {
    take(Fact("last_reset_at", &last_reset, false));
    take(Fact("last_reset_ago", &now_s.saturating_sub(last_reset), false));
    if error > 0 {
        take(Fact("error_time_datetime", &clock.packed(error), false));
        take(Fact("error_time_tz", &clock.offset(error), false));
        take(Fact("error_time_unix_seconds", &error, false));
        take(Fact("error_time_ago", &now_s.saturating_sub(error), false));
    }
}

impl Facts for Ajp {
    fn each(&self, order: Order, clock: &Clock, now_s: u64, take: &mut Take<'_>) {
        self.configuration(order, take);
        take(Fact("used", &self.used, false));
        take(Fact("errors", &self.errors, false));
        self.traffic(take);
        take(Fact("map_count", &self.maps.len(), false));
        ages(self.last_reset, self.error_time, clock, now_s, take);
    }
}

impl Member {
    /// All but the ages.
    fn facts(&self, order: Order, take: &mut Take<'_>) {
        self.ajp.configuration(order, take);
        let s = &self.settings;
        take(Fact("activation", &s.activation.text(), false));
        take(Fact("lbfactor", &s.lb_factor, false));
        take(Fact("route", &s.route, true));
        take(Fact("redirect", &s.redirect, true));
        take(Fact("domain", &s.domain, true));
        take(Fact("distance", &s.distance, false));
        take(Fact("state", &self.state.text(), false));
        take(Fact("lbmult", &self.multiplier, false));
        take(Fact("lbvalue", &self.value, false));
        take(Fact("elected", &self.ajp.used, false));
        take(Fact("sessions", &self.sessions, false));
        take(Fact("errors", &self.errors, false));
        self.ajp.traffic(take);
        take(Fact("time_to_recover_min", &self.to_recovery.0, false));
        take(Fact("time_to_recover_max", &self.to_recovery.1, false));
    }
}

impl Facts for Member {
    fn each(&self, order: Order, clock: &Clock, now_s: u64, take: &mut Take<'_>) {
        self.facts(order, take);
        ages(self.ajp.last_reset, self.first_error, clock, now_s, take);
    }
}

impl Facts for Map {
    fn each(&self, _: Order, _: &Clock, _: u64, take: &mut Take<'_>) {
        let (rule, options) = (&self.rule, &self.rule.options);
        let mut quoted = |name, value: &dyn Display| take(Fact(name, value, true));
        let list = |list: &Option<crate::uri_map::MemberList>| {
            list.as_ref().map(|list| Shown(&list.text).to_string()).unwrap_or_default()
        };
        quoted("server", &self.server);
        quoted("uri", &Shown(&rule.pattern));
        quoted("type", &rule.type_text());
        quoted("source", &rule.source.text());
        match options.reply_timeout_ms {
            Some(timeout) => quoted("reply_timeout", &timeout),
            None => quoted("reply_timeout", &-1),
        }
        quoted("sticky_ignore", &u8::from(options.sticky_ignore));
        quoted("stateless", &u8::from(options.stateless));
        quoted("fail_on_status", &Shown(&options.fail_on_status_text));
        quoted("active", &list(&options.active));
        quoted("disabled", &list(&options.disabled));
        quoted("stopped", &list(&options.stopped));
        quoted("use_server_errors", &options.use_server_errors);
    }
}

// ---- XML

/// The answer as XML. Values are escaped, which C mod_jk leaves out, so that it is well-formed whatever they hold.
pub(super) fn xml(report: &Report<'_>) -> String {
    let mut out = Xml { out: String::with_capacity(16_384), ns: &report.config.ns, report };
    let _ = writeln!(out.out, "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>");
    if let Some(doctype) = &report.config.doctype {
        let _ = writeln!(out.out, "{doctype}");
    }
    let _ = writeln!(out.out, "<{}status", out.ns);
    if !report.config.xmlns.is_empty() {
        let _ = write!(out.out, "  {}", report.config.xmlns);
    }
    out.out.push_str(">\n");
    out.head();
    match report.body {
        Body::Nothing => {}
        Body::List(view) => out.list(view),
        Body::Show(view) => {
            view.balancers.iter().for_each(|balancer| out.balancer(balancer));
            view.workers.iter().for_each(|worker| out.worker(worker));
        }
        Body::Dump(properties) => {
            out.open(2, "configuration");
            for (key, value) in properties {
                out.attribute(4, key, value);
            }
            out.out.push_str("  />\n");
        }
    }
    out.open(2, "result");
    out.attribute(4, "type", &report.outcome.word());
    out.attribute(4, "message", &report.outcome.message());
    let ns = out.ns;
    let _ = write!(out.out, "  />\n</{ns}status>\n");
    out.out
}

struct Xml<'a> {
    out: String,
    ns: &'a str,
    report: &'a Report<'a>,
}

impl Xml<'_> {
    fn open(&mut self, indent: usize, element: &str) {
        let ns = self.ns;
        let _ = writeln!(self.out, "{:indent$}<{ns}{element}", "");
    }

    fn attribute(&mut self, indent: usize, name: &str, value: &dyn Display) {
        let _ = write!(self.out, "{:indent$}{name}=\"", "");
        let _ = write!(Escaped(&mut self.out), "{value}");
        self.out.push_str("\"\n");
    }

    fn facts(&mut self, indent: usize, facts: &dyn Facts) {
        let ask = self.report.ask;
        facts.each(Order::Xml, &ask.clock, ask.now_s, &mut |Fact(name, value, _)| self.attribute(indent, name, value));
    }

    fn head(&mut self) {
        let ask = self.report.ask;
        if self.report.head != Head::None {
            self.open(0, "server");
            self.attribute(2, "name", &Shown(ask.server_name));
            self.attribute(2, "port", &ask.server_port);
            self.out.push_str("/>\n");
        }
        if self.report.head == Head::Full {
            self.open(0, "time");
            self.attribute(2, "datetime", &ask.clock.packed(ask.now_s));
            self.attribute(2, "tz", &ask.clock.offset(ask.now_s));
            self.attribute(2, "unix", &ask.now_s);
            self.out.push_str("/>\n");
            self.open(0, "software");
            self.attribute(2, "web_server", &Shown(ask.web_server));
            self.attribute(2, "jk_version", &ask.jk_version);
            self.out.push_str("/>\n");
        }
    }

    fn list(&mut self, view: &View) {
        let ns = self.ns;
        if !view.balancers.is_empty() {
            self.open(0, "balancers");
            self.attribute(2, "count", &view.balancers.len());
            self.out.push_str(">\n");
            view.balancers.iter().for_each(|balancer| self.balancer(balancer));
            let _ = writeln!(self.out, "</{ns}balancers>");
        }
        if !view.workers.is_empty() {
            self.open(0, "ajp_workers");
            self.attribute(2, "count", &view.workers.len());
            self.out.push_str(">\n");
            view.workers.iter().for_each(|worker| self.worker(worker));
            let _ = writeln!(self.out, "</{ns}ajp_workers>");
        }
    }

    fn balancer(&mut self, balancer: &Balancer) {
        self.open(2, "balancer");
        self.attribute(4, "name", &balancer.name);
        self.facts(4, balancer);
        self.out.push_str("  >\n");
        for member in &balancer.members {
            self.open(6, "member");
            self.attribute(8, "name", &member.ajp.name);
            self.facts(8, member);
            self.out.push_str("      />\n");
        }
        self.maps(&balancer.maps);
        let ns = self.ns;
        let _ = writeln!(self.out, "  </{ns}balancer>");
    }

    /// The rules of an AJP worker follow it, they are not its children.
    fn worker(&mut self, worker: &Ajp) {
        self.open(2, "ajp");
        self.attribute(4, "name", &worker.name);
        self.facts(4, worker);
        self.out.push_str("  />\n");
        self.maps(&worker.maps);
    }

    fn maps(&mut self, maps: &[Map]) {
        for map in maps.iter().filter(|_| self.report.shows_maps) {
            self.open(6, "map");
            self.attribute(8, "id", &map.id);
            self.facts(8, map);
            self.out.push_str("      />\n");
        }
    }
}

/// Writes text as the value of an attribute.
struct Escaped<'a>(&'a mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // XML 1.0 has no way to write the others.
                '\t' | '\n' | '\r' => write!(self.0, "&#{};", u32::from(letter))?,
                letter if letter.is_control() => self.0.push('@'),
                letter => self.0.push(letter),
            }
        }
        Ok(())
    }
}

// ---- Text

/// The answer as text: one line per object.
pub(super) fn txt(report: &Report<'_>) -> String {
    let mut out = Txt { out: String::with_capacity(8_192), report };
    let ask = report.ask;
    if report.head != Head::None {
        out.line("Server", &[Fact("name", &Shown(ask.server_name), false), Fact("port", &ask.server_port, false)]);
    }
    if report.head == Head::Full {
        let (datetime, tz) = (ask.clock.packed(ask.now_s), ask.clock.offset(ask.now_s));
        let time = [Fact("datetime", &datetime, false), Fact("tz", &tz, false), Fact("unix", &ask.now_s, false)];
        out.line("Time", &time);
        let software = [Fact("web_server", &Shown(ask.web_server), true), Fact("jk_version", &ask.jk_version, false)];
        out.line("Software", &software);
    }
    match report.body {
        Body::Nothing => {}
        Body::List(view) => {
            if !view.balancers.is_empty() {
                out.line("Balancer Workers", &[Fact("count", &view.balancers.len(), false)]);
                view.balancers.iter().for_each(|balancer| out.balancer(balancer));
            }
            if !view.workers.is_empty() {
                out.line("AJP Workers", &[Fact("count", &view.workers.len(), false)]);
                view.workers.iter().for_each(|worker| out.worker(worker));
            }
        }
        Body::Show(view) => {
            view.balancers.iter().for_each(|balancer| out.balancer(balancer));
            view.workers.iter().for_each(|worker| out.worker(worker));
        }
        Body::Dump(properties) => {
            out.out.push_str("Configuration:\n");
            for (key, value) in properties {
                let _ = writeln!(out.out, "{key}={value}");
            }
        }
    }
    let message = report.outcome.message();
    out.line("Result", &[Fact("type", &report.outcome.word(), false), Fact("message", &message, true)]);
    out.out
}

struct Txt<'a> {
    out: String,
    report: &'a Report<'a>,
}

impl Txt<'_> {
    fn fact(&mut self, Fact(name, value, quoted): Fact<'_>) {
        let quote = if quoted { "\"" } else { "" };
        let _ = write!(self.out, " {name}={quote}{value}{quote}");
    }

    fn line(&mut self, title: &str, facts: &[Fact<'_>]) {
        let _ = write!(self.out, "{title}:");
        for fact in facts {
            self.fact(Fact(fact.0, fact.1, fact.2));
        }
        self.out.push('\n');
    }

    fn object(&mut self, title: &str, first: &'static str, id: &dyn Display, facts: &dyn Facts) {
        let _ = write!(self.out, "{title}:");
        self.fact(Fact(first, id, false));
        let ask = self.report.ask;
        facts.each(Order::Text, &ask.clock, ask.now_s, &mut |fact| self.fact(fact));
        self.out.push('\n');
    }

    fn balancer(&mut self, balancer: &Balancer) {
        self.object("Balancer Worker", "name", &balancer.name, balancer);
        for member in &balancer.members {
            self.object("Member", "name", &member.ajp.name, member);
        }
        self.maps(&balancer.maps);
    }

    fn worker(&mut self, worker: &Ajp) {
        self.object("AJP Worker", "name", &worker.name, worker);
        self.maps(&worker.maps);
    }

    fn maps(&mut self, maps: &[Map]) {
        for map in maps.iter().filter(|_| self.report.shows_maps) {
            self.object("Map", "id", &map.id, map);
        }
    }
}

// ---- Properties

/// The answer as properties.
pub(super) fn prop(report: &Report<'_>) -> String {
    let mut out = Prop { out: String::with_capacity(16_384), prefix: &report.config.prefix, report };
    let ask = report.ask;
    if report.head != Head::None {
        out.entry("", "server_name", &Shown(ask.server_name));
        out.entry("", "server_port", &ask.server_port);
    }
    if report.head == Head::Full {
        out.entry("", "time_datetime", &ask.clock.packed(ask.now_s));
        out.entry("", "time_tz", &ask.clock.offset(ask.now_s));
        out.entry("", "time_unix", &ask.now_s);
        out.entry("", "web_server", &Shown(ask.web_server));
        out.entry("", "jk_version", &ask.jk_version);
    }
    match report.body {
        Body::Nothing => {}
        Body::List(view) => {
            if !view.balancers.is_empty() {
                out.entry("", "lb_count", &view.balancers.len());
                view.balancers.iter().for_each(|balancer| out.balancer(balancer));
            }
            if !view.workers.is_empty() {
                out.entry("", "ajp_count", &view.workers.len());
                view.workers.iter().for_each(|worker| out.worker(worker));
            }
        }
        Body::Show(view) => {
            view.balancers.iter().for_each(|balancer| out.balancer(balancer));
            view.workers.iter().for_each(|worker| out.worker(worker));
        }
        Body::Dump(properties) => {
            for (key, value) in properties {
                let _ = writeln!(out.out, "{key}={value}");
            }
        }
    }
    out.entry("result", "type", &report.outcome.word());
    out.entry("result", "message", &report.outcome.message());
    out.out
}

struct Prop<'a> {
    out: String,
    prefix: &'a str,
    report: &'a Report<'a>,
}

impl Prop<'_> {
    fn entry(&mut self, worker: &str, name: &str, value: &dyn Display) {
        let (prefix, dot) = (self.prefix, if worker.is_empty() { "" } else { "." });
        let _ = writeln!(self.out, "{prefix}.{worker}{dot}{name}={value}");
    }

    fn facts(&mut self, worker: &str, facts: &dyn Facts) {
        let ask = self.report.ask;
        facts.each(Order::Text, &ask.clock, ask.now_s, &mut |Fact(name, value, _)| self.entry(worker, name, value));
    }

    fn balancer(&mut self, balancer: &Balancer) {
        let (lb, ask) = (balancer.name.as_str(), self.report.ask);
        self.entry("", "list", &lb);
        self.facts(lb, balancer);
        for member in &balancer.members {
            self.entry(lb, "balance_workers", &member.ajp.name);
            member.facts(Order::Text, &mut |Fact(name, value, _)| self.entry(&member.ajp.name, name, value));
            ages(member.ajp.last_reset, member.first_error, &ask.clock, ask.now_s, &mut |Fact(name, value, _)| {
                let name = match name {
                    "error_time_unix_seconds" => "error_time_unix seconds",
                    "error_time_ago" => "error_time_ago seconds",
                    name => name,
                };
                self.entry(lb, name, value);
            });
        }
        self.maps(lb, &balancer.maps);
    }

    fn worker(&mut self, worker: &Ajp) {
        self.entry(&worker.name, "list", &worker.name);
        self.facts(&worker.name, worker);
        self.maps(&worker.name, &worker.maps);
    }

    fn maps(&mut self, worker: &str, maps: &[Map]) {
        for map in maps.iter().filter(|_| self.report.shows_maps) {
            self.facts(&format!("{worker}.map.{}", map.id), map);
        }
    }
}

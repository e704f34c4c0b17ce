//! `cmd=explain`: what would become of a request, and why. The rules are asked by the lookup of requests, the balancer by the choice of
//! requests; only the effects are left out.
//!
//! Not here: environment variables (`no-jk`, `JK_WORKER_NAME`, `JK_ROUTE` and the like), which a configuration may set for any reason;
//! requests that have them can go elsewhere. The surprising thing: httpd and mod_jk both change the path before a rule sees it
//! (`target.rs`).

mod target;
pub(super) mod text;

use serde::Serialize;

use super::command::Parameters;
use super::effective::{self, Setting, Settings, Shape, Source};
use super::{Ask, Scene};
use crate::balancer::{Activation, MemberView, NoMember};
use crate::config::WorkerConfig;
use crate::log::Shown;
use crate::uri_map::normalize::normalize;
use crate::uri_map::{Lookup, Rule, RuleOptions, Verdict};
use crate::worker::lb::{ActivationOf, Balance, By, Predicted, Prediction};

/// What the asker wants to know about, as the query has it.
pub(super) struct Question {
    /// Request target.
    uri: Vec<u8>,
    host: Option<Vec<u8>>,
    cookie: Option<Vec<u8>>,
}

/// The answer, as JSON has it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explanation<'a> {
    pub(super) uri: String,
    pub(super) host: Option<String>,
    /// Label of the server that gets the request.
    pub(super) server: Option<String>,
    /// A server has the name that was asked for.
    pub(super) host_is_known: bool,
    /// The path that rules are compared with.
    pub(super) path: Option<String>,
    pub(super) outcome: Outcome,
    /// Status the client gets without any container; `None` = the container's, or that of another handler of httpd.
    pub(super) http_status: Option<u16>,
    pub(super) reason: String,
    pub(super) worker: Option<String>,
    pub(super) member: Option<String>,
    /// What decided for the member.
    pub(super) by: Option<&'static str>,
    /// Route that the container is told.
    pub(super) route: Option<String>,
    /// Routes of the request's session ids.
    pub(super) session_routes: Vec<String>,
    pub(super) rules: Vec<Covering>,
    pub(super) members: Vec<Candidate>,
    pub(super) lb_settings: Settings<'a>,
    pub(super) settings: Settings<'a>,
}

/// What becomes of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// httpd or mod_jk answers with an error.
    #[default]
    Refused,
    /// mod_jk leaves it to httpd.
    Unmapped,
    /// The same, because of an exclusion.
    Excluded,
    /// It goes to a worker.
    Forwarded,
    /// It goes to a balancer that has nobody for it.
    NoMember,
    /// A status worker answers.
    Status,
}

/// A rule that covers the path.
#[derive(Debug, Serialize)]
pub(super) struct Covering {
    pub(super) uri: String,
    pub(super) worker: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) source: &'static str,
    pub(super) origin: Option<String>,
    pub(super) verdict: &'static str,
    pub(super) why: &'static str,
}

/// A member of the balancer.
#[derive(Debug, Serialize)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) route: String,
    pub(super) activation: &'static str,
    /// The activation is the rule's.
    pub(super) activation_of_rule: bool,
    pub(super) state: &'static str,
    pub(super) distance: i32,
    pub(super) lbvalue: u64,
    pub(super) verdict: &'static str,
}

/// What a rule tells its balancer; the handler adds what the request has in its environment.
#[must_use]
pub fn balance_of(rule: Option<&RuleOptions>) -> Balance<'_> {
    Balance {
        sticky_ignore: rule.is_some_and(|rule| rule.sticky_ignore),
        stateless: rule.is_some_and(|rule| rule.stateless),
        session_cookie: rule.and_then(|rule| rule.session_cookie.as_deref()),
        session_path: rule.and_then(|rule| rule.session_path.as_deref()),
        set_session_cookie: rule.is_some_and(|rule| rule.set_session_cookie),
        session_cookie_path: rule.and_then(|rule| rule.session_cookie_path.as_deref()),
        activation_of: rule
            .filter(|rule| rule.overrides_activations())
            .map(|rule| -> ActivationOf<'_> { Box::new(|member| rule.activation_of(member)) }),
        ..Balance::default()
    }
}

impl Question {
    /// Reads the query.
    ///
    /// # Errors
    /// The message for the client.
    pub(super) fn of(query: &[u8]) -> Result<Self, String> {
        let value = |name| Parameters::raw(query, name);
        let uri = value("uri").unwrap_or_default();
        if !uri.starts_with(b"/") && uri != b"*" {
            return Err("cmd=explain needs the path of a request, such as uri=/app/index.jsp".to_owned());
        }
        Ok(Self { uri, host: value("host").filter(|host| !host.is_empty()), cookie: value("cookie") })
    }
}

/// Answers the question.
pub(super) fn explain<'a>(scene: &Scene<'a>, ask: &Ask<'_>, question: &Question) -> Explanation<'a> {
    let sites = (scene.sites)();
    let mut told = Explanation {
        uri: Shown(&question.uri).to_string(),
        host: question.host.as_deref().map(|host| Shown(host).to_string()),
        ..Explanation::default()
    };
    let Some((site, is_known)) = target::site(&sites, ask, question.host.as_deref()) else {
        told.unmapped(Outcome::Unmapped, "this server has no rules");
        return told;
    };
    told.server = Some(site.label.to_string());
    told.host_is_known = is_known;
    let decoded = match target::decoded(&question.uri) {
        Ok(path) => path,
        Err(refusal) => {
            told.refused(refusal.status, refusal.why.to_owned());
            return told;
        }
    };
    let path = match normalize(&decoded) {
        Ok(path) => path,
        Err(error) => {
            told.refused(400, error.to_string());
            return told;
        }
    };
    told.path = Some(Shown(&path).to_string());
    told.rules = site.map.explain(&path).iter().map(covering).collect();
    match site.map.lookup(&path) {
        Lookup::Match(rule) => told.mapped(scene, rule, &decoded, question),
        Lookup::Excluded { rule, by } => {
            let (rule, by) = (Shown(&rule.pattern), Shown(&by.pattern));
            told.unmapped(Outcome::Excluded, &format!("rule {rule} is selected, but exclusion {by} matches too"));
        }
        Lookup::None => told.unmapped(Outcome::Unmapped, "no rule matches"),
        Lookup::TooLong => told.unmapped(Outcome::Unmapped, "the URI is longer than 4095 bytes"),
        Lookup::Unsafe => told.unmapped(Outcome::Unmapped, "RejectUnsafeURI: the path contains % or \\"),
        Lookup::NotAPath => told.unmapped(Outcome::Unmapped, "it is not a path"),
    }
    told
}

fn covering(verdict: &Verdict<'_>) -> Covering {
    let rule = verdict.rule;
    Covering {
        uri: Shown(&rule.pattern).to_string(),
        worker: Shown(&rule.worker).to_string(),
        kind: rule.type_text(),
        source: rule.source.text(),
        origin: rule.origin.as_ref().map(ToString::to_string),
        verdict: verdict.why.word(),
        why: verdict.why.text(),
    }
}

impl<'a> Explanation<'a> {
    fn refused(&mut self, status: u16, why: String) {
        (self.outcome, self.http_status, self.reason) = (Outcome::Refused, Some(status), why);
    }

    fn unmapped(&mut self, outcome: Outcome, why: &str) {
        (self.outcome, self.reason) = (outcome, format!("{why}: mod_jk leaves the request to httpd"));
    }

    fn mapped(&mut self, scene: &Scene<'a>, rule: &Rule, decoded: &[u8], question: &Question) {
        let name = Shown(&rule.worker).to_string();
        self.worker = Some(name.clone());
        let is_meant = |config: &&WorkerConfig| config.name(scene.config) == Some(&name);
        match scene.config.list.iter().find(is_meant) {
            None => {
                self.refused(500, format!("rule {} names worker {name}, which does not exist", Shown(&rule.pattern)))
            }
            Some(WorkerConfig::Status(_)) => {
                (self.outcome, self.reason) = (Outcome::Status, format!("status worker {name} answers"));
            }
            Some(WorkerConfig::Ajp(index)) => {
                (self.outcome, self.reason) = (Outcome::Forwarded, format!("AJP worker {name} gets the request"));
                self.settings = of_attempt(scene, *index, rule);
            }
            Some(WorkerConfig::Lb(_)) => {
                let cookies: Vec<&[u8]> = question.cookie.as_deref().into_iter().collect();
                let balance = Balance { path: decoded, cookies: &cookies, ..balance_of(Some(&rule.options)) };
                self.balanced(scene, &name, rule, &balance);
            }
        }
    }

    fn balanced(&mut self, scene: &Scene<'a>, name: &str, rule: &Rule, balance: &Balance<'_>) {
        let Some((place, lb)) = scene.lbs.iter().enumerate().find(|(_, lb)| lb.name() == name) else { return };
        let prediction = lb.predict(balance);
        let chosen = prediction.choice.ok().map(|(index, _)| index);
        let chosen_view = chosen.and_then(|index| prediction.members.get(index)).map(|member| member.view);
        let candidate = |(index, member): (usize, &Predicted)| candidate(member, chosen == Some(index), chosen_view);
        self.members = prediction.members.iter().enumerate().map(candidate).collect();
        self.session_routes = routes(&prediction);
        if let Some(slot) = scene.shared.region.lb(place) {
            self.lb_settings = of_choice(scene, lb.config().name.as_str(), &slot.settings(), rule);
        }
        match prediction.choice {
            Ok((index, by)) => {
                let member = prediction.members.get(index).map(|member| member.name.clone()).unwrap_or_default();
                self.outcome = Outcome::Forwarded;
                self.reason = reason(&member, by, prediction.forced, &self.session_routes);
                self.by = Some(by.text());
                self.route = Some(Shown(&prediction.route).to_string()).filter(|route| !route.is_empty());
                let index = scene.config.ajp.iter().position(|ajp| ajp.name == member);
                self.settings = index.map(|index| of_attempt(scene, index, rule)).unwrap_or_default();
                self.member = Some(member);
            }
            Err(why) => {
                (self.outcome, self.http_status) = (Outcome::NoMember, Some(503));
                self.reason = match why {
                    NoMember::SessionForced => "sticky_session_force is on, and the session's member takes no requests",
                    NoMember::NoneUsable => "no member takes this request",
                }
                .to_owned();
            }
        }
    }
}

fn routes(prediction: &Prediction) -> Vec<String> {
    let ids = prediction.session_ids.as_deref().unwrap_or_default();
    let route =
        |id: &[u8]| memchr::memchr(b'.', id).and_then(|dot| id.get(dot.saturating_add(1)..)).map(<[u8]>::to_vec);
    ids.split(|byte| *byte == b';').filter_map(route).map(|route| Shown(&route).to_string()).collect()
}

fn reason(member: &str, by: By, forced: bool, routes: &[String]) -> String {
    let why = match by {
        By::Alone => "the balancer has no other member".to_owned(),
        By::Session => format!("the session's route is {}", routes.join(", ")),
        By::Redirect => {
            "the member that the session belongs to, or every member, is out of use, and its redirect leads here"
                .to_owned()
        }
        By::Domain => "it has the least load of the session's domain".to_owned(),
        By::Load if routes.is_empty() => "it is near and has the least load".to_owned(),
        By::Load => {
            format!("the session's route {} leads to no usable member, and it has the least load", routes.join(", "))
        }
    };
    let forced = if forced { "; all members were in error, so they are tried all the same" } else { "" };
    format!("{member} is chosen: {why}{forced}")
}

fn candidate(member: &Predicted, is_chosen: bool, chosen: Option<MemberView>) -> Candidate {
    let view = member.view;
    Candidate {
        name: member.name.clone(),
        route: member.route.clone(),
        activation: view.activation.text(),
        activation_of_rule: view.activation != member.activation,
        state: view.state.text(),
        distance: view.distance,
        lbvalue: view.value,
        verdict: match chosen {
            _ if is_chosen => "chosen",
            _ if view.activation == Activation::Stopped => "stopped",
            _ if !view.state.takes_requests() => "in error or busy",
            _ if view.activation == Activation::Disabled => "disabled: only requests of its sessions",
            Some(chosen) if view.distance > chosen.distance => "farther away",
            Some(chosen) if view.value > chosen.value => "has more load",
            _ => "another one was preferred",
        },
    }
}

/// What bounds an attempt on an AJP worker; a rule's extensions stand in place of the worker's settings.
fn of_attempt<'a>(scene: &Scene<'a>, index: usize, rule: &Rule) -> Settings<'a> {
    const SHOWN: [&str; 13] = [
        "reply_timeout",
        "socket_timeout",
        "socket_connect_timeout",
        "connect_timeout",
        "prepost_timeout",
        "ping_timeout",
        "connection_acquire_timeout",
        "connection_pool_timeout",
        "retries",
        "retry_interval",
        "recovery_options",
        "busy_limit",
        "fail_on_status",
    ];
    let Some(slot) = scene.shared.region.ajp(index) else { return Settings::default() };
    let mut all = effective::of_ajp(scene, index, &slot.settings());
    let mut shown = Settings(SHOWN.into_iter().filter_map(|name| all.take(name)).collect());
    let options = &rule.options;
    if let Some(ms) = options.reply_timeout_ms {
        shown.put("reply_timeout", Shape::Number(ms.into()), rule);
    }
    if !options.fail_on_status.is_empty() {
        shown.put("fail_on_status", Shape::Text(Shown(&options.fail_on_status_text).to_string().into()), rule);
    }
    if options.use_server_errors != 0 {
        shown.put("use_server_errors", Shape::Number(options.use_server_errors.into()), rule);
    }
    shown
}

/// What the choice depends on.
fn of_choice<'a>(scene: &Scene<'a>, name: &str, now: &crate::config::LbSettings, rule: &Rule) -> Settings<'a> {
    let found = scene.config.list.iter().find_map(|worker| match worker {
        WorkerConfig::Lb(config) if config.name == name => Some(config),
        _ => None,
    });
    let Some(config) = found else { return Settings::default() };
    let mut all = effective::of_lb(scene, config, now);
    let options = &rule.options;
    let text = |value: &[u8]| Shape::Text(Shown(value).to_string().into());
    for (name, value) in [
        ("session_cookie", &options.session_cookie),
        ("session_path", &options.session_path),
        ("session_cookie_path", &options.session_cookie_path),
    ] {
        if let Some(value) = value {
            all.put(name, text(value), rule);
        }
    }
    for (name, on) in [
        ("sticky_ignore", options.sticky_ignore),
        ("stateless", options.stateless),
        ("set_session_cookie", options.set_session_cookie),
    ] {
        if on {
            all.put(name, Shape::Flag(true), rule);
        }
    }
    all
}

impl<'a> Settings<'a> {
    /// In place of the worker's own.
    fn put(&mut self, name: &'static str, value: Shape<'a>, rule: &Rule) {
        let place = rule.origin.as_ref().map_or_else(|| Shown(&rule.pattern).to_string(), ToString::to_string);
        let setting = Setting { name, value, origin: Source::Rule(place) };
        match self.0.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = setting,
            None => self.0.push(setting),
        }
    }
}

//! What is legal but will hurt: forgotten timeouts, workers nobody can reach, settings that do nothing where they stand.
//!
//! Not here: what is wrong (`build`), what only httpd.conf or the mount files can tell. The surprising thing: nothing of this ever
//! stops a start; each rule was found broken in a published configuration (reference: users-and-rivals.md, lint rules).

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{ATTRIBUTES, Attribute, Scope, Standing, extra};
use super::reader::written_key;
use super::value;
use super::{AjpConfig, Config, LbConfig, WorkerConfig};
use crate::balancer::Activation;
use crate::properties::{Diagnostic, Entry, Properties, Severity, is_secret, nearest};

/// `recovery_options` bit: a request that was sent is not sent again.
const NOT_AFTER_SEND: u32 = 1;

/// All advice on a configuration; `properties` are those it was built from, with references resolved.
#[must_use]
pub fn check(properties: &Properties, config: &Config) -> Vec<Diagnostic> {
    let mut advisor = Advisor { properties, config, found: Vec::new() };
    advisor.texts();
    advisor.undefined_names();
    advisor.balancers_without_type();
    advisor.unreachable_groups();
    advisor.misplaced_attributes();
    advisor.misplaced_extras();
    advisor.timeouts();
    advisor.pools();
    advisor.repeated_requests();
    for worker in &config.list {
        if let WorkerConfig::Lb(lb) = worker {
            advisor.shared_backends(lb);
            advisor.redirects(lb);
            advisor.balancer(lb);
        }
    }
    advisor.found
}

struct Advisor<'a> {
    properties: &'a Properties,
    config: &'a Config,
    found: Vec<Diagnostic>,
}

impl<'a> Advisor<'a> {
    fn say(&mut self, at: Option<&Entry>, message: String) {
        self.found.push(match at {
            Some(entry) => entry.diagnostic(Severity::Advice, message),
            None => Diagnostic { origin: None, severity: Severity::Advice, message },
        });
    }

    fn entry(&self, worker: &str, attribute: &str) -> Option<&'a Entry> {
        self.properties.get(&format!("worker.{worker}.{attribute}"))
    }

    /// Names that have settings, with the first of these.
    fn groups(&self) -> BTreeMap<&'a str, &'a Entry> {
        let mut groups: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in self.properties.entries().filter(|entry| entry.origin.is_some()) {
            if let Some((name, _)) = entry.key.strip_prefix("worker.").and_then(|rest| rest.rsplit_once('.')) {
                groups.entry(name).or_insert(entry);
            }
        }
        groups
    }

    /// Names in a list, with the list.
    fn named_in(&self, keys: &[String]) -> Vec<(&'a str, &'a Entry)> {
        let lists = keys.iter().filter_map(|key| self.properties.get(key));
        lists.flat_map(|list| value::names(&list.value).map(move |name| (name, list))).collect()
    }

    /// All names that some balancer has for members, listed or not.
    fn members(&self) -> Vec<(&'a str, &'a Entry)> {
        let groups = self.groups();
        let lists = groups
            .keys()
            .flat_map(|name| ["balance_workers", "balanced_workers"].map(|list| format!("worker.{name}.{list}")));
        self.named_in(&lists.collect::<Vec<_>>())
    }

    /// What a text editor or a deployment tool left behind.
    fn texts(&mut self) {
        for entry in self.properties.entries().filter(|entry| entry.inherited.is_none()) {
            let invisible = |text: &str| text.contains(['\u{a0}', '\u{200b}', '\u{feff}', '\u{2060}']);
            if invisible(&entry.key) || invisible(&entry.value) {
                self.say(
                    Some(entry),
                    format!("{:?} or its value contains an invisible character (such as a no-break space)", entry.key),
                );
            }
            if !entry.key.starts_with("worker.") {
                continue;
            }
            if entry.key.matches('.').count() == 1 && !["worker.list", "worker.maintain"].contains(&entry.key.as_str())
            {
                self.say(
                    Some(entry),
                    format!("{} names no worker; it is written worker.<name>.<attribute>", entry.key),
                );
            }
            if !is_secret(&entry.key)
                && let Some(placeholder) = placeholder(&entry.value)
            {
                let message = format!(
                    "{} contains {placeholder:?}, which nothing replaces here; variables are written $(NAME)",
                    entry.key
                );
                self.say(Some(entry), message);
            }
        }
    }

    /// A name without any setting is an AJP worker for localhost:8009, which is hardly ever what a mistyped name should be.
    fn undefined_names(&mut self) {
        let groups = self.groups();
        let listed = self.named_in(&["worker.list".to_owned()]);
        let mut seen = BTreeSet::new();
        for (name, list) in listed.into_iter().chain(self.members()) {
            if groups.contains_key(name) || !seen.insert(name) {
                continue;
            }
            let hint = if name.contains("stat") || name.contains("manager") {
                format!("; a status page needs worker.{name}.type=status")
            } else {
                let near = nearest(name, groups.keys().copied());
                near.map_or(String::new(), |near| format!("; did you mean {near:?}?"))
            };
            let message = format!(
                "{} names {name:?}, of which nothing else is said: an ajp13 worker for localhost:8009{hint}",
                list.key
            );
            self.say(Some(list), message);
        }
    }

    fn balancers_without_type(&mut self) {
        for name in self.groups().into_keys() {
            let list = self.entry(name, "balance_workers").or_else(|| self.entry(name, "balanced_workers"));
            if let (Some(list), None) = (list, self.entry(name, "type")) {
                let message =
                    format!("{} is given, but without worker.{name}.type=lb it means nothing", written_key(list));
                self.say(Some(list), message);
            }
        }
    }

    /// Settings of workers that are in no list, are no members and no templates.
    fn unreachable_groups(&mut self) {
        let members = self.members();
        let mut used: BTreeSet<&str> = members.iter().map(|(name, _)| *name).collect();
        used.extend(self.named_in(&["worker.list".to_owned()]).into_iter().map(|(name, _)| name));
        if self.properties.get("worker.list").is_none() {
            used.insert("ajp13");
        }
        let reference =
            |entry: &'a Entry| entry.key.ends_with(".reference").then(|| entry.value.strip_prefix("worker."))?;
        let templates: BTreeSet<&str> = self.properties.entries().filter_map(reference).collect();
        let groups = self.groups();
        let missing: Vec<&str> = used.iter().copied().filter(|name| !groups.contains_key(name)).collect();
        used.extend(templates);
        // Of a name with dots only the whole is a worker, but `worker.a.b.host` may also be meant for a group inside of `a`.
        let above: BTreeSet<&str> = used.iter().flat_map(|name| above(name)).collect();
        for (name, entry) in groups {
            if name.is_empty()
                || used.contains(name)
                || above.contains(name)
                || self::above(name).any(|name| used.contains(name))
            {
                continue;
            }
            let near = nearest(name, missing.iter().copied());
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            let message = format!(
                "worker {name:?} can never be used: it is not in worker.list and no balancer has it as a member{hint}"
            );
            self.say(Some(entry), message);
        }
    }

    /// Attributes of another sort of worker. What came from a template counts only if nobody who has it from there can use it.
    fn misplaced_attributes(&mut self) {
        let mut useful: BTreeMap<String, bool> = BTreeMap::new();
        let mut candidates: BTreeMap<String, (&Entry, &str)> = BTreeMap::new();
        for (name, scope) in self.workers() {
            let prefix = format!("worker.{name}.");
            for (attribute, entry) in self.properties.under(&prefix) {
                let rows: Vec<&Attribute> = ATTRIBUTES.iter().filter(|row| row.name == attribute).collect();
                let complained = |row: &&Attribute| matches!(row.standing, Standing::Dead | Standing::Foreign(_));
                if rows.is_empty() || rows.iter().any(complained) {
                    continue;
                }
                let fits = rows.iter().any(|row| row.is_for(scope) && row.standing != Standing::Silent);
                *useful.entry(written_key(entry)).or_default() |= fits;
                if !fits {
                    candidates.entry(written_key(entry)).or_insert((entry, name));
                }
            }
        }
        for (key, (entry, name)) in candidates {
            let untyped_lb = entry.key.ends_with(".balance_workers") || entry.key.ends_with(".balanced_workers");
            if useful.get(&key) == Some(&true) || (untyped_lb && self.entry(name, "type").is_none()) {
                continue;
            }
            let sort = self.entry(name, "type").map_or("ajp13", |entry| &entry.value);
            self.say(
                Some(entry),
                format!("{key} has no effect: {name:?} is of type {sort}, which does not have this attribute"),
            );
        }
    }

    /// Every worker that exists, and its sort.
    fn workers(&self) -> Vec<(&'a str, Scope)> {
        let ajp = self.config.ajp.iter().map(|worker| (worker.name.as_str(), Scope::Member));
        let others = self.config.list.iter().filter_map(|worker| match worker {
            WorkerConfig::Ajp(_) => None,
            WorkerConfig::Lb(lb) => Some((lb.name.as_str(), Scope::Lb)),
            WorkerConfig::Status(status) => Some((status.name.as_str(), Scope::Status)),
        });
        ajp.chain(others).collect()
    }

    /// `jkx.worker.*` for workers that do not exist or are of another sort.
    fn misplaced_extras(&mut self) {
        let workers: BTreeMap<&str, Scope> = self.workers().into_iter().collect();
        let templates = self.groups();
        for entry in self.properties.entries().filter(|entry| entry.inherited.is_none()) {
            let Some((name, attribute)) = entry.key.strip_prefix("jkx.worker.").and_then(|rest| rest.rsplit_once('.'))
            else {
                continue;
            };
            let Some(row) = extra(attribute) else { continue };
            match workers.get(name) {
                Some(scope) if !row.is_for(*scope) => {
                    self.say(Some(entry), format!("{} has no effect on this type of worker", entry.key));
                }
                None if !templates.contains_key(name) => {
                    let near = nearest(name, workers.keys().copied());
                    let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
                    self.say(Some(entry), format!("{} is for a worker that does not exist{hint}", entry.key));
                }
                _ => {}
            }
        }
    }

    fn timeouts(&mut self) {
        let names = |test: &dyn Fn(&AjpConfig) -> bool| {
            let found =
                self.config.ajp.iter().filter(|worker| worker.settings.port > 0 || worker.unix_socket.is_some());
            found.filter(|worker| test(worker)).map(|worker| worker.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let patient = names(&|worker| worker.socket_timeout_s == 0 && worker.settings.reply_timeout_ms == 0);
        let connecting = names(&|worker| worker.socket_connect_timeout_ms == 0 && worker.unix_socket.is_none());
        if !patient.is_empty() {
            self.say(
                None,
                format!(
                    "no socket_timeout and no reply_timeout for {patient}: requests wait for ever for a backend that hangs, until \
                     no thread of httpd is left"
                ),
            );
        }
        if !connecting.is_empty() {
            self.say(
                None,
                format!(
                    "no socket_connect_timeout for {connecting}: a host that is down without a word is waited for as long as the \
                     system tries, often two minutes"
                ),
            );
        }
    }

    fn pools(&mut self) {
        for worker in &self.config.ajp {
            if worker.connection_pool_size == 0 {
                let at =
                    self.entry(&worker.name, "connection_pool_size").or_else(|| self.entry(&worker.name, "cachesize"));
                self.say(at, format!("worker {:?} has a pool of 0 connections: every request is refused", worker.name));
            }
            if let Some(at) = self.entry(&worker.name, "connection_acquire_timeout")
                && worker.connection_acquire_timeout_ms == 0
            {
                let key = written_key(at);
                self.say(Some(at), format!("{key} is 0: C mod_jk never gets a connection then"));
            }
        }
    }

    /// `recovery_options` that allow what the default of this module does not.
    fn repeated_requests(&mut self) {
        let mut rounds: BTreeMap<usize, u32> = BTreeMap::new();
        for worker in &self.config.list {
            if let WorkerConfig::Lb(lb) = worker {
                for member in &lb.members {
                    let tries = lb.settings.retries.saturating_mul(lb.lb_retries);
                    let most = rounds.entry(member.ajp).or_insert(1);
                    *most = (*most).max(tries);
                }
            }
        }
        for (index, worker) in self.config.ajp.iter().enumerate() {
            let times = worker.settings.retries.saturating_mul(rounds.get(&index).copied().unwrap_or(1));
            let Some(options) = worker.settings.recovery_options else { continue };
            if options & NOT_AFTER_SEND == 0
                && times > 1
                && let Some(at) = self.entry(&worker.name, "recovery_options")
            {
                let key = written_key(at);
                let message = format!(
                    "{key}={options} lets a request that was sent be sent again, up to {times} times in all, also a POST; leave it \
                     out or use 3"
                );
                self.say(Some(at), message);
            }
        }
    }

    /// Members of one balancer that are the same backend.
    fn shared_backends(&mut self, lb: &LbConfig) {
        let mut backends: BTreeMap<String, &str> = BTreeMap::new();
        for worker in lb.members.iter().filter_map(|member| self.config.ajp.get(member.ajp)) {
            let backend = match &worker.unix_socket {
                Some(path) => path.clone(),
                None if worker.settings.port == 0 => continue,
                None => format!("{}:{}", worker.settings.host, worker.settings.port),
            };
            if let Some(first) = backends.get(&backend) {
                let at = ["port", "host", "type"].iter().find_map(|name| self.entry(&worker.name, name));
                let message =
                    format!("members {first:?} and {:?} of the balancer {:?} are both {backend}", worker.name, lb.name);
                self.say(at, message);
            } else {
                backends.insert(backend, &worker.name);
            }
        }
    }

    /// `redirect` takes a route, not a worker name.
    fn redirects(&mut self, lb: &LbConfig) {
        for member in &lb.members {
            let redirect = &member.settings.redirect;
            let routes = || lb.members.iter().map(|other| other.settings.route.as_str());
            let domains = || lb.members.iter().map(|other| other.settings.domain.as_str());
            let Some(worker) = self.config.ajp.get(member.ajp) else { continue };
            if redirect.is_empty() || routes().chain(domains()).any(|known| known == redirect) {
                continue;
            }
            let by_name = |other: &&super::MemberConfig| {
                self.config.ajp.get(other.ajp).is_some_and(|worker| worker.name == *redirect)
            };
            let meant = lb.members.iter().find(by_name).map(|other| other.settings.route.as_str());
            let hint = meant
                .or_else(|| nearest(redirect, routes()))
                .map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            let at = self.entry(&worker.name, "redirect");
            let message = format!(
                "worker.{}.redirect must be the route of another member of {:?}, found {redirect:?}{hint}",
                worker.name, lb.name
            );
            self.say(at, message);
        }
    }

    fn balancer(&mut self, lb: &LbConfig) {
        let type_entry = self.entry(&lb.name, "type");
        if !lb.members.is_empty() && lb.members.iter().all(|member| member.settings.activation != Activation::Active) {
            let message =
                format!("no member of the balancer {:?} is active: requests without a session are refused", lb.name);
            self.say(type_entry, message);
        }
        if lb.settings.sticky_session_force && !lb.settings.sticky_session {
            let at = self.entry(&lb.name, "sticky_session_force");
            self.say(
                at,
                format!("worker.{0}.sticky_session_force has no effect without worker.{0}.sticky_session", lb.name),
            );
        }
        if self.config.maintain_s == 0 {
            let at = self.properties.get("worker.maintain");
            self.say(at, "worker.maintain is 0: members in error never come back by themselves".to_owned());
        }
        let mut ajp = lb.members.iter().filter_map(|member| self.config.ajp.get(member.ajp));
        if lb.settings.max_reply_timeouts == 0
            && let Some(worker) = ajp.find(|worker| worker.settings.reply_timeout_ms > 0)
        {
            let at = self.entry(&worker.name, "reply_timeout");
            let message = format!(
                "reply_timeout without worker.{}.max_reply_timeouts: a single slow page takes the whole member out of service",
                lb.name
            );
            self.say(at, message);
        }
    }
}

/// `a.b` and `a` for `a.b.c`.
fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').filter_map(move |(dot, _)| name.get(..dot))
}

/// A variable of some other tool: `${NAME}`, `{{name}}`, `<%= name %>`, `$NAME`.
fn placeholder(text: &str) -> Option<&str> {
    for (open, close) in [("${", "}"), ("{{", "}}"), ("<%", "%>")] {
        if let Some(start) = text.find(open) {
            let found = text.get(start..)?;
            return Some(found.find(close).and_then(|end| found.get(..end + close.len())).unwrap_or(found));
        }
    }
    let found = text.get(text.find('$')?..)?;
    let name = found.get(1..)?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (name.starts_with(|c: char| c.is_ascii_uppercase()) && end > 1).then(|| found.get(..=end))?
}

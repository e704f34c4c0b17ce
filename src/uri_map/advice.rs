//! What is legal in a set of rules but is hardly meant, and rules that name workers that do not exist.
//!
//! Not here: what cannot be read at all (`rule`, `options`, `mount_file`). The surprising thing: whether one rule covers
//! another is asked by looking up the other's pattern as if it were a URI. Stars and question marks of a pattern are
//! matched by wildcards only, so the answer costs one lookup and is never wrong about `*`; rules with `?` are left out.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use super::near::{near, shown};
use super::{Rule, UriMap, wildcard};
use crate::properties::{Diagnostic, Severity};

/// A worker that rules may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorker<'w> {
    /// As in `worker.list`.
    pub name: &'w str,
    /// What it is.
    pub kind: WorkerKind,
    /// Names of a balancer's members; empty for others.
    pub members: Vec<&'w str>,
}

/// The kinds of worker that differ in what rule settings mean for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// One container.
    Ajp,
    /// A balancer.
    Lb,
    /// The status page.
    Status,
}

/// Comparing names for a suggestion is given up beyond this many pairs.
const MAX_COMPARISONS: usize = 1_000_000;

impl UriMap {
    /// Rules against workers: unknown workers (requests for them get 500), unknown members, and settings that a worker of
    /// that kind ignores. Exclusions and disabled rules are not judged (reference: apache-side.md section 3.6).
    pub fn check_workers(&self, known: &[KnownWorker<'_>]) -> Vec<Diagnostic> {
        let by_name: HashMap<&[u8], &KnownWorker<'_>> = known.iter().map(|w| (w.name.as_bytes(), w)).collect();
        let mut findings = Vec::new();
        let mut unknown: Vec<(&Rule, usize)> = Vec::new();
        let mut place_of: HashMap<&[u8], usize> = HashMap::new();
        let mut judged = HashSet::new();
        for rule in self.rules().iter().filter(|rule| rule.is_live_mount()) {
            match (by_name.get(&*rule.worker), place_of.entry(&rule.worker)) {
                // Both rules of `X|Y` share their settings; one of them is enough.
                (Some(worker), _) if judged.insert((Arc::as_ptr(&rule.options), worker.name)) => {
                    check_options(rule, worker, &mut findings);
                }
                (Some(_), _) => {}
                (None, Entry::Vacant(free)) => {
                    free.insert(unknown.len());
                    unknown.push((rule, 1));
                }
                (None, Entry::Occupied(taken)) => {
                    if let Some((_, count)) = unknown.get_mut(*taken.get()) {
                        *count += 1;
                    }
                }
            }
        }
        let suggest = unknown.len().saturating_mul(known.len()) <= MAX_COMPARISONS;
        let names = || known.iter().map(|worker| worker.name.as_bytes());
        findings.extend(unknown.into_iter().map(|(rule, count)| {
            let hint = match near(&rule.worker, names().filter(|_| suggest)) {
                Some(name) => format!(", did you mean \"{}\"?", shown(name)),
                None if *rule.worker == *b"*" => "; '*' stands for every worker in exclusions only".to_owned(),
                None => String::new(),
            };
            let others = if count > 1 { format!(" (and in {} more rules)", count - 1) } else { String::new() };
            let (worker, pattern) = (shown(&rule.worker), shown(&rule.pattern));
            warning(rule, format!("worker \"{worker}\" of rule \"{pattern}\"{others} does not exist: requests for it get status 500{hint}"))
        }));
        findings
    }

    /// Rules that can never act, and rules that do more or less than they seem to. All of it is legal. Takes one or two
    /// lookups per rule.
    pub fn advice(&self) -> Vec<Diagnostic> {
        let mounted: HashSet<&[u8]> =
            self.rules().iter().filter(|rule| !rule.exclusion).map(|rule| &*rule.worker).collect();
        let mut findings = Vec::new();
        for (rank, rule) in (0..super::NO_RANK).zip(self.rules()).filter(|(_, rule)| !rule.disabled) {
            let pattern = shown(&rule.pattern);
            if let Some(why) = never_normal(&rule.pattern) {
                findings.push(advice(rule, format!("rule \"{pattern}\" can never match: {why}")));
            } else if rule.exclusion {
                if *rule.worker != *b"*" && !mounted.contains(&*rule.worker) {
                    findings.push(self.useless_exclusion(rule, &mounted));
                }
            } else if let Some(message) = self.dead(rank, rule) {
                findings.push(advice(rule, message));
            }
            if let Some(stem) = open_prefix(&rule.pattern) {
                let stem = shown(stem);
                let message = format!(
                    "rule \"{pattern}\" also takes \"{stem}other\"; \"{stem}|/*\" takes \"{stem}\" and what is below"
                );
                findings.push(advice(rule, message));
            }
            if has_escape(&rule.pattern) {
                let message = format!("rule \"{pattern}\" is compared with the decoded URI: '%' stands for itself");
                findings.push(advice(rule, message));
            }
        }
        findings
    }

    /// Why a live mount never serves anything.
    fn dead(&self, rank: u32, rule: &Rule) -> Option<String> {
        let pattern = shown(&rule.pattern);
        let first = self.mounts.find(&self.rules, &rule.pattern).filter(|first| *first < rank);
        if let Some(other) = first.and_then(|first| self.rules.get(first as usize))
            && covers(other, rule)
            && (other.worker != rule.worker || other.options != rule.options)
        {
            let (worker, place) = (shown(&other.worker), place(other));
            let other = shown(&other.pattern);
            return Some(format!(
                "rule \"{pattern}\" is never used: \"{other}\"{place} goes before it and takes the same URIs to \"{worker}\""
            ));
        }
        let by = self.exclusion_of(rank, &rule.pattern).and_then(|by| self.rules.get(by as usize))?;
        covers(by, rule).then(|| {
            let worker = shown(&by.worker);
            format!(
                "rule \"{pattern}\" is never used: \"!{}\" for \"{worker}\"{} excludes all of it",
                shown(&by.pattern),
                place(by)
            )
        })
    }

    fn useless_exclusion(&self, rule: &Rule, mounted: &HashSet<&[u8]>) -> Diagnostic {
        let names = mounted.iter().copied().filter(|_| mounted.len() <= MAX_SUGGESTED);
        let hint = match near(&rule.worker, names) {
            Some(name) => format!(", did you mean \"{}\"?", shown(name)),
            None => ", '*' excludes for every worker".to_owned(),
        };
        let (pattern, worker) = (shown(&rule.pattern), shown(&rule.worker));
        advice(rule, format!("exclusion \"{pattern}\" has no effect: no rule mounts worker \"{worker}\"{hint}"))
    }
}

/// More mounted workers than this are not searched for a near name, exclusion by exclusion.
const MAX_SUGGESTED: usize = 100;

/// Settings that name members, or make sense for balancers only.
fn check_options(rule: &Rule, worker: &KnownWorker<'_>, findings: &mut Vec<Diagnostic>) {
    let options = &*rule.options;
    let lists = [("active", &options.active), ("disabled", &options.disabled), ("stopped", &options.stopped)];
    let lists = lists.into_iter().filter_map(|(word, list)| list.as_ref().map(|list| (word, list)));
    if worker.kind != WorkerKind::Lb {
        let texts = [
            ("session_cookie", options.session_cookie.is_some()),
            ("session_path", options.session_path.is_some()),
            ("set_session_cookie", options.set_session_cookie),
            ("session_cookie_path", options.session_cookie_path.is_some()),
        ];
        let given =
            lists.map(|(word, _)| word).chain(texts.into_iter().filter(|(_, given)| *given).map(|(word, _)| word));
        findings.extend(given.map(|word| {
            warning(rule, format!("rule extension {word} is ignored: worker \"{}\" is no load balancer", worker.name))
        }));
        return;
    }
    let mut seen: HashMap<&[u8], &str> = HashMap::new();
    for (word, list) in lists {
        for member in list.names() {
            if !worker.members.iter().any(|name| name.as_bytes() == member) {
                let hint = near(member, worker.members.iter().map(|name| name.as_bytes()));
                let hint = hint.map(|name| format!(", did you mean \"{}\"?", shown(name))).unwrap_or_default();
                let (balancer, member) = (worker.name, shown(member));
                findings.push(warning(
                    rule,
                    format!("rule extension {word}: balancer \"{balancer}\" has no member \"{member}\"{hint}"),
                ));
            } else if let Some(before) = seen.insert(member, word).filter(|before| *before != word) {
                let member = shown(member);
                findings.push(warning(
                    rule,
                    format!("member \"{member}\" is both {before} and {word} in one rule: {word} holds"),
                ));
            }
        }
    }
}

/// Whether everything `rule` matches is matched by `other` too, given that `other` matches the pattern of `rule` as a
/// text. A `?` of the one may have met a `*` of the other, so then nothing is claimed.
fn covers(other: &Rule, rule: &Rule) -> bool {
    !rule.wildcard || other.pattern == rule.pattern || memchr::memchr(b'?', &other.pattern).is_none()
}

/// What a pattern demands that no normalised URI has.
fn never_normal(pattern: &[u8]) -> Option<&'static str> {
    if pattern.contains(&b';') {
        return Some("path parameters (';') are removed before rules are tried");
    }
    let mut segments = pattern.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"" if segments.peek().is_some() => return Some("runs of '/' are collapsed before rules are tried"),
            b"." | b".." => return Some("'.' and '..' are resolved before rules are tried"),
            _ => {}
        }
    }
    None
}

/// `/app` of `/app*`; none when a slash or another wildcard stands before the star.
fn open_prefix(pattern: &[u8]) -> Option<&[u8]> {
    let stem = pattern.strip_suffix(b"*")?;
    (!stem.ends_with(b"/") && !wildcard::is_wildcard(stem)).then_some(stem)
}

/// `%` with two hexadecimal digits behind it.
fn has_escape(pattern: &[u8]) -> bool {
    pattern.windows(3).any(|window| matches!(window, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// ` (file:line)`, or nothing.
fn place(rule: &Rule) -> String {
    match &rule.origin {
        Some(at) if at.line > 0 => format!(" ({}:{})", at.file, at.line),
        Some(at) => format!(" ({})", at.file),
        None => String::new(),
    }
}

fn warning(rule: &Rule, message: String) -> Diagnostic {
    Diagnostic { origin: rule.origin.clone(), severity: Severity::Warning, message }
}

fn advice(rule: &Rule, message: String) -> Diagnostic {
    Diagnostic { origin: rule.origin.clone(), severity: Severity::Advice, message }
}

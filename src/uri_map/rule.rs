//! One rule: a pattern, the worker it names, and its settings.
//!
//! Not here: the text of mount files (`mount_file`), the order of rules (`UriMap`). The surprising thing: `X|Y` is two
//! rules, `X` and `XY`, and only the first `|` counts (reference: apache-side.md section 3.3).

use std::sync::Arc;

use super::near::shown;
use super::options::{RuleOptions, parse_options, split_worker};
use super::wildcard;
use crate::properties::{Diagnostic, Origin, Severity};

/// Who wrote a rule. On equal rank the greater one goes first (reference: apache-side.md section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `worker.<name>.mount`.
    WorkerMount = 1,
    /// JkMount and JkUnMount.
    JkMount = 2,
    /// The file of JkMountFile.
    MountFile = 3,
}

impl Source {
    /// The word of the status page (reference: lb-shm-status.md section 4.7).
    pub fn text(self) -> &'static str {
        match self {
            Self::WorkerMount => "worker definition",
            Self::JkMount => "JkMount",
            Self::MountFile => "uriworkermap",
        }
    }
}

/// One rule. Two of these come from one line with `|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Begins with `/`; without the prefixes `-` and `!`.
    pub pattern: Arc<[u8]>,
    /// Worker as written, up to the first `;`. In an exclusion `*` stands for every worker.
    pub worker: Arc<[u8]>,
    /// Where the worker stands among those that the map was built for; `None` = it is none of them.
    pub place: Option<u32>,
    /// Settings; parsed but without effect in an exclusion. Shared, so that a request can keep them over a reload.
    pub options: Arc<RuleOptions>,
    /// The settings say nothing, as those of most rules.
    pub plain: bool,
    /// The pattern has a `*` or `?`.
    pub wildcard: bool,
    /// `!`: what it matches is not for its worker.
    pub exclusion: bool,
    /// `-`: as if it were not there, but for the status page.
    pub disabled: bool,
    /// Who wrote it.
    pub source: Source,
    /// Where it was written.
    pub origin: Option<Origin>,
}

impl Rule {
    /// Whether the pattern covers the whole of a normalised URI. Neither `disabled` nor `exclusion` matter here.
    pub fn matches(&self, normalized_uri: &[u8]) -> bool {
        if self.wildcard { wildcard::matches(&self.pattern, normalized_uri) } else { *self.pattern == *normalized_uri }
    }

    /// The words of the status page, like `Disabled Unmount Wildchar` (reference: lb-shm-status.md section 4.7).
    pub fn type_text(&self) -> &'static str {
        match (self.disabled, self.exclusion, self.wildcard) {
            (false, false, false) => "Exact",
            (false, false, true) => "Wildchar",
            (false, true, false) => "Unmount Exact",
            (false, true, true) => "Unmount Wildchar",
            (true, false, false) => "Disabled Exact",
            (true, false, true) => "Disabled Wildchar",
            (true, true, false) => "Disabled Unmount Exact",
            (true, true, true) => "Disabled Unmount Wildchar",
        }
    }

    /// Whether it sends requests to its worker.
    pub fn is_live_mount(&self) -> bool {
        !self.exclusion && !self.disabled
    }

    /// Whether it keeps requests from its worker.
    pub fn is_live_exclusion(&self) -> bool {
        self.exclusion && !self.disabled
    }

    /// Place in the match order; the smallest goes first, ties keep their order of insertion
    /// (reference: apache-side.md section 3.4).
    pub(super) fn sort_key(&self) -> impl Ord + use<> {
        use std::cmp::Reverse;
        let slashes = memchr::memchr_iter(b'/', &self.pattern).count();
        (Reverse(slashes), Reverse(self.pattern.len()), Reverse(self.source))
    }
}

/// Rules and findings as they are collected from one source.
#[derive(Clone, Debug, Default)]
pub struct RuleList {
    /// In the order of insertion.
    pub rules: Vec<Rule>,
    /// In the order of insertion.
    pub diagnostics: Vec<Diagnostic>,
    /// What rules without settings share.
    plain: Arc<RuleOptions>,
}

impl RuleList {
    /// Adds what `JkMount pattern worker` means. httpd lets only patterns that begin with `/` come here.
    pub fn add_mount(&mut self, pattern: &[u8], worker: &[u8], origin: Option<Origin>) {
        self.add(Draft { pattern, worker, exclusion: false, disabled: false, source: Source::JkMount, origin });
    }

    /// Adds what `JkUnMount pattern worker` means.
    pub fn add_unmount(&mut self, pattern: &[u8], worker: &[u8], origin: Option<Origin>) {
        self.add(Draft { pattern, worker, exclusion: true, disabled: false, source: Source::JkMount, origin });
    }

    /// Adds one pattern of `worker.<name>.mount`. Here `|` is an ordinary character and the name is taken whole.
    pub fn add_worker_mount(&mut self, worker: &str, pattern: &str, origin: Option<Origin>) {
        let source = Source::WorkerMount;
        let worker = worker.as_bytes();
        let (draft, finding) = Draft::from_prefixed(pattern.as_bytes(), worker, source, origin);
        if let Some(finding) = finding {
            self.diagnostics.push(finding);
            return;
        }
        let plain = self.plain.clone();
        self.push(&draft, draft.pattern.into(), worker.into(), plain);
    }

    /// Adds one entry of a mount file: `-` and `!` are still in front of the pattern.
    pub(super) fn add_line(&mut self, pattern: &[u8], worker: &[u8], origin: Option<Origin>) {
        let (draft, finding) = Draft::from_prefixed(pattern, worker, Source::MountFile, origin);
        match finding {
            Some(finding) => self.diagnostics.push(finding),
            None => self.add(draft),
        }
    }

    fn add(&mut self, draft: Draft<'_>) {
        if let Some(finding) = draft.check_pattern(draft.pattern) {
            self.diagnostics.push(finding);
            return;
        }
        let (worker, settings) = split_worker(draft.worker);
        let options = if settings.is_empty() {
            self.plain.clone()
        } else {
            let (options, problems) = parse_options(settings);
            let findings = problems.into_iter().map(|problem| problem.into_diagnostic(draft.origin.clone()));
            self.diagnostics.extend(findings);
            Arc::new(options)
        };
        let worker: Arc<[u8]> = worker.into();
        match memchr::memchr(b'|', draft.pattern).and_then(|bar| draft.pattern.split_at_checked(bar)) {
            Some((head, tail)) => {
                let whole = [head, tail.get(1..).unwrap_or_default()].concat();
                self.push(&draft, head.into(), worker.clone(), options.clone());
                self.push(&draft, whole.into(), worker, options);
            }
            None => self.push(&draft, draft.pattern.into(), worker, options),
        }
    }

    fn push(&mut self, draft: &Draft<'_>, pattern: Arc<[u8]>, worker: Arc<[u8]>, options: Arc<RuleOptions>) {
        self.rules.push(Rule {
            wildcard: wildcard::is_wildcard(&pattern),
            pattern,
            worker,
            place: None,
            plain: options.is_plain(),
            options,
            exclusion: draft.exclusion,
            disabled: draft.disabled,
            source: draft.source,
            origin: draft.origin.clone(),
        });
    }
}

/// A rule before `|` is expanded and the worker is split.
struct Draft<'t> {
    pattern: &'t [u8],
    worker: &'t [u8],
    exclusion: bool,
    disabled: bool,
    source: Source,
    origin: Option<Origin>,
}

impl<'t> Draft<'t> {
    /// Takes `-`, then `!` off the pattern; the other way round is not a rule.
    fn from_prefixed(
        text: &'t [u8],
        worker: &'t [u8],
        source: Source,
        origin: Option<Origin>,
    ) -> (Self, Option<Diagnostic>) {
        let (disabled, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let (exclusion, pattern) = rest.strip_prefix(b"!").map_or((false, rest), |rest| (true, rest));
        let draft = Self { pattern, worker, exclusion, disabled, source, origin };
        let finding = draft.check_pattern(text);
        (draft, finding)
    }

    /// The finding about a pattern that is none. Fatal except in a mount file, where only the line goes.
    fn check_pattern(&self, written: &[u8]) -> Option<Diagnostic> {
        if self.pattern.starts_with(b"/") {
            return None;
        }
        let hint = match self.pattern.first() {
            Some(b'*' | b'?') => format!(", write \"/{}\"", shown(self.pattern)),
            Some(b'-') if self.exclusion => ", '-' goes before '!'".to_owned(),
            _ => String::new(),
        };
        let (severity, consequence) = match self.source {
            Source::MountFile => (Severity::Warning, ", the rule is dropped"),
            Source::JkMount | Source::WorkerMount => (Severity::Error, ""),
        };
        let message =
            format!("the pattern of a rule must begin with '/', found \"{}\"{hint}{consequence}", shown(written));
        Some(Diagnostic { origin: self.origin.clone(), severity, message })
    }
}

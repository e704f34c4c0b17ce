//! Why a URI goes where it goes: every rule that covers it, in match order, each with its verdict.
//!
//! Not here: the verdict itself, which is that of [`UriMap::lookup`]. The surprising thing: rules of lower rank are listed although no
//! request ever comes to them; they are what an admin compares with.

use super::{Lookup, Rule, UriMap};

/// A rule that covers the URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'m> {
    /// The rule.
    pub rule: &'m Rule,
    /// What became of it.
    pub why: Why,
}

/// What became of a rule that covers the URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It serves the URI.
    Wins,
    /// It was selected, but an exclusion for its worker covers the URI too.
    Excluded,
    /// The exclusion that keeps the URI from the worker of the selected rule.
    Excludes,
    /// Another exclusion of the same effect stands before it.
    ExcludesToo,
    /// An exclusion for a worker that was not selected.
    OtherWorker,
    /// A rule goes before it that has more slashes.
    FewerSlashes,
    /// A rule goes before it that has as many slashes and is longer.
    Shorter,
    /// A rule goes before it that is as long and comes from a stronger source.
    WeakerSource,
    /// A rule of the same rank was written before it.
    Later,
    /// Switched off with `-`.
    Disabled,
}

impl Why {
    /// One word, for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wins => "wins",
            Self::Excluded => "excluded",
            Self::Excludes => "excludes",
            Self::ExcludesToo => "excludes_too",
            Self::OtherWorker => "other_worker",
            Self::FewerSlashes => "fewer_slashes",
            Self::Shorter => "shorter",
            Self::WeakerSource => "weaker_source",
            Self::Later => "later",
            Self::Disabled => "disabled",
        }
    }

    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Wins => "wins",
            Self::Excluded => "is selected, but an exclusion for its worker matches; no other rule is tried",
            Self::Excludes => "keeps the URI from the worker of the selected rule",
            Self::ExcludesToo => "would keep the URI from the worker as well",
            Self::OtherWorker => "is an exclusion for a worker that was not selected",
            Self::FewerSlashes => "has fewer slashes than the selected rule",
            Self::Shorter => "is shorter than the selected rule",
            Self::WeakerSource => "comes from a source that counts less (mount file, JkMount, worker definition)",
            Self::Later => "was written after the selected rule",
            Self::Disabled => "is disabled",
        }
    }
}

impl UriMap {
    /// All rules that cover `normalized_uri`, in match order. Empty when rules are not even looked at (see [`Lookup`]).
    #[must_use]
    pub fn explain<'m>(&'m self, normalized_uri: &[u8]) -> Vec<Verdict<'m>> {
        let (selected, by) = match self.lookup(normalized_uri) {
            Lookup::Match(rule) => (Some(rule), None),
            Lookup::Excluded { rule, by } => (Some(rule), Some(by)),
            Lookup::None => (None, None),
            Lookup::TooLong | Lookup::Unsafe | Lookup::NotAPath => return Vec::new(),
        };
        let covering = self.rules.iter().filter(|rule| rule.matches(normalized_uri));
        covering.map(|rule| Verdict { rule, why: verdict(rule, selected, by) }).collect()
    }
}

fn verdict(rule: &Rule, selected: Option<&Rule>, by: Option<&Rule>) -> Why {
    let is = |other: Option<&Rule>| other.is_some_and(|other| std::ptr::eq(other, rule));
    if rule.disabled {
        return Why::Disabled;
    }
    if is(selected) {
        return if by.is_some() { Why::Excluded } else { Why::Wins };
    }
    if is(by) {
        return Why::Excludes;
    }
    let Some(selected) = selected else { return Why::OtherWorker };
    if rule.exclusion {
        let same = rule.worker == selected.worker || *rule.worker == *b"*";
        return if same { Why::ExcludesToo } else { Why::OtherWorker };
    }
    let slashes = |rule: &Rule| memchr::memchr_iter(b'/', &rule.pattern).count();
    if slashes(rule) != slashes(selected) {
        Why::FewerSlashes
    } else if rule.pattern.len() != selected.pattern.len() {
        Why::Shorter
    } else if rule.source != selected.source {
        Why::WeakerSource
    } else {
        Why::Later
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RuleList, UriMapBuilder};
    use super::*;

    fn map(build: impl FnOnce(&mut RuleList)) -> UriMap {
        let mut list = RuleList::default();
        build(&mut list);
        UriMapBuilder::from_parts(list.rules, Vec::new(), Vec::new()).build()
    }

    fn verdicts(map: &UriMap, uri: &str) -> Vec<(String, &'static str)> {
        let each = map.explain(uri.as_bytes()).into_iter();
        each.map(|verdict| (String::from_utf8_lossy(&verdict.rule.pattern).into_owned(), verdict.why.word())).collect()
    }

    fn expected(pairs: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        pairs.iter().map(|(pattern, why)| ((*pattern).to_owned(), *why)).collect()
    }

    #[test]
    fn rules_behind_the_winner_are_told_why() {
        let map = map(|list| {
            list.add_mount(b"/a/b/*", b"one", None);
            list.add_mount(b"/a/*", b"two", None);
            list.add_mount(b"/a*", b"three", None);
            list.add_mount(b"/a/b/*", b"four", None);
            list.add_mount(b"/z/*", b"five", None);
            list.add_worker_mount("six", "/a/b/*", None);
        });
        let all = [
            ("/a/b/*", "wins"),
            ("/a/b/*", "later"),
            ("/a/b/*", "weaker_source"),
            ("/a/*", "fewer_slashes"),
            ("/a*", "fewer_slashes"),
        ];
        assert_eq!(verdicts(&map, "/a/b/c"), expected(&all));
        assert_eq!(verdicts(&map, "/a/c"), expected(&[("/a/*", "wins"), ("/a*", "fewer_slashes")]));
        assert_eq!(verdicts(&map, "/nothing"), expected(&[]));
    }

    #[test]
    fn exclusions_are_told_apart_by_the_worker_they_are_for() {
        let map = map(|list| {
            list.add_mount(b"/a/*", b"one", None);
            list.add_unmount(b"/a/x*", b"one", None);
            list.add_unmount(b"/a/*.gif", b"*", None);
            list.add_unmount(b"/a/xy*", b"two", None);
        });
        let all =
            [("/a/*.gif", "excludes"), ("/a/xy*", "other_worker"), ("/a/x*", "excludes_too"), ("/a/*", "excluded")];
        assert_eq!(verdicts(&map, "/a/xy.gif"), expected(&all));
    }

    #[test]
    fn what_is_no_path_meets_no_rule() {
        let map = map(|list| list.add_mount(b"/*", b"one", None));
        assert_eq!(verdicts(&map, "*"), expected(&[]));
    }
}

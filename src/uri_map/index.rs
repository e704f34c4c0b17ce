//! Finds the first of many patterns that matches, without trying them all.
//!
//! Not here: exclusions, limits, what is first (`UriMap` hands in patterns by rank). The surprising thing: rank is not depth.
//! `/*/*/*` has more slashes than `/app*` and goes before it, so the search always looks at everything that lies on the
//! way of the URI and keeps the smallest rank.
//!
//! ```text
//! heads: trie over the text before the first wildcard
//!   node "/app"    exact  = rank of "/app"
//!   node "/app/"   prefix = rank of "/app/*"
//!   node "/"       group of "/*.jsp", "/*/x?/*", ...:
//!                    tails: trie over the text after the last wildcard, read backwards
//!                      node ".jsp"  bucket of the rules that end so
//!                        segments: trie over one whole segment that every match must have
//!                        fragments: trie over a text that every match must have somewhere
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::rule::Rule;
use super::trie::{Span, Trie};
use super::wildcard;

/// No rank. Ranks are positions in the list of rules, which is therefore shorter.
pub(super) const NO_RANK: u32 = u32::MAX;

/// Groups and buckets up to this size are searched in order: that is cheaper than another trie.
const FEW: usize = 8;

/// Patterns by rank, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Index {
    has_patterns: bool,
    heads: Trie<Head, false>,
    groups: Vec<Group>,
}

/// What the patterns with one literal head have in common.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The head is the whole pattern.
    exact: u32,
    /// Only stars follow.
    prefix: u32,
    /// Place of the others in `groups`.
    group: u32,
}

impl Default for Head {
    fn default() -> Self {
        Self { exact: NO_RANK, prefix: NO_RANK, group: NO_RANK }
    }
}

/// One pattern `head MIDDLE tail`, where MIDDLE begins and ends with a wildcard.
#[derive(Clone, Copy, Debug)]
struct Wild {
    rank: u32,
    middle: Span,
    /// Length of head and tail together: no shorter URI matches.
    literal: u32,
}

/// Patterns with the same head, in ascending rank.
#[derive(Debug)]
enum Group {
    Few(Box<[Wild]>),
    Many { tails: Trie<u32, true>, buckets: Vec<Bucket> },
}

/// Patterns with the same head and tail, in ascending rank.
#[derive(Debug, Default)]
struct Bucket {
    all: Box<[Wild]>,
    /// `None` when a plain scan is as good.
    parts: Option<Box<Parts>>,
}

/// The patterns of a large bucket, each in one of three places.
#[derive(Debug)]
struct Parts {
    /// By a segment that stands whole between two slashes of the pattern.
    segments: Keyed,
    /// By a text that has no wildcard, when there is no whole segment.
    fragments: Keyed,
    /// Only wildcards between head and tail.
    rest: Box<[Wild]>,
}

/// Patterns by a text that must be in every URI they match, in ascending rank under each text.
#[derive(Debug, Default)]
struct Keyed {
    texts: Trie<Span, false>,
    wilds: Box<[Wild]>,
}

impl Index {
    /// Takes the rules at the given ranks, which must ascend.
    pub(super) fn build(rules: &[Rule], ranks: impl IntoIterator<Item = u32>) -> Self {
        let mut heads: BTreeMap<&[u8], (Head, Vec<Wild>)> = BTreeMap::new();
        for rank in ranks {
            let Some(rule) = rules.get(rank as usize) else { continue };
            let (head, middle) = split_head(&rule.pattern);
            let (found, wilds) = heads.entry(head).or_default();
            if middle.is_empty() {
                found.exact = found.exact.min(rank);
            } else if middle.iter().all(|byte| *byte == b'*') {
                found.prefix = found.prefix.min(rank);
            } else {
                wilds.push(Wild::new(rank, &rule.pattern));
            }
        }
        let mut groups = Vec::new();
        let mut keys = Vec::with_capacity(heads.len());
        for (literal, (mut head, wilds)) in heads {
            if !wilds.is_empty() {
                head.group = u32::try_from(groups.len()).unwrap_or(NO_RANK);
                groups.push(Group::build(rules, wilds));
            }
            keys.push((literal.to_vec(), head));
        }
        Self { has_patterns: !keys.is_empty(), heads: Trie::build(&keys), groups }
    }

    /// The smallest rank whose pattern covers the whole of `uri`.
    #[inline]
    pub(super) fn find(&self, rules: &[Rule], uri: &[u8]) -> Option<u32> {
        if !self.has_patterns {
            return None;
        }
        let mut best = NO_RANK;
        self.heads.walk(uri, |head, rest| {
            best = best.min(head.prefix);
            if rest.is_empty() {
                best = best.min(head.exact);
            }
            if head.group != NO_RANK
                && let Some(group) = self.groups.get(head.group as usize)
            {
                group.find(rules, uri, rest, &mut best);
            }
        });
        (best != NO_RANK).then_some(best)
    }
}

impl Wild {
    fn new(rank: u32, pattern: &[u8]) -> Self {
        let head = split_head(pattern).0.len();
        let tail = split_tail(pattern).len();
        let literal = u32::try_from(head + tail).unwrap_or(u32::MAX);
        Self { rank, middle: Span::new(head, pattern.len().saturating_sub(head + tail)), literal }
    }

    /// Whether the pattern matches, given that its head and its tail do. `rest` is the URI behind the head.
    fn matches(self, rules: &[Rule], uri: &[u8], rest: &[u8]) -> bool {
        let Some(rule) = rules.get(self.rank as usize) else { return false };
        let middle = self.middle.of(&rule.pattern);
        let Some(length) = uri.len().checked_sub(self.literal as usize) else { return false };
        rest.get(..length).is_some_and(|between| wildcard::matches(middle, between))
    }
}

impl Group {
    fn build(rules: &[Rule], wilds: Vec<Wild>) -> Self {
        if wilds.len() <= FEW {
            return Self::Few(wilds.into());
        }
        let mut by_tail: BTreeMap<Vec<u8>, Vec<Wild>> = BTreeMap::new();
        for wild in wilds {
            let tail = rules.get(wild.rank as usize).map(|rule| split_tail(&rule.pattern)).unwrap_or_default();
            by_tail.entry(tail.iter().rev().copied().collect()).or_default().push(wild);
        }
        let mut keys = Vec::with_capacity(by_tail.len());
        let mut buckets = Vec::with_capacity(by_tail.len());
        for (tail, wilds) in by_tail {
            // Counted from 1, because 0 is what nodes without a bucket hold.
            buckets.push(Bucket::build(rules, wilds));
            keys.push((tail, u32::try_from(buckets.len()).unwrap_or_default()));
        }
        Self::Many { tails: Trie::build(&keys), buckets }
    }

    fn find(&self, rules: &[Rule], uri: &[u8], rest: &[u8], best: &mut u32) {
        match self {
            Self::Few(wilds) => {
                for wild in wilds {
                    let tail_matches = || {
                        let pattern = rules.get(wild.rank as usize).map(|rule| &*rule.pattern).unwrap_or_default();
                        uri.ends_with(split_tail(pattern))
                    };
                    if wild.rank >= *best {
                        return;
                    }
                    if tail_matches() && wild.matches(rules, uri, rest) {
                        *best = wild.rank;
                        return;
                    }
                }
            }
            Self::Many { tails, buckets } => tails.walk(rest, |bucket, _| {
                if let Some(bucket) = (bucket as usize).checked_sub(1).and_then(|place| buckets.get(place)) {
                    bucket.find(rules, uri, rest, best);
                }
            }),
        }
    }
}

impl Bucket {
    fn build(rules: &[Rule], wilds: Vec<Wild>) -> Self {
        let all: Box<[Wild]> = wilds.into();
        if all.len() <= FEW {
            return Self { all, parts: None };
        }
        let middle_of =
            |wild: &Wild| rules.get(wild.rank as usize).map(|rule| wild.middle.of(&rule.pattern)).unwrap_or_default();
        let (mut by_segment, mut by_fragment, mut rest) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let segment_uses = count(all.iter().flat_map(|wild| segments(middle_of(wild))));
        let fragment_uses = count(all.iter().flat_map(|wild| fragments(middle_of(wild))));
        for wild in &all {
            let middle = middle_of(wild);
            if let Some(segment) = rarest(segments(middle), &segment_uses) {
                by_segment.entry(segment).or_insert_with(Vec::new).push(*wild);
            } else if let Some(fragment) = rarest(fragments(middle), &fragment_uses) {
                by_fragment.entry(fragment).or_insert_with(Vec::new).push(*wild);
            } else {
                rest.push(*wild);
            }
        }
        let (segments, fragments) = (Keyed::build(by_segment), Keyed::build(by_fragment));
        Self { all, parts: Some(Box::new(Parts { segments, fragments, rest: rest.into() })) }
    }

    fn find(&self, rules: &[Rule], uri: &[u8], rest: &[u8], best: &mut u32) {
        let mut scan = |wilds: &[Wild]| {
            let hit = wilds.iter().take_while(|wild| wild.rank < *best).find(|wild| wild.matches(rules, uri, rest));
            if let Some(wild) = hit {
                *best = wild.rank;
            }
        };
        let Some(parts) = &self.parts else { return scan(&self.all) };
        scan(&parts.rest);
        // A URI may repeat a text that many rules share: never do more than the plain scan would.
        let mut budget = self.all.len();
        let mut scan_within_budget = |wilds: &[Wild]| match budget.checked_sub(wilds.len()) {
            Some(left) => {
                budget = left;
                scan(wilds);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        let in_segments = |scan: &mut dyn FnMut(&[Wild]) -> ControlFlow<()>| {
            rest.split(|byte| *byte == b'/').try_for_each(|segment| scan(parts.segments.whole(segment)))
        };
        let in_fragments = |scan: &mut dyn FnMut(&[Wild]) -> ControlFlow<()>| {
            (0..rest.len()).try_for_each(|start| parts.fragments.beginning(rest.get(start..).unwrap_or_default(), scan))
        };
        let mut done = ControlFlow::Continue(());
        if !parts.segments.wilds.is_empty() {
            done = in_segments(&mut scan_within_budget);
        }
        if done.is_continue() && !parts.fragments.wilds.is_empty() {
            done = in_fragments(&mut scan_within_budget);
        }
        if done.is_break() {
            scan(&self.all);
        }
    }
}

impl Keyed {
    fn build(by_text: BTreeMap<&[u8], Vec<Wild>>) -> Self {
        let mut wilds = Vec::new();
        let mut keys = Vec::with_capacity(by_text.len());
        for (text, found) in by_text {
            keys.push((text.to_vec(), Span::new(wilds.len(), found.len())));
            wilds.extend(found);
        }
        Self { texts: Trie::build(&keys), wilds: wilds.into() }
    }

    /// What is kept under exactly this text.
    fn whole(&self, text: &[u8]) -> &[Wild] {
        let mut found = Span::default();
        self.texts.walk(text, |span, left| {
            if left.is_empty() {
                found = span;
            }
        });
        found.of(&self.wilds)
    }

    /// What is kept under each text that `text` begins with.
    fn beginning(&self, text: &[u8], visit: &mut dyn FnMut(&[Wild]) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut done = ControlFlow::Continue(());
        self.texts.walk(text, |span, _| {
            if span != Span::default() && done.is_continue() {
                done = visit(span.of(&self.wilds));
            }
        });
        done
    }
}

/// The literal text before the first wildcard, and the pattern from there on.
fn split_head(pattern: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b'*', b'?', pattern).unwrap_or(pattern.len());
    pattern.split_at_checked(end).unwrap_or((pattern, b""))
}

/// The literal text after the last wildcard.
fn split_tail(pattern: &[u8]) -> &[u8] {
    let start = memchr::memrchr2(b'*', b'?', pattern).map_or(pattern.len(), |last| last + 1);
    pattern.get(start..).unwrap_or_default()
}

/// The stretches between two slashes that are free of wildcards: each is a segment of every URI that matches.
fn segments(middle: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut segments = middle.split(|byte| *byte == b'/');
    segments.next();
    segments.next_back();
    segments.filter(|segment| !segment.is_empty() && !wildcard::is_wildcard(segment))
}

/// The stretches between two wildcards.
fn fragments(middle: &[u8]) -> impl Iterator<Item = &[u8]> {
    middle.split(|byte| matches!(byte, b'*' | b'?')).filter(|fragment| !fragment.is_empty())
}

fn count<'p>(texts: impl Iterator<Item = &'p [u8]>) -> HashMap<&'p [u8], usize> {
    let mut uses = HashMap::new();
    for text in texts {
        *uses.entry(text).or_default() += 1;
    }
    uses
}

/// The text that the fewest patterns share; of several, the longest.
fn rarest<'p>(texts: impl Iterator<Item = &'p [u8]>, uses: &HashMap<&[u8], usize>) -> Option<&'p [u8]> {
    texts.min_by_key(|text| (uses.get(text).copied(), Reverse(text.len())))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::uri_map::{Lookup, MountTable, RuleList, Source, UriMap, UriMapBuilder};
    use proptest::prelude::*;

    /// Patterns with few heads and tails, so that groups and buckets of every kind fill up.
    fn pattern() -> impl Strategy<Value = String> {
        prop_oneof![
            "(/[ab]{1,2}){0,3}/?",
            "(/[ab]{1,2}){0,2}/?\\*",
            "/([ab]/)?\\*(\\.[ab]{1,2})?",
            "/([ab]/)?\\*/[abc]{1,2}/[*?][ab]?",
            "/[*?]([abc]{1,2}[*?]){1,3}",
            "/[ab*?/]{0,8}",
            "/[ab]?\\|/\\*",
        ]
    }

    fn uri() -> impl Strategy<Value = String> {
        prop_oneof!["(/[abc]{1,2}){0,5}/?", "(/[ab]{1,2}){1,3}\\.[ab]{1,2}", "/[ab/.*?]{0,10}", "(/a/b){1,20}"]
    }

    /// Prefix characters, pattern, worker, source.
    type Written = (&'static str, String, u8, u8);

    fn rules(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Written>> {
        let prefix = prop_oneof![6 => Just(""), 2 => Just("!"), 1 => Just("-"), 1 => Just("-!")];
        proptest::collection::vec((prefix, pattern(), 0..4u8, 0..3u8), count)
    }

    fn build(written: &[Written]) -> UriMap {
        let (mut table, mut mounts) = (MountTable::default(), RuleList::default());
        let mut file = String::new();
        for (prefix, pattern, worker, source) in written {
            let worker = ["*", "w1", "w2", "w3"][usize::from(*worker)];
            match (source, *prefix) {
                (0, "!") => table.put_unmount(pattern.as_bytes(), worker.as_bytes(), None),
                (0, _) => table.put_mount(pattern.as_bytes(), worker.as_bytes(), None),
                (1, _) => mounts.add_worker_mount(worker, &format!("{prefix}{pattern}"), None),
                _ => file.push_str(&format!("{prefix}{pattern}={worker}\n")),
            }
        }
        let (lines, _) = crate::uri_map::read_mount_file(file.as_bytes(), "map", |_| None);
        UriMapBuilder::from_parts(table.rules().rules, mounts.rules, lines).build()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn lookup_equals_the_plain_scan(
            written in prop_oneof![rules(0..12), rules(40..160)],
            uris in proptest::collection::vec(uri(), 1..40),
        ) {
            let map = build(&written);
            for uri in uris {
                prop_assert_eq!(map.lookup(uri.as_bytes()), map.lookup_by_scan(uri.as_bytes()), "{}", uri);
            }
        }

        #[test]
        fn rules_stand_in_match_order(written in rules(0..40)) {
            let map = build(&written);
            let slashes = |rule: &Rule| rule.pattern.iter().filter(|byte| **byte == b'/').count();
            for pair in map.rules().windows(2) {
                let (one, other) = (&pair[0], &pair[1]);
                prop_assert!((slashes(one), one.pattern.len(), one.source) >= (slashes(other), other.pattern.len(), other.source));
            }
        }

        #[test]
        fn a_rule_called_dead_serves_nothing(
            written in rules(1..30),
            uris in proptest::collection::vec(uri(), 1..40),
        ) {
            let map = build(&written);
            let dead: Vec<String> = map.advice().into_iter().map(|advice| advice.message)
                .filter(|message| message.contains("is never used: ") || message.contains("can never match: ")).collect();
            for uri in uris {
                let uri = crate::uri_map::normalize::normalize(uri.as_bytes()).unwrap_or_default();
                if let Lookup::Match(rule) = map.lookup(&uri) {
                    let name = format!("rule \"{}\" ", String::from_utf8_lossy(&rule.pattern));
                    // The same pattern may stand there twice, one of them dead; only rules with one pattern are claimed about.
                    let twins = map.rules().iter().filter(|other| other.is_live_mount() && other.pattern == rule.pattern).count();
                    prop_assert!(twins > 1 || !dead.iter().any(|message| message.starts_with(&name)), "{uri:?} {dead:?}");
                }
            }
        }
    }

    fn mounts(patterns: impl IntoIterator<Item = String>) -> UriMap {
        let mut list = RuleList::default();
        for pattern in patterns {
            list.add_mount(pattern.as_bytes(), b"w", None);
        }
        UriMapBuilder::from_parts(list.rules, Vec::new(), Vec::new()).build()
    }

    fn matched(map: &UriMap, uri: &str) -> Option<String> {
        match map.lookup(uri.as_bytes()) {
            Lookup::Match(rule) => Some(String::from_utf8_lossy(&rule.pattern).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn many_extensions_under_one_head_are_told_apart() {
        let map = mounts((0..100).map(|n| format!("/*.x{n}")));
        assert_eq!(matched(&map, "/a/b.x77").as_deref(), Some("/*.x77"));
        assert_eq!(matched(&map, "/.x7").as_deref(), Some("/*.x7"));
        assert_eq!(matched(&map, "/a/b.x777"), None);
    }

    #[test]
    fn many_inner_segments_under_one_head_are_told_apart() {
        let map = mounts((0..100).map(|n| format!("/*/s{n}/*")));
        assert_eq!(matched(&map, "/a/s77/b").as_deref(), Some("/*/s77/*"));
        assert_eq!(matched(&map, "/a/s777/b"), None);
        assert_eq!(matched(&map, "/a/s77"), None);
    }

    #[test]
    fn many_inner_texts_under_one_head_are_told_apart() {
        let map = mounts((100..200).map(|n| format!("/*a?{n}*")));
        assert_eq!(matched(&map, "/x/aa177b").as_deref(), Some("/*a?177*"));
        assert_eq!(matched(&map, "/x/a177b"), None);
    }

    #[test]
    fn rules_without_any_text_inside_are_found_among_many() {
        let patterns = (0..20).map(|n| format!("/*/s{n}/*")).chain(["/*??*".to_owned(), "/?*".to_owned()]);
        let map = mounts(patterns);
        assert_eq!(matched(&map, "/ab").as_deref(), Some("/*??*"));
        assert_eq!(matched(&map, "/a").as_deref(), Some("/?*"));
        assert_eq!(matched(&map, "/"), None);
    }

    #[test]
    fn a_segment_that_many_rules_share_and_the_uri_repeats_is_still_found() {
        let map = mounts((0..100).map(|n| format!("/*/s/*?{n}*")));
        let uri = format!("{}/s/x99", "/s".repeat(500));
        assert_eq!(matched(&map, &uri).as_deref(), Some("/*/s/*?99*"));
        assert_eq!(map.lookup(uri.as_bytes()), map.lookup_by_scan(uri.as_bytes()));
    }

    #[test]
    fn head_and_tail_do_not_share_bytes() {
        let map = mounts(["/ab*ba".to_owned()]);
        assert_eq!(matched(&map, "/aba"), None);
        assert_eq!(matched(&map, "/abba").as_deref(), Some("/ab*ba"));
    }

    #[test]
    fn more_slashes_go_before_a_longer_head() {
        let map = mounts(["/a?*/*/*".to_owned(), "/app/*".to_owned(), "/*/*/*".to_owned()]);
        assert_eq!(matched(&map, "/app/x/y").as_deref(), Some("/a?*/*/*"));
        assert_eq!(matched(&map, "/b/x/y").as_deref(), Some("/*/*/*"));
    }

    #[test]
    fn sources_are_ordered_as_their_texts_say() {
        assert!(Source::MountFile > Source::JkMount && Source::JkMount > Source::WorkerMount);
    }
}

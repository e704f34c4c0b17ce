//! Which worker serves this URI: rules from JkMount, the mount file and `worker.<name>.mount`. Pure.
//!
//! Not here: reading files and noticing that they changed (`apache`), and what a worker is (`config`). The surprising
//! thing: an exclusion is looked at only after a rule was selected, and then nothing serves the URI, not even a rule of
//! lower rank that names another worker (reference: apache-side.md section 3.5).
//!
//! ```text
//! JkMount, JkUnMount   -> MountTable      -> RuleList \
//! worker.<name>.mount  -> RuleList::add_worker_mount   > UriMapBuilder -> UriMap -> lookup(normalize(uri))
//! mount file           -> read_mount_file -> rules    /
//! ```

mod advice;
mod explain;
mod fuzz;
mod index;
mod mount_file;
mod mounts;
mod near;
pub mod normalize;
mod options;
pub mod rule;
mod trie;
pub(crate) mod wildcard;

pub use advice::{KnownWorker, WorkerKind};
pub use explain::{Verdict, Why};
pub use fuzz::{fuzz_match, fuzz_normalize, fuzz_uriworkermap};
pub use mount_file::{MAX_LINE, read_mount_file};
pub use mounts::MountTable;
pub use options::{MemberList, OptionProblem, RuleOptions, parse_options, split_worker};
pub use rule::{Rule, RuleList, Source};

use std::collections::HashMap;
use std::ffi::CString;

use index::{Index, NO_RANK};

/// Longest URI that is looked up, bytes; longer ones are not mapped (CVE-2007-0774; reference: apache-side.md section 3.7).
pub const MAX_URI: usize = 4_095;

/// Rules from the three sources, before they are put in order.
#[derive(Clone, Debug, Default)]
pub struct UriMapBuilder {
    rules: Vec<Rule>,
    places: HashMap<Vec<u8>, u32>,
    reject_unsafe_uri: bool,
}

impl UriMapBuilder {
    /// Takes the rules of each source in their order of insertion. When the mount file changed, the other two are given
    /// again as they were.
    pub fn from_parts(jk_mounts: Vec<Rule>, worker_mounts: Vec<Rule>, mount_file: Vec<Rule>) -> Self {
        let mut rules = jk_mounts;
        rules.extend(worker_mounts);
        rules.extend(mount_file);
        Self { rules, ..Self::default() }
    }

    /// The names of the workers there are: each rule learns the place of its own, the first of that name. An empty one is nobody's.
    #[must_use]
    pub fn workers(mut self, names: &[CString]) -> Self {
        for (name, place) in names.iter().zip(0..).filter(|(name, _)| !name.is_empty()) {
            self.places.entry(name.to_bytes().to_vec()).or_insert(place);
        }
        self
    }

    /// `JkOptions +RejectUnsafeURI`: a URI with `%` or `\` is not mapped.
    #[must_use]
    pub fn reject_unsafe_uri(mut self, on: bool) -> Self {
        self.reject_unsafe_uri = on;
        self
    }

    /// Sorts and compiles. Rules beyond the first 2^32 - 1 in match order would not be found; memory ends before.
    pub fn build(self) -> UriMap {
        let Self { mut rules, places, reject_unsafe_uri } = self;
        for rule in &mut rules {
            rule.place = places.get(&*rule.worker).copied();
        }
        rules.sort_by_cached_key(Rule::sort_key);
        let live = |wanted: fn(&Rule) -> bool| {
            (0..NO_RANK).zip(&rules).filter(move |(_, rule)| wanted(rule)).map(|(rank, rule)| (rank, &*rule.worker))
        };
        let mounts = Index::build(&rules, live(Rule::is_live_mount).map(|(rank, _)| rank));

        let mut by_worker: HashMap<&[u8], Vec<u32>> = HashMap::new();
        let has_exclusions = rules.iter().any(Rule::is_live_exclusion);
        for (rank, worker) in live(Rule::is_live_exclusion) {
            by_worker.entry(worker).or_default().push(rank);
        }
        let excluded_for_all = Index::build(&rules, by_worker.remove(b"*".as_slice()).unwrap_or_default());
        let mut places: HashMap<&[u8], u32> = HashMap::new();
        let mut exclusions = Vec::new();
        for ((worker, ranks), place) in by_worker.into_iter().zip(0..) {
            places.insert(worker, place);
            exclusions.push(Index::build(&rules, ranks));
        }
        let exclusions_of = rules.iter().map(|rule| places.get(&*rule.worker).copied().unwrap_or(NO_RANK)).collect();
        UriMap { mounts, has_exclusions, excluded_for_all, exclusions, exclusions_of, rules, reject_unsafe_uri }
    }
}

/// All rules of one server, in match order and compiled. Immutable: a reload builds another one.
///
/// A lookup costs a walk over the URI, however many rules there are, and allocates nothing.
#[derive(Debug, Default)]
pub struct UriMap {
    /// In match order; the position is the rank.
    rules: Vec<Rule>,
    mounts: Index,
    /// Some rule is one that is in force.
    has_exclusions: bool,
    /// Exclusions for the worker `*`.
    excluded_for_all: Index,
    /// Exclusions of one worker each.
    exclusions: Vec<Index>,
    /// Place in `exclusions` for the worker of each rule, `NO_RANK` when it has none. Parallel to `rules`.
    exclusions_of: Vec<u32>,
    reject_unsafe_uri: bool,
}

/// The answer for one URI. All but `Match` mean that mod_jk leaves the request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'m> {
    /// This rule serves it.
    Match(&'m Rule),
    /// A rule matches, but an exclusion for its worker does so too. Rules of lower rank are not tried.
    Excluded {
        /// The selected rule.
        rule: &'m Rule,
        /// The exclusion.
        by: &'m Rule,
    },
    /// No rule matches.
    None,
    /// Longer than [`MAX_URI`]; a warning in C mod_jk.
    TooLong,
    /// Has `%` or `\` under RejectUnsafeURI; an info line in C mod_jk.
    Unsafe,
    /// Does not begin with `/`: `*` (worth a debug line), or not normalised (a warning in C mod_jk).
    NotAPath,
}

impl UriMap {
    /// Finds the rule for a URI as [`normalize::normalize`] returns it.
    #[inline]
    pub fn lookup(&self, normalized_uri: &[u8]) -> Lookup<'_> {
        self.lookup_with(
            normalized_uri,
            |uri| self.mounts.find(&self.rules, uri),
            |rank, uri| if self.has_exclusions { self.exclusion_of(rank, uri) } else { None },
        )
    }

    /// The exclusion that keeps `uri` from the worker of the rule at `rank`; the first in match order, so that messages
    /// name the same one every time.
    fn exclusion_of(&self, rank: u32, uri: &[u8]) -> Option<u32> {
        let place = self.exclusions_of.get(rank as usize).copied().unwrap_or(NO_RANK);
        let own = self.exclusions.get(place as usize).and_then(|index| index.find(&self.rules, uri));
        let all = self.excluded_for_all.find(&self.rules, uri);
        own.into_iter().chain(all).min()
    }

    /// What [`UriMap::lookup`] must equal: every rule in order, then every exclusion in order.
    pub(crate) fn lookup_by_scan(&self, normalized_uri: &[u8]) -> Lookup<'_> {
        self.lookup_with(
            normalized_uri,
            |uri| self.first_rank(|rule| rule.is_live_mount() && rule.matches(uri)),
            |rank, uri| {
                let worker = self.rules.get(rank as usize).map(|rule| &rule.worker)?;
                let applies = |rule: &Rule| rule.worker == *worker || *rule.worker == *b"*";
                self.first_rank(|rule| rule.is_live_exclusion() && applies(rule) && rule.matches(uri))
            },
        )
    }

    #[inline]
    fn lookup_with(
        &self,
        uri: &[u8],
        select: impl FnOnce(&[u8]) -> Option<u32>,
        exclude: impl FnOnce(u32, &[u8]) -> Option<u32>,
    ) -> Lookup<'_> {
        if !uri.starts_with(b"/") {
            return Lookup::NotAPath;
        }
        if uri.len() > MAX_URI {
            return Lookup::TooLong;
        }
        if self.reject_unsafe_uri && memchr::memchr2(b'%', b'\\', uri).is_some() {
            return Lookup::Unsafe;
        }
        let Some(rank) = select(uri) else { return Lookup::None };
        let Some(rule) = self.rules.get(rank as usize) else { return Lookup::None };
        match exclude(rank, uri).and_then(|by| self.rules.get(by as usize)) {
            Some(by) => Lookup::Excluded { rule, by },
            None => Lookup::Match(rule),
        }
    }

    fn first_rank(&self, wanted: impl Fn(&Rule) -> bool) -> Option<u32> {
        (0..NO_RANK).zip(&self.rules).find(|(_, rule)| wanted(rule)).map(|(rank, _)| rank)
    }

    /// All rules in match order, exclusions and disabled ones included.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the status page lists for a worker: the rules that name it or `*`, in match order, counted from 1
    /// (reference: lb-shm-status.md section 4.7, section 4.8).
    pub fn rules_of<'m>(&'m self, worker: &'m [u8]) -> impl Iterator<Item = (usize, &'m Rule)> {
        let named = self.rules.iter().filter(move |rule| *rule.worker == *worker || *rule.worker == *b"*");
        (1..).zip(named)
    }

    /// Whether there is no rule at all. With a mount file configured, C mod_jk then writes an info line on every lookup.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

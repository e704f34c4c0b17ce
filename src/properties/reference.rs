//! `reference`: one group of entries takes what it does not say itself from another (reference: lb-shm-status.md section 1.6).
//!
//! Not here: what the entries mean. The surprising thing: the value is a whole key prefix (`worker.template`), not a worker name,
//! and it need not begin with `worker.`.

use std::collections::BTreeSet;

use super::{Diagnostic, Entry, MAX_ENTRIES, Properties, Severity};

/// References from one group to the next before C mod_jk gives up.
pub const MAX_HOPS: usize = 19;

/// Settings that only this module knows follow the same references; C mod_jk ignores them (DEVIATIONS section 1).
const PREFIXES: [&str; 2] = ["", "jkx."];

impl Properties {
    /// Copies what referenced groups say to the groups that refer to them, unless those say it themselves. Lists are not merged.
    ///
    /// Loops, chains of more than [`MAX_HOPS`] and prefixes without entries are errors; all of them are reported.
    pub fn resolve_references(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        let mut told: BTreeSet<(u32, String)> = BTreeSet::new();
        for group in self.referring_groups() {
            match self.chain(&group) {
                Ok(chain) => {
                    // The far end first, so that what it says has arrived one hop nearer when that hop is copied.
                    for (to, from) in chain.iter().zip(chain.iter().skip(1)).rev() {
                        self.inherit(to, from, diagnostics);
                    }
                }
                Err(problem) => {
                    let line = problem.origin.as_ref().map_or(0, |origin| origin.line);
                    if told.insert((line, problem.message.clone())) {
                        diagnostics.push(problem);
                    }
                }
            }
        }
    }

    /// Prefixes of the keys `worker.<...>.reference`, in the order written.
    fn referring_groups(&self) -> Vec<String> {
        self.entries()
            .filter(|entry| entry.key.starts_with("worker."))
            .filter_map(|entry| entry.key.strip_suffix(".reference"))
            .map(str::to_owned)
            .collect()
    }

    /// The group and all it refers to, one hop after the other.
    fn chain(&self, group: &str) -> Result<Vec<String>, Diagnostic> {
        let mut chain = vec![group.to_owned()];
        let mut last = group.to_owned();
        while let Some(entry) = self.get(&format!("{last}.reference")) {
            let target = entry.value.clone();
            let problem = |message: String| Err(entry.diagnostic(Severity::Error, message));
            if self.under(&format!("{target}.")).next().is_none() {
                return problem(self.missing(entry, &target));
            }
            if chain.contains(&target) {
                return problem(format!("{} goes round in a circle: {} -> {target}", entry.key, chain.join(" -> ")));
            }
            chain.push(target.clone());
            if chain.len() > MAX_HOPS + 1 {
                return problem(format!(
                    "{group}.reference leads over more than {MAX_HOPS} references, which is the limit"
                ));
            }
            last = target;
        }
        Ok(chain)
    }

    /// Says that nothing is found under a prefix, and what was probably meant.
    fn missing(&self, entry: &Entry, target: &str) -> String {
        let full = format!("worker.{target}");
        let hint = if self.under(&format!("{full}.")).next().is_some() {
            format!("; it takes a whole prefix, did you mean {full:?}?")
        } else {
            let groups: BTreeSet<&str> =
                self.entries().filter_map(|entry| entry.key.rsplit_once('.')).map(|(group, _)| group).collect();
            super::nearest(target, groups).map_or(String::new(), |near| format!("; did you mean {near:?}?"))
        };
        format!("{} must be the prefix of other entries, found {target:?}, under which there are none{hint}", entry.key)
    }

    fn inherit(&mut self, to: &str, from: &str, diagnostics: &mut Vec<Diagnostic>) {
        for prefix in PREFIXES {
            let source = format!("{prefix}{from}.");
            let mut found: Vec<(usize, String)> =
                self.under_indexed(&source).map(|(suffix, index)| (index, suffix.to_owned())).collect();
            found.sort_unstable();
            for (index, suffix) in found {
                let key = format!("{prefix}{to}.{suffix}");
                if self.get(&key).is_some() {
                    continue;
                }
                let Some(original) = self.entry(index) else { continue };
                let inherited = original.inherited.clone().unwrap_or_else(|| format!("{prefix}{from}").into());
                let copy = Entry { key, inherited: Some(inherited), ..original.clone() };
                if !self.append(copy) {
                    let message = format!("references make more than {MAX_ENTRIES} entries, which is the limit");
                    diagnostics.push(Diagnostic { origin: None, severity: Severity::Error, message });
                    return;
                }
            }
        }
    }
}

//! The JkMount and JkUnMount lines of one server, before they become rules.
//!
//! Not here: what a pattern means (`rule`). The surprising thing: a JkMount is keyed by its text, so `/dup` and `/dup|/z`
//! live side by side although both mount `/dup` (reference: apache-side.md section 1.1, section 1.2).

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use super::near::shown;
use super::options::split_worker;
use super::rule::RuleList;
use crate::properties::{Diagnostic, Origin, Severity};

/// Mounts and exclusions in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    entries: Vec<Mount>,
    by_key: HashMap<Vec<u8>, usize>,
    findings: Vec<Diagnostic>,
}

#[derive(Clone, Debug)]
struct Mount {
    exclusion: bool,
    pattern: Vec<u8>,
    worker: Vec<u8>,
    origin: Option<Origin>,
}

impl Mount {
    /// A mount is its pattern; an exclusion is its pattern and its worker, so that exclusions of one pattern for several
    /// workers all hold (DEVIATIONS section 5; in C mod_jk the last one wins).
    fn key(&self) -> Vec<u8> {
        if self.exclusion {
            [b"!", self.pattern.as_slice(), b"\0", split_worker(&self.worker).0].concat()
        } else {
            self.pattern.clone()
        }
    }
}

impl MountTable {
    /// Notes `JkMount pattern worker`; the same pattern again replaces the worker and keeps the place.
    pub fn put_mount(&mut self, pattern: &[u8], worker: &[u8], origin: Option<Origin>) {
        self.put(Mount { exclusion: false, pattern: pattern.into(), worker: worker.into(), origin });
    }

    /// Notes `JkUnMount pattern worker`.
    pub fn put_unmount(&mut self, pattern: &[u8], worker: &[u8], origin: Option<Origin>) {
        self.put(Mount { exclusion: true, pattern: pattern.into(), worker: worker.into(), origin });
    }

    /// JkMountCopy: adds what the main server has under patterns that are not used here (reference: apache-side.md section 1.1). The
    /// exclusions of a pattern are replaced as a whole, so that a virtual host can lift one of the main server's.
    pub fn copy_missing(&mut self, main: &Self) {
        let own: HashSet<(bool, Vec<u8>)> =
            self.entries.iter().map(|mount| (mount.exclusion, mount.pattern.clone())).collect();
        for mount in &main.entries {
            if !own.contains(&(mount.exclusion, mount.pattern.clone())) {
                self.put(mount.clone());
            }
        }
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The rules, and what is wrong with them.
    pub fn rules(&self) -> RuleList {
        let mut list = RuleList::default();
        list.diagnostics.clone_from(&self.findings);
        for Mount { exclusion, pattern, worker, origin } in &self.entries {
            if *exclusion {
                list.add_unmount(pattern, worker, origin.clone());
            } else {
                list.add_mount(pattern, worker, origin.clone());
            }
        }
        list
    }

    fn put(&mut self, mount: Mount) {
        let place = match self.by_key.entry(mount.key()) {
            Entry::Vacant(free) => {
                free.insert(self.entries.len());
                self.entries.push(mount);
                return;
            }
            Entry::Occupied(taken) => *taken.get(),
        };
        let Some(before) = self.entries.get_mut(place) else { return };
        if before.worker != mount.worker {
            let (old, new) = (shown(&before.worker), shown(&mount.worker));
            let message = format!("\"{}\" is mounted again: to {new}, no longer to {old}", shown(&mount.pattern));
            self.findings.push(Diagnostic { origin: mount.origin.clone(), severity: Severity::Advice, message });
        }
        *before = mount;
    }
}

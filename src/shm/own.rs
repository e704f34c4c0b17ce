//! In whose name a process counts; another one after its entry was lost.
//!
//! Not here: entries (`children.rs`). The surprising thing: this is memory of the process, not of the mapping.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Region;
use super::children::Child;

/// No child yet: the parent.
const NOBODY: u64 = u64::MAX;

/// The claim of this process, which any of its threads reads and its maintenance renews.
#[derive(Debug)]
pub struct OwnChild(AtomicU64);

impl Default for OwnChild {
    fn default() -> Self {
        Self(AtomicU64::new(NOBODY))
    }
}

impl OwnChild {
    /// In whose name to count; as one without an entry where nothing was claimed.
    #[inline]
    pub fn get(&self) -> Child {
        self.claimed().unwrap_or(Child::UNREGISTERED)
    }

    /// What was claimed.
    #[inline]
    pub fn claimed(&self) -> Option<Child> {
        let word = self.0.load(Ordering::Relaxed);
        (word != NOBODY).then(|| Child::from_word(word))
    }

    /// Claims an entry. Without one (more children than planned, a broken lock) counts are kept all the same, but not taken back when the
    /// child is killed.
    pub fn claim(&self, region: &Region) {
        let child = region.register_child().unwrap_or(Child::UNREGISTERED);
        self.0.store(child.to_word(), Ordering::Relaxed);
    }

    /// Claims an entry again when a child's own one was written over, or it got none. Race: of two threads both get the same entry.
    pub fn keep(&self, region: &Region) {
        if self.claimed().is_some_and(|child| !region.knows(child)) {
            self.claim(region);
        }
    }
}

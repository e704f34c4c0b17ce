//! The protocol of one in-flight cell: counted by the child that owns its entry, cleared by whoever notices that child's death.
//!
//! ```text
//!   owner    generation? -> cell + 1 -> generation?  ...  generation? -> cell - 1, not below 0
//!   reaper   generation + 1 -> (load back) -> cell = 0
//! ```
//!
//! Not here: where cells lie and whose they are (`children.rs`). The surprising thing: the generation is looked at twice when entering. A
//! thread that was overtaken by the reaper between look and count would otherwise leave one in the cell of the next owner for good.
//!
//! Relaxed suffices but for one edge: who counts on top of the reaper's 0 must see the reaper's generation.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU16, AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::cell::Counter;

/// A cell and the generation of the entry that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Tally<'a> {
    pub(super) cell: &'a AtomicU16,
    /// `None`: the cell of all that have no entry, which nobody clears.
    pub(super) owner: Option<(&'a AtomicU32, u32)>,
}

impl Tally<'_> {
    /// Adds one; false when the entry is not the caller's any more, or the cell is full.
    pub(super) fn enter(self) -> bool {
        let added = || self.cell.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| n.checked_add(1)).is_ok();
        if !self.is_own() || !added() {
            return false;
        }
        if self.is_own() {
            return true;
        }
        self.subtract();
        false
    }

    /// Takes back what [`Self::enter`] added, if nobody did so already.
    pub(super) fn leave(self) {
        if self.is_own() {
            self.subtract();
        }
    }

    fn is_own(self) -> bool {
        self.owner.is_none_or(|(generation, own)| generation.load(Ordering::Relaxed) == own)
    }

    fn subtract(self) {
        // At 0 already: someone cleared the cell. Staying there is the repair.
        let _ = self.cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
}

/// Ends a generation: handles to it count nothing from here on. Before the cells are cleared.
pub(super) fn end_generation(generation: &AtomicU32) {
    generation.fetch_add(1, Ordering::AcqRel);
}

/// Empties the cell of a generation that was ended.
pub(super) fn clear(cell: &AtomicU16) {
    // A swap and not a store: it has its place among the additions of others.
    cell.swap(0, Ordering::AcqRel);
}

/// Takes back from `load` what the owner of `cell` had added, `step` for each. Before the cell is cleared.
pub(super) fn take_back(load: &Counter, cell: &AtomicU16, step: u64) {
    load.subtract(step.saturating_mul(cell.load(Ordering::Acquire).into()));
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct Entry {
        generation: AtomicU32,
        cell: AtomicU16,
        load: Counter,
    }

    impl Entry {
        fn new() -> Arc<Self> {
            Arc::new(Self { generation: AtomicU32::new(7), cell: AtomicU16::new(0), load: Counter::new(0) })
        }
        fn tally(&self, own: u32) -> Tally<'_> {
            Tally { cell: &self.cell, owner: Some((&self.generation, own)) }
        }
        /// What a reaper does, and the claim after it; returns the new generation.
        fn reap(&self) -> u32 {
            end_generation(&self.generation);
            take_back(&self.load, &self.cell, 1);
            clear(&self.cell);
            self.generation.load(Ordering::Relaxed)
        }
        fn count(&self) -> u16 {
            self.cell.load(Ordering::Relaxed)
        }
    }

    fn in_and_out(entry: &Entry, own: u32) {
        let tally = entry.tally(own);
        if tally.enter() {
            tally.leave();
        }
    }

    #[test]
    fn threads_of_one_child_leave_nothing() {
        loom::model(|| {
            let entry = Entry::new();
            let other = Arc::clone(&entry);
            let handle = thread::spawn(move || in_and_out(&other, 7));
            assert!(entry.tally(7).enter());
            assert!((1..=2).contains(&entry.count()));
            entry.tally(7).leave();
            handle.join().unwrap();
            assert_eq!(entry.count(), 0);
        });
    }

    /// The child left, or was taken for dead, while one of its threads was still counting.
    #[test]
    fn thread_that_is_overtaken_leaves_nothing_to_the_next_owner() {
        loom::model(|| {
            let entry = Entry::new();
            let other = Arc::clone(&entry);
            let straggler = thread::spawn(move || in_and_out(&other, 7));
            let next = entry.reap();
            in_and_out(&entry, next);
            straggler.join().unwrap();
            assert_eq!(entry.count(), 0);
        });
    }

    /// Two processes notice the same death: the second one finds another generation under the lock, or ends it once more.
    #[test]
    fn reaping_twice_leaves_nothing() {
        loom::model(|| {
            let entry = Entry::new();
            assert!(entry.tally(7).enter());
            let lock = Arc::new(loom::sync::Mutex::new(()));
            let (other, others) = (Arc::clone(&entry), Arc::clone(&lock));
            let reaper = thread::spawn(move || {
                let _held = others.lock().unwrap();
                other.reap();
            });
            let next = {
                let _held = lock.lock().unwrap();
                entry.reap()
            };
            in_and_out(&entry, next);
            reaper.join().unwrap();
            assert_eq!(entry.count(), 0);
        });
    }

    /// A child is killed after each number of steps of a request under Busyness, while another child has one in progress.
    #[test]
    fn load_of_a_killed_child_is_gone_when_the_living_are_idle() {
        for steps in 0..=4 {
            loom::model(move || {
                let (dead, load) = (Entry::new(), Arc::new(Counter::new(0)));
                let (killed, others) = (Arc::clone(&dead), Arc::clone(&load));
                let living = Arc::clone(&load);
                let request = thread::spawn(move || {
                    living.add(1);
                    living.subtract(1);
                });
                // In the order of `Region::weigh` and the drop of `Weight`.
                let order: [&dyn Fn(); 4] =
                    [&|| assert!(killed.tally(7).enter()), &|| others.add(1), &|| others.subtract(1), &|| {
                        killed.tally(7).leave()
                    }];
                order.iter().take(steps).for_each(|step| step());
                end_generation(&dead.generation);
                take_back(&load, &dead.cell, 1);
                clear(&dead.cell);
                request.join().unwrap();
                assert_eq!((dead.count(), load.get()), (0, 0), "killed after step {steps}");
            });
        }
    }
}

//! The protocol of one in-flight cell: counted by the child that owns its entry, cleared by whoever notices that child's death.
//!
//! ```text
//!   owner    generation? -> cell + 1 -> generation?  ...  generation? -> cell - 1, not below 0
//!   reaper   generation + 1 -> cell = 0
//! ```
//!
//! A cell of a member under Busyness holds the sum of what its owner added to the load, and goes with that:
//!
//! ```text
//!   owner    generation? -> cell + step -> load + step -> generation?  ...  generation? -> load - step -> cell - step
//!   reaper   generation + 1 -> load - cell -> cell = 0
//! ```
//!
//! Not here: where cells lie and whose they are (`children.rs`). The surprising thing: the generation is looked at twice when entering. A
//! thread that was overtaken by the reaper between look and count would otherwise leave one in the cell of the next owner for good.
//!
//! Relaxed suffices but for two edges: who counts on top of the reaper's 0, and who adds to a load that the reaper has lessened, must see
//! the reaper's generation.

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU16 as CountCell, AtomicU32 as GenerationCell, AtomicU64 as LoadCell};
#[cfg(loom)]
use loom::sync::atomic::{Ordering, fence};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU16 as CountCell, AtomicU32 as GenerationCell, AtomicU64 as LoadCell};
#[cfg(not(loom))]
use std::sync::atomic::{Ordering, fence};

use super::cell::Counter;

/// A cell and the generation of the entry that it belongs to.
pub(super) struct Tally<'a, C> {
    pub(super) cell: &'a C,
    /// The generation now, and that of the caller.
    pub(super) owner: (&'a GenerationCell, u32),
}

impl<C> Tally<'_, C> {
    fn is_own(&self) -> bool {
        let (generation, own) = self.owner;
        generation.load(Ordering::Relaxed) == own
    }
}

impl Tally<'_, CountCell> {
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

    fn subtract(&self) {
        // At 0 already: someone cleared the cell. Staying there is the repair.
        let _ = self.cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
}

impl Tally<'_, LoadCell> {
    /// Adds `step` to `load`, and to the cell before; false, and nothing is added, when the entry is not the caller's any more.
    pub(super) fn weigh(self, load: &Counter, step: u64) -> bool {
        if !self.is_own() {
            return false;
        }
        self.cell.fetch_add(step, Ordering::AcqRel);
        load.add(step);
        // A reaper that took back before this addition is seen now; any other one took the step back.
        fence(Ordering::Acquire);
        if self.is_own() {
            return true;
        }
        self.subtract(load, step);
        false
    }

    /// Takes back what [`Self::weigh`] added, if nobody did so already.
    pub(super) fn lift(self, load: &Counter, step: u64) {
        if self.is_own() {
            self.subtract(load, step);
        }
    }

    fn subtract(&self, load: &Counter, step: u64) {
        load.subtract(step);
        // Not below 0, as above.
        let rest = |sum: u64| Some(sum.saturating_sub(step));
        let _ = self.cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }
}

/// Ends a generation: handles to it count nothing from here on. Before the cells are cleared.
pub(super) fn end_generation(generation: &GenerationCell) {
    generation.fetch_add(1, Ordering::AcqRel);
}

/// Empties the cell of a generation that was ended.
pub(super) fn clear(cell: &CountCell) {
    // A swap and not a store: it has its place among the additions of others.
    cell.swap(0, Ordering::AcqRel);
}

/// The same for a cell of loads.
pub(super) fn clear_load(cell: &LoadCell) {
    cell.swap(0, Ordering::AcqRel);
}

/// Takes back from `load` what the owner of `cell` had added. Before the cell is cleared.
pub(super) fn take_back(load: &Counter, cell: &LoadCell) {
    // Adds nothing, and has its place among the additions of others, as above.
    let sum = cell.fetch_add(0, Ordering::AcqRel);
    fence(Ordering::Release);
    load.subtract(sum);
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct Entry {
        generation: GenerationCell,
        cell: CountCell,
        sum: LoadCell,
    }

    impl Entry {
        fn new() -> Arc<Self> {
            Arc::new(Self { generation: GenerationCell::new(7), cell: CountCell::new(0), sum: LoadCell::new(0) })
        }
        fn tally(&self, own: u32) -> Tally<'_, CountCell> {
            Tally { cell: &self.cell, owner: (&self.generation, own) }
        }
        fn weights(&self, own: u32) -> Tally<'_, LoadCell> {
            Tally { cell: &self.sum, owner: (&self.generation, own) }
        }
        /// What a reaper does, and the claim after it; returns the new generation.
        fn reap(&self) -> u32 {
            end_generation(&self.generation);
            clear(&self.cell);
            self.generation.load(Ordering::Relaxed)
        }
        /// The same for loads.
        fn reap_load(&self, load: &Counter) -> u32 {
            end_generation(&self.generation);
            take_back(load, &self.sum);
            clear_load(&self.sum);
            self.generation.load(Ordering::Relaxed)
        }
        fn count(&self) -> u16 {
            self.cell.load(Ordering::Relaxed)
        }
    }

    fn in_and_out(entry: &Entry, own: u32) {
        if entry.tally(own).enter() {
            entry.tally(own).leave();
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

    fn on_and_off(entry: &Entry, load: &Counter, own: u32, step: u64) {
        if entry.weights(own).weigh(load, step) {
            entry.weights(own).lift(load, step);
        }
    }

    /// A child is killed after each number of steps of a request under Busyness, while another child has one in progress.
    #[test]
    fn load_of_a_killed_child_is_gone_when_the_living_are_idle() {
        for steps in 0..=4 {
            loom::model(move || {
                let (dead, living, load) = (Entry::new(), Entry::new(), Arc::new(Counter::new(0)));
                let others = Arc::clone(&load);
                let request = thread::spawn(move || on_and_off(&living, &others, 7, 3));
                // In the order of `weigh` and `lift`.
                let order: [&dyn Fn(); 4] = [
                    &|| assert_eq!(dead.sum.fetch_add(5, Ordering::AcqRel), 0),
                    &|| load.add(5),
                    &|| load.subtract(5),
                    &|| {
                        dead.sum.fetch_sub(5, Ordering::Relaxed);
                    },
                ];
                order.iter().take(steps).for_each(|step| step());
                dead.reap_load(&load);
                request.join().unwrap();
                assert_eq!((dead.sum.load(Ordering::Relaxed), load.get()), (0, 0), "killed after step {steps}");
            });
        }
    }

    /// As above for counts; the load is nobody's in the end.
    #[test]
    fn thread_that_is_overtaken_leaves_no_load() {
        loom::model(|| {
            let (entry, load) = (Entry::new(), Arc::new(Counter::new(0)));
            let (other, others) = (Arc::clone(&entry), Arc::clone(&load));
            let straggler = thread::spawn(move || on_and_off(&other, &others, 7, 3));
            let next = entry.reap_load(&load);
            on_and_off(&entry, &load, next, 5);
            straggler.join().unwrap();
            assert_eq!((entry.sum.load(Ordering::Relaxed), load.get()), (0, 0));
        });
    }
}

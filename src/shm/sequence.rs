//! How settings change all at once: two sides and a sequence word that says which of them counts.
//!
//! ```text
//!   sequence   even            side 0 counts when bit 1 is 0, side 1 when it is 1
//!              even + 1 (odd)  the same side still counts; a writer fills the other one
//!              even + 2        the other side counts: this one store publishes the whole update
//! ```
//!
//! Not here: who may write (the writers' lock, `lock.rs`). The surprising thing: readers do not wait while the sequence is
//! odd. The side that counts is not touched before the *next* update begins, so a reader only repeats its copy when two
//! updates overtook it, and a writer that was killed half-way harms nobody: its side never counts.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Copies before a reader takes what it has. A live writer needs two whole updates per copy, each under the lock, to force
/// another one; a thousand in a row means that the word itself is being overwritten with garbage.
const MAX_COPIES: u32 = 1_000;

/// Which of the two sides to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side(u32);

/// Two instances of the same settings.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Pair<T> {
    even: T,
    odd: T,
}

impl<T> Pair<T> {
    #[inline]
    pub(super) fn at(&self, side: Side) -> &T {
        if side.0 & 2 == 0 { &self.even } else { &self.odd }
    }
}

/// The sequence word of one slot.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Sequence(AtomicU32);

impl Sequence {
    /// The tag of what readers see now. What is derived from settings carries it and is dropped when it differs.
    #[inline]
    pub(super) fn tag(&self) -> u32 {
        self.0.load(Ordering::Acquire) & !1
    }

    /// Gives `copy` the side that counts, and what it returns when that side stayed untouched meanwhile.
    ///
    /// Race: an update may publish between the first load and the copy. Then the copy is of the previous settings, whole; the
    /// reader might as well have come a moment earlier.
    #[inline(always)]
    pub(super) fn read<R>(&self, copy: impl Fn(Side) -> R) -> R {
        let mut copies = 1;
        loop {
            let before = self.tag();
            let value = copy(Side(before));
            // Orders the loads of `copy` before the next one: if any of them saw a store of the update after the next (which
            // reuses our side), then the load below sees its odd number, which was stored before, and release-fenced.
            fence(Ordering::Acquire);
            let after = self.0.load(Ordering::Relaxed);
            if after.wrapping_sub(before) <= 2 || copies >= MAX_COPIES {
                return value;
            }
            copies += 1;
            std::hint::spin_loop();
        }
    }

    /// Fills the side that does not count and makes it count. The caller holds the writers' lock.
    pub(super) fn write(&self, store: impl FnOnce(Side)) {
        let even = self.begin(store);
        self.0.store(even.wrapping_add(2), Ordering::Release);
    }

    /// All of an update but the last store: how far a writer came that was killed before it. Returns the even number.
    fn begin(&self, store: impl FnOnce(Side)) -> u32 {
        let even = self.repair();
        // Release although nothing new is published: a reader that meets the odd number uses the side of the update before,
        // and must see that one whole.
        self.0.store(even.wrapping_add(1), Ordering::Release);
        fence(Ordering::Release);
        store(Side(even.wrapping_add(2)));
        even
    }

    /// The side that counts, for the holder of the writers' lock, who needs no second look.
    pub(super) fn current(&self) -> Side {
        Side(self.tag())
    }

    /// Makes an odd sequence even again after its writer died, and returns it. The caller holds the writers' lock.
    ///
    /// Upwards, by four: the same side counts. Going back by one would be wrong, because a reader that is still copying the
    /// side which the dead writer had begun to overwrite would find the number it expects.
    pub(super) fn repair(&self) -> u32 {
        let seen = self.0.load(Ordering::Relaxed);
        if seen & 1 == 0 {
            return seen;
        }
        let even = (seen & !1).wrapping_add(4);
        self.0.store(even, Ordering::Release);
        even
    }

    /// Leaves the word as a writer does that is killed while it fills its side.
    #[cfg(any(test, loom))]
    pub(super) fn abandon(&self, store: impl FnOnce(Side)) {
        self.begin(store);
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_odd(&self) -> bool {
        self.0.load(Ordering::Relaxed) & 1 == 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Settings {
        sequence: Sequence,
        sides: Pair<AtomicU32>,
    }

    impl Settings {
        fn new(start: u32) -> Self {
            let settings = Self {
                sequence: Sequence(AtomicU32::new(start)),
                sides: Pair { even: AtomicU32::new(0), odd: AtomicU32::new(0) },
            };
            settings.write(1);
            settings
        }
        fn write(&self, value: u32) {
            self.sequence.write(|side| self.sides.at(side).store(value, Ordering::Relaxed));
        }
        fn read(&self) -> u32 {
            self.sequence.read(|side| self.sides.at(side).load(Ordering::Relaxed))
        }
    }

    #[test]
    fn reads_what_was_written_last_even_across_the_wrap_of_the_word() {
        let settings = Settings::new(u32::MAX - 5);
        for value in 2..20 {
            settings.write(value);
            assert_eq!(settings.read(), value);
        }
    }

    #[test]
    fn every_write_changes_the_tag() {
        let settings = Settings::new(0);
        let tag = settings.sequence.tag();
        settings.write(2);
        assert_ne!(settings.sequence.tag(), tag);
    }

    #[test]
    fn shows_the_old_value_while_a_writer_is_dead_half_way() {
        let settings = Settings::new(0);
        settings.write(7);
        settings.sequence.abandon(|side| settings.sides.at(side).store(8, Ordering::Relaxed));
        assert!(settings.sequence.is_odd());
        assert_eq!(settings.read(), 7);
        settings.sequence.repair();
        assert!(!settings.sequence.is_odd());
        assert_eq!(settings.read(), 7);
        settings.write(9);
        assert_eq!(settings.read(), 9);
    }

    #[test]
    fn repeats_the_copy_when_two_updates_overtook_it() {
        let settings = Settings::new(0);
        let copies = AtomicU32::new(0);
        let value = settings.sequence.read(|side| {
            if copies.fetch_add(1, Ordering::Relaxed) == 0 {
                settings.write(2);
                settings.write(3);
            }
            settings.sides.at(side).load(Ordering::Relaxed)
        });
        assert_eq!(copies.load(Ordering::Relaxed), 2);
        assert_eq!(value, 3);
    }

    #[test]
    fn repeats_the_copy_when_a_dead_writer_was_repaired_over_it() {
        let settings = Settings::new(0);
        let copies = AtomicU32::new(0);
        settings.sequence.read(|_| {
            if copies.fetch_add(1, Ordering::Relaxed) == 0 {
                settings.write(2);
                settings.sequence.abandon(|side| settings.sides.at(side).store(3, Ordering::Relaxed));
                settings.sequence.repair();
            }
        });
        assert_eq!(copies.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn gives_up_on_a_word_that_never_rests() {
        let settings = Settings::new(0);
        let copies = AtomicU32::new(0);
        settings.sequence.read(|_| {
            copies.fetch_add(1, Ordering::Relaxed);
            settings.sequence.0.fetch_add(16, Ordering::Relaxed);
        });
        assert_eq!(copies.load(Ordering::Relaxed), MAX_COPIES);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    struct Settings {
        sequence: Sequence,
        left: Pair<AtomicU32>,
        right: Pair<AtomicU32>,
        lock: Mutex<()>,
    }

    impl Settings {
        fn new() -> Arc<Self> {
            let pair = || Pair { even: AtomicU32::new(0), odd: AtomicU32::new(0) };
            let sequence = Sequence(AtomicU32::new(0));
            Arc::new(Self { sequence, left: pair(), right: pair(), lock: Mutex::new(()) })
        }
        fn store(&self, side: Side, value: u32) {
            self.left.at(side).store(value, Ordering::Relaxed);
            self.right.at(side).store(value, Ordering::Relaxed);
        }
        fn read(&self) -> (u32, u32) {
            self.sequence
                .read(|side| (self.left.at(side).load(Ordering::Relaxed), self.right.at(side).load(Ordering::Relaxed)))
        }
    }

    #[test]
    fn no_reader_sees_half_an_update() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let settings = Settings::new();
            let writer = Arc::clone(&settings);
            let handle = thread::spawn(move || {
                for value in 1..=3 {
                    let _guard = writer.lock.lock();
                    writer.sequence.write(|side| writer.store(side, value));
                }
            });
            let (left, right) = settings.read();
            assert_eq!(left, right);
            handle.join().ok();
            assert_eq!(settings.read(), (3, 3));
        });
    }

    #[test]
    fn no_reader_sees_half_an_update_when_a_writer_dies_and_is_repaired() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let settings = Settings::new();
            let writer = Arc::clone(&settings);
            let handle = thread::spawn(move || {
                let _guard = writer.lock.lock();
                writer.sequence.write(|side| writer.store(side, 1));
                writer.sequence.abandon(|side| writer.left.at(side).store(2, Ordering::Relaxed));
                writer.sequence.repair();
            });
            let (left, right) = settings.read();
            assert_eq!(left, right);
            handle.join().ok();
            assert_eq!(settings.read(), (1, 1));
        });
    }
}

//! Requests and connections in flight, counted per child, so that a child that dies takes its counts along.
//!
//! Not here: statistics that only grow (`slot.rs`). The surprising thing: there is no total. For each AJP worker and balancer
//! lies one row of cells, one cell per child, densely: with up to 31 children a row is a single cache line, and the total is
//! the sum of a row. So one atomic addition enters, one leaves, and no death can fall between two of them.
//!
//! ```text
//!   entry:      pid | generation | start time (clock ticks since boot) | mark           32 bytes per child
//!   row:        u16 child 0 | u16 child 1 | ... | u16 of all without an entry           per AJP worker: busy, connected;
//!                                                                                       per load balancer: busy
//!               u64 child 0 | ...                                                       per member: load, under Busyness
//! ```
//!
//! One number is a total all the same, because choosing must not walk over the children: the load of a member under Busyness. Beside it
//! lies a row of what each child added ([`super::Weight`]), so that the share of the dead is known whatever the factors have become.
//!
//! The races, by name:
//!
//! - *Kill at any instruction.* Either the one addition happened or it did not; the cell is what the child had in flight, and
//!   who notices the death sets the cell to 0.
//! - *Sum while others count.* The cells are read one after the other, so a sum may miss or include what changes in these
//!   nanoseconds; so would a single counter read a moment earlier or later.
//! - *Straggler.* A thread of a child that left may still count. It notices that its entry was given away and takes its count back
//!   (`tally.rs`, where loom tries all orders); at worst the next owner is short of one request for a moment. Each reaping also clears the
//!   cells of entries without owner.
//! - *Reused pid.* The start time of the process tells. Where /proc cannot be read, a reused pid looks alive, and the entry is
//!   kept until that process ends.
//! - *Death while claiming or reaping.* Both hold the writers' lock; the pid is stored last and cleared last, so a half-claimed
//!   entry is free, and a half-reaped one still names the dead and is reaped again.
//! - *Kill between a member's cell and its load.* The cell is added to first and taken from last, so the load can only become too small by
//!   that one request, and never keeps what nobody takes back. It stops at 0, so the next idle moment mends it.
//! - *Stale handle.* A child that left, or was reaped in error, has an old generation; it counts nothing more. Leaving a
//!   cell stops at 0 in any case.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::Region;
use super::error::ShmError;
use super::slot::AjpSlot;
use super::tally::{self, CountCell, GenerationCell, Tally};

/// One row of the table of children.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ChildEntry {
    /// 0 = free.
    pid: AtomicU32,
    /// Counts claims and releases.
    generation: GenerationCell,
    /// 0 = unknown.
    start_time: AtomicU64,
    /// [`MARK`], always; anything else was written by a stranger.
    mark: AtomicU64,
    _spare: AtomicU64,
}

const MARK: u64 = u64::from_ne_bytes(*b"!JKCHILD");

impl ChildEntry {
    fn bears_mark(&self) -> bool {
        self.mark.load(Ordering::Relaxed) == MARK
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<ChildEntry>() == 32);

/// A child's claim to an entry; `Copy`, one per process, from [`Region::register_child`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Index of the entry; `None` = the shared cell of those that found no entry.
    entry: Option<usize>,
    generation: u32,
}

impl Child {
    /// For a process that has not registered: its counts are right, but a kill -9 leaves them behind.
    pub const UNREGISTERED: Self = Self { entry: None, generation: 0 };

    /// In one word, for [`super::OwnChild`]. Entries have at most 16 bits.
    pub(super) fn to_word(self) -> u64 {
        let entry = self.entry.map_or(0, |entry| entry as u64 + 1);
        entry << 32 | u64::from(self.generation)
    }

    pub(super) fn from_word(word: u64) -> Self {
        let entry = usize::try_from(word >> 32).unwrap_or(0).checked_sub(1);
        Self { entry, generation: u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0) }
    }

    /// Whether there was an entry for this child.
    #[must_use]
    pub fn has_entry(&self) -> bool {
        self.entry.is_some()
    }
}

/// One request in flight; leaves when dropped.
#[derive(Debug)]
#[must_use = "the request counts as busy while this lives"]
pub struct Busy<'a> {
    region: &'a Region,
    row: Option<usize>,
    child: Child,
    total: u32,
}

impl Busy<'_> {
    /// Requests in flight over all children when this one came, itself included.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.region.leave(self.row, self.child);
    }
}

/// One open connection to a backend; counts as `connected` until dropped. Owns its region, because pools live longer than
/// requests.
#[derive(Debug)]
#[must_use = "the connection counts as connected while this lives"]
pub struct Connected {
    region: Arc<Region>,
    row: Option<usize>,
    child: Child,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.region.leave(self.row, self.child);
    }
}

impl Region {
    /// Claims an entry for this process, after reaping the dead. Calling it again gives the same entry.
    ///
    /// With more children than the plan has room for, the answer is [`Child::UNREGISTERED`].
    ///
    /// # Errors
    /// [`ShmError::Lock`] when the lock cannot be taken.
    pub fn register_child(&self) -> Result<Child, ShmError> {
        self.claim(std::process::id(), start_time_of(None))
    }

    /// Gives the entry back: at the orderly end of a child. What it still had in flight is forgotten.
    ///
    /// # Errors
    /// [`ShmError::Lock`] when the lock cannot be taken.
    pub fn release_child(&self, child: Child) -> Result<(), ShmError> {
        let _writer = self.lock()?;
        if let Some((index, entry)) = self.own_entry(child) {
            self.clear(index, entry);
        }
        Ok(())
    }

    /// Takes back what dead children had in flight; returns how many there were. Called by the winner of
    /// [`Region::claim_maintenance`] and by [`Region::register_child`]. Takes the lock only when someone is dead.
    ///
    /// # Errors
    /// [`ShmError::Lock`] when the lock cannot be taken.
    pub fn reap_children(&self) -> Result<usize, ShmError> {
        let mut reaped = 0;
        for (index, entry) in self.entries().iter().enumerate() {
            let (pid, start_time) = (entry.pid.load(Ordering::Acquire), entry.start_time.load(Ordering::Relaxed));
            let dead = pid != 0 && is_dead(pid, start_time);
            if !dead && (pid != 0 || !self.has_cells(index)) {
                continue;
            }
            let _writer = self.lock()?;
            // Under the lock nobody claims: the entry is either as seen, or another one by now and not ours to judge.
            let unchanged = entry.pid.load(Ordering::Acquire) == pid
                && (pid == 0 || entry.start_time.load(Ordering::Relaxed) == start_time);
            if unchanged {
                self.clear(index, entry);
                reaped += usize::from(dead && entry.bears_mark());
            }
        }
        Ok(reaped)
    }

    /// Whether a child that has claimed an entry still lives.
    pub(super) fn has_live_child(&self) -> bool {
        self.entries().iter().any(|entry| {
            let (pid, start_time) = (entry.pid.load(Ordering::Acquire), entry.start_time.load(Ordering::Relaxed));
            pid != 0 && !is_dead(pid, start_time)
        })
    }

    /// Counts a request on AJP worker `ajp`, and keeps its `max_busy`.
    pub fn enter_ajp(&self, child: Child, ajp: usize) -> Busy<'_> {
        match self.ajp(ajp) {
            Some(slot) => self.enter_slot(child, ajp, slot),
            None => self.enter(None, child),
        }
    }

    /// The same where the slot of worker `ajp` is at hand.
    #[inline(always)]
    pub fn enter_slot(&self, child: Child, ajp: usize, slot: &AjpSlot) -> Busy<'_> {
        let busy = self.enter(self.layout().busy_row(ajp), child);
        slot.max_busy.raise(u64::from(busy.total));
        busy
    }

    /// Counts a request on load balancer `lb`, and keeps its `max_busy`.
    #[inline(always)]
    pub fn enter_lb(&self, child: Child, lb: usize) -> Busy<'_> {
        let busy = self.enter(self.layout().lb_row(lb), child);
        if let Some(slot) = self.lb(lb) {
            slot.max_busy.raise(u64::from(busy.total));
        }
        busy
    }

    /// Counts a connection of AJP worker `ajp`, and keeps its `max_connected`.
    pub fn connect(self: &Arc<Self>, child: Child, ajp: usize) -> Connected {
        let (row, child) = (self.layout().connected_row(ajp), self.named(child));
        let (counted, total) = self.count(row.map_or(&[], |row| self.row(row)), child);
        let row = row.filter(|_| counted);
        if let Some(slot) = self.ajp(ajp) {
            slot.max_connected.raise(u64::from(total));
        }
        Connected { region: Arc::clone(self), row, child }
    }

    /// Requests in flight on AJP worker `ajp`, over all children.
    #[inline]
    #[must_use]
    pub fn ajp_busy(&self, ajp: usize) -> u32 {
        self.sum_of(self.layout().busy_row(ajp))
    }

    /// Requests in flight on the AJP worker of each member of load balancer `lb`, in the order of [`super::Plan::members_of`].
    pub fn busy_of_members(&self, lb: usize) -> impl Iterator<Item = u32> {
        let layout = self.layout();
        let stride = layout.row_bytes / size_of::<CountCell>();
        let cells = self.cells();
        let used = self.entries_used().min(layout.row_cells.saturating_sub(1));
        self.plan().ajps_of(lb).map(move |ajp| {
            let row = layout.busy_row(ajp).and_then(|row| cells.get(row * stride..)?.get(..layout.row_cells));
            row.and_then(<[_]>::split_last).map_or(0, |(shared, own)| total(shared, own.get(..used).unwrap_or(own)))
        })
    }

    /// Open connections of AJP worker `ajp`, over all children.
    #[must_use]
    pub fn ajp_connected(&self, ajp: usize) -> u32 {
        self.sum_of(self.layout().connected_row(ajp))
    }

    /// Requests in flight on load balancer `lb`, over all children.
    #[inline]
    #[must_use]
    pub fn lb_busy(&self, lb: usize) -> u32 {
        self.sum_of(self.layout().lb_row(lb))
    }

    /// `pid` and `start_time` come in as arguments, so that a test can be any process.
    pub(super) fn claim(&self, pid: u32, start_time: u64) -> Result<Child, ShmError> {
        self.reap_children()?;
        let _writer = self.lock()?;
        for (index, entry) in self.entries().iter().enumerate() {
            if entry.pid.load(Ordering::Relaxed) == pid {
                if start_time != 0 && entry.start_time.load(Ordering::Relaxed) == start_time {
                    return Ok(Child { entry: Some(index), generation: entry.generation.load(Ordering::Relaxed) });
                }
                // Our pid, but not us: its owner is dead for certain.
                self.clear(index, entry);
            }
        }
        let free = self.entries().iter().enumerate().find(|(_, entry)| entry.pid.load(Ordering::Relaxed) == 0);
        let Some((index, entry)) = free else { return Ok(Child::UNREGISTERED) };
        self.clear(index, entry);
        entry.start_time.store(start_time, Ordering::Relaxed);
        // Before the first count of this child, so that no sum misses it.
        let used = u32::try_from(index + 1).unwrap_or(u32::MAX);
        self.header().entries_used.fetch_max(used, Ordering::AcqRel);
        entry.pid.store(pid, Ordering::Release);
        Ok(Child { entry: Some(index), generation: entry.generation.load(Ordering::Relaxed) })
    }

    #[inline(always)]
    fn enter(&self, row: Option<usize>, child: Child) -> Busy<'_> {
        let child = self.named(child);
        let (counted, total) = self.count(row.map_or(&[], |row| self.row(row)), child);
        Busy { region: self, row: row.filter(|_| counted), child, total }
    }

    /// Adds one to the child's cell of `row`; answers whether it was counted, and the sum of the row.
    #[inline(always)]
    fn count(&self, row: &[CountCell], child: Child) -> (bool, u32) {
        let counted = self.cell_of(row, child).is_some_and(Tally::enter);
        if !counted && !self.bears_marks(child) {
            // Until the repair a sum of what was written over would close every worker that has a limit.
            return (false, 1);
        }
        (counted, self.sum(row))
    }

    fn leave(&self, row: Option<usize>, child: Child) {
        if let Some(tally) = row.and_then(|row| self.tally(row, child)) {
            tally.leave();
        }
    }

    /// The child's cell.
    fn tally(&self, row: usize, child: Child) -> Option<Tally<'_, CountCell>> {
        self.cell_of(self.row(row), child)
    }

    /// The child's cell of `row`; the last one is that of all without an entry.
    pub(super) fn cell_of<'a, C>(&'a self, row: &'a [C], child: Child) -> Option<Tally<'a, C>> {
        let Some(index) = child.entry else {
            return Some(Tally { cell: row.last()?, owner: (&self.header().shared_generation, child.generation) });
        };
        let entry = self.entries().get(index)?;
        Some(Tally { cell: row.get(index)?, owner: (&entry.generation, child.generation) })
    }

    /// `child` as it counts now: those without an entry share a generation, too.
    pub(super) fn named(&self, child: Child) -> Child {
        match child.entry {
            Some(_) => child,
            None => Child { generation: self.header().shared_generation.load(Ordering::Relaxed), ..child },
        }
    }

    /// Whether what `child` counts still goes where it looks for it.
    #[must_use]
    pub fn knows(&self, child: Child) -> bool {
        self.own_entry(child).is_some()
    }

    /// Whether the entry of `child` was not written over.
    fn bears_marks(&self, child: Child) -> bool {
        child.entry.is_none_or(|index| self.entries().get(index).is_some_and(ChildEntry::bears_mark))
    }

    /// Whether nobody wrote over the table of children, or between the rows of cells.
    pub(super) fn has_intact_counts(&self) -> bool {
        let stride = self.layout().row_bytes / size_of::<CountCell>();
        let gaps = self.cells().chunks(stride.max(1)).filter_map(|row| row.get(self.layout().row_cells..));
        self.entries().iter().all(ChildEntry::bears_mark)
            && gaps.flatten().all(|cell| cell.load(Ordering::Relaxed) == 0)
    }

    pub(super) fn mark_entries(&self) {
        self.entries().iter().for_each(|entry| entry.mark.store(MARK, Ordering::Relaxed));
    }

    /// Empties the table of children and all cells. `generation` is none that anybody holds: what is under way takes nothing back. The
    /// caller holds the writers' lock, or has just made the memory whole.
    pub(super) fn begin_counts_anew(&self, generation: u32) {
        let generations = self.entries().iter().map(|entry| &entry.generation);
        for word in generations.chain([&self.header().shared_generation]) {
            word.swap(generation, Ordering::AcqRel);
        }
        self.cells().iter().for_each(tally::clear);
        (0..self.layout().row_cells).for_each(|index| self.clear_loads(index));
        self.mark_entries();
        for entry in self.entries() {
            entry.start_time.store(0, Ordering::Relaxed);
            entry.pid.store(0, Ordering::Release);
        }
        self.header().entries_used.store(0, Ordering::Release);
    }

    fn own_entry(&self, child: Child) -> Option<(usize, &ChildEntry)> {
        let index = child.entry?;
        let entry = self.entries().get(index)?;
        (entry.generation.load(Ordering::Relaxed) == child.generation).then_some((index, entry))
    }

    #[inline]
    fn sum(&self, row: &[CountCell]) -> u32 {
        let Some((shared, own)) = row.split_last() else { return 0 };
        total(shared, own.get(..self.entries_used()).unwrap_or(own))
    }

    fn sum_of(&self, row: Option<usize>) -> u32 {
        row.map_or(0, |row| self.sum(self.row(row)))
    }

    fn entries_used(&self) -> usize {
        usize::try_from(self.header().entries_used.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Frees an entry. The caller holds the writers' lock.
    fn clear(&self, index: usize, entry: &ChildEntry) {
        // The generation first: handles to this entry count nothing from here on.
        tally::end_generation(&entry.generation);
        self.take_loads_back(index);
        for row in 0..self.layout().rows() {
            if let Some(cell) = self.row(row).get(index) {
                tally::clear(cell);
            }
        }
        self.clear_loads(index);
        entry.start_time.store(0, Ordering::Relaxed);
        entry.pid.store(0, Ordering::Release);
    }

    fn has_cells(&self, index: usize) -> bool {
        (0..self.layout().rows())
            .any(|row| self.row(row).get(index).is_some_and(|cell| cell.load(Ordering::Relaxed) != 0))
            || self.has_loads(index)
    }
}

#[inline]
fn total(shared: &CountCell, own: &[CountCell]) -> u32 {
    let load = |cell: &CountCell| u32::from(cell.load(Ordering::Relaxed));
    // At most MAX_CHILDREN + 1 times 65,535: no overflow.
    load(shared) + own.iter().map(load).sum::<u32>()
}

/// Whether the process that claimed an entry is certainly gone.
fn is_dead(pid: u32, start_time: u64) -> bool {
    // A number that is no pid comes from a damaged entry, whose owner nobody knows.
    let Some(pid) = i32::try_from(pid).ok().filter(|&pid| pid > 0).and_then(Pid::from_raw) else { return true };
    match Stat::read(Some(pid)) {
        Some(stat) => stat.is_finished() || (start_time != 0 && stat.start_time != start_time),
        None => test_kill_process(pid) == Err(Errno::SRCH),
    }
}

/// Start time of a process, `None` = this one; 0 when unknown.
pub(super) fn start_time_of(pid: Option<Pid>) -> u64 {
    Stat::read(pid).map_or(0, |stat| stat.start_time)
}

/// What /proc/PID/stat says; read without allocating, because a child just forked may have to.
struct Stat {
    state: u8,
    threads: u64,
    start_time: u64,
}

impl Stat {
    fn read(pid: Option<Pid>) -> Option<Self> {
        let mut path = [0_u8; 32];
        let path = match pid {
            None => "/proc/self/stat",
            Some(pid) => {
                use std::io::Write;
                let mut cursor = std::io::Cursor::new(path.as_mut_slice());
                write!(cursor, "/proc/{}/stat", pid.as_raw_nonzero()).ok()?;
                let length = usize::try_from(cursor.position()).ok()?;
                std::str::from_utf8(path.get(..length)?).ok()?
            }
        };
        let mut text = [0_u8; 512];
        let length = std::fs::File::open(path).ok()?.read(&mut text).ok()?;
        Self::parse(text.get(..length)?)
    }

    /// Fields after the command, which may hold blanks and parentheses: proc_pid_stat(5), fields 3, 20 and 22.
    fn parse(text: &[u8]) -> Option<Self> {
        let after = text.get(memchr::memrchr(b')', text)? + 1..)?;
        let mut fields = std::str::from_utf8(after).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let start_time = fields.nth(1)?.parse().ok()?;
        Some(Self { state, threads, start_time })
    }

    /// A zombie whose other threads are gone too: nothing of it can run any more.
    fn is_finished(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

#[cfg(all(test, not(loom)))]
#[path = "children_tests.rs"]
mod tests;

//! What all children share (unsafe place 2 of 2): typed slots in one mapping, atomics only.
//!
//! Not here: policy (`balancer`), and who may change what (`status`). The surprising thing: nobody ever attaches. The parent
//! creates the [`Region`] before it forks, children inherit the mapping together with the plan that says what lies where, and
//! a file of an earlier life is replaced without a look at its contents.
//!
//! Rules of this folder, on which its SAFETY comments rely:
//!
//! 1. Everything in the mapping is atomics (and the mutex, behind `lock::LockCell`): `&Slot` may be shared with other threads
//!    and processes that write. There is no `&mut` and no `&[u8]` into it.
//! 2. Any bytes are a valid slot; what is read is made legal as it is read (`cell.rs`).
//! 3. The mapping lives as long as its [`Region`], and all references into it borrow from that.
//! 4. Offsets come from `plan::Layout`, which is this process's own memory, and are checked against the length all the same.

#![allow(
    unsafe_code,
    reason = "typed access to the mapping, and the process-shared robust mutex, which std does not offer"
)]

mod adopt;
mod cause;
mod cell;
mod children;
mod clock;
mod drain;
mod error;
mod file;
mod header;
mod histogram;
mod history;
mod late;
mod lb;
mod lock;
mod member;
mod own;
mod plan;
mod probe;
mod restore;
mod sequence;
mod slot;
mod tally;
mod weight;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use memmap2::{MmapOptions, MmapRaw};

pub use cause::{Cause, FAILINGS, Failing};
pub use cell::{Counter, StateCell, TEXT_MAX, Text};
pub use children::{Busy, Child, Connected};
pub use clock::{monotonic_ns, unix_s};
pub use drain::{Drain, DrainEnd, Draining};
pub use error::ShmError;
pub use histogram::{BUCKETS, Histogram};
pub use history::{PERIOD_S, PERIODS, Period};
pub use lb::{LbSlot, PackedSettings};
pub use member::{MemberSlot, MemberText};
pub use own::OwnChild;
pub use plan::{MAX_CHILDREN, MAX_SLOTS, Plan};
pub use probe::{Found, ProbeStreak};
pub use restore::Restored;
pub use slot::{Address, AjpEssentials, AjpNumbers, AjpSlot};
pub use weight::Weight;
pub use writer::Writer;

use crate::balancer::MemberView;
use children::ChildEntry;
use file::FileName;
pub use file::remove_leftovers;
use header::{Header, MAGIC, VERSION};
use late::Late;
use lock::Mark;
use plan::{Layout, Part};
use tally::{CountCell, LoadCell};

/// What an explicit JkShmSize gives at least, bytes (reference: lb-shm-status.md section 3.2).
const MIN_REQUESTED_SIZE: u64 = 74_112;

/// The shared memory of one configuration. Shared by `Arc` within a process, by fork between processes.
#[derive(Debug)]
pub struct Region {
    memory: MmapRaw,
    layout: Layout,
    plan: Plan,
    /// What a lock that was not overwritten looks like.
    mark: Mark,
    /// Removes the file when dropped by the process that created it.
    name: Option<FileName>,
    /// The file; open and locked, by which others know that it is in use. `None` without a name.
    file: Option<File>,
    replaced: Option<&'static str>,
    /// The generation before, while it has children.
    late: Mutex<Option<Arc<Late>>>,
}

impl Region {
    /// Creates the file `<path>.<pid>`, mode 0600 whatever the umask, reserves and maps it, and fills it according to `plan`.
    ///
    /// `size_request_kib` is the value of JkShmSize. It can only add room: the size is worked out from the plan, and an explicit
    /// value gives at least 74112 bytes, as in C mod_jk.
    ///
    /// # Errors
    /// Each says which file, what the system answered and what to check; no file is left behind.
    pub fn create(path: &Path, size_request_kib: Option<u64>, plan: &Plan) -> Result<Self, ShmError> {
        let layout = Layout::new(plan);
        let requested = size_request_kib.map_or(0, |kib| kib.saturating_mul(1_024).max(MIN_REQUESTED_SIZE));
        let size = requested.max(layout.size as u64);
        let created = file::create(with_pid(path), size)?;
        let region = Self::build(&created.file, size, layout, plan, &created.name.path)?;
        Ok(Self { name: Some(created.name), file: Some(created.file), replaced: created.replaced, ..region })
    }

    /// The same without a name in any file system; shared with children over fork like the real one. For tests and tools.
    ///
    /// # Errors
    /// [`ShmError::Map`] when there is no memory.
    pub fn anonymous(plan: &Plan) -> Result<Self, ShmError> {
        let layout = Layout::new(plan);
        let size = layout.size as u64;
        let path = Path::new("(memory without a file)");
        let map_error = |source| ShmError::Map { path: path.to_owned(), size, source };
        let file = rustix::fs::memfd_create(c"mod_jk", rustix::fs::MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|error| map_error(error.into()))?;
        file.set_len(size).map_err(map_error)?;
        Self::build(&file, size, layout, plan, path)
    }

    /// The real name of the file, with the pid; `None` without a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.name.as_ref().map(|name| name.path.as_path())
    }

    /// Whether the name of its file still stands for it; false without a file.
    #[must_use]
    pub fn has_its_name(&self) -> bool {
        self.name.as_ref().is_some_and(FileName::holds)
    }

    /// What had the name of the file and was removed ("a file", "a symbolic link"); worth one line in the log.
    #[must_use]
    pub fn replaced(&self) -> Option<&'static str> {
        self.replaced
    }

    /// Bytes mapped.
    #[must_use]
    pub fn size(&self) -> usize {
        self.memory.len()
    }

    /// Looks whether the file is still as long as the mapping: access to what was cut off would end the process with SIGBUS, and the
    /// next one, and the next. A file that was cut is made whole again; what was lost begins anew, as the configuration says. Returns how
    /// long the file was, if it was cut.
    ///
    /// To be called where a process begins with the region, and now and then; only who may write to a file of mode 0600 can cut it.
    ///
    /// # Errors
    /// [`ShmError::Reserve`] when there is no room for the rest; [`ShmError::Lock`].
    pub fn mend(&self) -> Result<Option<u64>, ShmError> {
        let (Some(file), Some(name)) = (&self.file, &self.name) else { return Ok(None) };
        let size = self.memory.len() as u64;
        let error = |source| ShmError::Reserve { path: name.path.clone(), size, source };
        let found = file::make_whole(file, size, || {
            let lock = &self.header().lock;
            if !lock.bears(&self.mark) {
                // The kind of mutex is the same each time, and with it the mark.
                lock.initialise().map_err(ShmError::Lock)?;
            }
            self.write_header();
            self.begin_all_counts_anew();
            self.fill()
        });
        found.map_err(error)?.transpose()
    }

    /// What the region was made for: indexes by name, members of load balancers.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Slot of an AJP worker, by its index in the plan.
    #[inline]
    #[must_use]
    pub fn ajp(&self, index: usize) -> Option<&AjpSlot> {
        self.ajp_slots().get(index)
    }

    /// Slot of an AJP worker, by name.
    #[must_use]
    pub fn ajp_named(&self, name: &str) -> Option<&AjpSlot> {
        self.ajp(self.plan.ajp_index(name)?)
    }

    /// Slot of a load balancer, by its index in the plan.
    #[inline]
    #[must_use]
    pub fn lb(&self, index: usize) -> Option<&LbSlot> {
        self.lb_slots().get(index)
    }

    /// Slot of a load balancer, by name.
    #[must_use]
    pub fn lb_named(&self, name: &str) -> Option<&LbSlot> {
        self.lb(self.plan.lb_index(name)?)
    }

    /// Slot of a member, by its index ([`Plan::members_of`], [`Plan::member_index`]).
    #[inline]
    #[must_use]
    pub fn member(&self, index: usize) -> Option<&MemberSlot> {
        self.member_slots().get(index)
    }

    /// Slots of the members of load balancer `lb`, in the order of [`Plan::members_of`]; empty for an unknown index.
    #[inline]
    #[must_use]
    pub fn members_of(&self, lb: usize) -> &[MemberSlot] {
        self.member_slots().get(self.plan.members_of(lb)).unwrap_or_default()
    }

    /// A member as the policy sees it, with the busy count of its AJP worker.
    #[inline]
    #[must_use]
    pub fn view(&self, member: usize) -> Option<MemberView> {
        let ajp = self.plan.ajp_of(member)?;
        Some(self.member(member)?.view(self.ajp_busy(ajp)))
    }

    /// Whether this caller is the one who does the global maintenance now: at most one per `interval_s` over all children.
    /// `now_s` is seconds since 1970; an interval of 0 means never.
    ///
    /// Race: two callers may both find it due; one exchange wins. A clock that was set back by more than the interval makes it
    /// due at once instead of pausing it until the old time comes again.
    #[must_use]
    pub fn claim_maintenance(&self, now_s: u64, interval_s: u64) -> bool {
        let clock = &self.header().maintained;
        let last = clock.get();
        interval_s > 0 && now_s.abs_diff(last) >= interval_s && clock.replace(last, now_s)
    }

    /// Last claimed maintenance, or the start; seconds since 1970. The status page shows the time to the next one.
    #[must_use]
    pub fn last_maintenance(&self) -> u64 {
        self.header().maintained.get()
    }

    /// `file` is `size` bytes of zeros that nobody else has.
    fn build(file: &File, size: u64, layout: Layout, plan: &Plan, path: &Path) -> Result<Self, ShmError> {
        let map_error = |source| ShmError::Map { path: path.to_owned(), size, source };
        let length = usize::try_from(size).map_err(|_| map_error(std::io::ErrorKind::OutOfMemory.into()))?;
        if length < layout.size {
            return Err(map_error(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let memory = MmapOptions::new().len(length).map_raw(file).map_err(map_error)?;
        let header = memory.as_mut_ptr().cast::<Header>();
        // SAFETY: the mapping has at least Layout::size bytes, which begin with the header; the address is that of a page; `header` is not
        // used after `memory` (rules 1 to 3 of this folder).
        let mark = unsafe { &*header }.lock.initialise().map_err(ShmError::Lock)?;
        let late = Mutex::default();
        let region = Self { memory, layout, plan: plan.clone(), mark, name: None, file: None, replaced: None, late };
        region.write_header();
        region.mark_entries();
        region.fill()?;
        Ok(region)
    }

    fn write_header(&self) {
        let header = self.header();
        for (word, value) in self.header_words() {
            word.store(value, Ordering::Relaxed);
        }
        header.size.store(self.memory.len() as u64, Ordering::Relaxed);
        header.created.store(self.plan.now_s, Ordering::Relaxed);
        header.maintained.set(self.plan.now_s);
        header.magic.store(u64::from_ne_bytes(MAGIC), Ordering::Release);
    }

    /// Whether nobody wrote over the header.
    fn has_header(&self) -> bool {
        self.header().magic.load(Ordering::Acquire) == u64::from_ne_bytes(MAGIC)
            && self.header_words().into_iter().all(|(word, value)| word.load(Ordering::Relaxed) == value)
    }

    fn header_words(&self) -> [(&AtomicU32, u32); 6] {
        let (header, layout) = (self.header(), &self.layout);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        [
            (&header.version, VERSION),
            (&header.header_bytes, count(size_of::<Header>())),
            (&header.ajp, count(layout.ajp.count)),
            (&header.lbs, count(layout.lbs.count)),
            (&header.members, count(layout.members.count)),
            (&header.children, count(layout.children.count)),
        ]
    }

    /// Puts the configuration into the slots. Nobody else sees the region yet, so no lock is needed.
    fn fill(&self) -> Result<(), ShmError> {
        let plan = &self.plan;
        for (slot, (name, settings)) in self.ajp_slots().iter().zip(&plan.ajp) {
            slot.occupy(&planned_name(name)?, plan.now_s);
            slot.store(settings)?;
        }
        for (slot, lb) in self.lb_slots().iter().zip(&plan.lbs) {
            slot.occupy(&planned_name(&lb.name)?, plan.now_s);
            slot.store(&lb.settings);
        }
        for (slot, member) in self.member_slots().iter().zip(&plan.members) {
            if let Some(member) = member {
                slot.occupy(&planned_name(&member.name)?, plan.now_s);
                slot.store(&member.settings)?;
            }
        }
        (0..plan.lbs.len()).for_each(|lb| self.update_multipliers(lb));
        Ok(())
    }

    #[inline]
    fn ajp_slots(&self) -> &[AjpSlot] {
        self.part(self.layout.ajp)
    }

    #[inline]
    fn lb_slots(&self) -> &[LbSlot] {
        self.part(self.layout.lbs)
    }

    #[inline]
    fn member_slots(&self) -> &[MemberSlot] {
        self.part(self.layout.members)
    }

    fn entries(&self) -> &[ChildEntry] {
        self.part(self.layout.children)
    }

    /// In-flight cells of one row; the last is that of all children without an entry.
    #[inline]
    fn row(&self, row: usize) -> &[CountCell] {
        if row >= self.layout.rows() {
            return &[];
        }
        self.part(Part { offset: self.layout.cells + row * self.layout.row_bytes, count: self.layout.row_cells })
    }

    /// Loads in flight of one member, by child; the last is that of all children without an entry.
    #[inline]
    fn load_row(&self, member: usize) -> &[LoadCell] {
        if member >= self.layout.members.count {
            return &[];
        }
        let offset = self.layout.loads + member * self.layout.load_row_bytes;
        self.part(Part { offset, count: self.layout.row_cells })
    }

    /// In-flight cells of all rows, with what lies between them.
    fn cells(&self) -> &[CountCell] {
        let bytes = self.layout.rows() * self.layout.row_bytes;
        self.part(Part { offset: self.layout.cells, count: bytes / size_of::<CountCell>() })
    }

    fn header(&self) -> &Header {
        // SAFETY: `build` mapped at least Layout::size bytes, which begin with the header; the address is that of a page, so it
        // is aligned; rules 1 to 3 of this folder.
        unsafe { &*self.memory.as_mut_ptr().cast::<Header>() }
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    /// `part` is the layout's part of this kind of item, or cells of its rows.
    #[inline]
    fn part<T: Shared>(&self, part: Part) -> &[T] {
        debug_assert!(part.offset + part.count * size_of::<T>() <= self.layout.size);
        debug_assert!(part.offset.is_multiple_of(align_of::<T>()));
        let first = self.memory.as_mut_ptr().wrapping_add(part.offset).cast::<T>();
        // SAFETY: all of `count` items lie in the layout and are aligned (`Layout::new`), and the layout in the mapping (`build`);
        // `Shared` says that any bytes are a valid `T` that others may write; the mapping outlives `self` (rule 3).
        unsafe { std::slice::from_raw_parts(first, part.count) }
    }
}

/// What may lie in the mapping.
///
/// # Safety
/// Implement it only for types that
/// - are `repr(C)` or primitive and consist of atomics alone, so that writes by others are no data race, and
/// - are valid whatever their bytes are.
unsafe trait Shared {}

// SAFETY: one atomic.
unsafe impl Shared for CountCell {}
// SAFETY: one atomic.
unsafe impl Shared for LoadCell {}
// SAFETY: repr(C); Counter, StateCell, Word, Sequence, TextCell are transparent over atomics, Histogram is an array of Counter.
unsafe impl Shared for AjpSlot {}
// SAFETY: repr(C), of the same parts as AjpSlot.
unsafe impl Shared for LbSlot {}
// SAFETY: repr(C), of the same parts as AjpSlot.
unsafe impl Shared for MemberSlot {}
// SAFETY: repr(C), four atomics and an array of atomics.
unsafe impl Shared for ChildEntry {}

/// `<path>.<pid>`, as C mod_jk names it.
fn with_pid(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}

fn planned_name(name: &str) -> Result<Text, ShmError> {
    Text::new(name).ok_or_else(|| ShmError::TextTooLong { what: "name", text: name.to_owned() })
}

#[cfg(all(test, not(loom)))]
mod damage_tests;
#[cfg(all(test, not(loom)))]
mod tests;

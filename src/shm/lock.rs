//! The writers' lock: a process-shared robust mutex in the mapping.
//!
//! Not here: what a new owner repairs (`writer.rs`). The surprising thing: the death of the owner is not an error. The next
//! locker gets the lock together with [`Owner::Died`], repairs, and only then declares the lock consistent, so that its own
//! death in the middle of the repair is noticed by the one after it.
//!
//! What is not believed: that the memory still holds a mutex. The C library aborts, or waits for ever, on bytes that are none. So the
//! words that making the mutex filled ([`Mark`]) must be as they were, and nobody waits longer than [`PATIENCE`],
//! whatever is done to the clock of the day meanwhile.

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The lock is held for arithmetic and stores. An owner that takes longer is stopped, or never was.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

unsafe extern "C" {
    /// `pthread_mutex_timedlock` by a clock of one's choice, which the libc crate does not declare; POSIX.1-2024, glibc 2.30.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// The mutex where it lies in the mapping; zero until [`LockCell::initialise`].
#[repr(C, align(64))]
pub(super) struct LockCell(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: the only access to the inner mutex is through the pthread functions below, which POSIX makes safe to call from any
// thread, and, with PTHREAD_PROCESS_SHARED, from any process that maps it.
unsafe impl Sync for LockCell {}

// SAFETY: the mutex is process-shared and belongs to no thread while unlocked; see `Sync`.
unsafe impl Send for LockCell {}

/// The words that are not 0 in a new mutex, by index: its kind, which never changes. Remembered outside of the mapping.
#[derive(Clone, Debug)]
pub(super) struct Mark(Vec<(usize, u32)>);

/// How the lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The last owner unlocked it.
    Left,
    /// The last owner died with it; what it wrote may be half done.
    Died,
}

/// The lock is held while this lives. Bound to its thread (`!Send`), because a mutex must be unlocked by its locker.
pub(super) struct Held<'a> {
    cell: &'a LockCell,
    thread: PhantomData<*const ()>,
}

impl LockCell {
    /// Makes the mutex. Once, by the creator of the mapping, before anyone else can see it; or again, where [`Self::bears`] says that
    /// there is none any more.
    pub(super) fn initialise(&self) -> io::Result<Mark> {
        let mut attributes = Attributes::new()?;
        attributes.share_between_processes()?;
        attributes.survive_owners()?;
        attributes.check_errors()?;
        // SAFETY: the cell is writable memory of the right size and alignment, and nobody else uses it yet (see above);
        // `attributes` is initialised.
        check(unsafe { libc::pthread_mutex_init(self.0.get(), &raw const attributes.0) })?;
        let words = self.words().iter().map(|word| word.load(Ordering::Relaxed));
        Ok(Mark(words.enumerate().filter(|(_, word)| *word != 0).collect()))
    }

    /// Whether a mutex made with that mark still lies here.
    pub(super) fn bears(&self, mark: &Mark) -> bool {
        mark.0
            .iter()
            .all(|(at, word)| self.words().get(*at).is_some_and(|found| found.load(Ordering::Relaxed) == *word))
    }

    fn words(&self) -> &[AtomicU32] {
        let count = size_of::<libc::pthread_mutex_t>() / size_of::<AtomicU32>();
        // SAFETY: the cell is aligned to 64 and at least `count` words long; others change it by atomic operations of the C library,
        // or by overwriting the file, and any bytes are valid words.
        unsafe { std::slice::from_raw_parts(self.0.get().cast::<AtomicU32>(), count) }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// EDEADLK when this thread holds it already, EINVAL when the memory holds no mutex any more, ETIMEDOUT when its owner does not come
    /// back.
    pub(super) fn lock(&self, mark: &Mark) -> io::Result<(Held<'_>, Owner)> {
        if !self.bears(mark) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: `initialise` made the mutex before the region was handed out (Region::build), and it still bears its mark.
        let mut result = unsafe { libc::pthread_mutex_trylock(self.0.get()) };
        if result == libc::EBUSY {
            let until = deadline();
            // SAFETY: as above; `until` is a time of that clock.
            result = unsafe { pthread_mutex_clocklock(self.0.get(), libc::CLOCK_MONOTONIC, &raw const until) };
        }
        let owner = match result {
            0 => Owner::Left,
            libc::EOWNERDEAD => Owner::Died,
            error => return Err(io::Error::from_raw_os_error(error)),
        };
        Ok((Held { cell: self, thread: PhantomData }, owner))
    }
}

impl Held<'_> {
    /// Declares the protected data repaired, after [`Owner::Died`].
    pub(super) fn mark_consistent(&self) -> io::Result<()> {
        // SAFETY: this thread owns the mutex, as `self` exists.
        check(unsafe { libc::pthread_mutex_consistent(self.cell.0.get()) })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread owns the mutex, as `self` exists and is `!Send`. The result says only whether it does.
        unsafe { libc::pthread_mutex_unlock(self.cell.0.get()) };
    }
}

impl std::fmt::Debug for LockCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockCell")
    }
}

/// The end of the patience of who begins to wait now, by the clock that nobody sets.
fn deadline() -> libc::timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let patience_s = libc::time_t::try_from(PATIENCE.as_secs()).unwrap_or(libc::time_t::MAX);
    libc::timespec { tv_sec: now.tv_sec.saturating_add(patience_s), tv_nsec: now.tv_nsec }
}

struct Attributes(libc::pthread_mutexattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: `attributes` is writable memory of the right type.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: pthread_mutexattr_init returned 0, so it has initialised all of it.
        Ok(Self(unsafe { attributes.assume_init() }))
    }

    fn share_between_processes(&mut self) -> io::Result<()> {
        // SAFETY: the attributes are initialised (new).
        check(unsafe { libc::pthread_mutexattr_setpshared(&raw mut self.0, libc::PTHREAD_PROCESS_SHARED) })
    }

    fn survive_owners(&mut self) -> io::Result<()> {
        // SAFETY: the attributes are initialised (new).
        check(unsafe { libc::pthread_mutexattr_setrobust(&raw mut self.0, libc::PTHREAD_MUTEX_ROBUST) })
    }

    /// A thread that locks twice gets an error and not a deadlock.
    fn check_errors(&mut self) -> io::Result<()> {
        // SAFETY: the attributes are initialised (new).
        check(unsafe { libc::pthread_mutexattr_settype(&raw mut self.0, libc::PTHREAD_MUTEX_ERRORCHECK) })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the attributes are initialised (new), and not used after this.
        unsafe { libc::pthread_mutexattr_destroy(&raw mut self.0) };
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn patience_is_measured_by_the_clock_that_cannot_be_set() {
        let second = |time: ClockId| clock_gettime(time).tv_sec;
        let (before, until, after) = (second(ClockId::Monotonic), deadline().tv_sec, second(ClockId::Monotonic));
        let patience_s = i64::try_from(PATIENCE.as_secs()).unwrap_or(0);
        assert!((before + patience_s..=after + patience_s).contains(&until), "{before} {until} {after}");
    }
}

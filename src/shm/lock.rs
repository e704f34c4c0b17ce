//! The writers' lock: a process-shared robust mutex in the mapping.
//!
//! Not here: what a new owner repairs (`writer.rs`). The surprising thing: the death of the owner is not an error. The next
//! locker gets the lock together with [`Owner::Died`], repairs, and only then declares the lock consistent, so that its own
//! death in the middle of the repair is noticed by the one after it.

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;

/// The mutex where it lies in the mapping; zero until [`LockCell::initialise`].
#[repr(C, align(64))]
pub(super) struct LockCell(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: the only access to the inner mutex is through the pthread functions below, which POSIX makes safe to call from any
// thread, and, with PTHREAD_PROCESS_SHARED, from any process that maps it.
unsafe impl Sync for LockCell {}

// SAFETY: the mutex is process-shared and belongs to no thread while unlocked; see `Sync`.
unsafe impl Send for LockCell {}

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
    /// Makes the mutex. Once, by the creator of the mapping, before anyone else can see it.
    pub(super) fn initialise(&self) -> io::Result<()> {
        let mut attributes = Attributes::new()?;
        attributes.share_between_processes()?;
        attributes.survive_owners()?;
        attributes.check_errors()?;
        // SAFETY: the cell is writable memory of the right size and alignment, and nobody else uses it yet (see above);
        // `attributes` is initialised.
        check(unsafe { libc::pthread_mutex_init(self.0.get(), &raw const attributes.0) })
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// EDEADLK when this thread holds it already, EINVAL when the memory holds no mutex any more.
    pub(super) fn lock(&self) -> io::Result<(Held<'_>, Owner)> {
        // SAFETY: `initialise` made the mutex before the region was handed out (Region::build).
        let result = unsafe { libc::pthread_mutex_lock(self.0.get()) };
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

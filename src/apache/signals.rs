//! Signals of a thread we start: none, for they belong to httpd's own threads.
//!
//! Not here: handlers. The surprising thing: a new thread inherits the mask of the one that starts it, so the mask is set around the
//! start and put back.

/// All signals are blocked on this thread until it is dropped.
pub(super) struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks all signals.
    pub(super) fn all() -> Self {
        // SAFETY: a signal set is plain data; both sets are filled before they are read.
        let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: writes the set.
        unsafe { libc::sigfillset(&raw mut all) };
        // SAFETY: reads one set and writes the other; changes this thread's mask only.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before) };
        Self(before)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: puts back the mask that `all` read.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

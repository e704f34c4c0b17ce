//! Real processes for the tests of the shared memory: fork, kill, wait.
//!
//! Not here: any assertion. The surprising thing: the test binary has many threads, and a forked child has only one of them. So
//! the body must not take a lock that another thread may have held (no output, no test framework); it works on the region and
//! answers with an exit code.

#![allow(unsafe_code, reason = "fork, kill and waitpid are what these tests are about")]
#![allow(dead_code, reason = "shared by two test binaries, which use different parts")]

/// A forked child; killed and reaped when dropped.
pub(crate) struct Forked(Option<libc::pid_t>);

/// Runs `body` in a new process, which ends with its result as exit code, or 101 after a panic.
pub(crate) fn fork(body: impl FnOnce() -> u8) -> Forked {
    // SAFETY: the child runs `body`, whose rules are at the top of this file, and then leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Forked(Some(pid));
    }
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
    // SAFETY: ends the process without the exit handlers, which belong to the parent.
    unsafe { libc::_exit(i32::from(code)) }
}

/// For a child: waits to be killed, without using the processor.
pub(crate) fn park() -> u8 {
    loop {
        rustix::thread::sched_yield();
        let _ = rustix::event::poll(&mut [], None);
    }
}

impl Forked {
    pub(crate) fn pid(&self) -> u32 {
        self.0.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0)
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.0 {
            // SAFETY: the pid is that of our child, which has not been waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }

    /// Waits for the end; the exit code, or `None` when a signal ended it.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.0.take().and_then(wait)
    }

    /// Waits until the child is a zombie, and leaves it one.
    pub(crate) fn wait_until_zombie(&self) {
        let pid = libc::id_t::from(self.pid());
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: `info` is writable; the pid is that of our child.
        let result = unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) };
        assert_eq!(result, 0);
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        self.kill();
        self.0.take().and_then(wait);
    }
}

fn wait(pid: libc::pid_t) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` is writable; the pid is that of our child, waited for once.
    let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(result, pid, "waitpid: {}", std::io::Error::last_os_error());
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

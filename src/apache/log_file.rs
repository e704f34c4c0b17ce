//! JkLogFile: a file opened for appending, or a piped program; lines that cannot be written go to the ErrorLog.
//!
//! Not here: how a line looks (`crate::log`). The surprising thing: there is no lock around a write, unlike in C: a line is one
//! `write`, which the kernel does not interleave with others: to a file in append mode of any length, to a pipe up to `PIPE_BUF`
//! (pipe(7)), where lines are cut.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::apr::{Pool, ServerRef};
use super::ffi;
use crate::log::Sink;

/// Where the lines of one server go.
pub(super) enum LogFile {
    /// A file of ours.
    File(File),
    /// The pipe of a program that httpd runs and restarts; the descriptor is httpd's.
    Pipe(ManuallyDrop<File>),
}

impl LogFile {
    /// Opens `target`, a path or `|command`.
    ///
    /// # Errors
    /// A sentence with the path and the system's reason.
    pub(super) fn open(target: &str, pool: Pool) -> Result<Self, String> {
        match target.strip_prefix('|') {
            Some(command) => Self::pipe(command, pool),
            None => OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o644)
                .open(target)
                .map(Self::File)
                .map_err(|error| format!("JkLogFile: cannot open '{target}' for appending: {error}")),
        }
    }

    fn pipe(command: &str, pool: Pool) -> Result<Self, String> {
        let failed = || format!("JkLogFile: cannot start the piped log program '{command}'");
        let command = CString::new(command).map_err(|_| failed())?;
        // SAFETY: live configuration pool and a NUL-terminated command.
        let piped = unsafe { ffi::ap_open_piped_log(pool.as_ptr(), command.as_ptr()) };
        if piped.is_null() {
            return Err(failed());
        }
        // SAFETY: the piped log lives in the configuration pool.
        let pipe = unsafe { ffi::ap_piped_log_write_fd(piped) };
        let mut descriptor: ffi::apr_os_file_t = -1;
        // SAFETY: the write end is an open APR file; its descriptor is copied out.
        if pipe.is_null() || unsafe { ffi::apr_os_file_get(&raw mut descriptor, pipe) } != 0 {
            return Err(failed());
        }
        // SAFETY: the descriptor stays open while the configuration lives; ManuallyDrop leaves closing it to httpd.
        Ok(Self::Pipe(ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) })))
    }
}

impl Sink for LogFile {
    /// As httpd's ErrorLog and C mod_jk number threads: the value of pthread_self.
    fn thread_id(&self) -> u64 {
        // SAFETY: always succeeds, changes nothing.
        unsafe { libc::pthread_self() }
    }

    fn write_line(&self, line: &[u8]) {
        let written = match self {
            Self::File(file) => (&*file).write_all(line),
            Self::Pipe(file) => match line.get(..libc::PIPE_BUF.saturating_sub(1)) {
                Some(start) if line.len() > libc::PIPE_BUF => (&**file).write_all(&[start, b"\n"].concat()),
                _ => (&**file).write_all(line),
            },
        };
        if let Err(error) = written {
            ServerRef::none().error(&format!(
                "mod_jk: cannot write to the JkLogFile: {error}; the line was: {}",
                String::from_utf8_lossy(line.trim_ascii_end())
            ));
        }
    }
}

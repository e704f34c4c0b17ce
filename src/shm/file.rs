//! The file behind the mapping: created for us alone, reserved in full, removed by its creator.
//!
//! Not here: what lies in it. The surprising thing: an existing file of our name is neither opened nor truncated, whatever it
//! holds. Its name is taken away and a new file is created, so a process that still maps the old one keeps it intact. That
//! matters where two containers, both with httpd as pid 1, share a log directory. A file in use is locked, so what a killed httpd left is
//! told from what another one uses.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, fcntl_lock, flock};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::error::ShmError;
use super::header::MAGIC;

/// Owner only: what lies in the file decides where requests go (CVE-2024-46544).
const MODE: u32 = 0o600;

/// Names are taken away this often before someone else's race for the name is an error.
const MAX_ATTEMPTS: u32 = 8;

/// How often, and after which pause, a process looks whether another one has made a cut file whole.
const MAX_LOOKS: u32 = 1_000;
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// A created file, and what was done to its name.
pub(super) struct Created {
    pub(super) file: File,
    pub(super) name: FileName,
    /// What had the name before and was removed; for one line in the log.
    pub(super) replaced: Option<&'static str>,
}

/// The name of the file and which file it stood for; removed from the file system when dropped by its creator.
#[derive(Debug)]
pub(super) struct FileName {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
    creator: u32,
}

/// Creates `path`, mode 0600 and `size` bytes long, all of them reserved.
pub(super) fn create(path: PathBuf, size: u64) -> Result<Created, ShmError> {
    let (file, replaced) = create_new(&path)?;
    // Shared with the children, who inherit the open file, and given up with the last of them. Where there are no such locks, nobody can
    // tell whether the file is in use, and leftovers stay.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    let name = match identify(&file, &path) {
        Ok(name) => name,
        Err(source) => return Err(ShmError::Create { path, source }),
    };
    match reserve(&file, size) {
        Ok(()) => Ok(Created { file, name, replaced }),
        // Dropping `name` removes it again.
        Err(source) => Err(ShmError::Reserve { path, size, source }),
    }
}

impl FileName {
    /// Whether the name still stands for the file.
    pub(super) fn holds(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode)
    }
}

impl Drop for FileName {
    /// Removes the name, if this process created the file and the name still stands for it. Children, which inherit this
    /// value by fork, remove nothing, and neither does an old generation whose name a new one has taken.
    ///
    /// Race: between the look and the removal someone could put another file under the name; only who may write to the
    /// directory can, and who may do so can remove that file anyway.
    fn drop(&mut self) {
        if self.creator != std::process::id() {
            return;
        }
        if self.holds() {
            // Gone already is as good; nobody is left to be told otherwise.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn create_new(path: &Path) -> Result<(File, Option<&'static str>), ShmError> {
    let mut replaced = None;
    for _ in 0..MAX_ATTEMPTS {
        // O_CREAT | O_EXCL: fails when the name exists and does not follow a symbolic link in its last component.
        match OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path) {
            Ok(file) => return Ok((file, replaced)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => replaced = take_name_away(path)?.or(replaced),
            Err(source) => return Err(ShmError::Create { path: path.to_owned(), source }),
        }
    }
    Err(ShmError::Create { path: path.to_owned(), source: io::ErrorKind::AlreadyExists.into() })
}

/// Removes a regular file or a symbolic link (never its target); refuses anything else.
fn take_name_away(path: &Path) -> Result<Option<&'static str>, ShmError> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ShmError::Create { path: path.to_owned(), source }),
    };
    let refuse = |found| Err(ShmError::Occupied { path: path.to_owned(), found });
    let what = match () {
        () if kind.is_file() && open_ours(path).is_some_and(|file| is_in_use(&file)) => {
            "a file in use by another httpd (give each its own JkShmFile)"
        }
        () if kind.is_file() => "a file",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => return refuse("a directory"),
        () if kind.is_fifo() => return refuse("a named pipe"),
        () if kind.is_socket() => return refuse("a socket"),
        () => return refuse("a device"),
    };
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Some(what)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ShmError::Create { path: path.to_owned(), source }),
    }
}

/// Removes what httpds that were killed left behind: files `<path>.<pid>` of ours that nobody uses any more. Returns their names.
///
/// Race: another httpd may be creating its file now. It locks the file before it writes what we know it by.
pub fn remove_leftovers(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let is_ours = |name: &std::ffi::OsStr| {
        let pid =
            name.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        pid.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
    };
    // A folder that cannot be read is no reason not to start.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let candidates = entries.filter(|entry| is_ours(&entry.file_name())).map(|entry| entry.path());
    candidates.filter(|path| remove_leftover(path)).collect()
}

fn remove_leftover(path: &Path) -> bool {
    // The lock is kept until the name is gone.
    open_ours(path).is_some_and(|file| !is_in_use(&file) && std::fs::remove_file(path).is_ok())
}

/// Opens a file that begins as ours do and belongs to us.
fn open_ours(path: &Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).ok()?;
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).ok()?;
    let is_own = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    (is_own && magic == MAGIC).then_some(file)
}

/// Whether a process has it locked, as the httpd that created it and its children do. Else it is locked now, while it is open.
fn is_in_use(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// Gives a file that was cut its length back and calls `refill`, of all processes in one only. Returns how long it was, if it was cut.
pub(super) fn make_whole<E>(
    file: &File,
    size: u64,
    refill: impl FnOnce() -> Result<(), E>,
) -> io::Result<Option<Result<u64, E>>> {
    if file.metadata()?.len() >= size {
        return Ok(None);
    }
    // A lock of the process: `flock` belongs to the open file, which all of them share. Nobody waits for ever.
    let mut looks = 0;
    while fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        looks += 1;
        if file.metadata()?.len() >= size || looks > MAX_LOOKS {
            return Ok(None);
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    let found = file.metadata()?.len();
    let outcome = if found >= size { Ok(None) } else { reserve(file, size).map(|()| Some(refill().map(|()| found))) };
    // It goes with the process at the latest.
    let _ = fcntl_lock(file, FlockOperation::Unlock);
    outcome
}

fn identify(file: &File, path: &Path) -> io::Result<FileName> {
    // The umask can only take rights away; this gives back those of the owner.
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    let metadata = file.metadata()?;
    Ok(FileName { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino(), creator: std::process::id() })
}

/// Reserves the blocks now, so that a full disk is an error here and not a SIGBUS in a child later.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    // Beyond the file size limit the kernel sends SIGXFSZ, which ends the process before any message.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| size > limit) {
        return Err(Errno::FBIG.into());
    }
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, size) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // File systems without it (old NFS, some FUSE): writing reserves as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return fill(file, size),
            Err(error) => return Err(error.into()),
        }
    }
}

fn fill(mut file: &File, size: u64) -> io::Result<()> {
    let zeros = [0; 4_096];
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all(zeros.get(..length).unwrap_or(&zeros))?;
        left = left.saturating_sub(length as u64);
    }
    file.flush()
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn fills_a_file_whose_file_system_cannot_reserve() {
        let file = tempfile::tempfile().unwrap();
        fill(&file, 10_001).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_001);
    }
}

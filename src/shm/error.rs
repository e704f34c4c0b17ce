//! What can go wrong with the shared memory, in words that say what to check.
//!
//! Not here: who reports it (`apache` at start-up, `status` after an update). The surprising thing: a failed `create` never
//! leaves a file of ours behind, so none of these messages asks the admin to remove one.

use std::io;
use std::path::PathBuf;

/// Why the shared memory cannot be had, or a change cannot be stored.
#[derive(Debug)]
pub enum ShmError {
    /// The file cannot be created.
    Create {
        /// Real name, with the pid.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something that is not a regular file has the name, and removing it would be wrong.
    Occupied {
        /// Real name, with the pid.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The space cannot be reserved.
    Reserve {
        /// Real name, with the pid.
        path: PathBuf,
        /// Bytes asked for.
        size: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be mapped.
    Map {
        /// Real name, with the pid; a description for memory without a file.
        path: PathBuf,
        /// Bytes asked for.
        size: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The writers' lock cannot be made or taken.
    Lock(io::Error),
    /// More of something than the layout allows.
    TooMany {
        /// What, in the plural.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A name or text does not fit its slot.
    TextTooLong {
        /// Which: "host", "route", ...
        what: &'static str,
        /// The text.
        text: String,
    },
    /// There is no slot of that number: a mistake of the caller.
    NoSuchSlot,
}

impl std::fmt::Display for ShmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { path, source } => write!(
                f,
                "cannot create the shared memory file {}: {source}; check that JkShmFile names a directory that exists, \
                 is on a writable file system and may be written by the user that starts httpd",
                path.display()
            ),
            Self::Occupied { path, found } => write!(
                f,
                "cannot create the shared memory file {}: {found} has this name; remove it or point JkShmFile elsewhere",
                path.display()
            ),
            Self::Reserve { path, size, source } => write!(
                f,
                "cannot reserve {size} bytes for the shared memory file {}: {source}; check the free space (df), the quota \
                 and the file size limit (ulimit -f) there, and JkShmSize, which can be left out",
                path.display()
            ),
            Self::Map { path, size, source } => write!(
                f,
                "cannot map {size} bytes of the shared memory file {}: {source}; check the address space limit (ulimit -v) \
                 and that the file system of JkShmFile supports shared mappings",
                path.display()
            ),
            Self::Lock(source) => write!(f, "cannot use the lock of the shared memory: {source}"),
            Self::TooMany { what, count, limit } => {
                write!(f, "the shared memory has room for at most {limit} {what}, found {count}")
            }
            Self::TextTooLong { what, text } => {
                write!(f, "{what} must be at most {} bytes, found {}: \"{text}\"", super::TEXT_MAX, text.len())
            }
            Self::NoSuchSlot => f.write_str("no such slot in the shared memory"),
        }
    }
}

impl std::error::Error for ShmError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Create { source, .. }
            | Self::Reserve { source, .. }
            | Self::Map { source, .. }
            | Self::Lock(source) => Some(source),
            Self::Occupied { .. } | Self::TooMany { .. } | Self::TextTooLong { .. } | Self::NoSuchSlot => None,
        }
    }
}

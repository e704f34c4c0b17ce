//! The first bytes of the mapping: what it is, the maintenance clock and the writers' lock.
//!
//! Not here: anything a worker needs. The surprising thing: magic, version and sizes are for people and tools that look at the
//! file; no child reads them, because children inherit the mapping and the plan that made it.
//!
//! ```text
//!    0  magic "!JKSHMR1"  | version | header bytes | size     (little endian on little-endian machines)
//!   24  AJP, balancer, member and child slots (u32 each)      40  created (seconds since 1970)
//!   64  last maintenance (seconds since 1970) | highest child entry in use | generation of the rest
//!  128  writers' lock
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64};

use super::cell::Counter;
use super::lock::LockCell;
use super::tally::GenerationCell;

/// First eight bytes of the file.
pub(super) const MAGIC: [u8; 8] = *b"!JKSHMR1";

/// Changes with every change of layout.
pub(super) const VERSION: u32 = 5;

/// See the picture above.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Header {
    pub(super) magic: AtomicU64,
    pub(super) version: AtomicU32,
    pub(super) header_bytes: AtomicU32,
    pub(super) size: AtomicU64,
    pub(super) ajp: AtomicU32,
    pub(super) lbs: AtomicU32,
    pub(super) members: AtomicU32,
    pub(super) children: AtomicU32,
    pub(super) created: AtomicU64,
    _spare: [AtomicU64; 2],
    pub(super) maintained: Counter,
    /// One more than the highest child entry in use; sums need not look further.
    pub(super) entries_used: AtomicU32,
    /// Generation of the cells of children without an entry.
    pub(super) shared_generation: GenerationCell,
    _pad: [AtomicU32; 12],
    pub(super) lock: LockCell,
}

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::offset_of!(Header, maintained) == 64);
    assert!(std::mem::offset_of!(Header, lock) == 128);
    assert!(size_of::<Header>() == 192);
};

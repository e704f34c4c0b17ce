//! What a member may be (activation: the admin's will; state: what was observed) and how states follow each other.

/// The admin's will (`worker.<member>.activation`; reference: lb-shm-status.md §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `ACT`: takes all work.
    #[default]
    Active,
    /// `DIS`: only requests of sessions that belong here.
    Disabled,
    /// `STP`: nothing.
    Stopped,
}

/// What was observed of a member (reference: lb-shm-status.md §2.3, §2.11). The codes are C mod_jk's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// `OK/IDLE`: usable, not used since the last maintenance.
    #[default]
    Idle = 0,
    /// `OK`.
    Ok = 1,
    /// `ERR/REC`: was in error, the next request may try it.
    Recover = 2,
    /// `ERR/FRC`: in error, but tried because nothing else was left.
    Forced = 3,
    /// `OK/BUSY`: no free connection or busy limit reached.
    Busy = 4,
    /// `ERR`.
    Error = 5,
    /// `ERR/PRB`: one request is trying it.
    Probe = 6,
}

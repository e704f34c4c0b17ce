//! Load balancing policy: which member of a load balancer gets this request. Pure: copies of members in, an index out.
//!
//! Not here: counters in shared memory (`shm`), sockets and retries (`worker`). The surprising thing: between the copy
//! and the record of the choice another child may choose too; that race is C mod_jk's default (`lock=Optimistic`) as well.

pub mod method;
pub mod session;
pub mod state;

pub use method::{Lock, Method};
pub use state::{Activation, State};

/// One member as the policy sees it: plain numbers, copied out of shared memory for this request
/// (reference: lb-shm-status.md §2.3 to §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Error state as this request sees it (a member that failed this request is `State::Error` in the copy only).
    pub state: State,
    /// Activation as this request sees it (rule extensions already applied).
    pub activation: Activation,
    /// Preference: smaller is nearer; negatives are accepted.
    pub distance: i32,
    /// lcm of all lbfactors / own lbfactor: what one election adds to `value`.
    pub multiplier: u64,
    /// Accumulated load, comparable between members.
    pub value: u64,
    /// Requests in progress on this member, over all children.
    pub busy: u32,
}

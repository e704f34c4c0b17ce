//! The balancing methods: what counts as load, and how it decays.

/// How load is counted (`worker.<lb>.method`; codes 0 to 4 in this order; reference: lb-shm-status.md §2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Requests, weighted by lbfactor.
    #[default]
    Request,
    /// Bytes in both directions on the AJP side.
    Traffic,
    /// Requests in progress.
    Busyness,
    /// Requests without a session id.
    Sessions,
    /// Like `Sessions`, but maintenance subtracts the minimum instead of halving.
    Next,
}

/// What is held while a member is chosen (`worker.<lb>.lock`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nothing shared between children.
    #[default]
    Optimistic,
    /// The writers' lock of the shared memory.
    Pessimistic,
}

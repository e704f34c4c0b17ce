//! What the request notes tell about a member (reference: lb-shm-status.md section 2.13).
//!
//! Not here: the names of the notes (`apache`). The surprising thing: each number is read on its own, so they need not fit together while
//! other requests run.

use super::{LbWorker, Member, Run};
use crate::balancer::{Activation, State};
use crate::shm::Text;

/// What a request met on its way through a balancer.
#[derive(Debug, Default)]
pub struct Trail<'l> {
    /// The member of the first attempt, after it.
    pub first: Option<MemberReport<'l>>,
    /// The member of the last attempt, at the end.
    pub last: Last<'l>,
    pub(super) route: Option<Text>,
}

impl Trail<'_> {
    /// Route that the container was told last, if the request did not force another one.
    #[inline]
    #[must_use]
    pub fn route(&self) -> Option<&Text> {
        self.route.as_ref().filter(|route| !route.is_empty())
    }
}

/// The member of the last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Last<'l> {
    /// There is none, or no member at all was left after it.
    #[default]
    Nobody,
    /// That of the first attempt, which was the only one: as it was then.
    First,
    /// This one.
    Other(MemberReport<'l>),
}

/// Facts about a member for the request notes (reference: lb-shm-status.md section 2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberReport<'l> {
    /// Its name.
    pub name: &'l Text,
    /// Accumulated load.
    pub value: u64,
    /// Elections of its AJP worker.
    pub accessed: u64,
    /// Elections without a session.
    pub sessions: u64,
    /// Bytes received from it.
    pub read: u64,
    /// Bytes sent to it.
    pub transferred: u64,
    /// Failures counted against it.
    pub errors: u64,
    /// Requests in progress.
    pub busy: u64,
    /// Activation as this request saw it.
    pub activation: Activation,
    /// Its state.
    pub state: State,
}

impl LbWorker {
    /// Of the member that was elected last.
    #[inline(always)]
    pub(super) fn report<'l>(&self, member: &'l Member, run: &Run<'_>) -> MemberReport<'l> {
        let shared = member.worker.shared();
        let (slot, ajp) = (self.shared.region.member(member.slot), shared.slot());
        MemberReport {
            name: &member.name,
            value: slot.map_or(0, |slot| slot.value.get()),
            accessed: ajp.map_or(0, |ajp| ajp.used.get()),
            sessions: slot.map_or(0, |slot| slot.sessions.get()),
            read: ajp.map_or(0, |ajp| ajp.read.get()),
            transferred: ajp.map_or(0, |ajp| ajp.transferred.get()),
            errors: slot.map_or(0, |slot| slot.errors.get()),
            busy: u64::from(shared.busy()),
            activation: run.election.activation,
            state: slot.map_or(State::Error, |slot| slot.state.get()),
        }
    }
}

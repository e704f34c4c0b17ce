//! Load balancing policy: which member of a load balancer gets this request. Pure: copies of members in, an index out.
//!
//! Not here: counters in shared memory (`shm`), sockets and retries (`worker`). The surprising thing: between the copy
//! and the record of the choice another child may choose too; that race is C mod_jk's default (`lock=Optimistic`) as well.

use std::sync::atomic::{AtomicU32, Ordering};

use memchr::memchr;

pub mod latency;
pub mod maintenance;
pub mod method;
pub mod rating;
pub mod session;
pub mod state;

pub use method::{Lock, Method};
pub use state::{Activation, State};

/// One member as the policy sees it: plain numbers, copied out of shared memory for this request
/// (reference: lb-shm-status.md section 2.3 to section 2.5).
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

impl MemberView {
    /// New work may go here.
    #[inline]
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.state.is_usable(self.activation)
    }

    /// Requests of sessions that belong here may go here.
    #[inline]
    #[must_use]
    pub const fn is_sticky_usable(&self) -> bool {
        self.state.is_sticky_usable(self.activation)
    }
}

/// The texts of the members, looked up only when a session or a failover needs them. Empty = none.
pub trait Texts {
    /// A borrowed text, or a copy out of shared memory.
    type Text<'a>: AsRef<[u8]>
    where
        Self: 'a;
    /// Route of the member with this index.
    fn route(&self, member: usize) -> Self::Text<'_>;
    /// Domain of the member with this index.
    fn domain(&self, member: usize) -> Self::Text<'_>;
    /// Route of the member that takes over from the member with this index.
    fn redirect(&self, member: usize) -> Self::Text<'_>;
}

/// What the choice depends on, apart from the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Result of [`session::session_ids`]: one id or several joined by `;`. It is never changed, so each failover of a request sees all
    /// of them (C keeps the first one only after the first attempt; reference: lb-shm-status.md section 9.4).
    pub session_ids: Option<&'a [u8]>,
    /// `sticky_session_force`: a session's request goes where the session is, or nowhere.
    pub sticky_force: bool,
    /// The request will not create a session: loads are ignored, members take turns.
    pub stateless: bool,
}

/// The member to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index into the members given.
    pub index: usize,
    /// The session belongs exactly here (or there is no other member at all), so `set_session_cookie` sends nothing.
    pub sticky: bool,
    /// Which text of the member `index` is its route for this request.
    pub route: RouteSent,
}

/// What a backend is told as its route (AJP attribute 0x06), unless JK_ROUTE says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteSent {
    /// The route of the chosen member.
    Member,
    /// The domain of the chosen member: it was found by domain (C sends garbage here; reference: lb-shm-status.md section 9.1).
    Domain,
}

/// Why there is no [`Choice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMember {
    /// `sticky_session_force`, and none of the session's members takes requests: "all workers are in error state for session".
    SessionForced,
    /// No member takes this request.
    NoneUsable,
}

/// Chooses by load (reference: lb-shm-status.md section 2.5). `next_offset` is the balancer's rotating start in this process.
///
/// Allocates nothing, locks nothing, and without session ids reads no text unless every member is out of use.
///
/// # Errors
/// [`NoMember`]: nobody may get this request now.
pub fn choose(
    members: &[MemberView],
    texts: &impl Texts,
    request: &Selection<'_>,
    next_offset: &AtomicU32,
) -> Result<Choice, NoMember> {
    choose_with(members, texts, request, |members| best_by_value(members, request.stateless, next_offset))
}

/// Like [`choose`], with another way to pick among the members when no session decides (see [`latency::pick`]).
///
/// # Errors
/// [`NoMember`]: nobody may get this request now.
pub fn choose_with(
    members: &[MemberView],
    texts: &impl Texts,
    request: &Selection<'_>,
    pick: impl FnOnce(&[MemberView]) -> Option<usize>,
) -> Result<Choice, NoMember> {
    if let [only] = members {
        if !only.is_sticky_usable() {
            return Err(NoMember::NoneUsable);
        }
        if only.is_usable() {
            return Ok(Choice { index: 0, sticky: true, route: RouteSent::Member });
        }
        // Disabled: only its own sessions get through, below.
    }
    if let Some(ids) = request.session_ids.filter(|ids| !ids.is_empty()) {
        if let Some(choice) = by_session(members, texts, ids, request.sticky_force) {
            return Ok(choice);
        }
        if request.sticky_force {
            return Err(NoMember::SessionForced);
        }
    }
    if let Some(index) = pick(members) {
        return Ok(Choice { index, sticky: false, route: RouteSent::Member });
    }
    by_failover(members, texts, request.sticky_force).ok_or(NoMember::NoneUsable)
}

/// The usable member at the smallest distance with the smallest load; loads are ignored for stateless requests. The walk starts at
/// `next_offset` and leaves there the index after the member found, so that members with equal loads take turns.
///
/// Two threads may read the same offset and then find the same member. They do so for every member alike, so shares are kept.
#[must_use]
pub fn best_by_value(members: &[MemberView], stateless: bool, next_offset: &AtomicU32) -> Option<usize> {
    // One past the last member, or beyond after the members became fewer, means the first.
    let start = next_offset.load(Ordering::Relaxed) as usize;
    let (before, after) = members.split_at_checked(start).unwrap_or((members, &[]));
    let value_mask = if stateless { 0 } else { u64::MAX };
    let best = nearest_and_least(None, after, before.len(), value_mask);
    let best = nearest_and_least(best, before, 0, value_mask)?;
    next_offset.store(u32::try_from(best.index + 1).unwrap_or(0), Ordering::Relaxed);
    Some(best.index)
}

/// The best member so far. Copied numbers, not a reference: this is the hot loop.
#[derive(Clone, Copy)]
struct Best {
    index: usize,
    distance: i32,
    value: u64,
}

#[inline]
fn nearest_and_least(
    mut best: Option<Best>,
    members: &[MemberView],
    first_index: usize,
    value_mask: u64,
) -> Option<Best> {
    for (index, member) in (first_index..).zip(members) {
        let (distance, value) = (member.distance, member.value & value_mask);
        if member.is_usable() && best.is_none_or(|best| (distance, value) < (best.distance, best.value)) {
            best = Some(Best { index, distance, value });
        }
    }
    best
}

/// The first of the ids that leads to a member. An id's route is all after its first dot.
fn by_session(members: &[MemberView], texts: &impl Texts, ids: &[u8], force: bool) -> Option<Choice> {
    ids.split(|byte| *byte == b';').find_map(|id| {
        let (_, route) = id.split_at_checked(memchr(b'.', id)? + 1)?;
        by_route(members, texts, route, force)
    })
}

/// When nobody is usable, the redirect of the first member that has one may name a member which is disabled: a hot standby. It is not
/// sticky, because no session led there.
fn by_failover(members: &[MemberView], texts: &impl Texts, force: bool) -> Option<Choice> {
    let redirect = (0..members.len()).map(|index| texts.redirect(index)).find(|text| !text.as_ref().is_empty())?;
    let choice = by_route(members, texts, redirect.as_ref(), force)?;
    Some(Choice { sticky: false, ..choice })
}

/// The member that a route or domain leads to; if that one takes no requests and nothing is forced, its redirect, or else its domain.
fn by_route(members: &[MemberView], texts: &impl Texts, route: &[u8], force: bool) -> Option<Choice> {
    let Some(index) = with_route(members, texts, route) else {
        let domain = memchr(b'.', route).and_then(|dot| route.get(..dot)).unwrap_or(route);
        let index = best_of_domain(members, texts, domain)?;
        return Some(Choice { index, sticky: false, route: RouteSent::Domain });
    };
    if members.get(index)?.is_sticky_usable() {
        return Some(Choice { index, sticky: true, route: RouteSent::Member });
    }
    if force {
        return None;
    }
    let redirect = texts.redirect(index);
    if redirect.as_ref().is_empty() {
        let index = best_of_domain(members, texts, texts.domain(index).as_ref())?;
        return Some(Choice { index, sticky: false, route: RouteSent::Domain });
    }
    let index = with_route(members, texts, redirect.as_ref())?;
    members.get(index)?.is_sticky_usable().then_some(Choice { index, sticky: false, route: RouteSent::Member })
}

/// The first member with exactly this route, whatever its condition.
fn with_route(members: &[MemberView], texts: &impl Texts, route: &[u8]) -> Option<usize> {
    if route.is_empty() {
        return None;
    }
    (0..members.len()).find(|index| same(texts.route(*index).as_ref(), route))
}

/// The usable member of a domain with the smallest distance, then load, then index.
fn best_of_domain(members: &[MemberView], texts: &impl Texts, domain: &[u8]) -> Option<usize> {
    if domain.is_empty() {
        return None;
    }
    let usable = members.iter().enumerate().filter(|(_, member)| member.is_usable());
    let of_domain = usable.filter(|(index, _)| same(texts.domain(*index).as_ref(), domain));
    of_domain.min_by_key(|(_, member)| (member.distance, member.value)).map(|(index, _)| index)
}

/// Equality that looks at the last byte first: routes are often equally long and differ at the end (`node01`, `node02`), and then no
/// comparison function is called for the wrong ones.
#[inline]
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.last() == right.last() && left == right
}

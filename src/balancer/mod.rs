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
    /// [`route_hash`] of its route; 0 = it has none.
    pub route_hash: u32,
    /// [`route_hash`] of its domain; 0 = it has none.
    pub domain_hash: u32,
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

/// What the policy asks of a member: of a copy of it, or of the original, which others may change meanwhile. Each method is one look.
pub trait Member {
    /// See [`MemberView::state`].
    fn state(&self) -> State;
    /// [`rank`] of its activation and distance.
    fn rank(&self) -> u64;
    /// See [`MemberView::value`].
    fn value(&self) -> u64;
    /// [`MemberView::route_hash`] above, [`MemberView::domain_hash`] below.
    fn hashes(&self) -> u64;

    /// [`State::takes_requests`] of its state.
    #[inline]
    fn takes_requests(&self) -> bool {
        self.state().takes_requests()
    }

    /// New work may go here.
    #[inline]
    fn takes_new_work(&self) -> bool {
        self.takes_requests() && self.rank() < NOBODYS_RANK
    }

    /// Requests of sessions that belong here may go here.
    #[inline]
    fn takes_its_sessions(&self) -> bool {
        self.takes_requests() && self.rank() < rank(Activation::Stopped, i32::MIN)
    }
}

impl Member for MemberView {
    #[inline]
    fn state(&self) -> State {
        self.state
    }
    #[inline]
    fn rank(&self) -> u64 {
        rank(self.activation, self.distance)
    }
    #[inline]
    fn value(&self) -> u64 {
        self.value
    }
    #[inline]
    fn hashes(&self) -> u64 {
        u64::from(self.route_hash) << 32 | u64::from(self.domain_hash)
    }
}

/// Activation and distance as one number, so that the hot loop compares once: the smaller, the nearer; active members come before all
/// others, and stopped ones last.
#[inline]
#[must_use]
pub const fn rank(activation: Activation, distance: i32) -> u64 {
    (activation.code() as u64) << 33 | (distance.cast_unsigned() ^ SIGN) as u64
}

/// The opposite of [`rank`]; what is no activation means stopped.
#[inline]
#[must_use]
pub const fn place_of(rank: u64) -> (Activation, i32) {
    let activation = match rank >> 33 {
        0 => Activation::Active,
        1 => Activation::Disabled,
        _ => Activation::Stopped,
    };
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let distance = (rank as u32 ^ SIGN).cast_signed();
    (activation, distance)
}

/// Makes negative distances smaller than positive ones.
const SIGN: u32 = 1 << 31;

/// Behind all active members, before all others.
const NOBODYS_RANK: u64 = 1 << 32;

/// By this routes and domains are compared before their texts are: FNV-1a, 32 bits; 0 stands for the empty text only.
#[must_use]
pub fn route_hash(text: &[u8]) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    if text.is_empty() {
        return 0;
    }
    let hash = text.iter().fold(OFFSET, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
    hash.max(1)
}

/// The texts of the members, looked up only when a session or a failover needs them and the hash of the [`MemberView`] agrees. Empty = none.
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
pub fn choose<M: Member>(
    members: &[M],
    texts: &impl Texts,
    request: &Selection<'_>,
    next_offset: &AtomicU32,
) -> Result<Choice, NoMember> {
    choose_with(members, texts, request, |members| best_by_value(members, request.stateless, next_offset).found)
}

/// Like [`choose`], with another way to pick among the members when no session decides (see [`latency::pick`]).
///
/// # Errors
/// [`NoMember`]: nobody may get this request now.
pub fn choose_with<M: Member>(
    members: &[M],
    texts: &impl Texts,
    request: &Selection<'_>,
    pick: impl FnOnce(&[M]) -> Option<usize>,
) -> Result<Choice, NoMember> {
    if let [only] = members {
        if !only.takes_its_sessions() {
            return Err(NoMember::NoneUsable);
        }
        if only.takes_new_work() {
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
pub fn best_by_value<M: Member>(members: &[M], stateless: bool, next_offset: &AtomicU32) -> Walk {
    // One past the last member, or beyond after the members became fewer, means the first.
    let start = next_offset.load(Ordering::Relaxed) as usize;
    let (before, after) = members.split_at_checked(start).unwrap_or((members, &[]));
    let value_mask = if stateless { 0 } else { u64::MAX };
    let mut best = Best { index: None, rank: NOBODYS_RANK, value: 0, met_busy: false };
    nearest_and_least(&mut best, after, before.len(), value_mask);
    nearest_and_least(&mut best, before, 0, value_mask);
    if let Some(index) = best.index {
        next_offset.store(u32::try_from(index + 1).unwrap_or(0), Ordering::Relaxed);
    }
    Walk { found: best.index, met_busy: best.met_busy }
}

/// What [`best_by_value`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Index of the best member; `None`: nobody is usable.
    pub found: Option<usize>,
    /// Some member is `State::Busy`, and might have been better if it has room again.
    pub met_busy: bool,
}

/// The best member so far. Copied numbers, not a reference: this is the hot loop.
struct Best {
    index: Option<usize>,
    rank: u64,
    value: u64,
    met_busy: bool,
}

#[inline]
fn nearest_and_least<M: Member>(best: &mut Best, members: &[M], first_index: usize, value_mask: u64) {
    for (index, member) in (first_index..).zip(members) {
        if !member.takes_requests() {
            // Who takes requests at the second look may have been busy at the first.
            let state = member.state();
            best.met_busy |= state == State::Busy || state.takes_requests();
            continue;
        }
        let rank = member.rank();
        if rank > best.rank {
            continue;
        }
        let value = member.value() & value_mask;
        // Nobody's rank is no member's, so the first one that is usable is always nearer.
        if rank < best.rank || value < best.value {
            (best.index, best.rank, best.value) = (Some(index), rank, value);
        }
    }
}

/// The routes of session ids that are joined by `;`: all after the first dot of each, which may be empty.
pub fn routes_of(ids: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(ids);
    std::iter::from_fn(move || {
        let text = rest?;
        let (id, others) = match memchr(b';', text) {
            Some(end) => (text.get(..end)?, text.get(end + 1..)),
            None => (text, None),
        };
        rest = others;
        Some(id)
    })
    .filter_map(|id| id.get(memchr(b'.', id)? + 1..))
}

/// The first of the ids that leads to a member.
fn by_session<M: Member>(members: &[M], texts: &impl Texts, ids: &[u8], force: bool) -> Option<Choice> {
    routes_of(ids).find_map(|route| by_route(members, texts, route, force))
}

/// When nobody is usable, the redirect of the first member that has one may name a member which is disabled: a hot standby. It is not
/// sticky, because no session led there.
fn by_failover<M: Member>(members: &[M], texts: &impl Texts, force: bool) -> Option<Choice> {
    let redirect = (0..members.len()).map(|index| texts.redirect(index)).find(|text| !text.as_ref().is_empty())?;
    let choice = by_route(members, texts, redirect.as_ref(), force)?;
    Some(Choice { sticky: false, ..choice })
}

/// The member that a route or domain leads to; if that one takes no requests and nothing is forced, its redirect, or else its domain.
fn by_route<M: Member>(members: &[M], texts: &impl Texts, route: &[u8], force: bool) -> Option<Choice> {
    let index = match with_route(members, texts, route) {
        Ok(index) => index,
        Err(Absent { are_domains: false }) => return None,
        Err(Absent { are_domains: true }) => {
            let domain = memchr(b'.', route).and_then(|dot| route.get(..dot)).unwrap_or(route);
            let index = best_of_domain(members, texts, domain)?;
            return Some(Choice { index, sticky: false, route: RouteSent::Domain });
        }
    };
    if members.get(index)?.takes_its_sessions() {
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
    let index = with_route(members, texts, redirect.as_ref()).ok()?;
    members.get(index)?.takes_its_sessions().then_some(Choice { index, sticky: false, route: RouteSent::Member })
}

/// No member has the route.
struct Absent {
    /// But some have a domain.
    are_domains: bool,
}

/// The first member with exactly this route, whatever its condition.
fn with_route<M: Member>(members: &[M], texts: &impl Texts, route: &[u8]) -> Result<usize, Absent> {
    let hash = u64::from(route_hash(route));
    let mut seen = 0;
    for (index, member) in members.iter().enumerate() {
        let hashes = member.hashes();
        seen |= hashes;
        if hashes >> 32 == hash && hash != 0 && texts.route(index).as_ref() == route {
            return Ok(index);
        }
    }
    Err(Absent { are_domains: seen & u64::from(u32::MAX) != 0 })
}

/// The usable member of a domain with the smallest distance, then load, then index.
fn best_of_domain<M: Member>(members: &[M], texts: &impl Texts, domain: &[u8]) -> Option<usize> {
    let hash = u64::from(route_hash(domain));
    if hash == 0 {
        return None;
    }
    let has_hash = |member: &M| member.hashes() & u64::from(u32::MAX) == hash;
    let usable = members.iter().enumerate().filter(|(_, member)| has_hash(member) && member.takes_new_work());
    let of_domain = usable.filter(|(index, _)| texts.domain(*index).as_ref() == domain);
    of_domain.min_by_key(|(_, member)| (member.rank(), member.value())).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_the_route_behind_its_first_dot() {
        let routes = |ids| routes_of(ids).collect::<Vec<_>>();
        assert_eq!(routes(b"a.w1;b;c.d.w2;.w3;e."), [&b"w1"[..], b"d.w2", b"w3", b""]);
        assert_eq!(routes(b""), [&b""[..]; 0]);
    }

    #[test]
    fn ranks_order_active_members_by_distance_before_all_others() {
        let distances = [i32::MIN, -1, 0, 1, i32::MAX];
        let ranks: Vec<_> = Activation::ALL
            .iter()
            .flat_map(|&activation| distances.map(|distance| rank(activation, distance)))
            .collect();
        assert!(ranks.is_sorted_by(|left, right| left < right), "{ranks:?}");
        for activation in Activation::ALL {
            assert_eq!(rank(activation, 7) < NOBODYS_RANK, activation == Activation::Active);
            assert!(distances.iter().all(|&distance| place_of(rank(activation, distance)) == (activation, distance)));
        }
        assert_eq!(place_of(u64::MAX).0, Activation::Stopped);
    }

    #[test]
    fn the_farthest_member_with_the_largest_load_is_still_found() {
        let view = MemberView {
            state: State::Ok,
            activation: Activation::Active,
            distance: i32::MAX,
            multiplier: 1,
            value: u64::MAX,
            busy: 0,
            route_hash: 0,
            domain_hash: 0,
        };
        let walk = best_by_value(&[MemberView { state: State::Busy, ..view }, view], false, &AtomicU32::new(0));
        assert_eq!(walk, Walk { found: Some(1), met_busy: true });
    }

    #[test]
    fn only_the_empty_text_has_the_hash_zero() {
        assert_eq!(route_hash(b""), 0);
        assert_ne!(route_hash(b"w1"), 0);
        assert_ne!(route_hash(b"w1"), route_hash(b"w2"));
    }
}

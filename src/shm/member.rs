//! The slot of one member of one load balancer: what choosing needs, in one cache line, and the rest.
//!
//! Not here: the AJP worker behind the member, which other balancers may share (`slot.rs`, where all slots are drawn). The
//! surprising thing: nothing is read twice to compare routes. A hash decides, and the text is only read when it agrees.

use super::cause::Cause;
use super::cell::{Counter, StateCell, Text, TextCell, Word, activation_code, activation_from_code};
use super::drain::Drain;
use super::error::ShmError;
use super::sequence::{Pair, Sequence};
use super::slot::text;
use crate::balancer::method::CommonMultiple;
use crate::balancer::{Activation, Member, MemberView, State, place_of, rank, route_hash};
use crate::config::MemberSettings;

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<MemberSlot>() == 640 && align_of::<MemberSlot>() == 64);
    assert!(std::mem::offset_of!(MemberSlot, sessions) == 64 && std::mem::offset_of!(MemberSlot, texts) == 192);
};

/// What is known of one member of one load balancer. Times are seconds since 1970; 0 = never.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct MemberSlot {
    /// Accumulated load (`lb_value`).
    pub value: Counter,
    /// Least common multiple of all lbfactors by the own one; derived, kept by the writer of lbfactors.
    pub(super) multiplier: Counter,
    /// [`rank`] of the settings: derived, so that choosing gets activation and distance of the same moment by one load.
    rank: Counter,
    /// Hash of the route above, of the domain below; derived.
    hashes: Counter,
    /// Error state, shared by all children.
    pub state: StateCell,
    sequence: Sequence,
    numbers: Pair<MemberNumbers>,
    /// Elections without a session.
    pub sessions: Counter,
    /// Failures counted against this member.
    pub errors: Counter,
    /// First of consecutive errors.
    pub first_error_time: Counter,
    /// Last error.
    pub last_error_time: Counter,
    /// `used` of the AJP worker at the last maintenance: equal means idle.
    pub elected_snapshot: Counter,
    in_use: Word,
    /// Unix time of the last recovery; slow start counts from here.
    recovered: Word,
    /// Average time to first byte and when it was measured, for `method=latency`: microseconds above, Unix milliseconds below, both
    /// modulo 2^32.
    latency: Counter,
    /// Unix time of the last change of the state, and its cause.
    state_since: Word,
    state_cause: Word,
    name: TextCell,
    texts: Pair<MemberTexts>,
    drain: Drain,
}

#[derive(Debug)]
#[repr(C)]
struct MemberNumbers {
    distance: Word,
    activation: Word,
    lb_factor: Word,
}

#[derive(Debug)]
#[repr(C)]
struct MemberTexts {
    route: TextCell,
    domain: TextCell,
    redirect: TextCell,
}

/// The texts of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberText {
    /// jvmRoute.
    Route,
    /// Replication group.
    Domain,
    /// Route of the member that takes over.
    Redirect,
}

impl MemberSlot {
    /// The member's name, which is its AJP worker's.
    #[must_use]
    pub fn name(&self) -> Text {
        self.name.load()
    }

    /// Whether a member lives here; spare slots are empty until one joins.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.in_use.get() != 0
    }

    /// Tag of the settings; differs after each change of any of them.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence.tag()
    }

    /// The member as the policy sees it: one cache line. `busy` is that of the AJP worker (`Region::ajp_busy`).
    ///
    /// Distance and activation are of one moment; state, value and multiplier are those of the same nanoseconds, not of one instant, which
    /// is the race that `lock=Optimistic` accepts. A hash may be older than its text: then the session of a member whose route changes
    /// in these nanoseconds is balanced.
    #[inline]
    #[must_use]
    pub fn view(&self, busy: u32) -> MemberView {
        let ((activation, distance), hashes) = (place_of(self.rank.get()), self.hashes.get());
        MemberView {
            state: self.state.get(),
            activation,
            distance,
            multiplier: self.multiplier(),
            value: self.value.get(),
            busy,
            route_hash: lower(hashes >> 32),
            domain_hash: lower(hashes),
        }
    }

    /// What one election adds to `value`: at least 1, at most what factors can come to.
    #[inline]
    #[must_use]
    pub fn multiplier(&self) -> u64 {
        self.multiplier.get().clamp(1, CommonMultiple::LIMIT)
    }

    /// The admin's will alone.
    #[inline]
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.sequence.read(|side| activation_from_code(self.numbers.at(side).activation.get()))
    }

    /// The share of the load alone, at least 1.
    #[inline]
    #[must_use]
    pub fn lb_factor(&self) -> u32 {
        self.sequence.read(|side| self.numbers.at(side).lb_factor.get()).max(1)
    }

    /// Whether this is the member with that route; `hash` is [`route_hash`] of `route`, computed once per request. Texts are
    /// only read when the hashes agree. The empty route matches nothing.
    #[inline]
    #[must_use]
    pub fn has_route(&self, route: &[u8], hash: u32) -> bool {
        hash != 0 && lower(self.hashes.get() >> 32) == hash && self.text(MemberText::Route).as_bytes() == route
    }

    /// Whether this member is of that domain; as [`Self::has_route`].
    #[inline]
    #[must_use]
    pub fn has_domain(&self, domain: &[u8], hash: u32) -> bool {
        hash != 0 && lower(self.hashes.get()) == hash && self.text(MemberText::Domain).as_bytes() == domain
    }

    /// One of the texts; allocates nothing.
    #[must_use]
    pub fn text(&self, which: MemberText) -> Text {
        self.sequence.read(|side| {
            let texts = self.texts.at(side);
            match which {
                MemberText::Route => texts.route.load(),
                MemberText::Domain => texts.domain.load(),
                MemberText::Redirect => texts.redirect.load(),
            }
        })
    }

    /// All settings, consistent; allocates the texts.
    #[must_use]
    pub fn settings(&self) -> MemberSettings {
        let ((distance, activation, lb_factor), [route, domain, redirect]) = self.sequence.read(|side| {
            let (numbers, texts) = (self.numbers.at(side), self.texts.at(side));
            (
                (numbers.distance(), numbers.activation.get(), numbers.lb_factor.get()),
                [texts.route.load(), texts.domain.load(), texts.redirect.load()],
            )
        });
        MemberSettings {
            route: route.as_str().to_owned(),
            domain: domain.as_str().to_owned(),
            redirect: redirect.as_str().to_owned(),
            distance,
            activation: activation_from_code(activation),
            lb_factor: lb_factor.max(1),
        }
    }

    /// When it last came back from an error, seconds since 1970; 0 = never.
    #[must_use]
    pub fn recovered_s(&self) -> u64 {
        u64::from(self.recovered.get())
    }

    /// Notes a recovery.
    pub fn set_recovered(&self, now_s: u64) {
        self.recovered.set(u32::try_from(now_s).unwrap_or(u32::MAX));
    }

    /// The average time to first byte in microseconds (0 = never measured) and its age at `now_ms`, Unix milliseconds. The age is
    /// modulo 49 days.
    #[must_use]
    pub fn latency(&self, now_ms: u64) -> (u64, u64) {
        let word = self.latency.get();
        (word >> 32, now_ms.wrapping_sub(word) & u64::from(u32::MAX))
    }

    /// Stores a new average. Race: of two at the same time one is lost, which an average can bear.
    pub fn set_latency(&self, average_us: u64, now_ms: u64) {
        let average_us = average_us.min(u64::from(u32::MAX));
        self.latency.set(average_us << 32 | (now_ms & u64::from(u32::MAX)));
    }

    /// Slow start goes on, and the average stays of the age it has.
    pub(super) fn adopt_pace(&self, old: &Self) {
        self.recovered.set(old.recovered.get());
        self.latency.set(old.latency.get());
    }

    /// The drain of this member.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Notes why the state is what it just became. Race: of two changes at once, time and cause may be those of the earlier one.
    pub fn note_state(&self, cause: Cause, now_s: u64) {
        self.state_since.set(u32::try_from(now_s).unwrap_or(u32::MAX));
        self.state_cause.set(cause.code());
    }

    /// Since when the state is what it is, seconds since 1970, and why.
    #[must_use]
    pub fn state_since(&self) -> (u64, Cause) {
        (self.state_since.get().into(), Cause::from_code(self.state_cause.get()))
    }

    pub(super) fn occupy(&self, name: &Text, now_s: u64) {
        self.note_state(Cause::Start, now_s);
        self.name.store(name);
        self.in_use.set(1);
    }

    /// The caller holds the writers' lock, or is alone.
    pub(super) fn store(&self, settings: &MemberSettings) -> Result<(), ShmError> {
        self.publish(settings)?;
        self.derive();
        Ok(())
    }

    /// All of [`Self::store`] but its last step.
    pub(super) fn publish(&self, settings: &MemberSettings) -> Result<(), ShmError> {
        let route = text("route", &settings.route)?;
        let domain = text("domain", &settings.domain)?;
        let redirect = text("redirect", &settings.redirect)?;
        self.sequence.write(|side| {
            let (numbers, texts) = (self.numbers.at(side), self.texts.at(side));
            numbers.distance.set(u32::from_ne_bytes(settings.distance.to_ne_bytes()));
            numbers.activation.set(activation_code(settings.activation));
            numbers.lb_factor.set(settings.lb_factor);
            texts.route.store(&route);
            texts.domain.store(&domain);
            texts.redirect.store(&redirect);
        });
        Ok(())
    }

    /// Works out what choosing reads from the settings: the last step of storing them, and of the repair after a writer that died before
    /// it. The caller holds the writers' lock, or is alone.
    pub(super) fn derive(&self) {
        let side = self.sequence.current();
        let (numbers, texts) = (self.numbers.at(side), self.texts.at(side));
        self.rank.set(rank(activation_from_code(numbers.activation.get()), numbers.distance()));
        let hash = |text: &TextCell| u64::from(route_hash(text.load().as_bytes()));
        self.hashes.set(hash(&texts.route) << 32 | hash(&texts.domain));
    }

    /// Derives anew, and tells whether the settings are legal and nothing was changed by that. The caller holds the writers' lock.
    pub(super) fn verify(&self) -> bool {
        let (rank, hashes) = (self.rank.get(), self.hashes.get());
        let numbers = self.numbers.at(self.sequence.current());
        self.derive();
        let is_whole = numbers.activation.get() <= activation_code(Activation::Stopped) && numbers.lb_factor.get() > 0;
        is_whole && rank == self.rank.get() && hashes == self.hashes.get()
    }

    /// Reference: lb-shm-status.md section 4.6; the AJP worker's part is that of [`super::AjpSlot`].
    pub(super) fn reset(&self, now_s: u64) {
        for counter in [
            &self.elected_snapshot,
            &self.sessions,
            &self.first_error_time,
            &self.last_error_time,
            &self.errors,
            &self.value,
        ] {
            counter.set(0);
        }
        self.state.set(State::Idle);
        self.note_state(Cause::Admin, now_s);
        self.drain.cancel();
    }

    pub(super) fn sequence_word(&self) -> &Sequence {
        &self.sequence
    }
}

impl Member for MemberSlot {
    #[inline]
    fn state(&self) -> State {
        self.state.get()
    }

    #[inline]
    fn takes_requests(&self) -> bool {
        self.state.takes_requests()
    }

    #[inline]
    fn rank(&self) -> u64 {
        self.rank.get()
    }

    #[inline]
    fn value(&self) -> u64 {
        self.value.get()
    }

    #[inline]
    fn hashes(&self) -> u64 {
        self.hashes.get()
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn lower(word: u64) -> u32 {
    word as u32
}

impl MemberNumbers {
    #[inline]
    fn distance(&self) -> i32 {
        i32::from_ne_bytes(self.distance.get().to_ne_bytes())
    }
}

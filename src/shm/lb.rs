//! The slot of one load balancer.
//!
//! Not here: its members (`member.rs`), and how slots lie (`slot.rs`, where all are drawn). The surprising thing: settings carry a check, so
//! that what somebody wrote over is not taken for a pause of weeks.

use super::cell::{
    Counter, Text, TextCell, Word, check_of, lock_code, lock_from_code, method_code, method_from_code, number,
};
use super::sequence::{Pair, Sequence};
use crate::balancer::{Lock, Method};
use crate::config::LbSettings;

#[cfg(not(loom))]
const _: () = assert!(size_of::<LbSlot>() == 256 && align_of::<LbSlot>() == 64);

/// What is known of one load balancer. Times are seconds since 1970.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LbSlot {
    name: TextCell,
    sequence: Sequence,
    in_use: Word,
    /// Last reset of the counters; at first, the start.
    pub last_reset: Counter,
    /// Last global maintenance: the decay counts from here.
    pub last_maintain_time: Counter,
    /// Most requests at a time; kept by `Region::enter_lb`.
    pub max_busy: Counter,
    /// Some member drains; derived, so that requests need not ask each.
    drains: Counter,
    _spare: [Counter; 3],
    sides: Pair<LbSide>,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct LbSide {
    sticky_session: Word,
    sticky_session_force: Word,
    retries: Word,
    retry_interval_ms: Word,
    recover_time_s: Word,
    error_escalation_time_s: Word,
    max_reply_timeouts: Word,
    method: Word,
    lock: Word,
    /// [`check_of`] all of the above.
    check: Word,
    _spare: [Word; 6],
}

impl LbSlot {
    /// The balancer's name.
    #[must_use]
    pub fn name(&self) -> Text {
        self.name.load()
    }

    /// Tag of the settings; differs after each change of any of them.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence.tag()
    }

    /// All settings, consistent; allocates nothing. The defaults where somebody wrote over them, until [`super::Region::restore`].
    #[must_use]
    pub fn settings(&self) -> LbSettings {
        self.intact_settings().unwrap_or_default()
    }

    /// All settings, consistent. `None`: somebody wrote over them.
    #[must_use]
    pub fn intact_settings(&self) -> Option<LbSettings> {
        self.sequence.read(|side| self.sides.at(side).settings())
    }

    /// The balancing method alone.
    #[must_use]
    pub fn method(&self) -> Method {
        self.sequence.read(|side| method_from_code(self.sides.at(side).method.get()))
    }

    /// Whether a drain of some member is under way.
    #[inline]
    #[must_use]
    pub fn has_drains(&self) -> bool {
        self.drains.get() != 0
    }

    /// The caller holds the writers' lock, or is alone.
    pub(super) fn set_drains(&self, drains: bool) {
        self.drains.set(drains.into());
    }

    /// What is held while choosing, alone.
    #[must_use]
    pub fn lock(&self) -> Lock {
        self.sequence.read(|side| lock_from_code(self.sides.at(side).lock.get()))
    }

    pub(super) fn occupy(&self, name: &Text, now_s: u64) {
        self.name.store(name);
        self.last_reset.set(now_s);
        self.last_maintain_time.set(now_s);
        self.in_use.set(1);
    }

    /// The caller holds the writers' lock, or is alone.
    pub(super) fn store(&self, settings: &LbSettings) {
        self.sequence.write(|side| {
            let side = self.sides.at(side);
            side.sticky_session.set(u32::from(settings.sticky_session));
            side.sticky_session_force.set(u32::from(settings.sticky_session_force));
            side.retries.set(settings.retries);
            side.retry_interval_ms.set(settings.retry_interval_ms);
            side.recover_time_s.set(settings.recover_time_s);
            side.error_escalation_time_s.set(settings.error_escalation_time_s);
            side.max_reply_timeouts.set(settings.max_reply_timeouts);
            side.method.set(method_code(settings.method));
            side.lock.set(lock_code(settings.lock));
            side.check.set(side.check_of_all());
        });
    }

    pub(super) fn sequence_word(&self) -> &Sequence {
        &self.sequence
    }
}

impl LbSide {
    fn settings(&self) -> Option<LbSettings> {
        (self.check_of_all() == self.check.get()).then(|| LbSettings {
            sticky_session: self.sticky_session.get() != 0,
            sticky_session_force: self.sticky_session_force.get() != 0,
            retries: number(&self.retries).max(1),
            retry_interval_ms: number(&self.retry_interval_ms),
            recover_time_s: number(&self.recover_time_s).max(1),
            error_escalation_time_s: number(&self.error_escalation_time_s),
            max_reply_timeouts: self.max_reply_timeouts.get(),
            method: method_from_code(self.method.get()),
            lock: lock_from_code(self.lock.get()),
        })
    }

    #[inline]
    fn check_of_all(&self) -> u32 {
        check_of([
            &self.sticky_session,
            &self.sticky_session_force,
            &self.retries,
            &self.retry_interval_ms,
            &self.recover_time_s,
            &self.error_escalation_time_s,
            &self.max_reply_timeouts,
            &self.method,
            &self.lock,
        ])
    }
}

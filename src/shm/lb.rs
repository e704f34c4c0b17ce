//! The slot of one load balancer.
//!
//! Not here: its members (`member.rs`), and how slots lie (`slot.rs`, where all are drawn). The surprising thing: settings carry a check, so
//! that what somebody wrote over is not taken for a pause of weeks.

use super::cell::{Counter, Text, TextCell, Word, lock_code, lock_from_code, method_code, method_from_code};
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
    words: [Counter; 3],
    /// [`check`] of the above.
    check: Counter,
    _spare: [Counter; 4],
}

/// All settings of a load balancer, as its slot keeps them; each is read out of the words when it is asked for, because most requests ask
/// for few of them.
///
/// ```text
///  bits     0..8            8..16                 16..24   24..32   32..64
///  word 0   sticky_session  sticky_session_force  method   lock     max_reply_timeouts
///  word 1   retries                                                 retry_interval_ms
///  word 2   recover_time_s                                          error_escalation_time_s
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PackedSettings([u64; 3]);

impl PackedSettings {
    /// Stands for settings that are still to be read.
    pub const UNREAD: Self = Self([0; 3]);

    /// Those settings.
    #[must_use]
    pub fn of(settings: &LbSettings) -> Self {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let flags = u32::from(settings.sticky_session)
            | u32::from(settings.sticky_session_force) << 8
            | method_code(settings.method) << 16
            | lock_code(settings.lock) << 24;
        Self([
            pair(flags, settings.max_reply_timeouts),
            pair(settings.retries, settings.retry_interval_ms),
            pair(settings.recover_time_s, settings.error_escalation_time_s),
        ])
    }

    /// See [`LbSettings::sticky_session`].
    #[inline]
    #[must_use]
    pub fn sticky_session(&self) -> bool {
        self.flag(0) != 0
    }

    /// See [`LbSettings::sticky_session_force`].
    #[inline]
    #[must_use]
    pub fn sticky_session_force(&self) -> bool {
        self.flag(8) != 0
    }

    /// See [`LbSettings::method`].
    #[inline]
    #[must_use]
    pub fn method(&self) -> Method {
        method_from_code(self.flag(16))
    }

    /// See [`LbSettings::lock`].
    #[inline]
    #[must_use]
    pub fn lock(&self) -> Lock {
        lock_from_code(self.flag(24))
    }

    /// See [`LbSettings::max_reply_timeouts`].
    #[must_use]
    pub fn max_reply_timeouts(&self) -> u32 {
        upper(self.0[0])
    }

    /// See [`LbSettings::retries`]; at least 1.
    #[must_use]
    pub fn retries(&self) -> u32 {
        number(lower(self.0[1])).max(1)
    }

    /// See [`LbSettings::retry_interval_ms`].
    #[must_use]
    pub fn retry_interval_ms(&self) -> u32 {
        number(upper(self.0[1]))
    }

    /// See [`LbSettings::recover_time_s`]; at least 1.
    #[must_use]
    pub fn recover_time_s(&self) -> u32 {
        number(lower(self.0[2])).max(1)
    }

    /// See [`LbSettings::error_escalation_time_s`].
    #[must_use]
    pub fn error_escalation_time_s(&self) -> u32 {
        number(upper(self.0[2]))
    }

    #[inline]
    fn flag(&self, shift: u32) -> u32 {
        lower(self.0[0] >> shift) & 0xFF
    }
}

impl From<PackedSettings> for LbSettings {
    fn from(packed: PackedSettings) -> Self {
        Self {
            sticky_session: packed.sticky_session(),
            sticky_session_force: packed.sticky_session_force(),
            retries: packed.retries(),
            retry_interval_ms: packed.retry_interval_ms(),
            recover_time_s: packed.recover_time_s(),
            error_escalation_time_s: packed.error_escalation_time_s(),
            max_reply_timeouts: packed.max_reply_timeouts(),
            method: packed.method(),
            lock: packed.lock(),
        }
    }
}

/// Tells words that a writer stored from any others, as [`super::cell::check_of`] does.
#[inline]
fn check(words: [u64; 3]) -> u64 {
    words
        .into_iter()
        .fold(0x6A6B_7368, |check: u64, word| (check ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31))
}

/// A number as the configuration can have it.
fn number(word: u32) -> u32 {
    word.min(i32::MAX.cast_unsigned())
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn lower(word: u64) -> u32 {
    word as u32
}

const fn upper(word: u64) -> u32 {
    lower(word >> 32)
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
        self.packed_settings().map(LbSettings::from)
    }

    /// All settings, consistent, for the request path. `None`: somebody wrote over them.
    #[inline]
    #[must_use]
    pub fn packed_settings(&self) -> Option<PackedSettings> {
        let (words, stored) = self.sequence.read(|side| {
            let side = self.sides.at(side);
            (side.words.each_ref().map(Counter::get), side.check.get())
        });
        (check(words) == stored).then_some(PackedSettings(words))
    }

    /// The balancing method alone.
    #[must_use]
    pub fn method(&self) -> Method {
        self.packed_settings_unchecked().method()
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
        self.packed_settings_unchecked().lock()
    }

    fn packed_settings_unchecked(&self) -> PackedSettings {
        self.sequence.read(|side| PackedSettings(self.sides.at(side).words.each_ref().map(Counter::get)))
    }

    pub(super) fn occupy(&self, name: &Text, now_s: u64) {
        self.name.store(name);
        self.last_reset.set(now_s);
        self.last_maintain_time.set(now_s);
        self.in_use.set(1);
    }

    /// The caller holds the writers' lock, or is alone.
    pub(super) fn store(&self, settings: &LbSettings) {
        let PackedSettings(words) = PackedSettings::of(settings);
        self.sequence.write(|side| {
            let side = self.sides.at(side);
            for (place, word) in side.words.iter().zip(words) {
                place.set(word);
            }
            side.check.set(check(words));
        });
    }

    pub(super) fn sequence_word(&self) -> &Sequence {
        &self.sequence
    }
}

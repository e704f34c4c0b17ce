//! The small parts that slots are made of: counters, the state word, texts, and the codes of the enums.
//!
//! Not here: which counters a slot has (`slot.rs`), and how a set of them changes together (`sequence.rs`). The surprising
//! thing: nothing read here is believed. Whatever bytes lie in the mapping, a load gives a legal value: unknown codes have a
//! fixed meaning, lengths are clamped, texts end at their first byte that is not UTF-8.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::balancer::{Activation, Lock, Method, State};

/// Longest name, host, route, domain or redirect, in bytes (reference: lb-shm-status.md section 8).
pub const TEXT_MAX: usize = 63;

/// One number that any thread of any child may change: a statistic, a load value or a time in seconds since 1970.
///
/// All operations are `Relaxed`: each number stands for itself and orders nothing else. Two counters read one after the
/// other may belong to different moments, which is what C mod_jk shows as well.
#[derive(Debug)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// For a model, where there is no mapping.
    #[cfg(loom)]
    pub(super) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the value; an addition at the same moment may be lost, as the setter means it.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `amount`; wraps after 2^64.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets bits; nearly always only a load.
    pub(super) fn set_bits(&self, bits: u64) {
        if self.get() & bits != bits {
            self.0.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// Adds `amount`, but stops at the largest number: for loads, which would start again at 0 and draw all requests.
    ///
    /// Race: who looks between the addition and the stop sees a small number, once in 2^64.
    #[inline]
    pub fn weigh(&self, amount: u64) {
        if self.0.fetch_add(amount, Ordering::Relaxed).checked_add(amount).is_none() {
            self.set(u64::MAX);
        }
    }

    /// Subtracts `amount`, but stops at 0 (Busyness, and Next's minimum; reference: lb-shm-status.md section 2.4).
    #[inline]
    pub fn subtract(&self, amount: u64) {
        self.update(|value| value.saturating_sub(amount));
    }

    /// Halves `exponent` times; 64 and more give 0 (the decay of maintenance, reference: lb-shm-status.md section 2.10).
    pub fn decay(&self, exponent: u32) {
        self.update(|value| value.checked_shr(exponent).unwrap_or(0));
    }

    /// Raises the value to `floor` when it is smaller; nearly always only a load.
    #[inline]
    pub fn raise(&self, floor: u64) {
        if self.get() < floor {
            self.0.fetch_max(floor, Ordering::Relaxed);
        }
    }

    /// Sets `new` when the value is `old`; false when someone else was first.
    pub fn replace(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        // The closure always answers, so the update always happens.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(change(value)));
    }
}

/// One 32-bit number of a slot that is ordered by something else: the sequence of its slot, or the writers' lock.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Word(AtomicU32);

impl Word {
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Tells words that a writer stored from any others, by one in 2^32. A guard against accidents: who may write to the file may do worse.
///
/// A sum, each word times an odd number of its own: the words can be taken in any order, so no product waits for the one before.
#[inline]
pub(super) fn check_of<const N: usize>(words: [&Word; N]) -> u32 {
    let (mut check, mut factor) = (0x6A6B_7368_u32, 0x9E37_79B1_u32);
    for word in words {
        check = check.wrapping_add(word.get().wrapping_mul(factor));
        factor = factor.wrapping_mul(0x85EB_CA6B);
    }
    check
}

/// The nearest number that the configuration can have.
#[inline]
pub(super) fn legal(value: u32) -> u32 {
    value.min(i32::MAX.cast_unsigned())
}

/// The state word of a member or an AJP worker.
///
/// `Acquire`/`Release`: who sees a state also sees the times and counters that were written before it.
#[derive(Debug)]
#[repr(transparent)]
pub struct StateCell(AtomicU32);

impl StateCell {
    /// The state now; an unknown code is `State::Error`, from which maintenance recovers.
    #[inline]
    pub fn get(&self) -> State {
        state_from_code(self.0.load(Ordering::Acquire))
    }

    /// [`State::takes_requests`], for the walk over all members.
    #[inline]
    pub fn takes_requests(&self) -> bool {
        self.0.load(Ordering::Acquire) <= State::Forced as u32
    }

    /// Sets the state whatever it was.
    pub fn set(&self, state: State) {
        self.0.store(state as u32, Ordering::Release);
    }

    /// Sets `to` when the state is `from`; false when it is another one. Makes one request alone turn Recover into Probe.
    pub fn change(&self, from: State, to: State) -> bool {
        self.0.compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Sets `state` unless the state is Error ("OK unless ERR", reference: lb-shm-status.md section 2.9). The steady case, where
    /// the state is `state` already, only reads, so the cache line stays shared between the children.
    #[inline]
    pub fn set_unless_error(&self, state: State) {
        let mut seen = self.0.load(Ordering::Acquire);
        while seen != State::Error as u32 && seen != state as u32 {
            match self.0.compare_exchange_weak(seen, state as u32, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// A text of at most [`TEXT_MAX`] bytes, copied out of shared memory: no allocation, no lifetime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    // The last byte is the length, as in the mapping.
    bytes: [u8; TEXT_MAX + 1],
}

impl Default for Text {
    /// The empty text.
    fn default() -> Self {
        Self { bytes: [0; TEXT_MAX + 1] }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Text {
    /// `text` as it can be stored; `None` when it is longer than [`TEXT_MAX`] bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; TEXT_MAX + 1];
        let (room, length) = bytes.split_at_mut_checked(TEXT_MAX)?;
        room.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        *length.first_mut()? = u8::try_from(text.len()).ok()?;
        Some(Self { bytes })
    }

    /// The bytes as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let (text, length) = self.bytes.split_at_checked(TEXT_MAX).unwrap_or_default();
        let length = length.first().map_or(0, |&length| usize::from(length));
        text.get(..length).unwrap_or(text)
    }

    /// What is stored: the bytes, whatever, and their number.
    #[inline]
    #[must_use]
    pub fn stored(&self) -> &[u8; TEXT_MAX + 1] {
        &self.bytes
    }

    /// The text up to its first byte that is not UTF-8 (only a damaged mapping has one).
    #[must_use]
    pub fn as_str(&self) -> &str {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => text,
            Err(error) => {
                let good = self.as_bytes().get(..error.valid_up_to()).unwrap_or_default();
                std::str::from_utf8(good).unwrap_or_default()
            }
        }
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a [`Text`] lies in the mapping: eight words, 63 bytes of text and the length in the last byte.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct TextCell([AtomicU64; 8]);

impl TextCell {
    /// Copies the text out. Half of a text can only be seen while it is being stored, and the sequence word of the slot
    /// keeps readers away from that side.
    pub(super) fn load(&self) -> Text {
        let mut bytes = [0; TEXT_MAX + 1];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&self.0) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Text { bytes }
    }

    /// Stores the text; the caller holds the writers' lock and has made the sequence odd.
    pub(super) fn store(&self, text: &Text) {
        for (chunk, word) in text.bytes.chunks_exact(8).zip(&self.0) {
            let mut value = [0; 8];
            value.copy_from_slice(chunk);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
    }
}

/// Reference: lb-shm-status.md section 2.3. Unknown codes are Error: not used until maintenance has recovered it.
fn state_from_code(code: u32) -> State {
    match code {
        0 => State::Idle,
        1 => State::Ok,
        2 => State::Recover,
        3 => State::Forced,
        4 => State::Busy,
        6 => State::Probe,
        _ => State::Error,
    }
}

pub(super) fn activation_code(activation: Activation) -> u32 {
    match activation {
        Activation::Active => 0,
        Activation::Disabled => 1,
        Activation::Stopped => 2,
    }
}

/// Unknown codes are Stopped: the one value that sends no request anywhere.
pub(super) fn activation_from_code(code: u32) -> Activation {
    match code {
        0 => Activation::Active,
        1 => Activation::Disabled,
        _ => Activation::Stopped,
    }
}

pub(super) fn method_code(method: Method) -> u32 {
    match method {
        Method::Request => 0,
        Method::Traffic => 1,
        Method::Busyness => 2,
        Method::Sessions => 3,
        Method::Next => 4,
    }
}

/// Unknown codes are the default.
pub(super) fn method_from_code(code: u32) -> Method {
    match code {
        1 => Method::Traffic,
        2 => Method::Busyness,
        3 => Method::Sessions,
        4 => Method::Next,
        _ => Method::Request,
    }
}

pub(super) fn lock_code(lock: Lock) -> u32 {
    match lock {
        Lock::Optimistic => 0,
        Lock::Pessimistic => 1,
    }
}

/// Unknown codes are the default.
pub(super) fn lock_from_code(code: u32) -> Lock {
    match code {
        1 => Lock::Pessimistic,
        _ => Lock::Optimistic,
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn text_cell(bytes: [u8; 64]) -> TextCell {
        TextCell(std::array::from_fn(|i| {
            AtomicU64::new(u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap()))
        }))
    }

    #[test]
    fn stores_texts_of_every_length_up_to_the_limit() {
        let cell = text_cell([0xFF; 64]);
        for length in 0..=TEXT_MAX {
            let text = "abcdefghij".chars().cycle().take(length).collect::<String>();
            cell.store(&Text::new(&text).unwrap());
            assert_eq!(cell.load().as_str(), text);
        }
    }

    #[test]
    fn refuses_a_text_one_byte_too_long() {
        assert_eq!(Text::new(&"x".repeat(TEXT_MAX + 1)), None);
    }

    #[test]
    fn clamps_a_length_beyond_the_buffer() {
        assert_eq!(text_cell([b'x'; 64]).load().as_bytes().len(), TEXT_MAX);
    }

    #[test]
    fn ends_a_text_at_its_first_byte_that_is_not_utf8() {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(b"ab\xFFc");
        bytes[63] = 4;
        assert_eq!(text_cell(bytes).load().as_str(), "ab");
    }

    #[test]
    fn reads_unknown_codes_as_the_value_that_does_no_harm() {
        for code in [7, 99, u32::MAX] {
            assert_eq!(StateCell(AtomicU32::new(code)).get(), State::Error);
            assert_eq!(activation_from_code(code), Activation::Stopped);
            assert_eq!(method_from_code(code), Method::Request);
            assert_eq!(lock_from_code(code), Lock::Optimistic);
        }
    }

    #[test]
    fn a_code_takes_requests_as_its_state_does() {
        for code in (0..=8).chain([99, u32::MAX]) {
            let cell = StateCell(AtomicU32::new(code));
            assert_eq!(cell.takes_requests(), cell.get().takes_requests(), "{code}");
        }
    }

    #[test]
    fn codes_survive_a_round_trip() {
        for state in [State::Idle, State::Ok, State::Recover, State::Forced, State::Busy, State::Error, State::Probe] {
            assert_eq!(state_from_code(state as u32), state);
        }
        for activation in [Activation::Active, Activation::Disabled, Activation::Stopped] {
            assert_eq!(activation_from_code(activation_code(activation)), activation);
        }
        for method in [Method::Request, Method::Traffic, Method::Busyness, Method::Sessions, Method::Next] {
            assert_eq!(method_from_code(method_code(method)), method);
        }
        for lock in [Lock::Optimistic, Lock::Pessimistic] {
            assert_eq!(lock_from_code(lock_code(lock)), lock);
        }
    }

    #[test]
    fn keeps_error_when_another_request_reports_success() {
        let state = StateCell(AtomicU32::new(State::Error as u32));
        state.set_unless_error(State::Ok);
        assert_eq!(state.get(), State::Error);
        state.set(State::Probe);
        state.set_unless_error(State::Ok);
        assert_eq!(state.get(), State::Ok);
    }

    #[test]
    fn lets_one_request_turn_recover_into_probe() {
        let state = StateCell(AtomicU32::new(State::Recover as u32));
        assert!(state.change(State::Recover, State::Probe));
        assert!(!state.change(State::Recover, State::Probe));
    }

    #[test]
    fn weighs_up_to_the_largest_number_and_not_beyond() {
        let value = Counter(AtomicU64::new(u64::MAX - 5));
        value.weigh(5);
        assert_eq!(value.get(), u64::MAX);
        value.weigh(7);
        assert_eq!(value.get(), u64::MAX);
        value.decay(1);
        assert_eq!(value.get(), u64::MAX / 2);
    }

    #[test]
    fn never_subtracts_below_zero() {
        let value = Counter(AtomicU64::new(5));
        value.subtract(7);
        assert_eq!(value.get(), 0);
    }

    #[test]
    fn decays_by_halves_and_to_nothing() {
        let value = Counter(AtomicU64::new(40));
        value.decay(2);
        assert_eq!(value.get(), 10);
        value.decay(64);
        assert_eq!(value.get(), 0);
    }
}

//! What the request notes tell about the members of a balancer, for mod_log_config and later hooks
//! (reference: lb-shm-status.md section 2.13).
//!
//! Not here: what is told (`worker::lb::MemberReport`), notes that every request has (`handler.rs`). The surprising thing: a request that
//! the first member served, as nearly all are, gets another table of notes: a copy of one that was prepared at the start, with all names, to
//! which the values and the other notes of the request are put.

use std::ffi::CStr;

use super::apr::{Form, Pool, PoolText};
use super::handler::{NOTE_DURATION, NOTE_ROUTE, NOTE_TYPE, Service};
use super::mapping::NOTE_WORKER;
use crate::balancer::{Activation, State};
use crate::shm::Text;
use crate::worker::lb::{Last, MemberReport, Trail};

/// The notes about the first member.
const FIRST_NOTES: [&CStr; 10] = [
    c"JK_LB_FIRST_NAME",
    c"JK_LB_FIRST_VALUE",
    c"JK_LB_FIRST_ACCESSED",
    c"JK_LB_FIRST_SESSIONS",
    c"JK_LB_FIRST_READ",
    c"JK_LB_FIRST_TRANSFERRED",
    c"JK_LB_FIRST_ERRORS",
    c"JK_LB_FIRST_BUSY",
    c"JK_LB_FIRST_ACTIVATION",
    c"JK_LB_FIRST_STATE",
];

/// The notes about the last member.
const LAST_NOTES: [&CStr; 10] = [
    c"JK_LB_LAST_NAME",
    c"JK_LB_LAST_VALUE",
    c"JK_LB_LAST_ACCESSED",
    c"JK_LB_LAST_SESSIONS",
    c"JK_LB_LAST_READ",
    c"JK_LB_LAST_TRANSFERRED",
    c"JK_LB_LAST_ERRORS",
    c"JK_LB_LAST_BUSY",
    c"JK_LB_LAST_ACTIVATION",
    c"JK_LB_LAST_STATE",
];

/// The notes that are there before a member is chosen, route and duration, the notes about the first member and those about the last one.
pub(super) type MemberNotes = Form<2, 10>;

/// The names of all of them; lives as long as `pool`.
pub(super) fn prepare(pool: Pool) -> Option<MemberNotes> {
    Form::new(pool, [NOTE_WORKER, NOTE_TYPE], [NOTE_ROUTE, NOTE_DURATION], [FIRST_NOTES, LAST_NOTES])
}

impl Service<'_> {
    /// Notes for mod_log_config: the route that was sent, and the members (reference: lb-shm-status.md section 2.13).
    #[inline]
    pub(super) fn note_members(&self, forced_route: Option<&[u8]>, trail: &Trail<'_>) {
        if let (None, Some(route), Some(first), Last::First, true) =
            (forced_route, trail.route(), &trail.first, &trail.last, self.is_first_time)
        {
            let (notes, pool) = (self.request.notes(), self.request.pool());
            let (route, texts) = route_and_texts(pool, route, first);
            // The duration is not known yet; its text is put there when it is.
            let ends = [route, self.state.duration_text()];
            if let Some(notes) = self.vhost.member_notes.filled(pool, notes, ends, &texts) {
                self.request.set_notes(notes);
                self.is_duration_noted.set(true);
                return;
            }
        }
        self.note_members_one_by_one(forced_route.or(trail.route().map(Text::as_bytes)), trail);
    }

    /// Where some notes may be there already, some are missing, or the members differ.
    #[cold]
    fn note_members_one_by_one(&self, route: Option<&[u8]>, trail: &Trail<'_>) {
        let (notes, pool) = (self.request.notes(), self.request.pool());
        if let Some(route) = route {
            self.note_route(route);
        }
        let Some(first) = &trail.first else { return };
        let last = match &trail.last {
            Last::Nobody => None,
            Last::First => Some(first),
            Last::Other(last) => Some(last),
        };
        for (names, report) in [(FIRST_NOTES, Some(first)), (LAST_NOTES, last)] {
            let texts = report.map(|report| route_and_texts(pool, &Text::default(), report).1);
            for (name, text) in names.into_iter().zip(texts.into_iter().flatten()) {
                notes.set_text(name, text);
            }
        }
    }
}

/// The texts of the notes about a route and a member.
#[inline]
fn route_and_texts(pool: Pool, route: &Text, report: &MemberReport<'_>) -> (PoolText, [PoolText; 10]) {
    let MemberReport { value, accessed, sessions, read, transferred, errors, busy, .. } = *report;
    let rooms = pool.rooms::<5, { Decimal::WORDS }>([route, report.name]);
    let [route, name] = rooms.texts();
    let [at_value, at_accessed, at_sessions, at_read, at_transferred] = &mut rooms.others;
    let value = at_value.text(|room| Decimal::put(value, room));
    let accessed = at_accessed.text(|room| Decimal::put(accessed, room));
    let sessions = at_sessions.text(|room| Decimal::put(sessions, room));
    let read = at_read.text(|room| Decimal::put(read, room));
    let transferred = at_transferred.text(|room| Decimal::put(transferred, room));
    let (errors, busy) = (small_number(pool, errors), small_number(pool, busy));
    let (activation, state) = (activation_text(report.activation), state_text(report.state));
    let (activation, state) = (PoolText::constant(activation), PoolText::constant(state));
    (route, [name, value, accessed, sessions, read, transferred, errors, busy, activation, state])
}

/// The text of a number that is nearly always one digit.
#[inline]
fn small_number(pool: Pool, number: u64) -> PoolText {
    const DIGITS: [&CStr; 10] = [c"0", c"1", c"2", c"3", c"4", c"5", c"6", c"7", c"8", c"9"];
    match usize::try_from(number).ok().and_then(|number| DIGITS.get(number)) {
        Some(digit) => PoolText::constant(digit),
        None => pool.owned_text(Decimal::of(number).text()),
    }
}

/// A number as text, at the end of its room and with NUL behind it.
pub(super) struct Decimal {
    room: [[u8; 8]; Self::WORDS],
    start: usize,
}

/// This and more have more than eight digits.
const EIGHT_DIGITS: u32 = 100_000_000;

impl Decimal {
    /// Three times eight digits hold any number; then NUL.
    const WORDS: usize = 4;
    const END: usize = 24;

    pub(super) fn of(number: u64) -> Self {
        let mut room = [[0; 8]; Self::WORDS];
        let start = Self::put(number, &mut room);
        Self { room, start }
    }

    /// Writes the digits to `room`; returns where they start.
    #[inline]
    fn put(number: u64, room: &mut [[u8; 8]; Self::WORDS]) -> usize {
        let [_, _, low, _] = room;
        match u32::try_from(number) {
            Ok(few @ 0..10_000) => {
                let [_, _, _, _, four @ ..] = low;
                Self::END - 4 + put_four(few, four)
            }
            Ok(few @ 0..EIGHT_DIGITS) => Self::END - 8 + put_eight(few, low),
            _ => Self::put_long(number, room),
        }
    }

    #[inline(never)]
    fn put_long(number: u64, room: &mut [[u8; 8]; Self::WORDS]) -> usize {
        let (mut start, mut left) = (Self::END, number);
        for places in room.iter_mut().rev().skip(1) {
            start = start.saturating_sub(8);
            let few = u32::try_from(left % u64::from(EIGHT_DIGITS)).unwrap_or(0);
            let first = put_eight(few, places);
            left /= u64::from(EIGHT_DIGITS);
            if left == 0 {
                return start.saturating_add(first);
            }
        }
        start
    }

    pub(super) fn text(&self) -> &[u8] {
        self.room.as_flattened().get(self.start..Self::END).unwrap_or_default()
    }
}

/// Writes the four decimal digits of a number below 10^4; returns where the first one is that is needed.
#[inline]
fn put_four(number: u32, places: &mut [u8; 4]) -> usize {
    let hundreds = number / 100;
    let pairs = hundreds | (number - hundreds * 100) << 16;
    let tens = (pairs * 103) >> 10 & 0x000F_000F;
    let digits = tens | (pairs - tens * 10) << 8;
    *places = (digits | 0x3030_3030).to_le_bytes();
    // The last one is, whatever it is.
    usize::try_from((digits | 1 << 24).trailing_zeros() / 8).unwrap_or(0)
}

/// Writes the eight decimal digits of a number below 10^8; returns where the first one is that is not 0, 8 for none.
///
/// All at once, as in [`put_four`]: halves of four digits, then pairs, then digits, each divided by a multiplication that is exact in its range. The first
/// digit is the lowest byte of the word.
#[inline]
fn put_eight(number: u32, places: &mut [u8; 8]) -> usize {
    let (high, low) = (number / 10_000, number % 10_000);
    let fours = u64::from(high) | u64::from(low) << 32;
    let hundreds = (fours * 5_243) >> 19 & 0x0000_007F_0000_007F;
    let pairs = hundreds | (fours - hundreds * 100) << 16;
    let tens = (pairs * 103) >> 10 & 0x000F_000F_000F_000F;
    let digits = tens | (pairs - tens * 10) << 8;
    *places = (digits | 0x3030_3030_3030_3030).to_le_bytes();
    usize::try_from(digits.trailing_zeros() / 8).unwrap_or(0)
}

/// [`Activation::text`] as httpd wants it.
fn activation_text(activation: Activation) -> &'static CStr {
    match activation {
        Activation::Active => c"ACT",
        Activation::Disabled => c"DIS",
        Activation::Stopped => c"STP",
    }
}

/// [`State::text`] as httpd wants it.
fn state_text(state: State) -> &'static CStr {
    match state {
        State::Idle => c"OK/IDLE",
        State::Ok => c"OK",
        State::Recover => c"ERR/REC",
        State::Forced => c"ERR/FRC",
        State::Busy => c"OK/BUSY",
        State::Error => c"ERR",
        State::Probe => c"ERR/PRB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_about_members_use_the_words_of_the_balancer() {
        for code in 0..=u8::MAX {
            let (activation, state) = (Activation::from_code(code), State::from_code(code));
            assert_eq!(activation_text(activation).to_bytes(), activation.text().as_bytes());
            assert_eq!(state_text(state).to_bytes(), state.text().as_bytes());
        }
    }

    #[test]
    fn decimals_are_those_of_the_standard_library() {
        let powers = (0..20).map(|digits| 10_u64.pow(digits));
        for number in powers.flat_map(|power| [power - 1, power, power + 7, power / 11 * 15]).chain([u64::MAX]) {
            let decimal = Decimal::of(number);
            assert_eq!(decimal.text(), number.to_string().as_bytes());
            assert_eq!(decimal.room.last(), Some(&[0; 8]));
        }
    }

    #[test]
    fn eight_digits_are_exact_in_every_place() {
        for four in 0..10_000 {
            for number in [four, four * 10_000, four * 10_001] {
                let mut places = [0; 8];
                let first = put_eight(number, &mut places);
                assert_eq!(places, *format!("{number:08}").as_bytes());
                assert_eq!(first, if number == 0 { 8 } else { 8 - number.to_string().len() });
            }
        }
    }
}

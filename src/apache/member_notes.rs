//! What the request notes tell about the members of a balancer, for mod_log_config and later hooks
//! (reference: lb-shm-status.md section 2.13).
//!
//! Not here: what is told (`worker::lb::MemberReport`), notes that every request has (`handler.rs`). The surprising thing: the names are
//! added all at once, as a copy of a table that was prepared at the start, and get their texts afterwards.

use std::ffi::CStr;

use super::apr::{Form, Pool, PoolText};
use super::handler::Service;
use crate::balancer::{Activation, State};
use crate::worker::lb::MemberReport;

/// Names of the notes about the first and about the last member.
pub(super) const MEMBER_NOTES: [&CStr; 20] = [
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

/// To add them all.
pub(super) type MemberNotes = Form<{ MEMBER_NOTES.len() }>;

impl Service<'_> {
    /// Notes for mod_log_config (reference: lb-shm-status.md section 2.13).
    pub(super) fn note_members(&self, first: Option<&MemberReport<'_>>, last: Option<&MemberReport<'_>>) {
        let (notes, pool) = (self.request.notes(), self.request.pool());
        let Some(first) = first else { return };
        let first_texts = member_texts(pool, first);
        let other_texts = last.filter(|last| *last != first).map(|last| member_texts(pool, last));
        let last_texts = other_texts.as_ref().unwrap_or(&first_texts);
        if self.is_first_time && last.is_some() {
            notes.add_form(&self.vhost.member_notes, [&first_texts, last_texts]);
            return;
        }
        let last_texts = last.map(|_| last_texts).into_iter().flatten();
        for (name, text) in MEMBER_NOTES.into_iter().zip(first_texts.iter().chain(last_texts)) {
            notes.set_text(name, *text);
        }
    }
}

/// The texts of the notes about a member; those of the numbers in one piece of the pool.
fn member_texts(pool: Pool, report: &MemberReport<'_>) -> [PoolText; 10] {
    let mut block = [[0; Decimal::ROOM]; 7];
    let [value, accessed, sessions, read, transferred, errors, busy] = &mut block;
    let starts = [
        Decimal::put(report.value, value),
        Decimal::put(report.accessed, accessed) + Decimal::ROOM,
        Decimal::put(report.sessions, sessions) + Decimal::ROOM * 2,
        Decimal::put(report.read, read) + Decimal::ROOM * 3,
        Decimal::put(report.transferred, transferred) + Decimal::ROOM * 4,
        Decimal::put(report.errors, errors) + Decimal::ROOM * 5,
        Decimal::put(report.busy, busy) + Decimal::ROOM * 6,
    ];
    let name = pool.owned_text(report.name);
    let [value, accessed, sessions, read, transferred, errors, busy] = pool.texts(block.as_flattened(), starts);
    let [activation, state] = [activation_text(report.activation), state_text(report.state)].map(PoolText::constant);
    [name, value, accessed, sessions, read, transferred, errors, busy, activation, state]
}

/// A number as text, at the end of its room and with NUL behind it.
pub(super) struct Decimal {
    room: [u8; Self::ROOM],
    start: usize,
}

/// The numbers below 100 with two digits each.
pub(super) const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        }
        number += 1;
    }
    pairs
};

impl Decimal {
    const ROOM: usize = 24;
    /// Where the digits end; eleven pairs of them hold any number.
    const END: usize = 22;

    pub(super) fn of(number: u64) -> Self {
        let mut room = [0; Self::ROOM];
        let start = Self::put(number, &mut room);
        Self { room, start }
    }

    /// Writes the digits to `room`, which is all zeros; returns where they start.
    #[inline]
    fn put(number: u64, room: &mut [u8; Self::ROOM]) -> usize {
        let (mut start, mut left) = (Self::END, number);
        for pair in room.as_chunks_mut::<2>().0.iter_mut().rev().skip(1) {
            let low = usize::try_from(left % 100).unwrap_or(0);
            *pair = PAIRS.get(low).copied().unwrap_or_default();
            start = start.saturating_sub(2);
            if left < 100 {
                return start.saturating_add(usize::from(low < 10));
            }
            left /= 100;
        }
        start
    }

    pub(super) fn text(&self) -> &[u8] {
        self.room.get(self.start..Self::END).unwrap_or_default()
    }
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
            assert_eq!(decimal.room.last_chunk(), Some(&[0, 0]));
        }
    }
}

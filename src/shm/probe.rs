//! What background probes of an AJP worker found lately: one word of its slot.
//!
//! Not here: probing (`worker::health`). The surprising thing: "no connection" and "no CPong" are told apart, because a server that
//! knows no CPing answers none however healthy it is.

/// What one probe found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// Nothing: there was no probe yet, or not since the worker failed.
    #[default]
    Nothing,
    /// A CPong.
    Answer,
    /// A connection, but no CPong on it.
    Silence,
    /// No connection.
    NoConnection,
}

impl Found {
    const ALL: [Self; 4] = [Self::Nothing, Self::Answer, Self::Silence, Self::NoConnection];

    const fn code(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Answer => 1,
            Self::Silence => 2,
            Self::NoConnection => 3,
        }
    }

    /// Whether the worker failed the probe.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Silence | Self::NoConnection)
    }
}

/// Probes in a row that were all passed, or all failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeStreak {
    /// What the last one found.
    pub last: Found,
    /// How many in a row were passed or failed like it, itself included.
    pub count: u32,
}

impl ProbeStreak {
    pub(super) fn then(self, found: Found) -> Self {
        let goes_on = self.last != Found::Nothing && self.last.is_failure() == found.is_failure();
        Self { last: found, count: if goes_on { self.count.saturating_add(1) } else { 1 } }
    }

    pub(super) fn code(self) -> u64 {
        u64::from(self.count) << 2 | self.last.code()
    }

    /// Any word is a streak.
    pub(super) fn from_code(code: u64) -> Self {
        let last = Found::ALL.into_iter().find(|found| found.code() == code & 3).unwrap_or_default();
        Self { last, count: u32::try_from(code >> 2).unwrap_or(u32::MAX) }
    }

    /// Whether the worker answered, and the last `rise` probes all the time.
    #[must_use]
    pub const fn is_up(self, rise: u32) -> bool {
        matches!(self.last, Found::Answer) && self.count >= rise
    }

    /// Whether the last `fall` probes failed. Silence counts only against a worker that is known to answer (`cpong_seen`).
    #[must_use]
    pub const fn is_down(self, fall: u32, cpong_seen: bool) -> bool {
        let speaks = match self.last {
            Found::NoConnection => true,
            Found::Silence => cpong_seen,
            Found::Nothing | Found::Answer => false,
        };
        speaks && self.count >= fall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streak(found: &[Found]) -> ProbeStreak {
        found.iter().fold(ProbeStreak::default(), |streak, found| ProbeStreak::from_code(streak.then(*found).code()))
    }

    #[test]
    fn counts_results_in_a_row() {
        use Found::{Answer, NoConnection, Silence};
        assert_eq!(streak(&[Answer, Answer, Answer]), ProbeStreak { last: Answer, count: 3 });
        assert_eq!(streak(&[Answer, Silence, NoConnection]), ProbeStreak { last: NoConnection, count: 2 });
        assert_eq!(streak(&[Silence, Answer]), ProbeStreak { last: Answer, count: 1 });
    }

    #[test]
    fn rises_and_falls_after_enough_results() {
        use Found::{Answer, NoConnection, Silence};
        assert!(!streak(&[Answer]).is_up(2) && streak(&[Answer, Answer]).is_up(2));
        assert!(!streak(&[NoConnection]).is_down(2, false) && streak(&[Silence, NoConnection]).is_down(2, false));
        assert!(!ProbeStreak::default().is_up(1) && !ProbeStreak::default().is_down(1, true));
    }

    #[test]
    fn silence_of_a_server_without_cping_proves_nothing() {
        assert!(!streak(&[Found::Silence]).is_down(1, false));
        assert!(streak(&[Found::Silence]).is_down(1, true));
    }

    #[test]
    fn any_word_is_a_streak() {
        assert_eq!(ProbeStreak::from_code(u64::MAX), ProbeStreak { last: Found::NoConnection, count: u32::MAX });
    }
}

//! What a balancer says in the log about a request: which member and why, why none, and how it ended.
//!
//! Not here: verdicts on members (`settle.rs`), changes of their states (`upkeep.rs`). The surprising thing: two of the lines are said
//! seldom, because every request could say them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::error::{Class, Error};
use super::super::{Failure, Log, say};
use super::{LbWorker, Member, Run, Texts};
use crate::balancer::session::SessionIds;
use crate::balancer::{self, Choice, NoMember};
use crate::log::Shown;

/// Seconds between two remarks about routes that are nobody's.
const ROUTE_REMARK_S: u64 = 60;

impl LbWorker {
    /// Which member and why; and, now and then, that a session's route is nobody's, which breaks sessions without any other sign.
    #[inline]
    pub(super) fn explain_choice(&self, sessions: &SessionIds<'_>, choice: Choice, member: &Member, log: Log<'_>) {
        let (name, member, sticky) = (self.name(), member.worker.name(), choice.sticky);
        let ids = sessions.bytes();
        say!(log, Debug, "({name}) member {member} is chosen, sticky={sticky}, session={}", ids.is_some());
        if let Some(ids) = ids.filter(|_| !sticky) {
            self.explain_route(ids, member, log);
        }
    }

    /// Says that a session whose request goes to `member` has a route that is nobody's.
    #[inline(never)]
    fn explain_route(&self, ids: &[u8], member: &str, log: Log<'_>) {
        let name = self.name();
        let Some(route) = balancer::routes_of(ids).find(|route| !route.is_empty()) else { return };
        let (now_s, told_s) = (self.shared.now_s(), self.route_told_s.load(Ordering::Relaxed));
        if now_s.saturating_sub(told_s) < ROUTE_REMARK_S {
            return;
        }
        let members = 0..self.members.len();
        let texts = Texts(self);
        let known = members.into_iter().any(|index| {
            let (own, domain) = (balancer::Texts::route(&texts, index), balancer::Texts::domain(&texts, index));
            own.as_bytes() == route || (!domain.is_empty() && route.starts_with(domain.as_bytes()))
        });
        if known {
            return;
        }
        self.route_told_s.store(now_s, Ordering::Relaxed);
        say!(
            log,
            Warn,
            "({name}) a session has the route '{}', which is no member's: it goes to {member} and may be lost; does the jvmRoute of \
             each Tomcat equal the route of its worker?",
            Shown(route)
        );
    }

    pub(super) fn explain_nobody(&self, reason: NoMember, run: &Run<'_>) {
        match reason {
            NoMember::SessionForced => {
                let ids = String::from_utf8_lossy(run.sessions.bytes().unwrap_or_default()).into_owned();
                say!(run.log, Info, "({}) all workers are in error state for session {ids}", self.name());
            }
            NoMember::NoneUsable => {
                say!(run.log, Info, "({}) All tomcat instances are busy or in error state", self.name());
            }
        }
    }

    /// The end of a request that nobody served. While all members are silent that is what happens to every request, and said once a second.
    pub(super) fn explain_failed(&self, error: &Error, run: &Run<'_>) {
        let unsaid = if run.in_vain { self.vain.say(self.shared.now_s()) } else { Some(0) };
        let (name, text) = (self.name(), "All tomcat instances failed, no more workers left");
        match unsaid {
            None => {}
            Some(0) => say!(run.log, Error, "({name}) {text}: {error}"),
            Some(unsaid) => {
                say!(run.log, Error, "({name}) {text}: {error} (and {unsaid} more since the last such line)")
            }
        }
    }

    /// A failure that no other member can mend.
    pub(super) fn explain_end(&self, failure: &Failure, member: &Member, run: &Run<'_>) {
        let (name, member, status) = (self.name(), member.worker.name(), failure.error.http_status());
        let text = format!("({name}) unrecoverable error {status}, request failed on worker {member}");
        if failure.error.class() == Class::ClientError {
            say!(run.log, Info, "{text}: {}", failure.error);
        } else if failure.answered {
            say!(run.log, Error, "{text} in the middle of its response: {}", failure.error);
        } else {
            say!(run.log, Error, "{text}, which may have it: {}", failure.error);
        }
    }
}

/// A line that many requests could say, and one says each second.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    /// Unix seconds.
    said_s: AtomicU64,
    unsaid: AtomicU64,
}

impl Seldom {
    /// Whether to say it now: how often it was not said before; `None` = not now.
    fn say(&self, now_s: u64) -> Option<u64> {
        let said_s = self.said_s.load(Ordering::Relaxed);
        let is_due = said_s != now_s;
        if is_due && self.said_s.compare_exchange(said_s, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_many_requests_is_said_once_a_second_and_counts_the_others() {
        let line = Seldom::default();
        let said: Vec<_> = [7, 7, 7, 8, 8, 9, 10, 3].into_iter().map(|now_s| line.say(now_s)).collect();
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1), Some(0), Some(0)]);
    }
}

//! The sessions that a request belongs to, and the cookie that leads to the member it got.
//!
//! Not here: how ids are found (`balancer::session`), who is chosen by them (`choice.rs`). The surprising thing: a balancer that is asked
//! to sets a cookie of its own beside the container's, with no id in it but the route.

use super::super::{Log, say};
use super::{Balance, LbWorker, Member, Run};
use crate::balancer::Choice;
use crate::balancer::session::{self, SessionIds};
use crate::shm::MemberText;

impl LbWorker {
    #[inline(never)]
    pub(super) fn sessions<'r>(&'r self, is_sticky: bool, balance: &'r Balance<'r>, log: Log<'_>) -> SessionIds<'r> {
        let found = self.session_ids(is_sticky, balance);
        if matches!(found, SessionIds::Empty) {
            say!(log, Info, "({}) Detected empty session identifier.", self.name());
        }
        found
    }

    /// `is_sticky`: see [`crate::config::LbSettings::sticky_session`].
    #[inline]
    pub(super) fn session_ids<'r>(&'r self, is_sticky: bool, balance: &'r Balance<'r>) -> SessionIds<'r> {
        if !is_sticky || balance.sticky_ignore {
            return SessionIds::Absent;
        }
        let lookup = session::Lookup {
            forced_route: balance.forced_route,
            path: balance.path,
            path_name: balance.session_path.unwrap_or(self.config.session_path.as_bytes()),
            cookie_name: balance.session_cookie.unwrap_or(self.config.session_cookie.as_bytes()),
        };
        session::session_ids(&lookup, balance.cookies.iter().copied())
    }

    /// With the route of the member itself, also where the session was found by a domain (reference: lb-shm-status.md section 2.8): the
    /// cookie is there to lead to this member from now on.
    #[inline]
    pub(super) fn session_cookie(&self, run: &Run<'_>, choice: Choice, member: &Member) -> Option<Vec<u8>> {
        let is_wanted = self.config.set_session_cookie || run.balance.set_session_cookie;
        (is_wanted && !choice.sticky).then(|| self.new_session_cookie(run.balance, member))
    }

    #[inline(never)]
    fn new_session_cookie(&self, balance: &Balance<'_>, member: &Member) -> Vec<u8> {
        let name =
            balance.session_cookie.map_or_else(|| self.config.session_cookie.as_str().into(), String::from_utf8_lossy);
        let path = balance
            .session_cookie_path
            .map_or_else(|| self.config.session_cookie_path.as_str().into(), String::from_utf8_lossy);
        let route = self.text(member, MemberText::Route);
        session::session_cookie_header(&name, route.as_bytes(), &path, balance.secure)
    }
}

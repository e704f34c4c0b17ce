//! What a new generation takes over from the old one at a graceful restart (C mod_jk loses all of it).
//!
//! Not here: requests in flight; those of the old generation stay with the old mapping, which its children keep (`late.rs`). The surprising
//! thing: an edit made on the status page only survives where the configuration file still says what it said when the edit was
//! made. A changed file is the newer word of the admin.

use super::Region;
use super::error::ShmError;
use super::plan::PlannedMember;
use crate::balancer::{Activation, State};
use crate::config::{AjpSettings, LbSettings, MemberSettings};

/// Takes each named field of `$now` into `$new` when it was edited (`$now` differs from `$old`) and the file did not change it
/// (`$new` is as in `$old`).
macro_rules! keep_edits {
    ($new:ident, $old:ident, $now:ident: $($field:ident),+ $(,)?) => {
        $(if $now.$field != $old.$field && $new.$field == $old.$field {
            $new.$field = $now.$field.clone();
        })+
    };
}

impl Region {
    /// Copies counters and error states of everything that has the same name in `old`; with `keep_edits` also what was edited
    /// at run time. To be called by the parent before the first child of the new generation is forked.
    ///
    /// - The error state of a member, its slow start and its latency are only taken over when its AJP worker still has the same host and port.
    /// - A probe under way and a busy member are the old generation's business: they begin as Recover and Ok.
    /// - Values are only comparable among the same members with the same method and lbfactors; otherwise all begin at 0.
    ///
    /// Race: children of the old generation go on counting in `old`; see [`Region::follow`] for what they add after this call.
    ///
    /// # Errors
    /// [`ShmError::Lock`] when the new region's lock cannot be taken. `old` is only read and not locked.
    pub fn adopt(&self, old: &Region, keep_edits: bool) -> Result<(), ShmError> {
        let writer = self.lock()?;
        if keep_edits {
            self.adopt_settings(old, &writer)?;
        }
        drop(writer);
        for (index, (name, _)) in self.plan().ajp.iter().enumerate() {
            if let Some(old_index) = old.plan().ajp_index(name) {
                self.adopt_ajp(index, old, old_index);
            }
        }
        for (index, lb) in self.plan().lbs.iter().enumerate() {
            if let Some(old_index) = old.plan().lb_index(&lb.name) {
                self.adopt_lb(index, old, old_index);
            }
        }
        Ok(())
    }

    fn adopt_settings(&self, old: &Region, writer: &super::Writer<'_>) -> Result<(), ShmError> {
        for (index, (name, configured)) in self.plan().ajp.iter().enumerate() {
            let found = old.plan().ajp_index(name).and_then(|i| Some((old.ajp(i)?, old.plan().ajp.get(i)?)));
            if let Some((slot, (_, before))) = found {
                writer.set_ajp_settings(index, &merged_ajp(configured, before, &slot.settings()))?;
            }
        }
        for (index, lb) in self.plan().lbs.iter().enumerate() {
            let found = old.plan().lb_index(&lb.name).and_then(|i| Some((old.lb(i)?, old.plan().lbs.get(i)?)));
            if let Some((slot, before)) = found {
                writer.set_lb_settings(index, &merged_lb(&lb.settings, &before.settings, &slot.settings()))?;
            }
        }
        for (index, member) in self.planned_members() {
            let found = self.counterpart(member, old).and_then(|i| Some((old.member(i)?, old.plan().member(i)?)));
            if let Some((slot, before)) = found {
                let settings = merged_member(&member.settings, &before.settings, &slot.settings());
                writer.set_member_settings(index, &settings)?;
                if let Some(new) = self.member(index).filter(|new| new.activation() == Activation::Disabled)
                    && slot.drain().is_on()
                {
                    new.drain().adopt(slot.drain());
                    self.update_drains(member.lb);
                }
            }
        }
        Ok(())
    }

    fn adopt_ajp(&self, index: usize, old: &Region, old_index: usize) {
        let (Some(new), Some(before)) = (self.ajp(index), old.ajp(old_index)) else { return };
        for (new, old) in [
            (&new.used, &before.used),
            (&new.used_snapshot, &before.used_snapshot),
            (&new.errors, &before.errors),
            (&new.client_errors, &before.client_errors),
            (&new.reply_timeouts, &before.reply_timeouts),
            (&new.read, &before.read),
            (&new.transferred, &before.transferred),
            (&new.max_busy, &before.max_busy),
            (&new.max_connected, &before.max_connected),
            (&new.last_reset, &before.last_reset),
            (&new.last_maintain_time, &before.last_maintain_time),
        ] {
            new.set(old.get());
        }
        new.adopt_history(before);
        new.adopt_failures(before);
        new.response_time.adopt(&before.response_time);
        new.first_byte_time.adopt(&before.first_byte_time);
        if same_address(self, index, old, old_index) {
            new.set_cpong_seen(before.cpong_seen());
            new.error_time.set(before.error_time.get());
            new.state.set(inherited(before.state.get()));
        }
    }

    fn adopt_lb(&self, index: usize, old: &Region, old_index: usize) {
        let (Some(new), Some(before)) = (self.lb(index), old.lb(old_index)) else { return };
        new.max_busy.set(before.max_busy.get());
        new.last_reset.set(before.last_reset.get());
        new.last_maintain_time.set(before.last_maintain_time.get());
        let comparable = self.has_comparable_values(index, old, old_index);
        for (member, planned) in self.planned_members().filter(|(_, planned)| planned.lb == index) {
            if let Some(old_member) = self.counterpart(planned, old) {
                self.adopt_member(member, old, old_member, comparable);
            }
        }
    }

    fn adopt_member(&self, index: usize, old: &Region, old_index: usize, with_value: bool) {
        let (Some(new), Some(before)) = (self.member(index), old.member(old_index)) else { return };
        new.sessions.set(before.sessions.get());
        new.errors.set(before.errors.get());
        new.elected_snapshot.set(before.elected_snapshot.get());
        if with_value {
            new.value.set(before.value.get());
        }
        let (Some(ajp), Some(old_ajp)) = (self.plan().ajp_of(index), old.plan().ajp_of(old_index)) else { return };
        if same_address(self, ajp, old, old_ajp) {
            // Times before the state, which publishes them (StateCell).
            new.first_error_time.set(before.first_error_time.get());
            new.last_error_time.set(before.last_error_time.get());
            new.state.set(inherited(before.state.get()));
            let (since_s, cause) = before.state_since();
            new.note_state(cause, since_s);
            new.adopt_pace(before);
        }
    }

    /// Same members, in whatever order, same lbfactors, same method. Busyness never is: its values are requests in flight.
    fn has_comparable_values(&self, lb: usize, old: &Region, old_lb: usize) -> bool {
        let (Some(new), Some(before)) = (self.lb(lb), old.lb(old_lb)) else { return false };
        let method = new.method();
        method == before.method()
            && method != crate::balancer::Method::Busyness
            && self.plan().members_of(lb).len() == old.plan().members_of(old_lb).len()
            && self.plan().members_of(lb).all(|index| {
                let counterpart = self.plan().member(index).and_then(|planned| self.counterpart(planned, old));
                let old_factor = counterpart.and_then(|old_index| old.member(old_index)).map(|slot| slot.lb_factor());
                old_factor.is_some() && self.member(index).map(|slot| slot.lb_factor()) == old_factor
            })
    }

    pub(super) fn planned_members(&self) -> impl Iterator<Item = (usize, &PlannedMember)> {
        self.plan().members.iter().enumerate().filter_map(|(index, member)| Some((index, member.as_ref()?)))
    }

    /// The slot of the same member of the same load balancer in `old`.
    pub(super) fn counterpart(&self, member: &PlannedMember, old: &Region) -> Option<usize> {
        let lb = &self.plan().lbs.get(member.lb)?.name;
        old.plan().member_index(old.plan().lb_index(lb)?, &member.name)
    }
}

fn same_address(new: &Region, index: usize, old: &Region, old_index: usize) -> bool {
    let address = |region: &Region, index| region.ajp_address(index).map(|address| (address.host, address.port));
    address(new, index) == address(old, old_index)
}

fn inherited(state: State) -> State {
    match state {
        State::Probe => State::Recover,
        State::Busy => State::Ok,
        state => state,
    }
}

fn merged_ajp(new: &AjpSettings, old: &AjpSettings, now: &AjpSettings) -> AjpSettings {
    let mut new = new.clone();
    keep_edits!(new, old, now:
        host, port, connection_pool_timeout_s, ping_timeout_ms, connect_timeout_ms, prepost_timeout_ms, reply_timeout_ms,
        connection_ping_interval_s, retries, retry_interval_ms, recovery_options, busy_limit, max_packet_size,
    );
    new
}

fn merged_lb(new: &LbSettings, old: &LbSettings, now: &LbSettings) -> LbSettings {
    let mut new = new.clone();
    keep_edits!(new, old, now:
        sticky_session, sticky_session_force, retries, retry_interval_ms, recover_time_s, error_escalation_time_s,
        max_reply_timeouts, method, lock,
    );
    new
}

fn merged_member(new: &MemberSettings, old: &MemberSettings, now: &MemberSettings) -> MemberSettings {
    let mut new = new.clone();
    keep_edits!(new, old, now: route, domain, redirect, distance, activation, lb_factor);
    new
}

#[cfg(all(test, not(loom)))]
#[path = "adopt_tests.rs"]
mod tests;

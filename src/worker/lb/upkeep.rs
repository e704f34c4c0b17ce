//! What happens to a balancer's members without a request's outcome: maintenance, forced recovery, and verdicts of the prober.
//!
//! Not here: the rules (`balancer::maintenance`, `balancer::state`), the probes themselves (`health`). The surprising thing: the shared
//! lock is held for arithmetic only; lines are written after it is given back, because a log may be a pipe that blocks.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::super::{Log, say};
use super::settle::health_of;
use super::{INLINE_MEMBERS, LbWorker, Member, Run};
use crate::balancer::maintenance::{self, Schedule, Upkeep};
use crate::balancer::method::decay_exponent;
use crate::balancer::{Activation, MemberView, State};
use crate::shm::{Cause, Found, MemberSlot};

type Upkeeps = SmallVec<[Upkeep; INLINE_MEMBERS]>;

/// What a member wants of the prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Seconds between two probes.
    pub interval_s: u64,
    /// Longest wait for the answer.
    pub timeout_ms: u64,
}

impl LbWorker {
    /// Whether a prober is at work: then members that are known to answer CPings come back by its word, not by a user's request.
    pub fn set_prober(&self, is_there: bool) {
        self.has_prober.store(is_there, Ordering::Relaxed);
    }

    /// The AJP workers of the members, by index.
    pub fn workers(&self) -> impl Iterator<Item = &std::sync::Arc<super::AjpWorker>> {
        self.members.iter().map(|member| &member.worker)
    }

    /// The part of maintenance that one child does for all (reference: lb-shm-status.md section 2.10).
    pub fn maintain(&self, now_s: u64, maintain_s: u32, log: Log<'_>) {
        let Some(lb) = self.shared.region.lb(self.lb) else { return };
        let exponent = decay_exponent(now_s, lb.last_maintain_time.get(), maintain_s);
        let forced = self.keep_up(log, Cause::Waited, |members| {
            lb.last_maintain_time.set(now_s);
            maintenance::maintain(members, &self.schedule(now_s, exponent))
        });
        if forced > 0 {
            say!(log, Info, "({}) Forcing recovery once for {forced} workers", self.name());
        }
    }

    /// Nobody is left: everybody in error gets one more chance, once per request. Where the prober knows all of them to be silent, this
    /// request alone tries one, if it has tried nobody: the prober may be wrong, and what it says stays for the others.
    pub(super) fn force_recovery(&self, run: &mut Run<'_>, has_tried: bool) -> bool {
        run.forced = true;
        let mut members = self.upkeeps();
        if maintenance::force(&mut members) == 0 {
            return !has_tried && self.force_in_vain(run, &mut members);
        }
        if run.views.is_empty() {
            self.copy(run);
        }
        let mut forced = 0_u32;
        for ((member, after), view) in self.members.iter().zip(&members).zip(&mut run.views) {
            let Some(slot) = self.shared.region.member(member.slot) else { continue };
            if after.health.state == State::Forced {
                // Another request may have been first, which is as good.
                if slot.state.change(State::Error, State::Forced) {
                    slot.note_state(Cause::LastResort, self.shared.now_s());
                }
                member.worker.shared().reset_reply_timeouts();
                view.state = State::Forced;
                forced = forced.saturating_add(1);
            }
        }
        say!(run.log, Info, "({}) Forcing recovery once for {forced} workers", self.name());
        true
    }

    fn force_in_vain(&self, run: &mut Run<'_>, members: &mut Upkeeps) -> bool {
        if maintenance::force_all(members) == 0 {
            return false;
        }
        run.in_vain = true;
        if run.views.is_empty() {
            self.copy(run);
        }
        for (view, _) in run.views.iter_mut().zip(members).filter(|(_, after)| after.health.state == State::Forced) {
            view.state = State::Forced;
        }
        true
    }

    /// A busy member takes requests again as soon as it has room. Returns its state.
    pub(super) fn release(&self, member: &Member, slot: &MemberSlot) -> State {
        match Self::released(member) {
            Some(state) if slot.state.change(State::Busy, state) => {
                slot.note_state(Cause::Room, self.shared.now_s());
                state
            }
            _ => slot.state.get(),
        }
    }

    /// What a busy member becomes now, when it has room; changes nothing.
    pub(super) fn released(member: &Member) -> Option<State> {
        let shared = member.worker.shared();
        State::Busy.released(shared.busy(), shared.numbers().busy_limit, member.worker.pool().has_room())
    }

    /// The states after [`Self::force_recovery`]; changes nothing else. Returns whether anybody was in error.
    pub(super) fn would_force(&self, views: &mut [MemberView]) -> bool {
        let mut members = self.upkeeps();
        if maintenance::force(&mut members) == 0 && maintenance::force_all(&mut members) == 0 {
            return false;
        }
        for (after, view) in members.iter().zip(views) {
            if after.health.state == State::Forced {
                view.state = State::Forced;
            }
        }
        true
    }

    /// Whether and how a member is to be probed now: those in error always, healthy ones with `jkx.worker.<lb>.health`. Members that get no
    /// requests are left alone.
    pub fn wish(&self, index: usize) -> Option<Wish> {
        let member = self.members.get(index)?;
        let slot = self.shared.region.member(member.slot)?;
        let in_error = slot.state.get() == State::Error;
        let extras = &self.config.extras;
        if slot.activation() == Activation::Stopped || !(in_error || extras.health) {
            return None;
        }
        let numbers = member.worker.shared().numbers();
        if numbers.port == 0 && member.worker.config().unix_socket.is_none() {
            return None;
        }
        let timeout_ms = if extras.health { extras.health_timeout_ms } else { numbers.ping_timeout_ms };
        let interval_s = if in_error {
            extras.health_interval_s.min(self.settings().recover_time_s)
        } else {
            extras.health_interval_s
        };
        Some(Wish { interval_s: interval_s.into(), timeout_ms: timeout_ms.into() })
    }

    /// Whether this balancer has its members probed, and enough probes of this one failed.
    pub fn finds_down(&self, index: usize) -> bool {
        let (extras, slot) = (&self.config.extras, self.slot(index));
        let is_watched = extras.health && slot.is_some_and(|slot| slot.activation() != Activation::Stopped);
        is_watched
            && self.members.get(index).is_some_and(|member| {
                let shared = member.worker.shared();
                shared.probe_streak().is_down(extras.health_fall, shared.cpong_seen())
            })
    }

    /// Acts on what the prober found (it is in the slot of the AJP worker already). `is_down`: some balancer of this member
    /// [finds it so](Self::finds_down), and what one knows spares the users of all. `cause` explains a failure.
    pub fn probed(&self, index: usize, is_down: bool, cause: &str, log: Log<'_>) {
        let Some(member) = self.members.get(index) else { return };
        let Some(slot) = self.shared.region.member(member.slot) else { return };
        let (shared, now_s) = (member.worker.shared(), self.shared.now_s());
        let streak = shared.probe_streak();
        let state = slot.state.get();
        if state == State::Error {
            if streak.last == Found::Answer {
                self.keep_up(log, Cause::ProbeAnswered, |members| {
                    maintenance::recover_answered(members, &self.schedule(now_s, 0))
                });
            }
            return;
        }
        if is_down {
            slot.first_error_time.set(now_s);
            slot.last_error_time.set(now_s);
            if slot.state.change(state, State::Error) {
                slot.note_state(Cause::ProbeFailed, now_s);
                let (name, member, count) = (self.name(), member.worker.name(), streak.count);
                say!(log, Info, "({name}) worker {member} is in error state: {count} probes in a row failed: {cause}");
            }
        }
    }

    fn schedule(&self, now_s: u64, exponent: u32) -> Schedule {
        let settings = self.settings();
        Schedule {
            method: settings.method,
            now_s,
            exponent,
            recover_time_s: settings.recover_time_s,
            error_escalation_time_s: settings.error_escalation_time_s,
        }
    }

    /// Lets `change` change all members under the lock, and tells what became of them. Returns what `change` does.
    /// Why members recover, if any does, is `recovered`.
    fn keep_up(&self, log: Log<'_>, recovered: Cause, change: impl FnOnce(&mut Upkeeps) -> usize) -> usize {
        let Ok(held) = self.shared.region.lock() else { return 0 };
        let before = self.upkeeps();
        let mut after = before.clone();
        let count = change(&mut after);
        let mut changed: SmallVec<[bool; INLINE_MEMBERS]> = SmallVec::new();
        for ((member, before), after) in self.members.iter().zip(&before).zip(&after) {
            changed.push(self.store(member, before, after, recovered));
        }
        drop(held);
        for (index, member) in self.members.iter().enumerate().filter(|(index, _)| changed.get(*index) == Some(&true)) {
            let (Some(before), Some(after)) = (before.get(index), after.get(index)) else { continue };
            let (name, member) = (self.name(), member.worker.name());
            let (old, new) = (before.health.state, after.health.state);
            if new == State::Idle {
                say!(log, Debug, "({name}) worker {member} goes from {old} to {new}");
            } else {
                say!(log, Info, "({name}) worker {member} goes from {old} to {new}");
            }
        }
        count
    }

    fn upkeeps(&self) -> Upkeeps {
        self.members.iter().map(|member| self.upkeep(member)).collect()
    }

    fn upkeep(&self, member: &Member) -> Upkeep {
        let shared = member.worker.shared();
        let Some(slot) = self.shared.region.member(member.slot) else { return Upkeep::default() };
        let (streak, extras) = (shared.probe_streak(), &self.config.extras);
        let has_prober = self.has_prober.load(Ordering::Relaxed);
        let silent = has_prober && streak.is_down(1, shared.cpong_seen());
        let rise = if extras.health { extras.health_rise } else { 1 };
        Upkeep {
            health: health_of(slot),
            activation: slot.activation(),
            value: slot.value.get(),
            reply_timeouts: u32::try_from(shared.reply_timeouts()).unwrap_or(u32::MAX),
            used: shared.used(),
            used_before: slot.elected_snapshot.get(),
            held: silent || (has_prober && shared.cpong_seen() && !streak.is_up(rise)),
            silent,
        }
    }

    /// Stores what maintenance changed; true when that is the state. A member whose state another process changed meanwhile keeps that.
    fn store(&self, member: &Member, before: &Upkeep, after: &Upkeep, recovered: Cause) -> bool {
        let Some(slot) = self.shared.region.member(member.slot) else { return false };
        slot.elected_snapshot.set(after.used_before);
        // By the difference: elections of this instant are not lost.
        slot.value.weigh(after.value.saturating_sub(before.value));
        slot.value.subtract(before.value.saturating_sub(after.value));
        if before.reply_timeouts != after.reply_timeouts {
            member.worker.shared().set_reply_timeouts(after.reply_timeouts.into());
        }
        let (old, new) = (before.health.state, after.health.state);
        let is_changed = old != new && slot.state.change(old, new);
        if is_changed {
            let cause = match new {
                State::Idle => Cause::Unused,
                State::Error => Cause::Escalated,
                State::Forced => Cause::LastResort,
                _ => recovered,
            };
            slot.note_state(cause, self.shared.now_s());
        }
        is_changed
    }
}

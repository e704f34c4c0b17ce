//! Whom a request goes to: among the slots themselves, or among copies of them.
//!
//! Not here: the rules (`balancer`), the record of the choice (`lb.rs`). The surprising thing: a busy member may have room again, which
//! only a copy can say; a choice on the slots that met one is made again.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Balance, LbWorker, Member, Run, Texts, Views};
use crate::balancer::{self, Choice, MemberView, NoMember, Selection, State};
use crate::config::ExtraMethod;
use crate::shm::MemberSlot;

/// What a choice by load uses up: where members with equal loads take turns, and random numbers.
pub(super) struct Dice<'d> {
    pub(super) next_offset: &'d AtomicU32,
    pub(super) draws: &'d AtomicU64,
    /// The choice was by load.
    pub(super) thrown: Cell<bool>,
}

impl LbWorker {
    /// Copies all members. A busy one is given work again as soon as it has room (reference: lb-shm-status.md section 2.11).
    pub(super) fn copy(&self, run: &mut Run<'_>) {
        self.copy_to(&mut run.views, run.balance, |member, slot, view| {
            if view.state == State::Busy {
                view.state = self.release(member, slot);
            }
        });
    }

    /// Copies all members; `meet` acts on each as it is, then the rule's activations replace theirs.
    pub(super) fn copy_to(
        &self,
        views: &mut Views,
        balance: &Balance<'_>,
        meet: impl Fn(&Member, &MemberSlot, &mut MemberView),
    ) {
        let slots = self.slots();
        views.clear();
        views.extend(slots.iter().map(|slot| slot.view(0)));
        for ((member, slot), view) in self.members.iter().zip(slots).zip(views.iter_mut()) {
            meet(member, slot, view);
        }
        if self.config.extras.method == Some(ExtraMethod::Latency) {
            // Counting what runs walks over all children: only for those who compare it.
            for (busy, view) in self.shared.region.busy_of_members(self.lb).zip(views.iter_mut()) {
                view.busy = busy;
            }
        }
        if self.config.extras.slow_start_s > 0 {
            for (slot, view) in slots.iter().zip(views.iter_mut()) {
                view.multiplier = self.slowed(slot, view.multiplier);
            }
        }
        if let Some(activation_of) = &balance.activation_of {
            for (member, view) in self.members.iter().zip(views) {
                view.activation = activation_of(member.worker.name().as_bytes()).unwrap_or(view.activation);
            }
        }
    }

    pub(super) fn choose(&self, run: &mut Run<'_>) -> Result<Choice, NoMember> {
        if run.views.is_empty() {
            let (slots, selection) = (self.slots(), run.selection());
            let (offset, mut walk) = (self.next_offset.load(Ordering::Relaxed), None);
            let chosen = balancer::choose_with(slots, &Texts(self), &selection, |slots| {
                walk.insert(balancer::best_by_value(slots, selection.stateless, &self.next_offset)).found
            });
            // A session that is home already does not care for others, unless it has several ids and a busy member is that of an earlier
            // one; all else depends on whether busy members have room again.
            let is_busy = |slot: &MemberSlot| slot.state.get() == State::Busy;
            let is_home = chosen.is_ok_and(|choice| choice.sticky)
                && selection.session_ids.is_none_or(|ids| memchr::memchr(b';', ids).is_none());
            if is_home || !walk.map_or_else(|| slots.iter().any(is_busy), |walk| walk.met_busy) {
                return chosen;
            }
            self.next_offset.store(offset, Ordering::Relaxed);
            self.copy(run);
        }
        let dice = Dice { next_offset: &self.next_offset, draws: &self.draws, thrown: Cell::new(false) };
        self.choose_among(&run.views, &run.selection(), &dice)
    }

    /// The member for a request among copies; changes nothing but `dice`.
    pub(super) fn choose_among(
        &self,
        views: &[MemberView],
        selection: &Selection<'_>,
        dice: &Dice<'_>,
    ) -> Result<Choice, NoMember> {
        balancer::choose_with(views, &Texts(self), selection, |members| {
            let picked = match self.config.extras.method {
                Some(ExtraMethod::Latency) => self.pick_by_latency(members, dice.draws.fetch_add(1, Ordering::Relaxed)),
                None => balancer::best_by_value(members, selection.stateless, dice.next_offset).found,
            };
            dice.thrown.set(picked.is_some());
            picked
        })
    }
}

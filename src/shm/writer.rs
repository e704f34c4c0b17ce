//! The writers' lock in hand: changes of settings, resets, and the repair after a writer that died.
//!
//! Not here: whether an admin may (`status`). The surprising thing: whoever gets the lock from a dead owner has nothing to undo.
//! Interrupted settings were never visible; what is left is to make odd sequences even and to work out again what derives from settings.

use super::Region;
use super::error::ShmError;
use super::lb::LbSlot;
use super::lock::{Held, Owner};
use super::member::MemberSlot;
use super::slot::AjpSlot;
use crate::balancer::method::CommonMultiple;
use crate::balancer::{Activation, Method};
use crate::config::{AjpSettings, LbSettings, MemberSettings};

/// The writers' lock is held while this lives. Not to be kept over anything that blocks.
#[must_use = "the lock is released when this is dropped"]
pub struct Writer<'a> {
    region: &'a Region,
    _held: Held<'a>,
}

impl Region {
    /// Takes the writers' lock, and repairs what a dead owner left. Also the lock of `lock=Pessimistic`.
    ///
    /// # Errors
    /// [`ShmError::Lock`] when this thread holds the lock already, the memory of the lock was overwritten, or its owner stands still.
    pub fn lock(&self) -> Result<Writer<'_>, ShmError> {
        let (held, owner) = self.header().lock.lock(&self.mark).map_err(ShmError::Lock)?;
        if owner == Owner::Died {
            // Repair first: if we die in it, the next one is told so as well.
            self.repair();
            held.mark_consistent().map_err(ShmError::Lock)?;
        }
        Ok(Writer { region: self, _held: held })
    }

    fn repair(&self) {
        let ajp = self.ajp_slots().iter().map(AjpSlot::sequence_word);
        let lbs = self.lb_slots().iter().map(LbSlot::sequence_word);
        let members = self.member_slots().iter().map(MemberSlot::sequence_word);
        for sequence in ajp.chain(lbs).chain(members) {
            sequence.repair();
        }
        self.member_slots().iter().for_each(MemberSlot::derive);
        for lb in 0..self.plan().lb_count() {
            self.update_multipliers(lb);
            self.update_drains(lb);
        }
    }

    /// Notes at load balancer `lb` whether a member of it drains: the last step of whatever begins or ends a drain. The caller holds the
    /// lock, or is alone.
    pub(super) fn update_drains(&self, lb: usize) {
        if let Some(slot) = self.lb(lb) {
            slot.set_drains(self.members_of(lb).iter().any(|member| member.drain().is_on()));
        }
    }

    /// Works out the multipliers of all members of `lb` (reference: lb-shm-status.md section 2.4). The caller holds the lock, or
    /// is alone.
    ///
    /// Race: a reader may meet members with the new and with the old multiplier; each is what one election adds, so the
    /// shares of these nanoseconds are off, nothing else.
    pub(super) fn update_multipliers(&self, lb: usize) {
        let method = self.lb(lb).map_or(Method::Request, LbSlot::method);
        let members = self.members_of(lb);
        let common = CommonMultiple::of(method, members.iter().map(MemberSlot::lb_factor));
        members.iter().for_each(|member| member.multiplier.set(common.multiplier(member.lb_factor())));
    }
}

impl Writer<'_> {
    /// Stores the settings of AJP worker `ajp`, all at once; bumps the address sequence when host or port differ.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`]; [`ShmError::TextTooLong`], and nothing is changed.
    pub fn set_ajp_settings(&self, ajp: usize, settings: &AjpSettings) -> Result<(), ShmError> {
        self.ajp(ajp)?.store(settings)
    }

    /// Stores the settings of load balancer `lb`, all at once. When the method becomes Busyness, or is it no more, the values of its
    /// members start again at 0: requests in progress do not compare to anything that was counted, and do not decay.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn set_lb_settings(&self, lb: usize, settings: &LbSettings) -> Result<(), ShmError> {
        let slot = self.lb(lb)?;
        let before = slot.method();
        slot.store(settings);
        // Bytes have another limit.
        self.region.update_multipliers(lb);
        if before != settings.method && [before, settings.method].contains(&Method::Busyness) {
            self.clear_values(lb);
        }
        Ok(())
    }

    /// Stores the settings of a member, all at once. A changed lbfactor changes the multipliers of all members, a changed
    /// activation sets all their values to 0 (except with Busyness, whose values are the requests in progress; reference:
    /// lb-shm-status.md section 4.5).
    ///
    /// Death between store and consequences: the repair works the multipliers out again; values not set to 0 decay.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`]; [`ShmError::TextTooLong`], and nothing is changed.
    pub fn set_member_settings(&self, member: usize, settings: &MemberSettings) -> Result<(), ShmError> {
        let slot = self.member(member)?;
        let lb = self.region.plan().lb_of(member).ok_or(ShmError::NoSuchSlot)?;
        let (activation, lb_factor) = (slot.activation(), slot.lb_factor());
        slot.store(settings)?;
        if settings.activation != Activation::Disabled {
            slot.drain().cancel();
            self.region.update_drains(lb);
        }
        if slot.lb_factor() != lb_factor {
            self.region.update_multipliers(lb);
        }
        if slot.activation() != activation && self.lb(lb)?.method() != Method::Busyness {
            self.clear_values(lb);
        }
        Ok(())
    }

    /// Disables a member and begins its drain, or begins it anew.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn drain_member(&self, member: usize, now_s: u64, until_s: Option<u64>, quiet_s: u64) -> Result<(), ShmError> {
        let slot = self.member(member)?;
        let settings = MemberSettings { activation: Activation::Disabled, ..slot.settings() };
        self.set_member_settings(member, &settings)?;
        slot.drain().begin(now_s, until_s, quiet_s);
        self.update_drains_with(member)
    }

    /// Ends the drain of a member, whose activation stays; returns whether there was one.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn cancel_drain(&self, member: usize) -> Result<bool, ShmError> {
        let was_on = self.member(member)?.drain().cancel();
        self.update_drains_with(member)?;
        Ok(was_on)
    }

    /// Sets the values of all members of `lb` to 0.
    pub fn clear_values(&self, lb: usize) {
        for slot in self.region.plan().members_of(lb).filter_map(|index| self.region.member(index)) {
            slot.value.set(0);
        }
    }

    /// Resets the counters of a plain AJP worker (reference: lb-shm-status.md section 4.6).
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn reset_ajp(&self, ajp: usize, now_s: u64) -> Result<(), ShmError> {
        self.ajp(ajp)?.reset(now_s, true);
        Ok(())
    }

    /// Resets a member, and the counters of its AJP worker, which other balancers show as well.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn reset_member(&self, member: usize, now_s: u64) -> Result<(), ShmError> {
        let ajp = self.region.plan().ajp_of(member).ok_or(ShmError::NoSuchSlot)?;
        self.member(member)?.reset(now_s);
        self.ajp(ajp)?.reset(now_s, false);
        self.update_drains_with(member)
    }

    /// Resets a load balancer and all its members.
    ///
    /// # Errors
    /// [`ShmError::NoSuchSlot`].
    pub fn reset_lb(&self, lb: usize, now_s: u64) -> Result<(), ShmError> {
        let slot = self.lb(lb)?;
        slot.max_busy.set(0);
        slot.last_reset.set(now_s);
        self.region.plan().members_of(lb).try_for_each(|member| self.reset_member(member, now_s))
    }

    fn update_drains_with(&self, member: usize) -> Result<(), ShmError> {
        self.region.update_drains(self.region.plan().lb_of(member).ok_or(ShmError::NoSuchSlot)?);
        Ok(())
    }

    fn ajp(&self, index: usize) -> Result<&AjpSlot, ShmError> {
        self.region.ajp(index).ok_or(ShmError::NoSuchSlot)
    }

    fn lb(&self, index: usize) -> Result<&LbSlot, ShmError> {
        self.region.lb(index).ok_or(ShmError::NoSuchSlot)
    }

    fn member(&self, index: usize) -> Result<&MemberSlot, ShmError> {
        self.region.member(index).ok_or(ShmError::NoSuchSlot)
    }
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

//! What becomes of settings that somebody wrote over while httpd runs: the configuration counts again.
//!
//! Not here: a file that was cut (`Region::mend`). The surprising thing: requests need not wait for the repair. What they read is checked, and
//! taken from the plan, which is this process's own memory, where it does not pass.

use std::sync::atomic::{Ordering, fence};

use super::Region;
use super::error::ShmError;
use super::lb::{LbSlot, PackedSettings};
use super::slot::{Address, AjpNumbers};
use crate::config::LbSettings;

/// What was repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Workers, balancers and members that begin anew.
    pub slots: usize,
    /// The counts of what is in flight begin anew.
    pub counts: bool,
}

impl Region {
    /// The numeric settings of AJP worker `ajp`; `None` for an index that is not the plan's.
    #[must_use]
    pub fn ajp_numbers(&self, ajp: usize) -> Option<AjpNumbers> {
        self.ajp(ajp)?.numbers().or_else(|| self.planned_numbers(ajp))
    }

    #[cold]
    fn planned_numbers(&self, ajp: usize) -> Option<AjpNumbers> {
        let (_, settings) = self.plan().ajp.get(ajp)?;
        Some(AjpNumbers::of(settings))
    }

    /// Host and port of AJP worker `ajp`, likewise.
    #[must_use]
    pub fn ajp_address(&self, ajp: usize) -> Option<Address> {
        self.ajp(ajp)?.address().or_else(|| {
            let (_, settings) = self.plan().ajp.get(ajp)?;
            let host = super::Text::new(&settings.host)?;
            Some(Address { host, port: settings.port, sequence: AjpNumbers::of(settings).address_sequence })
        })
    }

    /// The settings of load balancer `lb`, likewise.
    #[must_use]
    pub fn lb_settings(&self, lb: usize) -> LbSettings {
        let intact = self.lb(lb).and_then(LbSlot::intact_settings);
        intact.or_else(|| Some(self.plan().lbs.get(lb)?.settings.clone())).unwrap_or_default()
    }

    /// The same for the request path.
    #[inline]
    #[must_use]
    pub fn packed_lb_settings(&self, lb: usize) -> PackedSettings {
        let intact = self.lb(lb).and_then(LbSlot::packed_settings);
        intact.unwrap_or_else(|| self.planned_lb_settings(lb))
    }

    #[cold]
    fn planned_lb_settings(&self, lb: usize) -> PackedSettings {
        PackedSettings::of(&self.lb_settings(lb))
    }

    /// Lets what was written over begin anew, as the configuration says; edits and counters of it are lost. So do the counts of what is in
    /// flight, with any damage at all: requests and connections of this moment are not counted any more, and each living child claims
    /// another entry at its next maintenance. To be called now and then, by one process for all, and before the dead are reaped: what was
    /// written over the table of children names none.
    ///
    /// # Errors
    /// [`ShmError::Lock`].
    pub fn restore(&self) -> Result<Restored, ShmError> {
        let lock = &self.header().lock;
        let has_lock = lock.bears(&self.mark);
        if !has_lock {
            // Nobody can hold or release what is no lock.
            lock.initialise().map_err(ShmError::Lock)?;
        }
        let _writer = self.lock()?;
        let slots = self.restore_slots()?;
        let counts = slots > 0 || !has_lock || !self.has_header() || !self.has_intact_counts();
        if counts {
            self.write_header();
            self.header().maintained.set(super::unix_s());
            self.begin_all_counts_anew();
        }
        Ok(Restored { slots, counts })
    }

    /// Counts in flight, their maxima, and the loads that are made of them.
    pub(super) fn begin_all_counts_anew(&self) {
        // The clock has gone on since the last time, and claims count up by less.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let generation = now.map_or(u128::MAX, |now| now.as_micros()) & u128::from(u32::MAX);
        self.begin_counts_anew(u32::try_from(generation).unwrap_or(u32::MAX));
        // Who adds to a load after this sees the new generation, and takes it back (`tally.rs`).
        fence(Ordering::Release);
        for lb in 0..self.plan().lb_count() {
            self.lb(lb).iter().for_each(|slot| slot.max_busy.set(0));
            if self.is_by_busyness(lb) {
                self.members_of(lb).iter().for_each(|slot| slot.value.set(0));
            }
        }
        for slot in self.ajp_slots() {
            slot.max_busy.set(0);
            slot.max_connected.set(0);
        }
    }

    fn restore_slots(&self) -> Result<usize, ShmError> {
        let (plan, mut restored) = (self.plan(), 0);
        for (slot, (name, settings)) in self.ajp_slots().iter().zip(&plan.ajp) {
            if slot.name().as_str() != name || slot.numbers().is_none() || slot.address().is_none() {
                slot.reset(plan.now_s, true);
                slot.occupy(&super::planned_name(name)?, plan.now_s);
                slot.store(settings)?;
                restored += 1;
            }
        }
        for (index, (slot, lb)) in self.lb_slots().iter().zip(&plan.lbs).enumerate() {
            let mut is_new = slot.name().as_str() != lb.name || slot.intact_settings().is_none();
            if is_new {
                slot.occupy(&super::planned_name(&lb.name)?, plan.now_s);
                slot.store(&lb.settings);
                restored += 1;
            }
            for member in plan.members_of(index) {
                let (Some(slot), Some(planned)) = (self.member(member), plan.member(member)) else { continue };
                if slot.name().as_str() != planned.name || !slot.verify() {
                    slot.reset(plan.now_s);
                    slot.occupy(&super::planned_name(&planned.name)?, plan.now_s);
                    slot.store(&planned.settings)?;
                    (is_new, restored) = (true, restored + 1);
                }
            }
            if is_new {
                self.update_multipliers(index);
                self.update_drains(index);
                self.members_of(index).iter().for_each(|member| member.value.set(0));
            }
        }
        Ok(restored)
    }
}

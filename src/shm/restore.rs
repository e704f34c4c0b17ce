//! What becomes of settings that somebody wrote over while httpd runs: the configuration counts again.
//!
//! Not here: a file that was cut (`Region::mend`). The surprising thing: requests need not wait for the repair. What they read is checked, and
//! taken from the plan, which is this process's own memory, where it does not pass.

use super::Region;
use super::error::ShmError;
use super::lb::LbSlot;
use super::slot::{Address, AjpNumbers};
use crate::config::LbSettings;

impl Region {
    /// The numeric settings of AJP worker `ajp`; `None` for an index that is not the plan's.
    #[inline]
    #[must_use]
    pub fn ajp_numbers(&self, ajp: usize) -> Option<AjpNumbers> {
        self.ajp(ajp)?.numbers().or_else(|| {
            let (_, settings) = self.plan().ajp.get(ajp)?;
            Some(AjpNumbers::of(settings))
        })
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

    /// Lets what was written over begin anew, as the configuration says; edits and counters of it are lost. Returns how many workers,
    /// balancers and members that were. To be called now and then, by one process for all.
    ///
    /// # Errors
    /// [`ShmError::Lock`].
    pub fn restore(&self) -> Result<usize, ShmError> {
        let lock = &self.header().lock;
        if !lock.bears(&self.mark) {
            // Nobody can hold or release what is no lock.
            lock.initialise().map_err(ShmError::Lock)?;
        }
        let (_writer, plan, mut restored) = (self.lock()?, self.plan(), 0);
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

//! The end of a drain (`cmd=drain`): who notices it, and that the member is stopped once.
//!
//! Not here: the beginning (`status`), the record (`shm`). The surprising thing: the watchdog looks often, and requests look too, but only
//! where the balancer's slot says that a member drains, so that a deadline holds to the second wherever requests come, and costs those of
//! other balancers nothing.

use super::super::{Log, say};
use super::{LbWorker, Member};
use crate::balancer::Activation;
use crate::shm::{DrainEnd, MemberSlot};

impl LbWorker {
    /// Stops the members whose drain is over.
    pub fn end_drains(&self, log: Log<'_>) {
        for member in &self.members {
            if let Some(slot) = self.shared.region.member(member.slot)
                && slot.drain().is_on()
                && slot.activation() == Activation::Disabled
            {
                self.end_drain(member, slot, log);
            }
        }
    }

    /// Whether the drain of this member is over now; changes nothing.
    pub(super) fn drain_end(&self, member: &Member, slot: &MemberSlot) -> Option<DrainEnd> {
        slot.drain().state()?.end(self.shared.now_s(), member.worker.shared().busy())
    }

    /// Stops this member when its drain is over.
    fn end_drain(&self, member: &Member, slot: &MemberSlot, log: Log<'_>) {
        if self.drain_end(member, slot).is_none() {
            return;
        }
        let Ok(writer) = self.shared.region.lock() else { return };
        // Another child may have been first, or an admin may have changed his mind.
        let mut settings = slot.settings();
        let (Some(end), Activation::Disabled) = (self.drain_end(member, slot), settings.activation) else {
            return;
        };
        settings.activation = Activation::Stopped;
        let stored = writer.set_member_settings(member.slot, &settings);
        drop(writer);
        let (lb, name) = (self.name(), member.worker.name());
        match (stored, end) {
            (Err(error), _) => {
                say!(log, Error, "({lb}) worker {name} is drained, but cannot be stopped: {error}");
            }
            (Ok(()), DrainEnd::Empty) => {
                say!(
                    log,
                    Info,
                    "({lb}) changing 'activation' for sub worker '{name}' from 'DIS' to 'STP': drained, nothing is left"
                );
            }
            (Ok(()), DrainEnd::Deadline) => {
                say!(
                    log,
                    Info,
                    "({lb}) changing 'activation' for sub worker '{name}' from 'DIS' to 'STP': the time to drain is up"
                );
            }
        }
    }
}

//! What children of the generation before still count after a graceful restart: it is added here, so that nothing is lost and no counter
//! ever goes back.
//!
//! Not here: what is taken over at the restart itself (`adopt.rs`). The surprising thing: old children know nothing of the new mapping, so
//! the new ones keep the old mapping and look into it, and note in a third one how much of each number they have added already.

use std::sync::{Arc, PoisonError};

use super::Region;
use super::cell::Counter;
use super::error::ShmError;

/// The generation before.
#[derive(Debug)]
pub(super) struct Late {
    old: Arc<Region>,
    /// Laid out as `old`; its counters are what was taken from there.
    taken: Region,
}

impl Region {
    /// Goes on taking over what children of `old` count. To be called by the parent right after [`Region::adopt`].
    ///
    /// # Errors
    /// [`ShmError::Map`] when there is no memory; what they count is not seen then.
    pub fn follow(&self, old: &Arc<Region>) -> Result<(), ShmError> {
        old.set_late(None);
        let late = Late { old: Arc::clone(old), taken: Region::anonymous(old.plan())? };
        self.each_counter(&late, |new, _, taken| taken.set(new.get()));
        self.set_late(Some(Arc::new(late)));
        Ok(())
    }

    /// Adds what came since the last call of anybody, until the last child of the generation before is gone.
    ///
    /// Race: of several callers one adds each amount. A reset on the old page sets the mark back.
    pub fn catch_up(&self) {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(late) = late else { return };
        // First this: what a child counts before its end is seen below.
        let is_last = !late.old.has_live_child();
        self.each_counter(&late, |new, old, taken| {
            let (now, before) = (old.get(), taken.get());
            if now != before && taken.replace(before, now) {
                new.add(now.saturating_sub(before));
            }
        });
        if is_last {
            self.set_late(None);
        }
    }

    fn set_late(&self, late: Option<Arc<Late>>) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = late;
    }

    /// The counters that only grow, of everything that both generations have: new, old, taken.
    fn each_counter(&self, late: &Late, mut take: impl FnMut(&Counter, &Counter, &Counter)) {
        let (old, taken) = (&*late.old, &late.taken);
        for (index, (name, _)) in self.plan().ajp.iter().enumerate() {
            let slots =
                old.plan().ajp_index(name).and_then(|at| Some((self.ajp(index)?, old.ajp(at)?, taken.ajp(at)?)));
            let Some((new, old, taken)) = slots else { continue };
            new.counted().zip(old.counted()).zip(taken.counted()).for_each(|((new, old), taken)| take(new, old, taken));
        }
        for (index, member) in self.planned_members() {
            let at = self.counterpart(member, old);
            let slots = at.and_then(|at| Some((self.member(index)?, old.member(at)?, taken.member(at)?)));
            let Some((new, old, taken)) = slots else { continue };
            take(&new.sessions, &old.sessions, &taken.sessions);
            take(&new.errors, &old.errors, &taken.errors);
        }
    }
}

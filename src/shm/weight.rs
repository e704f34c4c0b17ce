//! The load of members under Busyness: a total, and beside it what each child added to it.
//!
//! Not here: the protocol of a cell and the load (`tally.rs`), and its races by name (`children.rs`). The surprising thing: a cell holds no
//! number of requests but the sum of their steps. A step is that of its election; factors and slow start have changed when it is taken back.

use super::Region;
use super::children::Child;
use super::tally::{self, LoadCell, Tally};
use crate::balancer::Method;

/// One request of a member under Busyness: in its load and in the sum of its child until dropped.
#[derive(Debug)]
#[must_use = "the request is part of the load while this lives"]
pub struct Weight<'a> {
    region: &'a Region,
    /// `None`: nothing was added.
    member: Option<usize>,
    child: Child,
    step: u64,
}

impl Drop for Weight<'_> {
    fn drop(&mut self) {
        let Some(member) = self.member else { return };
        if let (Some(cell), Some(slot)) = (self.region.weights_of(member, self.child), self.region.member(member)) {
            cell.lift(&slot.value, self.step);
        }
    }
}

impl Region {
    /// Adds `step` to the load of member `member`, and remembers whose it is: what a dead child added is taken back.
    pub fn weigh(&self, child: Child, member: usize, step: u64) -> Weight<'_> {
        let child = self.named(child);
        let counted = match (self.weights_of(member, child), self.member(member)) {
            (Some(cell), Some(slot)) => cell.weigh(&slot.value, step),
            _ => false,
        };
        Weight { region: self, member: counted.then_some(member), child, step }
    }

    fn weights_of(&self, member: usize, child: Child) -> Option<Tally<'_, LoadCell>> {
        self.cell_of(self.load_row(member), child)
    }

    /// What child entry `index` had in flight under Busyness, back from the loads. A reaper that dies in the middle leaves the cells to the
    /// next one, which takes some back twice.
    pub(super) fn take_loads_back(&self, index: usize) {
        for member in
            (0..self.plan().lb_count()).filter(|lb| self.is_by_busyness(*lb)).flat_map(|lb| self.plan().members_of(lb))
        {
            if let (Some(cell), Some(slot)) = (self.load_row(member).get(index), self.member(member)) {
                tally::take_back(&slot.value, cell);
            }
        }
    }

    pub(super) fn clear_loads(&self, index: usize) {
        self.load_cells(index).for_each(tally::clear_load);
    }

    pub(super) fn has_loads(&self, index: usize) -> bool {
        self.load_cells(index).any(|cell| cell.load(std::sync::atomic::Ordering::Relaxed) != 0)
    }

    fn load_cells(&self, index: usize) -> impl Iterator<Item = &LoadCell> {
        (0..self.layout().members.count).filter_map(move |member| self.load_row(member).get(index))
    }

    pub(super) fn is_by_busyness(&self, lb: usize) -> bool {
        self.lb(lb).is_some_and(|slot| slot.method() == Method::Busyness)
    }
}

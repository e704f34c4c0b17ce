//! Which slots one configuration needs, in which order; and where each of them lies in the mapping.
//!
//! Not here: the mapping itself (`mod.rs`, `file.rs`). The surprising thing: names and offsets are this process's own memory.
//! Children inherit them by fork, so nothing in the mapping ever decides where something is looked up.

use std::collections::HashMap;
use std::ops::Range;

use super::cell::Text;
use super::children::ChildEntry;
use super::error::ShmError;
use super::header::Header;
use super::lb::LbSlot;
use super::member::MemberSlot;
use super::slot::AjpSlot;
use super::tally::{CountCell, LoadCell};
use crate::config::{AjpSettings, Config, LbSettings, MemberSettings, WorkerConfig};

/// Most AJP workers, load balancers, or members in all.
pub const MAX_SLOTS: usize = 16_384;

/// Most children with an entry of their own, the default hard limit of ServerLimit; those above share one (`children.rs`).
pub const MAX_CHILDREN: usize = 20_000;

/// Empty AJP slots for workers that join while httpd runs.
const SPARE_AJP: usize = 8;

/// Empty member slots of each load balancer, for the same.
const SPARE_MEMBERS: usize = 4;

/// What to make room for, and what to put there first. The order is that of the configuration: AJP workers have the index
/// they have in [`Config::ajp`], load balancers that of their appearance in [`Config::list`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) ajp: Vec<(String, AjpSettings)>,
    pub(super) lbs: Vec<PlannedLb>,
    pub(super) members: Vec<Option<PlannedMember>>,
    pub(super) children: usize,
    pub(super) now_s: u64,
    ajp_by_name: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
pub(super) struct PlannedLb {
    pub(super) name: String,
    pub(super) settings: LbSettings,
    /// First member slot; the spare ones follow the last.
    pub(super) first: usize,
    pub(super) members: usize,
}

#[derive(Clone, Debug)]
pub(super) struct PlannedMember {
    pub(super) lb: usize,
    pub(super) ajp: usize,
    pub(super) name: String,
    pub(super) settings: MemberSettings,
}

impl Plan {
    /// Plans for `config`, with room for `children` processes (ServerLimit), starting at `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// [`ShmError::TextTooLong`] and [`ShmError::TooMany`]; `config` reports the former earlier and better.
    pub fn new(config: &Config, children: usize, now_s: u64) -> Result<Self, ShmError> {
        let mut plan = Self {
            ajp: Vec::with_capacity(config.ajp.len()),
            lbs: Vec::new(),
            members: Vec::new(),
            children: children.clamp(1, MAX_CHILDREN),
            now_s,
            ajp_by_name: HashMap::new(),
        };
        for worker in &config.ajp {
            fits("name of an AJP worker", &worker.name)?;
            fits("host", &worker.settings.host)?;
            plan.ajp_by_name.entry(worker.name.clone()).or_insert(plan.ajp.len());
            plan.ajp.push((worker.name.clone(), worker.settings.clone()));
        }
        for worker in &config.list {
            let WorkerConfig::Lb(lb) = worker else { continue };
            fits("name of a load balancer", &lb.name)?;
            let (first, index) = (plan.members.len(), plan.lbs.len());
            for member in &lb.members {
                let name = config.ajp.get(member.ajp).ok_or(ShmError::NoSuchSlot)?.name.clone();
                fits("route", &member.settings.route)?;
                fits("domain", &member.settings.domain)?;
                fits("redirect", &member.settings.redirect)?;
                let settings = member.settings.clone();
                plan.members.push(Some(PlannedMember { lb: index, ajp: member.ajp, name, settings }));
            }
            let (name, settings, members) = (lb.name.clone(), lb.settings.clone(), lb.members.len());
            plan.lbs.push(PlannedLb { name, settings, first, members });
            plan.members.resize(plan.members.len() + SPARE_MEMBERS, None);
        }
        limit("AJP workers", plan.ajp.len())?;
        limit("load balancers", plan.lbs.len())?;
        limit("members of load balancers", plan.members.len())?;
        Ok(plan)
    }

    /// Index of the AJP worker of that name.
    #[must_use]
    pub fn ajp_index(&self, name: &str) -> Option<usize> {
        self.ajp_by_name.get(name).copied()
    }

    /// Index of the load balancer of that name.
    #[must_use]
    pub fn lb_index(&self, name: &str) -> Option<usize> {
        self.lbs.iter().position(|lb| lb.name == name)
    }

    /// Member slots of load balancer `lb`, in the order of `balance_workers`; empty for an unknown index.
    #[must_use]
    pub fn members_of(&self, lb: usize) -> Range<usize> {
        self.lbs.get(lb).map_or(0..0, |lb| lb.first..lb.first + lb.members)
    }

    /// AJP workers of the members of load balancer `lb`, in the same order.
    pub(super) fn ajps_of(&self, lb: usize) -> impl Iterator<Item = usize> {
        self.members.get(self.members_of(lb)).unwrap_or_default().iter().flatten().map(|member| member.ajp)
    }

    /// Index of the member `name` of load balancer `lb`.
    #[must_use]
    pub fn member_index(&self, lb: usize, name: &str) -> Option<usize> {
        self.members_of(lb).find(|&index| self.member(index).is_some_and(|member| member.name == name))
    }

    /// AJP worker of member slot `member`.
    #[must_use]
    pub fn ajp_of(&self, member: usize) -> Option<usize> {
        self.member(member).map(|member| member.ajp)
    }

    /// Load balancer of member slot `member`.
    #[must_use]
    pub fn lb_of(&self, member: usize) -> Option<usize> {
        self.member(member).map(|member| member.lb)
    }

    /// Number of planned AJP workers.
    #[must_use]
    pub fn ajp_count(&self) -> usize {
        self.ajp.len()
    }

    /// Number of load balancers.
    #[must_use]
    pub fn lb_count(&self) -> usize {
        self.lbs.len()
    }

    pub(super) fn member(&self, index: usize) -> Option<&PlannedMember> {
        self.members.get(index).and_then(Option::as_ref)
    }
}

/// Offsets and counts of everything in the mapping, in this order. Every part begins at a multiple of 64.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) ajp: Part,
    pub(super) lbs: Part,
    pub(super) members: Part,
    pub(super) children: Part,
    /// In-flight counts: `rows` rows of `row_cells` cells.
    pub(super) cells: usize,
    pub(super) row_bytes: usize,
    /// One cell per child and one for those without an entry.
    pub(super) row_cells: usize,
    /// Loads in flight: a row of `row_cells` cells per member.
    pub(super) loads: usize,
    pub(super) load_row_bytes: usize,
    /// Bytes in all.
    pub(super) size: usize,
}

/// An array in the mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) offset: usize,
    pub(super) count: usize,
}

/// One line of the cache: what two processes write at a time should not share one without need.
const LINE: usize = 64;

impl Layout {
    /// The limits of [`Plan`] keep every product here below 2^50.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut end = size_of::<Header>();
        let mut part = |count: usize, item: usize| {
            let offset = end;
            end = (end + count * item).next_multiple_of(LINE);
            Part { offset, count }
        };
        let ajp = part(plan.ajp.len() + SPARE_AJP, size_of::<AjpSlot>());
        let lbs = part(plan.lbs.len(), size_of::<LbSlot>());
        let members = part(plan.members.len(), size_of::<MemberSlot>());
        let children = part(plan.children, size_of::<ChildEntry>());
        let row_cells = plan.children + 1;
        let row_bytes = (row_cells * size_of::<CountCell>()).next_multiple_of(LINE);
        let load_row_bytes = (row_cells * size_of::<LoadCell>()).next_multiple_of(LINE);
        let (cells, loads) = (end, end + (2 * ajp.count + lbs.count) * row_bytes);
        let size = loads + members.count * load_row_bytes;
        Self { ajp, lbs, members, children, cells, row_bytes, row_cells, loads, load_row_bytes, size }
    }

    pub(super) fn busy_row(&self, ajp: usize) -> Option<usize> {
        (ajp < self.ajp.count).then_some(2 * ajp)
    }

    pub(super) fn connected_row(&self, ajp: usize) -> Option<usize> {
        self.busy_row(ajp).map(|row| row + 1)
    }

    pub(super) fn lb_row(&self, lb: usize) -> Option<usize> {
        (lb < self.lbs.count).then_some(2 * self.ajp.count + lb)
    }

    pub(super) fn rows(&self) -> usize {
        2 * self.ajp.count + self.lbs.count
    }
}

fn fits(what: &'static str, text: &str) -> Result<(), ShmError> {
    Text::new(text).map(drop).ok_or_else(|| ShmError::TextTooLong { what, text: text.to_owned() })
}

fn limit(what: &'static str, count: usize) -> Result<(), ShmError> {
    if count > MAX_SLOTS { Err(ShmError::TooMany { what, count, limit: MAX_SLOTS }) } else { Ok(()) }
}

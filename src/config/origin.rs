//! Where each setting comes from, for messages and for the JSON views.
//!
//! Not here: the values. The surprising thing: a setting made under an old name is found under the new one as well.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::attributes::{ATTRIBUTES, Standing};
use crate::properties::{Origin, Properties};

/// Where a setting comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SettingOrigin {
    /// Nowhere: the default holds, or what is derived from other settings.
    #[default]
    Default,
    /// It was written for this worker here.
    Written(Origin),
    /// It was written for something else here and came by `reference`, or from the balancer to its members.
    Inherited {
        /// The group it was written for, such as `worker.template`.
        from: String,
        /// Where.
        origin: Origin,
    },
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Written(origin) => origin.fmt(f),
            Self::Inherited { from, origin } => write!(f, "{origin} via {from}"),
        }
    }
}

/// Origins of all settings that are given: by group (`worker.lb`, `jkx.worker.lb`), then by attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins(HashMap<String, Group>);

type Group = HashMap<String, SettingOrigin>;

/// The origins of one worker's settings; for those who ask for many of them.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOrigins<'o> {
    /// In the order in which they count: the worker's own, ours of the worker, ours of all.
    groups: [Option<&'o Group>; 3],
}

/// Of what is not given.
const DEFAULT: &SettingOrigin = &SettingOrigin::Default;

impl<'o> WorkerOrigins<'o> {
    /// Where the worker has this attribute from.
    #[must_use]
    pub fn of(&self, attribute: &str) -> &'o SettingOrigin {
        let [own, ..] = self.groups;
        let found = self.groups.into_iter().flatten().find_map(|group| group.get(attribute));
        let old = || old_names(attribute).iter().find_map(|old| own?.get(*old));
        found.or_else(old).unwrap_or(DEFAULT)
    }

    /// Where the worker has this attribute from, when it is one of ours under a name that C mod_jk uses too.
    #[must_use]
    pub fn of_ours(&self, attribute: &str) -> &'o SettingOrigin {
        let [_, ours @ ..] = self.groups;
        ours.into_iter().flatten().find_map(|group| group.get(attribute)).unwrap_or(DEFAULT)
    }
}

/// Names that an attribute had before.
fn old_names(attribute: &str) -> &'static [&'static str] {
    static NAMES: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
        let mut names = HashMap::<_, Vec<_>>::new();
        for row in ATTRIBUTES.iter() {
            if let Standing::Renamed(new) = row.standing {
                names.entry(new.split('=').next().unwrap_or(new)).or_default().push(row.name);
            }
        }
        names
    });
    NAMES.get(attribute).map(Vec::as_slice).unwrap_or_default()
}

impl Origins {
    /// Takes them from properties whose references are resolved.
    pub(super) fn of_properties(properties: &Properties) -> Self {
        let mut all = Self::default();
        for entry in properties.entries() {
            let Some(origin) = entry.origin.clone() else { continue };
            let origin = match &entry.inherited {
                Some(from) => SettingOrigin::Inherited { from: from.to_string(), origin },
                None => SettingOrigin::Written(origin),
            };
            let (group, attribute) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
            all.insert(group.to_owned(), attribute, origin);
        }
        all
    }

    /// Notes that a worker has an attribute from another one.
    pub(super) fn hand_down(&mut self, attribute: &str, from: &str, to: &str) {
        let origin = match self.of(from, attribute) {
            SettingOrigin::Default => return,
            SettingOrigin::Written(origin) | SettingOrigin::Inherited { origin, .. } => origin,
        };
        let from = format!("worker.{from}");
        self.insert(format!("worker.{to}"), attribute, SettingOrigin::Inherited { from, origin });
    }

    /// Where a worker has this attribute from; the worker "" has `list` and `maintain`.
    pub(super) fn of(&self, worker: &str, attribute: &str) -> SettingOrigin {
        self.of_worker(worker).of(attribute).clone()
    }

    /// The origins of one worker's settings.
    #[must_use]
    pub fn of_worker(&self, worker: &str) -> WorkerOrigins<'_> {
        let group = if worker.is_empty() { "worker".to_owned() } else { format!("worker.{worker}") };
        let ours = self.0.get(&format!("jkx.{group}"));
        WorkerOrigins { groups: [self.0.get(&group), ours, self.0.get("jkx")] }
    }

    fn insert(&mut self, group: String, attribute: &str, origin: SettingOrigin) {
        self.0.entry(group).or_default().insert(attribute.to_owned(), origin);
    }
}

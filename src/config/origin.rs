//! Where each setting comes from, for messages and for the JSON views.
//!
//! Not here: the values. The surprising thing: a setting made under an old name is found under the new one as well.

use std::collections::BTreeMap;

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

/// Origins of all settings that are given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins(BTreeMap<String, SettingOrigin>);

impl Origins {
    /// Takes them from properties whose references are resolved.
    pub(super) fn of_properties(properties: &Properties) -> Self {
        let given = properties.entries().filter_map(|entry| {
            let origin = entry.origin.clone()?;
            Some((
                entry.key.clone(),
                match &entry.inherited {
                    Some(from) => SettingOrigin::Inherited { from: from.to_string(), origin },
                    None => SettingOrigin::Written(origin),
                },
            ))
        });
        Self(given.collect())
    }

    /// Notes that a worker has an attribute from another one.
    pub(super) fn hand_down(&mut self, attribute: &str, from: &str, to: &str) {
        let origin = match self.of(from, attribute) {
            SettingOrigin::Default => return,
            SettingOrigin::Written(origin) | SettingOrigin::Inherited { origin, .. } => origin,
        };
        self.0.insert(
            format!("worker.{to}.{attribute}"),
            SettingOrigin::Inherited { from: format!("worker.{from}"), origin },
        );
    }

    /// Where a worker has this attribute from; the worker "" has `list` and `maintain`.
    pub(super) fn of(&self, worker: &str, attribute: &str) -> SettingOrigin {
        let group = if worker.is_empty() { "worker".to_owned() } else { format!("worker.{worker}") };
        let keys = [format!("{group}.{attribute}"), format!("jkx.{group}.{attribute}"), format!("jkx.{attribute}")];
        let old_names = ATTRIBUTES.iter().filter_map(|row| match row.standing {
            Standing::Renamed(new) if new.split('=').next() == Some(attribute) => Some(format!("{group}.{}", row.name)),
            _ => None,
        });
        keys.into_iter().chain(old_names).find_map(|key| self.0.get(&key).cloned()).unwrap_or_default()
    }
}

//! Reads the attributes of one worker with their types, and complains where a value is not what it will be taken for.
//!
//! Not here: what follows from the values (`build`). The surprising thing: of a value that came by `reference` the message names the
//! key that was really written, which is the template's.

use super::attributes::{self, Attribute, Bounds, MAX_TEXT, Preset, Scope};
use super::value::{self, Choice, Number};
use crate::properties::{Diagnostic, Entry, Properties, Severity};

/// The attributes of one worker.
#[derive(Debug)]
pub(super) struct Reader<'a, 'd> {
    properties: &'a Properties,
    diagnostics: &'d mut Vec<Diagnostic>,
    /// Prefixes to look under, the first that has the attribute wins.
    groups: Vec<String>,
    /// Whose rows of the table hold; `None` = those of this module's own settings.
    scope: Option<Scope>,
}

impl<'a, 'd> Reader<'a, 'd> {
    /// The settings of no worker: `worker.list` and `worker.maintain`.
    pub(super) fn global(properties: &'a Properties, diagnostics: &'d mut Vec<Diagnostic>) -> Self {
        Self { properties, diagnostics, groups: vec![String::new()], scope: Some(Scope::Global) }
    }

    /// `worker.<name>.*`.
    pub(super) fn worker(
        properties: &'a Properties,
        diagnostics: &'d mut Vec<Diagnostic>,
        name: &str,
        scope: Scope,
    ) -> Self {
        Self { properties, diagnostics, groups: vec![format!("worker.{name}.")], scope: Some(scope) }
    }

    /// `jkx.worker.<name>.*`, and `jkx.*` for what is the same for all balancers.
    pub(super) fn extras(properties: &'a Properties, diagnostics: &'d mut Vec<Diagnostic>, name: &str) -> Self {
        let groups = vec![format!("jkx.worker.{name}."), "jkx.".to_owned()];
        Self { properties, diagnostics, groups, scope: None }
    }

    /// The entry of an attribute, if it is given.
    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.groups.iter().find_map(|group| self.properties.get(&format!("{group}{name}")))
    }

    fn row(&self, name: &str) -> Option<&'static Attribute> {
        let row = match self.scope {
            Some(scope) => attributes::attribute(name, scope),
            None => attributes::extra(name),
        };
        debug_assert!(row.is_some(), "{name} is not in the table");
        row
    }

    /// Adds a finding about an entry.
    pub(super) fn complain(&mut self, severity: Severity, entry: &Entry, problem: &str) {
        let message = format!("{} {problem}", written_key(entry));
        self.diagnostics.push(entry.diagnostic(severity, message));
    }

    /// A number, or the table's default.
    pub(super) fn int(&mut self, name: &str) -> i32 {
        let preset = self.row(name).map_or("", Attribute::default_text);
        self.int_or(name, value::number(preset).value().unwrap_or(0))
    }

    /// A number, or what it is derived from. Negative ones of [`Bounds::NegativeIsOff`] are returned as they are.
    pub(super) fn int_or(&mut self, name: &str, preset: i32) -> i32 {
        self.int_if_given(name, Some(preset)).unwrap_or(preset)
    }

    /// A number, or `None` when it is not given or is none; `preset` is for the message only.
    pub(super) fn int_if_given(&mut self, name: &str, preset: Option<i32>) -> Option<i32> {
        let (entry, row) = (self.entry(name)?, self.row(name)?);
        let found = &entry.value;
        let used = preset.map_or("it is ignored".to_owned(), |preset| format!("the default {preset} is used"));
        let number = match value::number(found) {
            Number::Whole(number) => number,
            Number::Trailing(number) => {
                self.complain(
                    Severity::Warning,
                    entry,
                    &format!("must be a number, found {found:?}; {number} is used"),
                );
                number
            }
            Number::TooBig => {
                let problem = format!("must be a number of at most {}, found {found:?}; {used}", i32::MAX);
                self.complain(Severity::Warning, entry, &problem);
                return None;
            }
            Number::Nothing => {
                self.complain(Severity::Warning, entry, &format!("must be a number, found {found:?}; {used}"));
                return None;
            }
        };
        Some(self.bounded(entry, row, number))
    }

    /// The number moved into its bounds, with a warning where C mod_jk does that in silence.
    fn bounded(&mut self, entry: &Entry, row: &Attribute, number: i32) -> i32 {
        match row.bounds {
            Bounds::AtLeast(least) if number < least => {
                self.complain(
                    Severity::Warning,
                    entry,
                    &format!("must be at least {least}, found {number}; {least} is used"),
                );
                least
            }
            Bounds::PacketSize => {
                let size = packet_size(number);
                if size != number {
                    let problem =
                        format!("must be a multiple of 1024 from 8192 to 65536, found {number}; {size} is used");
                    self.complain(Severity::Warning, entry, &problem);
                }
                size
            }
            _ => number,
        }
    }

    /// Yes or no, or the table's default.
    pub(super) fn boolean(&mut self, name: &str) -> bool {
        let preset = self.row(name).is_some_and(|row| row.preset == Preset::Is("true"));
        let Some(entry) = self.entry(name) else { return preset };
        let found = &entry.value;
        match value::boolean(found) {
            Some((value, true)) => value,
            Some((value, false)) => {
                self.complain(
                    Severity::Warning,
                    entry,
                    &format!("must be true or false, found {found:?}; it counts as {value}"),
                );
                value
            }
            None => {
                let problem = format!("must be true or false, found {found:?}; the default {preset} is used");
                self.complain(Severity::Warning, entry, &problem);
                preset
            }
        }
    }

    /// A choice by first letter; `None` when it is not given.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &'static [Choice<T>]) -> Option<T> {
        let entry = self.entry(name)?;
        let found = &entry.value;
        let known = choices.iter().map(|choice| choice.name).collect::<Vec<_>>().join(", ");
        let preset = choices.first()?;
        match value::choice(found, choices) {
            Some((value, true)) => Some(value),
            Some((value, false)) => {
                let letter = found.chars().next().unwrap_or_default();
                let problem =
                    format!("must be one of {known}, found {found:?}; only the first character {letter:?} counts");
                self.complain(Severity::Warning, entry, &problem);
                Some(value)
            }
            None => {
                let problem = format!("must be one of {known}, found {found:?}; {} is used", preset.name);
                self.complain(Severity::Warning, entry, &problem);
                Some(preset.value)
            }
        }
    }

    /// A text of limited length; `None` when it is not given.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let (entry, row) = (self.entry(name)?, self.row(name)?);
        if let attributes::Kind::Text(limit) = row.kind
            && entry.value.len() > limit
        {
            let problem = format!("must have at most {limit} bytes, found {}", entry.value.len());
            self.complain(Severity::Error, entry, &problem);
        }
        Some(entry.value.clone())
    }

    /// A text, or the table's default.
    pub(super) fn text_or_default(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| self.row(name).map_or("", Attribute::default_text).to_owned())
    }

    /// A list, or the table's default.
    pub(super) fn names(&mut self, name: &str) -> Vec<String> {
        let preset = self.row(name).map_or("", Attribute::default_text);
        value::names(self.entry(name).map_or(preset, |entry| &entry.value)).map(str::to_owned).collect()
    }

    /// A list of numbers. C mod_jk takes elements that are none for 0, which no backend ever answers.
    pub(super) fn numbers(&mut self, name: &str) -> Vec<i32> {
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let mut numbers = Vec::new();
        for element in value::names(&entry.value) {
            let (used, what) = match value::number(element) {
                Number::Whole(number) => (Some(number), String::new()),
                Number::Trailing(number) => (Some(number), format!("{number} is used")),
                Number::TooBig | Number::Nothing => (None, "it is left out".to_owned()),
            };
            if !what.is_empty() {
                self.complain(
                    Severity::Warning,
                    entry,
                    &format!("must be a list of numbers, found {element:?}; {what}"),
                );
            }
            numbers.extend(used);
        }
        numbers
    }

    /// A secret: never shown, and refused when it is no longer the bytes that were written.
    pub(super) fn secret(&mut self) -> Option<String> {
        let entry = self.entry("secret")?;
        if entry.lossy {
            self.complain(Severity::Error, entry, "must be UTF-8, or it would not be sent as it was written");
        }
        Some(entry.value.clone())
    }
}

/// Rounds up to a multiple of 1024 and moves into the range AJP allows (reference: ajp-side.md section 1.6).
#[must_use]
pub(super) fn packet_size(wanted: i32) -> i32 {
    (wanted.clamp(8_192, 65_536) + 1_023) / 1_024 * 1_024
}

/// The key as it stands in the file, which for an inherited entry is another one.
#[must_use]
pub(super) fn written_key(entry: &Entry) -> String {
    match (&entry.inherited, entry.key.rsplit_once('.')) {
        (Some(group), Some((_, name))) => format!("{group}.{name}"),
        _ => entry.key.clone(),
    }
}

/// A worker name that is too long for the shared records.
pub(super) fn name_too_long(name: &str) -> Option<String> {
    (name.len() > MAX_TEXT)
        .then(|| format!("worker name {name:?} must have at most {MAX_TEXT} bytes, found {}", name.len()))
}

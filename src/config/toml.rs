//! workers.toml: the same entries as a workers.properties, in TOML; and a workers.properties turned into it.
//!
//! ```toml
//! list = ["lb", "jkstatus"]        # worker.list
//! maintain = 60                    # worker.maintain
//! [variables]                      # names for $(name), known in the whole file
//! [jkx]                            # jkx.<setting>
//! [worker.w1]                      # worker.w1.<attribute>
//! host = "app1.example.com"
//! [worker.w1.jkx]                  # jkx.worker.w1.<setting>
//! ```
//!
//! Not here: what the attributes mean; the entries go through the same typed parser (`build`). The surprising thing: arrays are joined
//! with commas to the lists of the line-based form, so their elements cannot contain blanks or commas.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::attributes::{ATTRIBUTES, EXTRAS, Kind};
use super::value::{self, Number};
use crate::properties::{Diagnostic, Entry, Origin, Properties, Severity, Written, nearest};

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 4_194_304;

/// Tables and keys of the top level.
const TOP_LEVEL: [&str; 5] = ["list", "maintain", "variables", "worker", "jkx"];

/// Reads a workers.toml into entries. Reading never stops early: all findings are in `diagnostics`, with line and column.
pub fn read(properties: &mut Properties, text: &[u8], file_name: &str, diagnostics: &mut Vec<Diagnostic>) {
    let file: Arc<str> = file_name.into();
    let whole = |message: String| Diagnostic {
        origin: Some(Origin { file: Arc::clone(&file), line: 0 }),
        severity: Severity::Error,
        message,
    };
    if text.len() > MAX_FILE {
        diagnostics.push(whole(format!("the file has {} bytes; at most {MAX_FILE} are read", text.len())));
        return;
    }
    let (text, _) = crate::properties::without_bom(text);
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            diagnostics.push(whole(format!("the file must be UTF-8; byte {} is not", error.valid_up_to() + 1)));
            return;
        }
    };
    let line_starts =
        std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1)).collect();
    let mut reader = Reader { properties, diagnostics, text, line_starts, file };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.complain(error.span().unwrap_or(0..0), Severity::Error, error.message().replace('\n', "; "));
    }
    reader.top_level(table.get_ref());
}

struct Reader<'a> {
    properties: &'a mut Properties,
    diagnostics: &'a mut Vec<Diagnostic>,
    text: &'a str,
    /// First byte of each line.
    line_starts: Vec<usize>,
    file: Arc<str>,
}

/// A key with its place, and its value with its place.
type Pair<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

impl Reader<'_> {
    /// Variables first, wherever they stand; then everything else in the order of the file.
    fn top_level(&mut self, table: &DeTable<'_>) {
        let (variables, rest): (Vec<_>, Vec<_>) =
            in_order(table).into_iter().partition(|(key, _)| key.get_ref() == "variables");
        for (key, value) in variables {
            self.group(key, value, "");
        }
        for (key, value) in rest {
            match key.get_ref().as_ref() {
                name @ ("list" | "maintain") => self.scalar(format!("worker.{name}"), value),
                "jkx" => self.group(key, value, "jkx."),
                "worker" => self.workers(key, value),
                other => {
                    let hint =
                        nearest(other, TOP_LEVEL).map_or(String::new(), |near| format!("; did you mean {near}?"));
                    self.complain(key.span(), Severity::Error, format!("{other} is not known at the top level{hint}"));
                }
            }
        }
    }

    /// `[worker.<name>]` tables. A name with dots is quoted, or else its parts would be tables in each other.
    fn workers(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(workers) = value.get_ref() else {
            self.complain(key.span(), Severity::Error, "worker must be a table of workers: [worker.<name>]".to_owned());
            return;
        };
        // Settings in the order of the file, also when the tables of a worker are apart.
        let mut pairs: Vec<(String, Pair<'_, '_>)> = Vec::new();
        for (name, worker) in workers {
            let DeValue::Table(attributes) = worker.get_ref() else {
                let message = format!("worker.{0} must be a table: [worker.{0}]", name.get_ref());
                self.complain(name.span(), Severity::Error, message);
                continue;
            };
            let name = name.get_ref();
            for (attribute, value) in attributes {
                match value.get_ref() {
                    DeValue::Table(extras) if attribute.get_ref() == "jkx" => {
                        pairs.extend(
                            extras.iter().map(|pair| (format!("jkx.worker.{name}.{}", pair.0.get_ref()), pair)),
                        );
                    }
                    _ => pairs.push((format!("worker.{name}.{}", attribute.get_ref()), (attribute, value))),
                }
            }
        }
        pairs.sort_by_key(|(_, (key, _))| key.span().start);
        for (key, (_, value)) in pairs {
            self.scalar(key, value);
        }
    }

    /// A table without tables in it.
    fn group(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>, prefix: &str) {
        let DeValue::Table(table) = value.get_ref() else {
            self.complain(key.span(), Severity::Error, format!("{0} must be a table: [{0}]", key.get_ref()));
            return;
        };
        for (name, value) in in_order(table) {
            self.scalar(format!("{prefix}{}", name.get_ref()), value);
        }
    }

    /// One value: text, number, true or false, or a list of texts and numbers.
    fn scalar(&mut self, key: String, value: &Spanned<DeValue<'_>>) {
        let text = match value.get_ref() {
            DeValue::Array(elements) => {
                let texts: Vec<Option<String>> = elements.iter().map(|element| self.element(&key, element)).collect();
                let Some(texts) = texts.into_iter().collect::<Option<Vec<String>>>() else { return };
                texts.join(",")
            }
            _ => match self.single(&key, value) {
                Some(text) => text,
                None => return,
            },
        };
        if text.trim().is_empty() {
            self.complain(value.span(), Severity::Warning, format!("{key} is empty, which counts as not given"));
            return;
        }
        let (line, column) = self.position(value.span().start);
        let origin = Origin { file: Arc::clone(&self.file), line };
        self.properties.insert(Written { key: &key, value: &text, origin, column, lossy: false }, self.diagnostics);
    }

    fn single(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let found = match value.get_ref() {
            DeValue::String(text) if text.chars().any(char::is_control) => "a text with control characters",
            DeValue::String(text) => return Some(text.to_string()),
            DeValue::Boolean(value) => return Some(value.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => return Some(number.to_string()),
                Err(_) => "a number that is too big",
            },
            other => other.type_str(),
        };
        self.complain(
            value.span(),
            Severity::Error,
            format!("{key} must be a text, a whole number, true or false, or a list, found {found}"),
        );
        None
    }

    fn element(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        if let DeValue::Array(_) = value.get_ref() {
            self.complain(value.span(), Severity::Error, format!("{key} must be a list without lists in it"));
            return None;
        }
        let text = self.single(key, value)?;
        if text.is_empty() || text.contains([' ', '\t', ',']) {
            let message = format!("{key} must be a list of texts without blanks and commas, found {text:?}");
            self.complain(value.span(), Severity::Error, message);
            return None;
        }
        Some(text)
    }

    fn complain(&mut self, span: Range<usize>, severity: Severity, message: String) {
        let (line, column) = self.position(span.start);
        let origin = Some(Origin { file: Arc::clone(&self.file), line });
        self.diagnostics.push(Diagnostic { origin, severity, message: format!("column {column}: {message}") });
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, byte: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        let before = self.text.get(start..byte.min(self.text.len())).unwrap_or_default();
        let column = before.chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// The pairs of a table in the order of the file; the parser sorts them by name.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Pair<'t, 'i>> {
    let mut pairs: Vec<Pair<'t, 'i>> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// A workers.properties as workers.toml. Comments are lost. Variables keep their names where that says the same; variables that are
/// looked up in the environment stay as they are. `file_name` is what the findings call the text.
///
/// # Errors
/// All findings when the text has errors, so that nothing wrong is turned into something that looks right.
pub fn convert_properties_to_toml(text: &[u8], file_name: &str) -> Result<String, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut properties = Properties::new();
    properties.read(text, file_name, &mut diagnostics);
    if diagnostics.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(diagnostics);
    }
    let converted = to_toml(&properties);
    if says_the_same(&properties, &converted) {
        return Ok(converted);
    }
    // In TOML a variable is known in the whole file, so one that is defined below its use would suddenly count.
    let converted = write(&properties, |entry| &entry.value, false);
    if says_the_same(&properties, &converted) {
        return Ok(converted);
    }
    let message = "the file says something that workers.toml cannot say".to_owned();
    let origin = Some(Origin { file: file_name.into(), line: 0 });
    diagnostics.push(Diagnostic { origin, severity: Severity::Error, message });
    Err(diagnostics)
}

/// Whether the conversion means what the original means. Variables are compared by what they did.
fn says_the_same(properties: &Properties, converted: &str) -> bool {
    let pairs = |properties: &Properties| -> BTreeMap<String, String> {
        let meant = properties.entries().filter(|entry| home(&entry.key).is_some());
        meant.map(|entry| (entry.key.clone(), normal(&entry.key, &entry.value))).collect()
    };
    let mut again = Properties::new();
    read(&mut again, converted.as_bytes(), "workers.toml", &mut Vec::new());
    pairs(&again) == pairs(properties)
}

/// Where an entry stands in the TOML form.
enum Home<'k> {
    /// `list` or `maintain`.
    Top(&'k str),
    /// A setting of a worker: its name, the setting's.
    Worker(&'k str, &'k str),
    /// A setting of a worker that only this module has.
    Extra(&'k str, &'k str),
    /// A setting of all that only this module has.
    GlobalExtra(&'k str),
}

/// The place of a key; variables and keys without a worker name have none.
fn home(key: &str) -> Option<Home<'_>> {
    match (key, key.strip_prefix("jkx."), key.strip_prefix("worker.")) {
        (_, Some(rest), _) => Some(match rest.strip_prefix("worker.").and_then(|rest| rest.rsplit_once('.')) {
            Some((worker, name)) => Home::Extra(worker, name),
            None => Home::GlobalExtra(rest),
        }),
        ("worker.list" | "worker.maintain", _, Some(name)) => Some(Home::Top(name)),
        (_, _, Some(rest)) => rest.rsplit_once('.').map(|(worker, name)| Home::Worker(worker, name)),
        _ => None,
    }
}

/// Entries as workers.toml, with their variables. What came by `reference` is left out, as the reference brings it again.
#[must_use]
pub fn to_toml(properties: &Properties) -> String {
    write(properties, |entry| &entry.raw, true)
}

/// Lines on their way to their tables.
#[derive(Default)]
struct Document<'k> {
    top: String,
    variables: String,
    extras: String,
    /// Workers in the order of their first setting: name, own settings, settings only this module has.
    workers: Vec<(&'k str, String, String)>,
    places: BTreeMap<&'k str, usize>,
}

impl<'k> Document<'k> {
    fn worker(&mut self, name: &'k str) -> Option<&mut (&'k str, String, String)> {
        let place = *self.places.entry(name).or_insert(self.workers.len());
        if place == self.workers.len() {
            self.workers.push((name, String::new(), String::new()));
        }
        self.workers.get_mut(place)
    }

    fn add(&mut self, entry: &'k Entry, text: &str) {
        let (table, name) = match home(&entry.key) {
            Some(Home::Top(name)) => (Some(&mut self.top), name),
            Some(Home::Worker(worker, name)) => (self.worker(worker).map(|(_, own, _)| own), name),
            Some(Home::Extra(worker, name)) => (self.worker(worker).map(|(_, _, extras)| extras), name),
            Some(Home::GlobalExtra(name)) => (Some(&mut self.extras), name),
            None => (Some(&mut self.variables), entry.key.as_str()),
        };
        if let Some(table) = table {
            let _ = writeln!(table, "{} = {}", quoted_key(name), value_of(&entry.key, text));
        }
    }

    fn finish(self) -> String {
        let mut sections = vec![("variables".to_owned(), self.variables), ("jkx".to_owned(), self.extras)];
        for (name, own, extras) in self.workers {
            let header = format!("worker.{}", quoted_key(name));
            sections.push((header.clone(), own));
            sections.push((format!("{header}.jkx"), extras));
        }
        let mut toml = self.top;
        for (header, body) in sections.into_iter().filter(|(_, body)| !body.is_empty()) {
            let gap = if toml.is_empty() { "" } else { "\n" };
            let _ = write!(toml, "{gap}[{header}]\n{body}");
        }
        toml
    }
}

fn write(properties: &Properties, text_of: impl Fn(&Entry) -> &str, with_variables: bool) -> String {
    let mut document = Document::default();
    for entry in properties.entries().filter(|entry| entry.inherited.is_none() && entry.origin.is_some()) {
        let is_variable = home(&entry.key).is_none();
        if !is_variable || (with_variables && !entry.key.starts_with("worker.")) {
            document.add(entry, text_of(entry));
        }
    }
    document.finish()
}

/// How values of this key look.
fn kind_of(key: &str) -> Option<Kind> {
    let rows = if key.starts_with("jkx.") { EXTRAS } else { ATTRIBUTES };
    let name = match key {
        "worker.list" | "worker.maintain" => key,
        _ if key.starts_with("worker.") || key.starts_with("jkx.") => key.rsplit_once('.')?.1,
        _ => return None,
    };
    rows.iter().find(|row| row.name == name).map(|row| row.kind)
}

/// A value as TOML, typed where it is plain which type it has.
fn value_of(key: &str, text: &str) -> String {
    match kind_of(key) {
        Some(Kind::Names) => {
            let elements: Vec<String> = value::names(text).map(quoted).collect();
            if elements.is_empty() { quoted(text) } else { format!("[{}]", elements.join(", ")) }
        }
        Some(Kind::IntList) if value::names(text).next().is_some() => {
            let element = |text| plain_number(text).map_or_else(|| quoted(text), |number| number.to_string());
            format!("[{}]", value::names(text).map(element).collect::<Vec<_>>().join(", "))
        }
        Some(Kind::Int) => plain_number(text).map_or_else(|| quoted(text), |number| number.to_string()),
        Some(Kind::Bool) => match value::boolean(text) {
            Some((value, true)) => value.to_string(),
            _ => quoted(text),
        },
        _ => quoted(text),
    }
}

/// A number that is nothing else and has no unit.
fn plain_number(text: &str) -> Option<i32> {
    match value::number(text) {
        Number::Whole(number) => Some(number),
        _ => None,
    }
}

/// What a value says, whichever way it is written: for comparing both forms.
fn normal(key: &str, text: &str) -> String {
    match kind_of(key) {
        Some(Kind::Names) => value::names(text).collect::<Vec<_>>().join(","),
        Some(Kind::IntList) => {
            let element = |text: &str| plain_number(text).map_or_else(|| text.to_owned(), |number| number.to_string());
            value::names(text).map(element).collect::<Vec<_>>().join(",")
        }
        Some(Kind::Int) => plain_number(text).map_or_else(|| text.to_owned(), |number| number.to_string()),
        Some(Kind::Bool) => match value::boolean(text) {
            Some((value, true)) => value.to_string(),
            _ => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

fn quoted_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

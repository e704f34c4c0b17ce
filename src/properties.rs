//! `*.properties` text into ordered entries with line numbers: comments, `$(variables)`, repeated keys.
//!
//! Not here: what a name means (`config`); which names may be repeated and how comes in as a [`Vocabulary`]. The surprising thing:
//! giving a user variable twice joins the values with `*`, as C mod_jk does (reference: lb-shm-status.md section 1.4).
//!
//! Keys and values are `String`s. Bytes that are not UTF-8 (in C mod_jk just bytes) are replaced by U+FFFD with a warning, and the
//! entry remembers it, so that `config` can refuse a secret that would no longer be the one written.

mod line;
mod near;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

pub use line::{Content, Line, MAX_LINE, lines, split, without_bom};
pub use near::nearest;
pub use reference::MAX_HOPS;

/// Most `$(name)` that are looked up in one value, found or not; the rest stays as written, as in C mod_jk.
pub const MAX_REPLACEMENTS: usize = 21;
/// Longest value after replacement and joining, in bytes. C mod_jk has no limit, so a few lines can fill the memory.
pub const MAX_VALUE: usize = 65_536;
/// Most entries, inherited ones included.
pub const MAX_ENTRIES: usize = 65_536;

/// Ordered entries and where each was written.
#[derive(Clone, Debug)]
pub struct Properties {
    entries: Vec<Entry>,
    /// Key to place in `entries`; ordered, so that all keys under a prefix are found without a walk over the rest.
    index: BTreeMap<String, usize>,
    vocabulary: Vocabulary,
    environment: Environment,
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Left of the `=`.
    pub key: String,
    /// Right of it, with variables replaced and repeats joined or overwritten.
    pub value: String,
    /// The value with its `$(variables)` as written.
    pub raw: String,
    /// Where it was written (last); `None` for what [`Properties::set`] put in.
    pub origin: Option<Origin>,
    /// 1-based column of the value in a TOML file; 0 in the line-based files, where the line says enough.
    pub column: u32,
    /// The group a `reference` took it from; `origin` is the line there.
    pub inherited: Option<Arc<str>>,
    /// Whether bytes that are not UTF-8 were replaced.
    pub lossy: bool,
    /// Places of the entries whose values were put in for variables.
    sources: Vec<usize>,
}

/// What the names of a file mean for reading it. The functions get a whole key.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// What a second value for the same key does.
    pub duplicate: fn(&str) -> Duplicate,
    /// A finding about the key itself: unknown, old, without effect.
    pub check: fn(&str) -> Option<(Severity, String)>,
}

/// What a second value for the same key does (reference: lb-shm-status.md section 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// It replaces the first one; a warning names both.
    LastWins,
    /// It is appended to a list, after a comma.
    List,
    /// It is appended after this character, which hardly ever is what was meant.
    Join(char),
}

/// A pair as it stands in a file, before variables are replaced.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// The key.
    pub key: &'a str,
    /// The value, not empty.
    pub value: &'a str,
    /// Where.
    pub origin: Origin,
    /// See [`Entry::column`].
    pub column: u32,
    /// See [`Entry::lossy`].
    pub lossy: bool,
}

impl Properties {
    /// No entries yet, and no environment.
    #[must_use]
    pub fn with_vocabulary(vocabulary: Vocabulary) -> Self {
        Self { entries: Vec::new(), index: BTreeMap::new(), vocabulary, environment: Environment(Arc::new(|_| None)) }
    }

    /// Where variables are looked up that no earlier entry defines.
    #[must_use]
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.environment = Environment(Arc::new(lookup));
        self
    }

    /// Puts in an entry that stands in no file, such as `ServerRoot`; the value is taken as it is.
    pub fn set(&mut self, key: &str, value: &str) {
        if let Some(entry) = self.index.get(key).and_then(|index| self.entries.get_mut(*index)) {
            value.clone_into(&mut entry.value);
            value.clone_into(&mut entry.raw);
            return;
        }
        self.append(Entry {
            key: key.to_owned(),
            value: value.to_owned(),
            raw: value.to_owned(),
            origin: None,
            column: 0,
            inherited: None,
            lossy: false,
            sources: Vec::new(),
        });
    }

    /// Reads the argument of one `JkWorkerProperty`: `#` has no meaning here, and a text without `=`, key or value says nothing.
    pub fn add_line(&mut self, line: &[u8], origin: Origin, diagnostics: &mut Vec<Diagnostic>) {
        if line.len() > MAX_LINE {
            diagnostics.push(too_long(line.len(), origin));
        } else if let Some((key, value)) = split(line) {
            self.add_pair(key, value, origin, diagnostics);
        }
    }

    /// Reads a whole file. Reading never stops early: all findings are in `diagnostics`.
    pub fn read(&mut self, text: &[u8], file_name: &str, diagnostics: &mut Vec<Diagnostic>) {
        let file: Arc<str> = file_name.into();
        let at = |line| Origin { file: Arc::clone(&file), line };
        if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") {
            let message = "the file is UTF-16, which nothing here can read; save it as UTF-8".to_owned();
            diagnostics.push(Diagnostic { origin: Some(at(1)), severity: Severity::Error, message });
            return;
        }
        let (text, bom) = without_bom(text);
        if bom {
            let message =
                "the file begins with a byte order mark, which is skipped here; C mod_jk takes it for a part of the \
                           first name"
                    .to_owned();
            diagnostics.push(Diagnostic { origin: Some(at(1)), severity: Severity::Warning, message });
        }
        for line in lines(text) {
            match line.content {
                Content::Pair { key, value } => self.add_pair(key, value, at(line.number), diagnostics),
                Content::Other(text) => diagnostics.extend(ignored(text, at(line.number))),
                Content::TooLong(length) => diagnostics.push(too_long(length, at(line.number))),
            }
        }
    }

    fn add_pair(&mut self, key: &[u8], value: &[u8], origin: Origin, diagnostics: &mut Vec<Diagnostic>) {
        let (key_text, value_text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        let lossy = key_text.as_bytes() != key || value_text.as_bytes() != value;
        if key.contains(&0) || value.contains(&0) {
            let message = format!("{} contains a NUL byte; the line is not read", key_text.replace('\0', "?"));
            diagnostics.push(Diagnostic { origin: Some(origin), severity: Severity::Error, message });
            return;
        }
        if lossy {
            let message = format!("{key_text} contains bytes that are not UTF-8; U+FFFD takes their place");
            diagnostics.push(Diagnostic { origin: Some(origin.clone()), severity: Severity::Warning, message });
        }
        if let Some(start) = ["; ", ";", "//", "!"].into_iter().find(|start| key_text.starts_with(start)) {
            let message =
                format!("{start:?} does not start a comment, only # does; this defines a variable {key_text:?}");
            diagnostics.push(Diagnostic { origin: Some(origin.clone()), severity: Severity::Advice, message });
        }
        self.insert(Written { key: &key_text, value: &value_text, origin, column: 0, lossy }, diagnostics);
    }

    /// Takes one pair: replaces variables, checks the name, joins or overwrites an earlier value.
    pub fn insert(&mut self, written: Written<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let expansion = self.expand(written.value);
        let entry = Entry {
            key: written.key.to_owned(),
            value: expansion.value,
            raw: written.value.to_owned(),
            origin: Some(written.origin),
            column: written.column,
            inherited: None,
            lossy: written.lossy,
            sources: expansion.sources,
        };
        for name in expansion.unknown {
            let message = format!(
                "{} contains $({name}), but no entry above defines {name} and the environment does not; it stays as written",
                entry.key
            );
            diagnostics.push(entry.diagnostic(Severity::Warning, message));
        }
        if expansion.stopped {
            let message =
                format!("{} has more than {MAX_REPLACEMENTS} variables; the rest stays as written", entry.key);
            diagnostics.push(entry.diagnostic(Severity::Warning, message));
        }
        if entry.value.len() > MAX_VALUE {
            diagnostics.push(too_big(&entry));
        } else if let Some(place) = self.index.get(&entry.key).copied() {
            self.repeat(place, entry, diagnostics);
        } else {
            let finding = (self.vocabulary.check)(&entry.key);
            diagnostics.extend(finding.map(|(severity, message)| entry.diagnostic(severity, message)));
            let overflow = entry
                .diagnostic(Severity::Error, format!("there are more than {MAX_ENTRIES} entries, which is the limit"));
            if !self.append(entry) && self.entries.len() == MAX_ENTRIES {
                diagnostics.push(overflow);
            }
        }
    }

    fn repeat(&mut self, place: usize, new: Entry, diagnostics: &mut Vec<Diagnostic>) {
        let Some(old) = self.entries.get_mut(place) else { return };
        let before = old.origin.as_ref().map_or(String::new(), |origin| format!(" ({origin})"));
        let duplicate = (self.vocabulary.duplicate)(&new.key);
        let separator = match duplicate {
            Duplicate::LastWins => {
                let values = match is_secret(&new.key) {
                    true => "this value replaces the earlier one".to_owned(),
                    false => format!("{:?} replaces {:?}", new.value, old.value),
                };
                diagnostics
                    .push(new.diagnostic(Severity::Warning, format!("{} is given again: {values}{before}", new.key)));
                *old = new;
                return;
            }
            Duplicate::List => ',',
            Duplicate::Join(separator) => separator,
        };
        if old.value.len() + new.value.len() >= MAX_VALUE || old.raw.len() + new.raw.len() >= MAX_VALUE {
            diagnostics.push(too_big(&new));
            return;
        }
        for (text, addition) in [(&mut old.value, &new.value), (&mut old.raw, &new.raw)] {
            text.push(separator);
            text.push_str(addition);
        }
        if matches!(duplicate, Duplicate::Join(_)) {
            let result = if is_secret(&new.key) { String::new() } else { format!(", which makes {:?}", old.value) };
            let message =
                format!("{} is given again{before}: the values are joined with {separator:?}{result}", new.key);
            diagnostics.push(new.diagnostic(Severity::Warning, message));
        }
        // A message about the joined value points to the line that spoiled it, the last one.
        (old.origin, old.column) = (new.origin, new.column);
        old.lossy |= new.lossy;
        old.sources.extend(new.sources);
    }

    /// Replaces `$(name)` by earlier entries or the environment: one pass, what is put in is not looked at again.
    fn expand(&self, text: &str) -> Expansion {
        let mut expansion = Expansion::default();
        let mut rest = text;
        let mut looked_up = 0;
        while let Some((before, after)) = rest.split_once("$(")
            && let Some((name, tail)) = after.split_once(')')
        {
            if looked_up == MAX_REPLACEMENTS || expansion.value.len() > MAX_VALUE {
                expansion.stopped = looked_up == MAX_REPLACEMENTS;
                break;
            }
            looked_up += 1;
            expansion.value.push_str(before);
            if let Some(place) = self.index.get(name).copied() {
                expansion.value.push_str(self.entry(place).map_or("", |entry| &entry.value));
                expansion.sources.push(place);
            } else if let Some(value) = (self.environment.0)(name) {
                expansion.value.push_str(&value);
            } else {
                expansion.value.push_str(rest.get(before.len()..rest.len() - tail.len()).unwrap_or_default());
                expansion.unknown.push(name.to_owned());
            }
            rest = tail;
        }
        expansion.value.push_str(rest);
        expansion
    }

    /// Appends an entry with a new key; `false` when [`MAX_ENTRIES`] are there already.
    fn append(&mut self, entry: Entry) -> bool {
        if self.entries.len() >= MAX_ENTRIES {
            return false;
        }
        self.index.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
        true
    }

    /// The entry with exactly this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).and_then(|index| self.entry(*index))
    }

    /// The value of exactly this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(|entry| entry.value.as_str())
    }

    /// All entries: in the order of their first appearance, then the inherited ones.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entries whose key begins with `prefix`, by key: rest of the key, and entry.
    pub fn under<'a, 'p>(&'a self, prefix: &'p str) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a, 'p> {
        self.under_indexed(prefix).filter_map(|(suffix, index)| Some((suffix, self.entry(index)?)))
    }

    fn under_indexed<'a, 'p>(&'a self, prefix: &'p str) -> impl Iterator<Item = (&'a str, usize)> + use<'a, 'p> {
        let keys = self.index.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        keys.map_while(move |(key, index)| Some((key.strip_prefix(prefix)?, *index)))
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// What may be shown to an admin, in order: everything but secrets, the variables secrets are made of, and what is made of
    /// secrets. (C mod_jk leaves out `*.secret` only.)
    #[must_use]
    pub fn without_secrets(&self) -> Vec<(String, String)> {
        let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            for source in &entry.sources {
                users.entry(*source).or_default().push(index);
            }
        }
        let secrets =
            self.entries.iter().enumerate().filter(|(_, entry)| is_secret(&entry.key)).map(|(index, _)| index);
        let made_of = |index: usize| self.entry(index).map_or(&[][..], |entry| &entry.sources);
        let parts = closure(secrets.collect(), made_of);
        let hidden = closure(parts, |index| users.get(&index).map_or(&[][..], Vec::as_slice));
        let shown = self.entries.iter().enumerate().filter(|(index, _)| !hidden.contains(index));
        shown.map(|(_, entry)| (entry.key.clone(), entry.value.clone())).collect()
    }
}

/// All places that can be reached from `start`.
fn closure<'a>(start: BTreeSet<usize>, next: impl Fn(usize) -> &'a [usize]) -> BTreeSet<usize> {
    let mut open: Vec<usize> = start.iter().copied().collect();
    let mut reached = start;
    while let Some(index) = open.pop() {
        open.extend(next(index).iter().copied().filter(|index| reached.insert(*index)));
    }
    reached
}

/// Whether values of this key must never be shown: it ends in `secret` or `secretkey`, in any case.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("secret") || key.ends_with("secretkey")
}

impl Entry {
    /// A finding about this entry.
    #[must_use]
    pub fn diagnostic(&self, severity: Severity, message: String) -> Diagnostic {
        let message = if self.column > 0 { format!("column {}: {message}", self.column) } else { message };
        Diagnostic { origin: self.origin.clone(), severity, message }
    }
}

/// What became of a value's variables.
#[derive(Debug, Default)]
struct Expansion {
    value: String,
    sources: Vec<usize>,
    unknown: Vec<String>,
    /// The limit of replacements was reached.
    stopped: bool,
}

/// The lookup behind the entries, wrapped so that it has a `Debug`.
#[derive(Clone)]
struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

fn too_long(length: usize, origin: Origin) -> Diagnostic {
    let message = format!("the line has {length} bytes; at most {MAX_LINE} are read, so nothing of it is");
    Diagnostic { origin: Some(origin), severity: Severity::Error, message }
}

fn too_big(entry: &Entry) -> Diagnostic {
    entry
        .diagnostic(Severity::Error, format!("{} becomes longer than {MAX_VALUE} bytes, which is the limit", entry.key))
}

/// A line that says nothing although it was meant to.
fn ignored(line: &[u8], origin: Origin) -> Option<Diagnostic> {
    let text = String::from_utf8_lossy(line);
    if !text.starts_with("worker.") && !text.starts_with("jkx.") {
        return None;
    }
    let name = text.split(['=', ':', ' ', '\t']).next().unwrap_or_default();
    let why = if text.contains('=') { "has no value" } else { "is not followed by =" };
    let message = format!("{name} {why}; the line is ignored");
    Some(Diagnostic { origin: Some(origin), severity: Severity::Advice, message })
}

/// Where an entry was written, for messages: `file:line`, or a directive of httpd.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File as the admin named it, or `JkWorkerProperty`.
    pub file: Arc<str>,
    /// 1-based line; 0 when there is none.
    pub line: u32,
}

/// One finding about a configuration text: where, and a whole sentence that says which word, what was expected and
/// what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where the word at fault stands, when it stands in a file.
    pub origin: Option<Origin>,
    /// Errors stop the start; warnings are printed and the start goes on.
    pub severity: Severity,
    /// The sentence, without position and without a final full stop.
    pub message: String,
}

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Legal, but will hurt.
    Advice,
    /// Accepted, but not as written.
    Warning,
    /// httpd must not start with this.
    Error,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(at) => write!(f, "{at}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

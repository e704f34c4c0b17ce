//! The text of a JkMountFile: one `pattern = worker;settings` per line.
//!
//! Not here: when the file is read again (`apache`). The surprising things: a `#` starts a comment anywhere in a line; keys
//! that are no patterns can still serve as `$(variables)` further down; and a line longer than
//! [`MAX_LINE`] bytes is cut there, its rest being a line of its own (reference: apache-side.md section 3.8).

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use super::near::shown;
use super::rule::{Rule, RuleList};
use crate::properties::{Diagnostic, Origin, Severity};

/// Bytes of a line that are read at once, its end included.
pub const MAX_LINE: usize = 8_191;

/// `$(name)` in one value that are replaced; further ones stay as written (reference: lb-shm-status.md section 1.3).
const MAX_REPLACEMENTS: usize = 21;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a mount file. A bad line costs that line only and a warning with its number; nothing here fails as a whole.
///
/// `env` gives a variable of the process environment. A byte order mark is skipped with a warning; C mod_jk takes it for
/// a part of the first pattern and drops that rule, which may be an exclusion.
pub fn read_mount_file(
    text: &[u8],
    file_name: &str,
    env: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> (Vec<Rule>, Vec<Diagnostic>) {
    let mut reader =
        Reader { file: file_name.into(), entries: Vec::new(), by_key: HashMap::new(), findings: Vec::new() };
    let text = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => {
            reader.advise(1, "the byte order mark at the start of the file is skipped; save it without one".to_owned());
            rest
        }
        None => text,
    };
    for (line, piece) in pieces(text) {
        match piece {
            Piece::Line(content) => reader.line(line, content, &env),
            Piece::Overlong(content) => {
                reader.warn(line, format!("a line has at most {MAX_LINE} bytes, the rest is read as another line"));
                reader.line(line, content, &env);
            }
        }
    }
    reader.finish()
}

enum Piece<'t> {
    Line(&'t [u8]),
    Overlong(&'t [u8]),
}

/// The text in lines, each cut at [`MAX_LINE`], with their numbers.
fn pieces(text: &[u8]) -> impl Iterator<Item = (u32, Piece<'_>)> {
    let lines = (1u32..).zip(text.split_inclusive(|&byte| byte == b'\n'));
    lines.flat_map(|(number, line)| {
        let mut chunks = line.chunks(MAX_LINE).peekable();
        std::iter::from_fn(move || {
            let chunk = chunks.next()?;
            Some((number, if chunks.peek().is_some() { Piece::Overlong(chunk) } else { Piece::Line(chunk) }))
        })
    })
}

struct Setting {
    key: Vec<u8>,
    value: Vec<u8>,
    line: u32,
    used_as_variable: bool,
}

struct Reader {
    file: Arc<str>,
    /// In the order of their first appearance: a key given again keeps its place, as in C mod_jk.
    entries: Vec<Setting>,
    by_key: HashMap<Vec<u8>, usize>,
    findings: Vec<Diagnostic>,
}

impl Reader {
    fn warn(&mut self, line: u32, message: String) {
        let origin = Some(Origin { file: self.file.clone(), line });
        self.findings.push(Diagnostic { origin, severity: Severity::Warning, message });
    }

    /// Nothing is lost by it.
    fn advise(&mut self, line: u32, message: String) {
        let origin = Some(Origin { file: self.file.clone(), line });
        self.findings.push(Diagnostic { origin, severity: Severity::Advice, message });
    }

    fn line(&mut self, line: u32, content: &[u8], env: &impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let content = trim(content.split(|&byte| byte == b'#').next().unwrap_or_default());
        if content.is_empty() {
            return;
        }
        let Some((key, value)) = memchr::memchr(b'=', content).and_then(|at| content.split_at_checked(at)) else {
            return self.warn(line, format!("\"{}\" has no '=' and is ignored", shown(content)));
        };
        let (key, value) = (trim(key), trim(value.get(1..).unwrap_or_default()));
        if key.is_empty() || value.is_empty() {
            let missing = if key.is_empty() { "pattern before" } else { "worker behind" };
            return self.warn(line, format!("\"{}\" has no {missing} the '=' and is ignored", shown(content)));
        }
        if key.starts_with(b"worker.") {
            let what = "settings of workers belong into the workers file";
            return self.warn(line, format!("\"{}\" is ignored here: {what}", shown(key)));
        }
        let value = self.expand(value, env);
        self.put(key, value, line);
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, line: u32) {
        let place = match self.by_key.entry(key.to_vec()) {
            Entry::Vacant(free) => {
                free.insert(self.entries.len());
                self.entries.push(Setting { key: key.to_vec(), value, line, used_as_variable: false });
                return;
            }
            Entry::Occupied(taken) => *taken.get(),
        };
        let Some(before) = self.entries.get_mut(place) else { return };
        let mut message = format!("\"{}\" is given again and replaces line {}", shown(key), before.line);
        let exclusion_lost = key.starts_with(b"!") && before.value != value;
        before.value = value;
        before.line = line;
        if exclusion_lost {
            message.push_str("; the worker '*' would exclude it for every worker");
            self.warn(line, message);
        } else {
            self.advise(line, message);
        }
    }

    /// One pass from left to right; what was put in is not looked at again.
    fn expand(&mut self, value: &[u8], env: &impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(value.len());
        let mut rest = value;
        let mut replaced = 0;
        while replaced < MAX_REPLACEMENTS {
            let Some((before, variable)) = memchr::memmem::find(rest, b"$(").and_then(|at| rest.split_at_checked(at))
            else {
                break;
            };
            let Some((name, after)) = memchr::memchr(b')', variable).and_then(|at| variable.split_at_checked(at))
            else {
                break;
            };
            let (name, after) = (name.get(2..).unwrap_or_default(), after.get(1..).unwrap_or_default());
            out.extend_from_slice(before);
            match self.variable(name, env) {
                Some(text) => {
                    out.extend_from_slice(&text);
                    replaced += 1;
                }
                // Stays as written, brackets included.
                None => out.extend([b"$(", name, b")"].concat()),
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }

    fn variable(&mut self, name: &[u8], env: &impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        match self.by_key.get(name).and_then(|place| self.entries.get_mut(*place)) {
            Some(setting) => {
                setting.used_as_variable = true;
                Some(setting.value.clone())
            }
            None => env(name),
        }
    }

    fn finish(self) -> (Vec<Rule>, Vec<Diagnostic>) {
        let mut list = RuleList::default();
        list.diagnostics = self.findings;
        for setting in self.entries {
            if setting.used_as_variable && !setting.key.contains(&b'/') {
                continue;
            }
            let origin = Some(Origin { file: self.file.clone(), line: setting.line });
            list.add_line(&setting.key, &setting.value, origin);
        }
        (list.rules, list.diagnostics)
    }
}

/// Without what C's `isspace` takes for white space at both ends (one more than ASCII white space: the vertical tab).
fn trim(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let start = text.iter().take_while(|byte| is_space(byte)).count();
    let text = text.get(start..).unwrap_or_default();
    let end = text.len() - text.iter().rev().take_while(|byte| is_space(byte)).count();
    text.get(..end).unwrap_or_default()
}

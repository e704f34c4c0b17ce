//! `*.properties` text into ordered entries with line numbers: comments, `$(variables)`, duplicate keys.
//!
//! Not here: what a name means (`config`). The surprising thing: giving a user variable twice joins the values with
//! `*`, as C mod_jk does (reference: lb-shm-status.md §1.4).

/// Where an entry was written, for messages: `file:line`, or a directive of httpd.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File as the admin named it, or `JkWorkerProperty`.
    pub file: std::sync::Arc<str>,
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

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Some(at) if at.line > 0 => write!(f, "{}:{}: {}", at.file, at.line, self.message),
            Some(at) => write!(f, "{}: {}", at.file, self.message),
            None => f.write_str(&self.message),
        }
    }
}

//! The directive table and its setters: syntax, contexts and errors (reference: apache-side.md section 1, directives.toml).
//!
//! Not here: what a setting does. The surprising thing: a JkMount inside `<Location>` sets the whole server's configuration, as
//! in C; there is no per-directory configuration at all.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Arc;

use super::apr::{Pool, ServerRef, text};
use super::ffi;
use super::guard::guard;
use super::server_config::{EnvVar, Indicator, NamedFile, ServerConfig};
use crate::log::Level;
use crate::properties::{Diagnostic, Origin, Severity};

/// What one directive sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    WorkersFile,
    WorkerProperty,
    MountFile,
    MountFileReload,
    WatchdogInterval,
    Mount,
    UnMount,
    MountCopy,
    AutoAlias,
    StripSession,
    LogFile,
    LogLevel,
    LogStampFormat,
    RequestLogFormat,
    ShmFile,
    ShmSize,
    KeepEdits,
    Name(Indicator),
    ExtractSsl,
    Options,
    EnvVar,
}

/// One row: name, argument form, what it sets, help text (httpd prints it after a wrong number of arguments).
struct Row {
    name: &'static CStr,
    form: Form,
    id: Id,
    /// Only in the main server.
    global: bool,
    help: &'static CStr,
}

#[derive(Clone, Copy)]
enum Form {
    One,
    OneOrTwo,
    Raw,
    Flag,
}

const fn row(name: &'static CStr, form: Form, id: Id, global: bool, help: &'static CStr) -> Row {
    Row { name, form, id, global, help }
}

const ROWS: [Row; 38] = [
    row(c"JkWorkersFile", Form::One, Id::WorkersFile, true, c"path of workers.properties (or a .toml file)"),
    row(c"JkWorkerProperty", Form::Raw, Id::WorkerProperty, true, c"one line of workers.properties: name=value"),
    row(c"JkMountFile", Form::One, Id::MountFile, false, c"path of uriworkermap.properties"),
    row(
        c"JkMountFileReload",
        Form::One,
        Id::MountFileReload,
        false,
        c"seconds between looks at the mount file; 0 = never",
    ),
    row(
        c"JkWatchdogInterval",
        Form::One,
        Id::WatchdogInterval,
        true,
        c"seconds between maintenance runs; 0 = in requests",
    ),
    row(c"JkMount", Form::OneOrTwo, Id::Mount, false, c"URI pattern and worker (inside a section: worker only)"),
    row(c"JkUnMount", Form::OneOrTwo, Id::UnMount, false, c"URI pattern and worker (inside a section: worker only)"),
    row(c"JkMountCopy", Form::One, Id::MountCopy, false, c"On, Off, or All (main server only)"),
    row(c"JkAutoAlias", Form::One, Id::AutoAlias, false, c"folder of the web applications"),
    row(c"JkStripSession", Form::OneOrTwo, Id::StripSession, false, c"On or Off, and the session parameter"),
    row(c"JkLogFile", Form::One, Id::LogFile, false, c"path of the mod_jk log, or |command"),
    row(c"JkLogLevel", Form::One, Id::LogLevel, false, c"trace, debug, info, warn, error or emerg"),
    row(c"JkLogStampFormat", Form::One, Id::LogStampFormat, false, c"strftime format, with %Q or %q for fractions"),
    row(c"JkRequestLogFormat", Form::One, Id::RequestLogFormat, false, c"format of the request log lines"),
    row(c"JkShmFile", Form::One, Id::ShmFile, true, c"path of the shared memory file"),
    row(c"JkShmSize", Form::One, Id::ShmSize, true, c"size of the shared memory in KiB (not needed)"),
    row(c"JkXKeepEdits", Form::One, Id::KeepEdits, true, c"On: what was edited on the status page survives a restart"),
    row(c"JkWorkerIndicator", Form::One, Id::Name(Indicator::Worker), false, c"name of an environment variable"),
    row(c"JkRequestIdIndicator", Form::One, Id::Name(Indicator::RequestId), false, c"name of an environment variable"),
    row(
        c"JkRemoteAddrIndicator",
        Form::One,
        Id::Name(Indicator::RemoteAddr),
        false,
        c"name of an environment variable",
    ),
    row(
        c"JkRemotePortIndicator",
        Form::One,
        Id::Name(Indicator::RemotePort),
        false,
        c"name of an environment variable",
    ),
    row(
        c"JkRemoteHostIndicator",
        Form::One,
        Id::Name(Indicator::RemoteHost),
        false,
        c"name of an environment variable",
    ),
    row(
        c"JkRemoteUserIndicator",
        Form::One,
        Id::Name(Indicator::RemoteUser),
        false,
        c"name of an environment variable",
    ),
    row(c"JkAuthTypeIndicator", Form::One, Id::Name(Indicator::AuthType), false, c"name of an environment variable"),
    row(c"JkLocalNameIndicator", Form::One, Id::Name(Indicator::LocalName), false, c"name of an environment variable"),
    row(c"JkLocalAddrIndicator", Form::One, Id::Name(Indicator::LocalAddr), false, c"name of an environment variable"),
    row(c"JkLocalPortIndicator", Form::One, Id::Name(Indicator::LocalPort), false, c"name of an environment variable"),
    row(c"JkIgnoreCLIndicator", Form::One, Id::Name(Indicator::IgnoreCl), false, c"name of an environment variable"),
    row(c"JkExtractSSL", Form::Flag, Id::ExtractSsl, false, c"On or Off"),
    row(c"JkHTTPSIndicator", Form::One, Id::Name(Indicator::Https), false, c"name of an environment variable"),
    row(
        c"JkSSLPROTOCOLIndicator",
        Form::One,
        Id::Name(Indicator::SslProtocol),
        false,
        c"name of an environment variable",
    ),
    row(c"JkCERTSIndicator", Form::One, Id::Name(Indicator::Certs), false, c"name of an environment variable"),
    row(c"JkCIPHERIndicator", Form::One, Id::Name(Indicator::Cipher), false, c"name of an environment variable"),
    row(c"JkSESSIONIndicator", Form::One, Id::Name(Indicator::Session), false, c"name of an environment variable"),
    row(c"JkKEYSIZEIndicator", Form::One, Id::Name(Indicator::KeySize), false, c"name of an environment variable"),
    row(
        c"JkCERTCHAINPrefix",
        Form::One,
        Id::Name(Indicator::CertChainPrefix),
        false,
        c"prefix of environment variables",
    ),
    row(c"JkOptions", Form::Raw, Id::Options, false, c"option names, each with an optional + or -"),
    row(c"JkEnvVar", Form::OneOrTwo, Id::EnvVar, false, c"name of an environment variable, and a default value"),
];

/// httpd's command table: the rows, then the end mark.
pub(super) struct Commands([ffi::command_rec; ROWS.len() + 1]);

// SAFETY: the table is never written; its pointers lead to constants.
unsafe impl Sync for Commands {}

/// The table in the form httpd reads.
pub(super) static TABLE: Commands = Commands(commands());

impl Commands {
    /// First record.
    pub(super) const fn as_ptr(&self) -> *const ffi::command_rec {
        self.0.as_ptr()
    }
}

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time: a wrong index does not build")]
const fn commands() -> [ffi::command_rec; ROWS.len() + 1] {
    let mut table = [ffi::command_rec {
        name: std::ptr::null(),
        func: ffi::cmd_func { no_args: None },
        cmd_data: std::ptr::null_mut(),
        req_override: 0,
        args_how: ffi::RAW_ARGS,
        errmsg: std::ptr::null(),
    }; ROWS.len() + 1];
    let mut index = 0;
    while index < ROWS.len() {
        let row = &ROWS[index];
        let (func, args_how) = match row.form {
            Form::One => (ffi::cmd_func { take1: Some(take1) }, ffi::TAKE1),
            Form::OneOrTwo => (ffi::cmd_func { take2: Some(take12) }, ffi::TAKE12),
            Form::Raw => (ffi::cmd_func { raw_args: Some(raw_args) }, ffi::RAW_ARGS),
            Form::Flag => (ffi::cmd_func { flag: Some(flag) }, ffi::FLAG),
        };
        table[index] = ffi::command_rec {
            name: row.name.as_ptr(),
            func,
            cmd_data: std::ptr::without_provenance_mut(index),
            req_override: contexts(row.id),
            args_how,
            errmsg: row.help.as_ptr(),
        };
        index += 1;
    }
    table
}

#[allow(clippy::cast_possible_wrap, reason = "httpd's context bits are small")]
const fn contexts(id: Id) -> c_int {
    match id {
        Id::Mount | Id::UnMount => (ffi::RSRC_CONF | ffi::ACCESS_CONF) as c_int,
        _ => ffi::RSRC_CONF as c_int,
    }
}

unsafe extern "C" fn take1(parms: *mut ffi::cmd_parms, _: *mut c_void, word: *const c_char) -> *const c_char {
    guard("a directive", ServerRef::none(), PANICKED.as_ptr(), || {
        // SAFETY: httpd passes live parameters and one word (rules 1, 4).
        let mut command = unsafe { Command::new(parms) };
        // SAFETY: a TAKE1 word is NUL-terminated and lives in the configuration pool (rule 4).
        let word = unsafe { text(word) }.unwrap_or_default();
        command.run(|command| command.one(word))
    })
}

unsafe extern "C" fn take12(
    parms: *mut ffi::cmd_parms,
    _: *mut c_void,
    first: *const c_char,
    second: *const c_char,
) -> *const c_char {
    guard("a directive", ServerRef::none(), PANICKED.as_ptr(), || {
        // SAFETY: httpd passes live parameters (rule 1).
        let mut command = unsafe { Command::new(parms) };
        // SAFETY: TAKE12 words are null or NUL-terminated and live in the configuration pool (rule 4).
        let first = unsafe { text(first) }.unwrap_or_default();
        // SAFETY: as above.
        let second = unsafe { text(second) };
        command.run(|command| command.one_or_two(first, second))
    })
}

unsafe extern "C" fn raw_args(parms: *mut ffi::cmd_parms, _: *mut c_void, args: *const c_char) -> *const c_char {
    guard("a directive", ServerRef::none(), PANICKED.as_ptr(), || {
        // SAFETY: httpd passes live parameters (rule 1).
        let mut command = unsafe { Command::new(parms) };
        // SAFETY: the rest of the line is NUL-terminated (rule 4).
        let args = unsafe { text(args) }.unwrap_or_default();
        command.run(|command| command.raw(args))
    })
}

unsafe extern "C" fn flag(parms: *mut ffi::cmd_parms, _: *mut c_void, on: c_int) -> *const c_char {
    guard("a directive", ServerRef::none(), PANICKED.as_ptr(), || {
        // SAFETY: httpd passes live parameters (rule 1).
        let mut command = unsafe { Command::new(parms) };
        command.run(|command| {
            command.config()?.extract_ssl = Some(on != 0);
            Ok(())
        })
    })
}

const PANICKED: &CStr = c"mod_jk: internal error, see the error log";

/// One directive while it is read.
struct Command<'c> {
    parms: &'c ffi::cmd_parms,
    raw: *mut ffi::cmd_parms,
    pool: Option<Pool>,
}

impl Command<'_> {
    /// # Safety
    /// `parms` is what httpd passed to the callback that is running.
    unsafe fn new(parms: *mut ffi::cmd_parms) -> Self {
        // SAFETY: live for the callback (rule 1); httpd changes nothing in it meanwhile.
        let parms_ref = unsafe { &*parms };
        // SAFETY: the configuration pool outlives the directive (rule 1).
        let pool = unsafe { Pool::from_ptr(parms_ref.pool) };
        Self { parms: parms_ref, raw: parms, pool }
    }

    /// Runs a setter and turns its error into the text httpd prints with file and line.
    fn run(&mut self, body: impl FnOnce(&mut Self) -> Result<(), String>) -> *const c_char {
        match self.check_context().and_then(|()| body(self)) {
            Ok(()) => std::ptr::null(),
            Err(message) => match self.pool {
                Some(pool) => pool.text(message.as_bytes()),
                None => PANICKED.as_ptr(),
            },
        }
    }

    fn row(&self) -> Result<&'static Row, String> {
        ROWS.get(self.parms.info.addr()).ok_or_else(|| "mod_jk: directive without a row in the table".to_owned())
    }

    fn id(&self) -> Result<Id, String> {
        self.row().map(|row| row.id)
    }

    fn check_context(&self) -> Result<(), String> {
        if self.row()?.global { self.global_only() } else { Ok(()) }
    }

    fn global_only(&self) -> Result<(), String> {
        // SAFETY: the pointer httpd passed to the running callback.
        let refusal = unsafe { ffi::ap_check_cmd_context(self.raw, ffi::GLOBAL_ONLY) };
        // SAFETY: null or a text in the configuration pool (rule 4).
        match unsafe { text(refusal) } {
            None => Ok(()),
            Some(refusal) => Err(refusal.to_string_lossy().into_owned()),
        }
    }

    /// The record of the server this directive stands in.
    fn config(&mut self) -> Result<&mut ServerConfig, String> {
        // SAFETY: `server` is live while its directives are read (rule 1).
        let vector = unsafe { (*self.parms.server).module_config }.cast::<*mut ServerConfig>();
        // SAFETY: the vector has a slot at our index (rule 8).
        let slot = unsafe { vector.add(super::module_index()) };
        // SAFETY: the slot is readable (rule 8).
        let config = unsafe { slot.read() };
        // SAFETY: httpd called `create` for this server before its first directive; directives are read one at a time.
        unsafe { config.as_mut() }.ok_or_else(|| "mod_jk has no configuration record for this server".to_owned())
    }

    fn origin(&self) -> Origin {
        // SAFETY: the directive being read is live, or null for -C/-c command line directives.
        let (file, line) = match unsafe { self.parms.directive.as_ref() } {
            // SAFETY: the file name is NUL-terminated (rule 4).
            Some(directive) => (unsafe { text(directive.filename) }, directive.line_num),
            None => (None, 0),
        };
        let file = file.map_or_else(|| "command line".to_owned(), |name| name.to_string_lossy().into_owned());
        Origin { file: Arc::from(file), line: u32::try_from(line).unwrap_or(0) }
    }

    /// ServerRoot-relative path as an absolute one.
    fn path(&self, word: &CStr) -> Result<String, String> {
        let directive = self.row()?.name.to_string_lossy();
        let Some(pool) = self.pool else { return Err("mod_jk: no configuration pool".to_owned()) };
        // SAFETY: live pool and NUL-terminated name.
        let resolved = unsafe { ffi::ap_server_root_relative(pool.as_ptr(), word.as_ptr()) };
        // SAFETY: null or a text in the pool (rule 4).
        match unsafe { text(resolved) } {
            Some(path) => Ok(path.to_string_lossy().into_owned()),
            None => Err(format!("{directive}: '{}' is not a usable path", word.to_string_lossy())),
        }
    }

    /// A file that must exist now and be a regular one.
    fn file(&self, word: &CStr) -> Result<NamedFile, String> {
        let directive = self.row()?.name.to_string_lossy();
        let path = self.path(word)?;
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(NamedFile { path, origin: self.origin() }),
            Ok(_) => Err(format!("{directive}: '{path}' must be a regular file")),
            Err(error) => Err(format!("{directive}: cannot read '{path}': {error}; give the path of an existing file")),
        }
    }

    fn one(&mut self, word: &CStr) -> Result<(), String> {
        let value = word.to_bytes();
        match self.id()? {
            Id::WorkersFile => {
                let file = self.file(word)?;
                let process = &mut self.config()?.process;
                if let Some(first) = &process.workers_file {
                    return Err(format!(
                        "JkWorkersFile may be given once only; the first one is at {}:{}",
                        first.origin.file, first.origin.line
                    ));
                }
                process.workers_file = Some(file);
            }
            Id::MountFile => self.config()?.mount_file = Some(self.file(word)?),
            Id::MountFileReload => self.config()?.mount_file_reload_s = Some(self.number(value)?),
            Id::WatchdogInterval => self.config()?.process.watchdog_interval_s = self.number(value)?,
            Id::MountCopy => self.mount_copy(value)?,
            Id::AutoAlias => self.config()?.auto_alias = Some(value.to_vec()),
            Id::LogFile => {
                let target =
                    if value.first() == Some(&b'|') { word.to_string_lossy().into_owned() } else { self.path(word)? };
                let origin = self.origin();
                self.config()?.log_file = Some(NamedFile { path: target, origin });
            }
            Id::LogLevel => {
                if Level::from_word(value).is_none() {
                    self.remark("one of trace, debug, info, warn, error and emerg", value, "info is used")?;
                }
                self.config()?.log_level = Some(Level::parse(value));
            }
            Id::LogStampFormat => self.config()?.stamp_format = Some(value.to_vec()),
            Id::RequestLogFormat => self.config()?.request_log_format = Some(value.to_vec()),
            Id::ShmFile => {
                let file = NamedFile { path: self.path(word)?, origin: self.origin() };
                self.config()?.process.shm_file = Some(file);
            }
            Id::ShmSize => self.config()?.process.shm_size_kib = Some(self.number(value)?),
            Id::KeepEdits => {
                self.config()?.process.keep_edits = on_off(value)
                    .ok_or_else(|| format!("JkXKeepEdits must be On or Off, found '{}'", word.to_string_lossy()))?;
            }
            Id::Name(indicator) => {
                if let Some(slot) = self.config()?.indicators.get_mut(indicator as usize) {
                    *slot = Some(word.to_owned());
                }
            }
            other => return Err(format!("mod_jk: {other:?} takes other arguments")),
        }
        Ok(())
    }

    /// A value that C mod_jk takes without a word: it is used as C uses it, and check_config says so.
    fn remark(&mut self, expected: &str, found: &[u8], consequence: &str) -> Result<(), String> {
        let (directive, origin) = (self.row()?.name.to_string_lossy(), self.origin());
        let found = String::from_utf8_lossy(found);
        let message = format!("{directive} must be {expected}, found '{found}'; {consequence}");
        self.config()?.findings.push(Diagnostic { origin: Some(origin), severity: Severity::Warning, message });
        Ok(())
    }

    /// A number that must not be negative; anything else counts as `atoi` has it.
    fn number(&mut self, value: &[u8]) -> Result<u32, String> {
        let number = leading_number(value);
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            self.remark("a whole number, 0 or more", value, &format!("{number} is used"))?;
        }
        Ok(number)
    }

    fn mount_copy(&mut self, value: &[u8]) -> Result<(), String> {
        let copy = if value.eq_ignore_ascii_case(b"all") {
            self.global_only()?;
            self.config()?.process.mount_copy_all = true;
            return Ok(());
        } else {
            on_off(value)
        };
        match copy {
            Some(on) => {
                self.config()?.mount_copy = Some(on);
                Ok(())
            }
            None => Err(format!("JkMountCopy must be On, Off or All, found '{}'", String::from_utf8_lossy(value))),
        }
    }

    fn one_or_two(&mut self, first: &CStr, second: Option<&CStr>) -> Result<(), String> {
        match self.id()? {
            Id::Mount => self.mount(first, second, false),
            Id::UnMount => self.mount(first, second, true),
            Id::StripSession => {
                let on = on_off(first.to_bytes())
                    .ok_or_else(|| format!("JkStripSession must be On or Off, found '{}'", first.to_string_lossy()))?;
                let id = second.map_or_else(|| b";jsessionid".to_vec(), |id| id.to_bytes().to_vec());
                self.config()?.strip_session = Some((on, id));
                Ok(())
            }
            Id::EnvVar => {
                let default = second.map(CStr::to_bytes).filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
                let vars = &mut self.config()?.env_vars;
                match vars.iter_mut().find(|var| var.name.as_bytes().eq_ignore_ascii_case(first.to_bytes())) {
                    Some(var) => var.default = default,
                    None => vars.push(EnvVar { name: CString::from(first), default }),
                }
                Ok(())
            }
            other => Err(format!("mod_jk: {other:?} takes other arguments")),
        }
    }

    fn mount(&mut self, first: &CStr, second: Option<&CStr>, unmount: bool) -> Result<(), String> {
        let directive = self.row()?.name.to_string_lossy();
        // SAFETY: null outside a section, else the section's path (rule 4).
        let section = unsafe { text(self.parms.path) };
        let (pattern, worker) = match (section, second) {
            (None, Some(worker)) => (first, worker),
            (None, None) => {
                return Err(format!(
                    "{directive} needs a URI pattern and a worker, found only '{}'",
                    first.to_string_lossy()
                ));
            }
            (Some(path), None) => (path, first),
            (Some(path), Some(_)) => {
                return Err(format!(
                    "{directive} inside a section takes the worker only; the pattern is the section's path '{}'",
                    path.to_string_lossy()
                ));
            }
        };
        if pattern.to_bytes().first() != Some(&b'/') {
            return Err(format!("{directive}: the pattern must start with '/', found '{}'", pattern.to_string_lossy()));
        }
        let origin = Some(self.origin());
        let mounts = self.config()?.own_mounts();
        if unmount {
            mounts.put_unmount(pattern.to_bytes(), worker.to_bytes(), origin);
        } else {
            mounts.put_mount(pattern.to_bytes(), worker.to_bytes(), origin);
        }
        Ok(())
    }

    fn raw(&mut self, args: &CStr) -> Result<(), String> {
        match self.id()? {
            Id::WorkerProperty => {
                let origin = self.origin();
                self.config()?.process.worker_properties.push((args.to_bytes().to_vec(), origin));
                Ok(())
            }
            Id::Options => {
                for word in self.words(args) {
                    self.config()?.options.word(&word)?;
                }
                Ok(())
            }
            other => Err(format!("mod_jk: {other:?} takes other arguments")),
        }
    }

    /// Splits a raw argument line the way httpd splits words (blanks, quotes).
    fn words(&self, args: &CStr) -> Vec<String> {
        let mut words = Vec::new();
        let Some(pool) = self.pool else { return words };
        let mut rest = args.as_ptr();
        loop {
            // SAFETY: `rest` points into the NUL-terminated argument line, at its end at the latest.
            let left = unsafe { CStr::from_ptr(rest) };
            if left.to_bytes().trim_ascii().is_empty() {
                return words;
            }
            // SAFETY: live pool; `rest` points into the NUL-terminated argument line and ap_getword_conf keeps it there.
            let word = unsafe { ffi::ap_getword_conf(pool.as_ptr(), &raw mut rest) };
            // SAFETY: a text in the pool (rule 4).
            match unsafe { text(word) } {
                Some(word) => words.push(word.to_string_lossy().into_owned()),
                None => return words,
            }
        }
    }
}

fn on_off(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else if value.eq_ignore_ascii_case(b"off") {
        Some(false)
    } else {
        None
    }
}

/// C's `atoi` for settings that must not be negative: leading digits, else 0.
fn leading_number(value: &[u8]) -> u32 {
    let mut number: u32 = 0;
    let digits = value.trim_ascii_start();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    for byte in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_atoi_does_and_never_negative() {
        for (text, number) in [("60", 60), ("5x", 5), ("x", 0), ("-3", 0), (" 7", 7), ("99999999999", u32::MAX)] {
            assert_eq!(leading_number(text.as_bytes()), number, "{text}");
        }
    }
}

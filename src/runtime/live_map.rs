//! The URI map of one server while it serves: replaced as a whole when its mount file changes.
//!
//! Not here: rules and lookup (`uri_map`). The surprising thing: a mount file that cannot be read, or that has become worse than the one in
//! force, keeps the rules (DEVIATIONS section 5); worse is what has a fault that the other had not, or no rule and no comment at all. Whoever
//! looks a URI up holds a counted reference, so a replaced map lives until its last reader is done (without a mount file there is nothing
//! to count).

use std::collections::HashSet;
use std::ffi::CString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::log::{Level, Logger, log_at};
use crate::properties::{Diagnostic, Severity};
use crate::uri_map::{Rule, RuleList, UriMap, UriMapBuilder, read_mount_file};

/// Largest mount file that is read, in bytes.
pub const MAX_MOUNT_FILE: u64 = 64 << 20;

/// A map, and what it takes to build its successor.
#[derive(Debug)]
pub struct LiveMap {
    jk_mounts: Vec<Rule>,
    worker_mounts: Vec<Rule>,
    workers: Arc<[CString]>,
    reject_unsafe_uri: bool,
    file: Option<MountFile>,
    /// The rules, when no file can change them.
    fixed: Option<Arc<UriMap>>,
    map: ArcSwap<UriMap>,
    check: Option<Check>,
    /// What is wrong with the rules in force, without line numbers. Only a reload locks it.
    faults: Mutex<HashSet<String>>,
}

/// Holds rules against what they are for: the workers.
struct Check(Box<CheckRules>);

/// What is wrong with the rules.
type CheckRules = dyn Fn(&UriMap) -> Vec<Diagnostic> + Send + Sync;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// The rules in force at one moment.
#[derive(Debug)]
pub enum Current<'m> {
    /// They never change.
    Fixed(&'m UriMap),
    /// A counted reference: a replaced map lives until its last reader is done.
    Counted(arc_swap::Guard<Arc<UriMap>>),
}

impl std::ops::Deref for Current<'_> {
    type Target = UriMap;

    fn deref(&self) -> &UriMap {
        match self {
            Self::Fixed(map) => map,
            Self::Counted(map) => map,
        }
    }
}

#[derive(Debug)]
struct MountFile {
    path: String,
    /// 0 = never looked at again.
    reload_s: u32,
    /// Unix seconds of the last look.
    checked_s: AtomicU64,
    /// Which content is in force.
    stamp: AtomicU64,
}

/// Inputs of one map.
#[derive(Debug, Default)]
pub struct Sources {
    /// From JkMount and JkUnMount.
    pub jk_mounts: Vec<Rule>,
    /// From `worker.<name>.mount`.
    pub worker_mounts: Vec<Rule>,
    /// JkMountFile and JkMountFileReload.
    pub mount_file: Option<(String, u32)>,
    /// The names of the workers, for [`Rule::place`].
    pub workers: Arc<[CString]>,
    /// `JkOptions +RejectUnsafeURI`.
    pub reject_unsafe_uri: bool,
}

impl LiveMap {
    /// Reads the mount file, when there is one, and compiles the rules. What is wrong with the file is in `diagnostics`.
    pub fn new(sources: Sources, now_s: u64, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let Sources { jk_mounts, worker_mounts, mount_file, workers, reject_unsafe_uri } = sources;
        let mut faults = HashSet::new();
        let (rules, stamp) = match &mount_file {
            None => (Vec::new(), 0),
            Some((path, _)) => match read(path) {
                Ok(Content { rules, stamp, findings, .. }) => {
                    faults.extend(findings.iter().filter_map(fault));
                    diagnostics.extend(findings);
                    (rules, stamp)
                }
                Err(message) => {
                    diagnostics.push(Diagnostic { origin: None, severity: Severity::Error, message });
                    (Vec::new(), 0)
                }
            },
        };
        let built = UriMapBuilder::from_parts(jk_mounts.clone(), worker_mounts.clone(), rules);
        let map = Arc::new(built.workers(&workers).reject_unsafe_uri(reject_unsafe_uri).build());
        let fixed = mount_file.is_none().then(|| Arc::clone(&map));
        let file = mount_file.map(|(path, reload_s)| MountFile {
            path,
            reload_s,
            checked_s: AtomicU64::new(now_s),
            stamp: AtomicU64::new(stamp),
        });
        let (map, faults) = (ArcSwap::new(map), Mutex::new(faults));
        Self { jk_mounts, worker_mounts, workers, reject_unsafe_uri, file, fixed, map, check: None, faults }
    }

    /// Has `check` hold the rules against the workers, now and whenever they are read again. Its findings about the rules in force are
    /// added to `diagnostics`.
    #[must_use]
    pub fn checked_by(
        mut self,
        check: impl Fn(&UriMap) -> Vec<Diagnostic> + Send + Sync + 'static,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let findings = check(&self.map.load());
        let faults = self.faults.get_mut().unwrap_or_else(PoisonError::into_inner);
        faults.extend(findings.iter().filter_map(fault));
        diagnostics.extend(findings);
        self.check = Some(Check(Box::new(check)));
        self
    }

    /// The rules in force.
    #[inline]
    pub fn current(&self) -> Current<'_> {
        match &self.fixed {
            Some(map) => Current::Fixed(map),
            None => Current::Counted(self.map.load()),
        }
    }

    /// Whether a mount file is configured.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The rules in force after a look at the mount file, when JkMountFileReload seconds have passed since this process's last one.
    ///
    /// Without a mount file, nobody needs to know what time it is and who asks.
    #[inline]
    pub fn current_at<'i>(
        &self,
        now_s: impl FnOnce() -> u64,
        logger: &Logger,
        request_id: impl FnOnce() -> &'i [u8],
    ) -> Current<'_> {
        if let Some(file) = &self.file
            && file.is_due(now_s())
        {
            self.reload(file, logger, request_id());
        }
        self.current()
    }

    /// The rules in force after a look at the mount file, whatever JkMountFileReload says: an admin who lists the rules wants to see
    /// what holds.
    ///
    /// Race: two lookers may both read a changed file; both build the same rules.
    pub fn refreshed(&self, now_s: u64, logger: &Logger, request_id: &[u8]) -> Arc<UriMap> {
        if let Some(file) = &self.file {
            file.checked_s.store(now_s, Ordering::Relaxed);
            self.reload(file, logger, request_id);
        }
        self.map.load_full()
    }

    /// Replaces the rules when the file's content changed. Only the thread that moved `checked_s` comes here.
    #[cold]
    fn reload(&self, file: &MountFile, logger: &Logger, request_id: &[u8]) {
        let stamp = match fs::metadata(&file.path) {
            Ok(found) => stamp_of(&found),
            Err(error) => {
                log_at!(
                    logger,
                    Level::Error,
                    request_id,
                    "cannot look at {}: {error}; the current rules stay",
                    file.path
                );
                return;
            }
        };
        if stamp == file.stamp.load(Ordering::Relaxed) {
            return;
        }
        match read(&file.path) {
            Err(message) => log_at!(logger, Level::Error, request_id, "{message}; the current rules stay"),
            Ok(content) => {
                // Told once, and looked at again when it changes again.
                file.stamp.store(content.stamp, Ordering::Relaxed);
                self.take_over(&file.path, content, logger, request_id);
            }
        }
    }

    /// Puts the rules of a changed file in force, unless it has become worse.
    fn take_over(&self, path: &str, content: Content, logger: &Logger, request_id: &[u8]) {
        let Content { rules, mut findings, blank, .. } = content;
        let count = rules.len();
        let built = UriMapBuilder::from_parts(self.jk_mounts.clone(), self.worker_mounts.clone(), rules);
        let map = built.workers(&self.workers).reject_unsafe_uri(self.reject_unsafe_uri).build();
        findings.extend(self.check.as_ref().map(|Check(check)| check(&map)).unwrap_or_default());
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |finding: &Diagnostic| fault(finding).is_some_and(|text| !faults.contains(&text));
        let worse = findings.iter().filter(|finding| is_new(finding)).count();
        for finding in &findings {
            let level = if is_new(finding) { Level::Error } else { level_of(finding.severity) };
            log_at!(logger, level, request_id, "{finding}");
        }
        if worse > 0 {
            log_at!(
                logger,
                Level::Error,
                request_id,
                "{path} has {worse} faults that the rules in force have not; the current rules stay"
            );
            return;
        }
        if blank && !self.map.load().is_empty() {
            log_at!(
                logger,
                Level::Error,
                request_id,
                "{path} is blank; the current rules stay (a comment in it says that no rule is meant)"
            );
            return;
        }
        *faults = findings.iter().filter_map(fault).collect();
        self.map.store(Arc::new(map));
        log_at!(logger, Level::Info, request_id, "{path} was read again: {count} rules");
    }
}

impl MountFile {
    /// Whether this thread is to look at the file now. Threads that come at the same time see the moved time and go on.
    fn is_due(&self, now_s: u64) -> bool {
        let checked = self.checked_s.load(Ordering::Relaxed);
        self.reload_s > 0
            && now_s.saturating_sub(checked) > u64::from(self.reload_s)
            && self.checked_s.compare_exchange(checked, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What a mount file says.
struct Content {
    rules: Vec<Rule>,
    /// Of what was read.
    stamp: u64,
    findings: Vec<Diagnostic>,
    /// There is nothing in it, not even a comment: an editor may be about to write it.
    blank: bool,
}

/// What makes a file worse, as text that does not change with the line; advice does not.
fn fault(finding: &Diagnostic) -> Option<String> {
    (finding.severity != Severity::Advice).then(|| finding.message.clone())
}

fn read(path: &str) -> Result<Content, String> {
    let failed = |error: std::io::Error| format!("JkMountFile: cannot read '{path}': {error}");
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(format!("JkMountFile: '{path}' must be a regular file"));
    }
    if found.len() > MAX_MOUNT_FILE {
        return Err(format!("JkMountFile: '{path}' has {} bytes, at most {MAX_MOUNT_FILE} are read", found.len()));
    }
    let text = fs::read(path).map_err(failed)?;
    let (rules, findings) = read_mount_file(&text, path, environment);
    let blank = text.iter().all(u8::is_ascii_whitespace);
    Ok(Content { rules, stamp: stamp_of(&found), findings, blank })
}

/// Differs when the content may differ: modification time to the nanosecond, size and inode, folded into one number.
fn stamp_of(found: &fs::Metadata) -> u64 {
    let parts = [found.mtime().unsigned_abs(), found.mtime_nsec().unsigned_abs(), found.size(), found.ino()];
    parts
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, part| (hash ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(17))
        | 1
}

fn environment(name: &[u8]) -> Option<Vec<u8>> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(std::ffi::OsString::into_vec)
}

/// How a finding is logged.
pub fn level_of(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::Error,
        Severity::Warning | Severity::Advice => Level::Warn,
    }
}

/// Rules of the workers' `mount` properties.
pub fn worker_mounts(mounts: &[(String, String)]) -> RuleList {
    let mut list = RuleList::default();
    for (worker, pattern) in mounts {
        list.add_worker_mount(worker, pattern, None);
    }
    list
}

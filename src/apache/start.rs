//! From directives to a serving module: check_config (also under `httpd -t`), post_config, child_init.
//!
//! Not here: what workers do. The surprising thing: everything is read twice, once to check and once to use, because httpd keeps
//! nothing between the two hooks; a file that changes in between is caught by the second reading.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::apr::{Pool, ServerRef};
use super::hooks::{OK, SERVER_ERROR};
use super::keep::Kept;
use super::log_file::LogFile;
use super::member_notes::{self, MemberNotes};
use super::options::Flags;
use super::server_config::{self, INDICATOR_DEFAULTS, NamedFile, ServerConfig};
use super::vhost::Vhost;
use super::{ffi, watchdog};
use crate::config::{self, WorkerConfig};
use crate::log::{Level, Logger, Stamp, log_at};
use crate::properties::{Diagnostic, Properties, Severity};
use crate::request_log::RequestLogFormat;
use crate::runtime::live_map::{LiveMap, Sources, level_of, worker_mounts};
use crate::runtime::{Limits, Runtime};
use crate::uri_map::{KnownWorker, RuleList, UriMap, WorkerKind};

/// Default of JkLogFile, relative to ServerRoot.
const DEFAULT_LOG_FILE: &std::ffi::CStr = c"logs/mod_jk.log";
/// Default of JkShmFile, relative to ServerRoot.
const DEFAULT_SHM_FILE: &std::ffi::CStr = c"logs/jk-runtime-status";
/// JkMountFileReload when not given, seconds.
const DEFAULT_RELOAD_S: u32 = 60;

/// Reads everything that the start will read, and reports all findings at once.
pub(super) fn check_config(pool: Pool, main: *mut ffi::server_rec) -> c_int {
    let servers = Servers::of(main);
    let Some(main_config) = servers.privatise(pool) else { return OK };
    let loaded = load(main_config);
    let mut findings = loaded.diagnostics;
    findings.extend(main_config.process.shm_file.as_ref().and_then(|file| no_folder("JkShmFile", file)));
    let runtime_config = &loaded.config;
    if main_config.process.watchdog_interval_s == 0 {
        findings.extend(health_without_prober(runtime_config));
    }
    for server in servers.iter() {
        let Some(config) = server.config() else { continue };
        findings.extend(config.findings.iter().cloned());
        findings.extend(config.log_file.as_ref().and_then(|file| no_folder("JkLogFile", file)));
        if !loaded.complete {
            // Rules cannot be held against workers that were not read.
            continue;
        }
        if let Some(sources) = sources(config, runtime_config, &mut findings) {
            let map = LiveMap::new(sources, now_s(), &mut findings);
            findings.extend(map.current().check_workers(&known_workers(runtime_config)));
            findings.extend(map.current().advice());
        }
        if let Some(Err(bad)) = config.request_log_format.as_deref().map(RequestLogFormat::parse) {
            findings.push(Diagnostic {
                origin: None,
                severity: Severity::Warning,
                message: format!("JkRequestLogFormat: {bad}; there will be no request log"),
            });
        }
    }
    report(servers.log(), &findings)
}

/// Balancers that ask for probes nobody makes.
fn health_without_prober(config: &config::Config) -> Option<Diagnostic> {
    let balancers: Vec<&str> = config
        .list
        .iter()
        .filter_map(|worker| match worker {
            WorkerConfig::Lb(lb) if lb.extras.health => Some(lb.name.as_str()),
            _ => None,
        })
        .collect();
    if balancers.is_empty() {
        return None;
    }
    let message = format!(
        "jkx.worker.<lb>.health=on does nothing for {}: the watchdog makes the probes; set JkWatchdogInterval to a number of seconds",
        balancers.join(", ")
    );
    Some(Diagnostic { origin: None, severity: Severity::Warning, message })
}

/// A file cannot be created where there is no folder, or where the user that starts httpd may not write.
fn no_folder(directive: &str, file: &NamedFile) -> Option<Diagnostic> {
    let path = Path::new(&file.path);
    if file.path.starts_with('|') || path.exists() && !directive.starts_with("JkShm") {
        return None;
    }
    let folder = path.parent()?;
    let needed = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let error = rustix::fs::access(folder, needed).err()?;
    let message = format!(
        "{directive}: '{}' cannot be created: {error}; name a file in a folder that exists and that the user who starts httpd \
         may write to",
        file.path
    );
    Some(Diagnostic { origin: Some(file.origin.clone()), severity: Severity::Error, message })
}

/// Writes findings to httpd's log (or the terminal, before the log is open), each once; the worst decides.
fn report(log: ServerRef, findings: &[Diagnostic]) -> c_int {
    let mut seen = std::collections::HashSet::new();
    let mut status = OK;
    for finding in findings {
        let line = format!("mod_jk: {finding}");
        if finding.severity == Severity::Error {
            status = SERVER_ERROR;
        }
        if seen.insert(line.clone()) {
            let level = if finding.severity == Severity::Error { ffi::APLOG_ERR } else { ffi::APLOG_WARNING };
            log.log(if on_terminal() { level | ffi::APLOG_STARTUP } else { level }, &line);
        }
    }
    status
}

/// The ErrorLog is not open yet: lines go to the terminal, where a time stamp is only in the way.
fn on_terminal() -> bool {
    let question = c_int::try_from(ffi::AP_SQ_MAIN_STATE).unwrap_or(0);
    // SAFETY: reads a number of httpd's.
    let state = unsafe { ffi::ap_state_query(question) };
    u32::try_from(state).is_ok_and(|state| state == ffi::AP_SQ_MS_CREATE_PRE_CONFIG)
}

/// Builds what requests need, for every server.
pub(super) fn post_config(pool: Pool, main: *mut ffi::server_rec) -> c_int {
    let servers = Servers::of(main);
    let Some(main_config) = servers.privatise(pool) else { return OK };
    match build(pool, &servers, main_config) {
        Ok(()) => OK,
        Err(message) => {
            servers.log().log(ffi::APLOG_EMERG, &format!("mod_jk: {message}; httpd does not start with it"));
            SERVER_ERROR
        }
    }
}

fn build(pool: Pool, servers: &Servers, main_config: &ServerConfig) -> Result<(), String> {
    let loggers = Loggers::open(pool, servers)?;
    let main_logger = loggers.of(0).ok_or("the main server has no log")?;
    let loaded = load(main_config);
    // Advice was given by check_config; it is not repeated in this log at every restart.
    for finding in loaded.diagnostics.iter().filter(|finding| finding.severity > Severity::Advice) {
        log_at!(main_logger, level_of(finding.severity), b"POST_CONFIG", "{finding}");
    }
    if let Some(first) = loaded.diagnostics.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(format!("the worker configuration is not usable: {first}"));
    }
    let shm_file = main_config.process.shm_file.as_ref().map(|file| file.path.clone()).unwrap_or_else(|| {
        servers
            .log()
            .log(ffi::APLOG_WARNING, "mod_jk: no JkShmFile is given, using logs/jk-runtime-status under ServerRoot");
        root_relative(pool, DEFAULT_SHM_FILE)
    });
    let kept = servers.kept();
    let limits = Limits {
        children: mpm(ffi::AP_MPMQ_HARD_LIMIT_DAEMONS),
        shm_file,
        shm_size_kib: main_config.process.shm_size_kib.unwrap_or(0),
        watchdog: main_config.process.watchdog_interval_s > 0,
        now_s: now_s(),
        previous: kept.as_ref().and_then(Kept::previous),
        keep_edits: main_config.process.keep_edits,
    };
    let runtime = Arc::new(Runtime::new(loaded.config, &limits, &main_logger)?);
    if let Some(kept) = kept {
        kept.keep(runtime.region());
    }
    let mut main_map = None;
    let mut listed = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let (Some(config), Some(logger)) = (server.config(), loggers.of(index)) else { continue };
        let member_notes = member_notes::prepare(pool).ok_or_else(|| "httpd makes no table for notes".to_owned())?;
        let vhost = vhost(config, &runtime, &logger, &mut main_map, member_notes);
        let vhost = Vhost { place: listed.len(), ..vhost };
        // SAFETY: servers live as long as the configuration that is being built (rule 1).
        let label = unsafe { super::status::label(server.0) };
        // SAFETY: as above.
        let host = unsafe { super::status::host(server.0) };
        listed.push(crate::runtime::Server { label: label.into(), map: vhost.map.clone(), host });
        // A second post_config of the same configuration pool does not happen; a set cell would be a bug of ours.
        config.active.set(Arc::new(vhost)).map_err(|_| "post_config ran twice for one configuration".to_owned())?;
    }
    runtime.set_servers(listed);
    // SAFETY: live configuration pool and a NUL-terminated constant.
    unsafe { ffi::ap_add_version_component(pool.as_ptr(), VERSION.as_ptr()) };
    log_at!(main_logger, Level::Info, b"JK_INIT", "{} initialized", VERSION.to_string_lossy());
    Ok(())
}

/// Server token.
const VERSION: &std::ffi::CStr =
    match std::ffi::CStr::from_bytes_with_nul(concat!("mod_jk/", env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"mod_jk",
    };

fn vhost(
    config: &ServerConfig,
    runtime: &Arc<Runtime>,
    logger: &Arc<Logger>,
    main_map: &mut Option<Arc<LiveMap>>,
    member_notes: MemberNotes,
) -> Vhost {
    let mut findings = Vec::new();
    let map = if config.shares_main_map {
        main_map.clone()
    } else {
        // Weak: the runtime holds the maps of its servers.
        let workers = Arc::downgrade(runtime);
        let check = move |map: &UriMap| match workers.upgrade() {
            Some(runtime) => map.check_workers(&known_workers(runtime.config())),
            None => Vec::new(),
        };
        sources(config, runtime.config(), &mut findings)
            .map(|sources| Sources { workers: Arc::clone(runtime.names()), ..sources })
            .map(|sources| LiveMap::new(sources, now_s(), &mut findings))
            .map(|map| Arc::new(map.checked_by(check, &mut findings)))
    };
    for finding in &findings {
        log_at!(logger, level_of(finding.severity), b"POST_CONFIG", "{finding}");
    }
    if config.is_main {
        main_map.clone_from(&map);
    }
    let is_renamed = INDICATOR_DEFAULTS
        .iter()
        .zip(&config.indicators)
        .any(|(default, own)| own.as_deref().is_some_and(|own| own != *default));
    let indicators = INDICATOR_DEFAULTS
        .iter()
        .zip(&config.indicators)
        .map(|(default, own)| own.clone().unwrap_or_else(|| (*default).to_owned()))
        .collect();
    Vhost {
        runtime: Arc::clone(runtime),
        logger: Arc::clone(logger),
        map,
        place: 0,
        flags: config.options.of_main(),
        indicators,
        extract_ssl: config.extract_ssl.unwrap_or(true),
        wants_cgi_variables: !config.env_vars.is_empty() || is_renamed,
        env_vars: config.env_vars.clone(),
        request_log: config.request_log_format.as_deref().and_then(|format| RequestLogFormat::parse(format).ok()),
        auto_alias: config.auto_alias.clone(),
        strip_session: config.strip_session.clone().filter(|(on, _)| *on).map(|(_, id)| id),
        member_notes,
    }
}

/// Starts what a child needs: its entry in shared memory and its maintenance thread.
pub(super) fn child_init(pool: Pool, main: *mut ffi::server_rec) {
    let servers = Servers::of(main);
    let Some(vhost) = servers.iter().next().and_then(Server::config).and_then(|config| config.active.get()) else {
        return;
    };
    let runtime = Arc::clone(&vhost.runtime);
    runtime.enter_child(&vhost.logger);
    log_at!(vhost.logger, Level::Debug, b"CHILD_INIT", "{} in a new child", VERSION.to_string_lossy());
    let interval =
        servers.iter().next().and_then(Server::config).map_or(0, |config| config.process.watchdog_interval_s);
    watchdog::start(pool, interval, runtime, Arc::clone(&vhost.logger));
}

/// What JkWorkersFile and the JkWorkerProperty lines say.
struct Loaded {
    /// The workers file, when there is one, was read.
    complete: bool,
    config: config::Config,
    diagnostics: Vec<Diagnostic>,
}

fn load(main: &ServerConfig) -> Loaded {
    let mut diagnostics = Vec::new();
    let mut properties = Properties::new().with_environment(|name| std::env::var(name).ok());
    for (line, origin) in &main.process.worker_properties {
        properties.add_line(line, origin.clone(), &mut diagnostics);
    }
    let root = &raw const ffi::ap_server_root;
    // SAFETY: httpd writes its ServerRoot before it calls us, and not while it does.
    let root = unsafe { root.read() };
    // SAFETY: ServerRoot is a NUL-terminated text once the configuration is read (rule 4).
    if let Some(root) = unsafe { super::apr::text(root) } {
        properties.set("ServerRoot", &root.to_string_lossy());
    }
    if let Some(file) = &main.process.workers_file {
        match std::fs::read(&file.path) {
            Ok(text) if file.path.ends_with(".toml") => {
                config::toml::read(&mut properties, &text, &file.path, &mut diagnostics)
            }
            Ok(text) => properties.read(&text, &file.path, &mut diagnostics),
            Err(error) => diagnostics.push(Diagnostic {
                origin: Some(file.origin.clone()),
                severity: Severity::Error,
                message: format!(
                    "JkWorkersFile: cannot read '{}': {error}; the user that starts httpd must be able to read it",
                    file.path
                ),
            }),
        }
    }
    if diagnostics
        .iter()
        .any(|finding| finding.severity == Severity::Error && finding.message.starts_with("JkWorkersFile"))
    {
        return Loaded { complete: false, config: config::Config::default(), diagnostics };
    }
    let defaults = config::Defaults { threads_per_child: mpm(ffi::AP_MPMQ_MAX_THREADS).max(1) };
    let (config, findings) = config::build(&properties, &defaults);
    diagnostics.extend(findings);
    Loaded { complete: true, config, diagnostics }
}

/// What the map of one server is made from; `None` when it has no map of its own.
fn sources(config: &ServerConfig, workers: &config::Config, findings: &mut Vec<Diagnostic>) -> Option<Sources> {
    if config.shares_main_map {
        return None;
    }
    let mounts = config.mounts.as_ref()?;
    let jk = mounts.rules();
    findings.extend(jk.diagnostics);
    let of_workers = if config.is_main { worker_mounts(&workers.mounts) } else { RuleList::default() };
    findings.extend(of_workers.diagnostics);
    Some(Sources {
        jk_mounts: jk.rules,
        worker_mounts: of_workers.rules,
        mount_file: config
            .mount_file
            .as_ref()
            .map(|file| (file.path.clone(), config.mount_file_reload_s.unwrap_or(DEFAULT_RELOAD_S))),
        reject_unsafe_uri: config.options.of_main().has(Flags::REJECT_UNSAFE),
        ..Sources::default()
    })
}

/// What rules can be mapped to.
fn known_workers(config: &config::Config) -> Vec<KnownWorker<'_>> {
    let name_of = |index: usize| config.ajp.get(index).map(|worker| worker.name.as_str());
    config
        .list
        .iter()
        .filter_map(|worker| {
            let (name, kind, members) = match worker {
                WorkerConfig::Ajp(index) => (name_of(*index)?, WorkerKind::Ajp, Vec::new()),
                WorkerConfig::Lb(lb) => (
                    lb.name.as_str(),
                    WorkerKind::Lb,
                    lb.members.iter().filter_map(|member| name_of(member.ajp)).collect(),
                ),
                WorkerConfig::Status(status) => (status.name.as_str(), WorkerKind::Status, Vec::new()),
            };
            Some(KnownWorker { name, kind, members })
        })
        .collect()
}

/// The list of servers, main server first.
struct Servers(Vec<Server>);

#[derive(Clone, Copy)]
struct Server(*mut ffi::server_rec);

impl Server {
    fn config<'s>(self) -> Option<&'s ServerConfig> {
        // SAFETY: servers live as long as the configuration that is being built (rule 1).
        unsafe { server_config::of_server(self.0) }
    }
}

impl Servers {
    fn of(main: *mut ffi::server_rec) -> Self {
        let mut list = Vec::new();
        let mut next = main;
        while !next.is_null() {
            list.push(Server(next));
            // SAFETY: httpd's list of servers is live while hooks run (rule 1).
            next = unsafe { (*next).next };
        }
        Self(list)
    }

    fn iter(&self) -> impl Iterator<Item = Server> {
        self.0.iter().copied()
    }

    /// Where the shared memory is kept over restarts; not in the trial run, whose process ends when httpd goes to the background.
    fn kept(&self) -> Option<Kept<'_>> {
        let question = c_int::try_from(ffi::AP_SQ_MAIN_STATE).unwrap_or(0);
        // SAFETY: answers a number.
        let state = unsafe { ffi::ap_state_query(question) };
        if u32::try_from(state) == Ok(ffi::AP_SQ_MS_CREATE_PRE_CONFIG) {
            return None;
        }
        let main = self.0.first().map_or(std::ptr::null_mut(), |server| server.0);
        // SAFETY: null or the live main server (rule 1); post_config runs before any other thread.
        unsafe { Kept::of(main) }
    }

    fn log(&self) -> ServerRef {
        let main = self.0.first().map_or(std::ptr::null(), |server| server.0.cast_const());
        // SAFETY: null or the live main server (rule 1).
        unsafe { ServerRef::from_ptr(main) }
    }

    /// Gives every virtual host a record of its own; those without any Jk directive were handed the main server's
    /// (reference: apache-side.md section 1). Returns the main server's.
    fn privatise(&self, pool: Pool) -> Option<&ServerConfig> {
        let main = self.0.first()?.config()?;
        for server in self.0.iter().skip(1) {
            if server.config().is_none_or(|config| std::ptr::eq(config, main)) {
                let own = pool.own(ServerConfig::merged(main, &ServerConfig::default()));
                // SAFETY: live server; the record lives in the configuration pool; no other thread runs yet.
                unsafe { server_config::put(server.0, own) };
            }
        }
        Some(main)
    }
}

/// One log per server; servers that name the same file share it.
struct Loggers(Vec<Arc<Logger>>);

impl Loggers {
    fn open(pool: Pool, servers: &Servers) -> Result<Self, String> {
        let mut sinks: Vec<(String, Arc<LogFile>)> = Vec::new();
        let mut loggers = Vec::new();
        let mut warned = false;
        for server in servers.iter() {
            let Some(config) = server.config() else { continue };
            let target = config.log_file.as_ref().map(|file| file.path.clone()).unwrap_or_else(|| {
                if !std::mem::replace(&mut warned, true) {
                    servers.log().log(
                        ffi::APLOG_WARNING,
                        "mod_jk: no JkLogFile is given, using logs/mod_jk.log under ServerRoot",
                    );
                }
                root_relative(pool, DEFAULT_LOG_FILE)
            });
            let sink = match sinks.iter().find(|(known, _)| *known == target) {
                Some((_, sink)) => Arc::clone(sink),
                None => {
                    let sink = Arc::new(LogFile::open(&target, pool)?);
                    sinks.push((target, Arc::clone(&sink)));
                    sink
                }
            };
            let stamp = Stamp::local(config.stamp_format.as_deref().unwrap_or(crate::log::DEFAULT_STAMP_FORMAT));
            loggers.push(Arc::new(Logger::new(config.log_level.unwrap_or_default(), stamp, sink)));
        }
        Ok(Self(loggers))
    }

    fn of(&self, index: usize) -> Option<Arc<Logger>> {
        self.0.get(index).cloned()
    }
}

fn root_relative(pool: Pool, path: &std::ffi::CStr) -> String {
    // SAFETY: live pool and a NUL-terminated constant.
    let resolved = unsafe { ffi::ap_server_root_relative(pool.as_ptr(), path.as_ptr()) };
    // SAFETY: null or a text in the pool (rule 4).
    unsafe { super::apr::text(resolved) }.unwrap_or(path).to_string_lossy().into_owned()
}

/// A limit of the MPM; 0 when it has none.
fn mpm(question: u32) -> u32 {
    let mut answer: c_int = 0;
    let question = c_int::try_from(question).unwrap_or(0);
    // SAFETY: writes one int.
    let status = unsafe { ffi::ap_mpm_query(question, &raw mut answer) };
    if status == 0 { u32::try_from(answer).unwrap_or(0) } else { 0 }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

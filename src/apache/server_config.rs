//! What the directives of one server or virtual host say, and how a virtual host inherits from the main server.
//!
//! Not here: the directives' syntax (`directives.rs`), and what is built from this at start (`vhost.rs`). The surprising thing:
//! httpd hands a virtual host without any Jk directive the main server's record itself, so post_config makes it one of its own.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use super::apr::{Pool, ServerRef};
use super::ffi;
use super::guard::guard;
use super::options::Options;
use super::vhost::Vhost;
use crate::properties::{Diagnostic, Origin};
use crate::uri_map::MountTable;
use once_cell::sync::OnceCell;

/// The environment variables that directives can rename, with their defaults (reference: apache-side.md section 1, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Indicator {
    Worker,
    RequestId,
    RemoteAddr,
    RemotePort,
    RemoteHost,
    RemoteUser,
    AuthType,
    LocalName,
    LocalAddr,
    LocalPort,
    IgnoreCl,
    Https,
    SslProtocol,
    Certs,
    Cipher,
    Session,
    KeySize,
    CertChainPrefix,
}

/// Default names, in the order of [`Indicator`].
pub(super) const INDICATOR_DEFAULTS: [&std::ffi::CStr; 18] = [
    c"JK_WORKER_NAME",
    c"UNIQUE_ID",
    c"JK_REMOTE_ADDR",
    c"JK_REMOTE_PORT",
    c"JK_REMOTE_HOST",
    c"JK_REMOTE_USER",
    c"JK_AUTH_TYPE",
    c"JK_LOCAL_NAME",
    c"JK_LOCAL_ADDR",
    c"JK_LOCAL_PORT",
    c"JK_IGNORE_CL",
    c"HTTPS",
    c"SSL_PROTOCOL",
    c"SSL_CLIENT_CERT",
    c"SSL_CIPHER",
    c"SSL_SESSION_ID",
    c"SSL_CIPHER_USEKEYSIZE",
    c"SSL_CLIENT_CERT_CHAIN_",
];

/// One JkEnvVar.
#[derive(Clone, Debug)]
pub(super) struct EnvVar {
    /// Name as first spelled.
    pub(super) name: CString,
    /// Sent when the variable is not set.
    pub(super) default: Option<Vec<u8>>,
}

/// A file that a directive named.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    /// Absolute path.
    pub(super) path: String,
    /// Where the directive stands.
    pub(super) origin: Origin,
}

/// Settings of the whole process; they stand in the main server only.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) workers_file: Option<NamedFile>,
    /// JkWorkerProperty lines in order.
    pub(super) worker_properties: Vec<(Vec<u8>, Origin)>,
    pub(super) shm_file: Option<NamedFile>,
    /// JkShmSize in KiB; 0 = computed.
    pub(super) shm_size_kib: Option<u32>,
    pub(super) watchdog_interval_s: u32,
    /// JkXKeepEdits.
    pub(super) keep_edits: bool,
    /// `JkMountCopy All`.
    pub(super) mount_copy_all: bool,
}

/// The directives of one server.
#[derive(Debug, Default)]
pub(super) struct ServerConfig {
    pub(super) is_main: bool,
    pub(super) process: Process,
    /// `None`: this virtual host has no map of its own.
    pub(super) mounts: Option<MountTable>,
    pub(super) mount_file: Option<NamedFile>,
    pub(super) mount_file_reload_s: Option<u32>,
    pub(super) mount_copy: Option<bool>,
    pub(super) auto_alias: Option<Vec<u8>>,
    /// JkStripSession: on, and the parameter's text.
    pub(super) strip_session: Option<(bool, Vec<u8>)>,
    /// JkLogFile: a path, or `|command`.
    pub(super) log_file: Option<NamedFile>,
    pub(super) log_level: Option<crate::log::Level>,
    pub(super) stamp_format: Option<Vec<u8>>,
    pub(super) request_log_format: Option<Vec<u8>>,
    pub(super) indicators: [Option<CString>; 18],
    pub(super) extract_ssl: Option<bool>,
    pub(super) options: Options,
    pub(super) env_vars: Vec<EnvVar>,
    /// What the directives' values gave reason to say, for check_config.
    pub(super) findings: Vec<Diagnostic>,
    /// The main server's map object is used as it is (JkMountCopy with no map of one's own).
    pub(super) shares_main_map: bool,
    /// Built by post_config.
    pub(super) active: OnceCell<Arc<Vhost>>,
}

impl ServerConfig {
    /// The own mount rules, created when the first one is added.
    pub(super) fn own_mounts(&mut self) -> &mut MountTable {
        self.mounts.get_or_insert_with(MountTable::default)
    }

    /// What a virtual host means: its own directives where it has some, the main server's elsewhere
    /// (reference: apache-side.md section 1, "vhost merge" column).
    pub(super) fn merged(main: &Self, own: &Self) -> Self {
        let mount_copy = own.mount_copy.or(main.process.mount_copy_all.then_some(true));
        let copies = mount_copy == Some(true);
        let mut mounts = own.mounts.clone().or_else(|| own.mount_file.as_ref().map(|_| MountTable::default()));
        if let (true, Some(table), Some(theirs)) = (copies, mounts.as_mut(), &main.mounts) {
            table.copy_missing(theirs);
        }
        let mut indicators = own.indicators.clone();
        for (mine, theirs) in indicators.iter_mut().zip(&main.indicators) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        let has_own_map = own.mounts.is_some() || own.mount_file.is_some();
        let shares_main_map = copies && !has_own_map;
        Self {
            is_main: false,
            process: main.process.clone(),
            mount_file: own
                .mount_file
                .clone()
                .or_else(|| main.mount_file.clone().filter(|_| copies && !shares_main_map)),
            mounts,
            mount_file_reload_s: own.mount_file_reload_s.or(main.mount_file_reload_s),
            mount_copy,
            auto_alias: own.auto_alias.clone().or_else(|| main.auto_alias.clone().filter(|_| copies)),
            strip_session: own.strip_session.clone().or_else(|| main.strip_session.clone()),
            log_file: own.log_file.clone().or_else(|| main.log_file.clone()),
            log_level: own.log_level.or(main.log_level),
            stamp_format: own.stamp_format.clone().or_else(|| main.stamp_format.clone()),
            request_log_format: own.request_log_format.clone().or_else(|| main.request_log_format.clone()),
            indicators,
            extract_ssl: own.extract_ssl.or(main.extract_ssl),
            options: Options::merged(&main.options, &own.options),
            env_vars: merged_env_vars(&main.env_vars, &own.env_vars),
            findings: own.findings.clone(),
            shares_main_map,
            active: OnceCell::new(),
        }
    }
}

/// Own entries first, then the main server's of other names (reference: apache-side.md section 1.3).
fn merged_env_vars(main: &[EnvVar], own: &[EnvVar]) -> Vec<EnvVar> {
    let mut all = own.to_vec();
    for theirs in main {
        if !own.iter().any(|mine| mine.name.as_bytes().eq_ignore_ascii_case(theirs.name.as_bytes())) {
            all.push(theirs.clone());
        }
    }
    all
}

/// httpd asks for an empty record of a server.
pub(super) unsafe extern "C" fn create(pool: *mut ffi::apr_pool_t, server: *mut ffi::server_rec) -> *mut c_void {
    guard("server configuration", ServerRef::none(), std::ptr::null_mut(), || {
        // SAFETY: httpd passes a live configuration pool (rule 1).
        let Some(pool) = (unsafe { Pool::from_ptr(pool) }) else { return std::ptr::null_mut() };
        // SAFETY: httpd passes the live server this record is for (rule 1).
        let is_main = unsafe { (*server).is_virtual } == 0;
        let mounts = is_main.then(MountTable::default);
        pool.own(ServerConfig { is_main, mounts, ..ServerConfig::default() }).cast::<c_void>()
    })
}

/// httpd asks what a virtual host means, given the main server.
pub(super) unsafe extern "C" fn merge(pool: *mut ffi::apr_pool_t, main: *mut c_void, own: *mut c_void) -> *mut c_void {
    guard("server configuration", ServerRef::none(), std::ptr::null_mut(), || {
        // SAFETY: httpd passes a live configuration pool (rule 1).
        let Some(pool) = (unsafe { Pool::from_ptr(pool) }) else { return std::ptr::null_mut() };
        // SAFETY: httpd passes what `create` returned for the main server (rule 8).
        let main = unsafe { &*main.cast::<ServerConfig>() };
        // SAFETY: httpd passes what `create` returned for the virtual host (rule 8).
        let own = unsafe { &*own.cast::<ServerConfig>() };
        pool.own(ServerConfig::merged(main, own)).cast::<c_void>()
    })
}

/// The record of `server`, when there is one.
///
/// # Safety
/// `server` must be live (rule 1) and the result must not be kept beyond the callback.
pub(super) unsafe fn of_server<'s>(server: *const ffi::server_rec) -> Option<&'s ServerConfig> {
    // SAFETY: live server by this function's contract.
    let vector = unsafe { (*server).module_config }.cast::<*mut ServerConfig>();
    if vector.is_null() {
        return None;
    }
    // SAFETY: a configuration vector has a slot for every module, at its index (rule 8).
    let slot = unsafe { vector.add(super::module_index()) };
    // SAFETY: the slot is readable for the life of the server.
    let config = unsafe { slot.read() };
    // SAFETY: null, or what `create`/`merge` put there (rule 8); changed only while directives are read, on one thread.
    unsafe { config.as_ref() }
}

/// Puts `config` into the slot of `server`.
///
/// # Safety
/// `server` must be live, `config` must live as long, and no other thread may run yet.
pub(super) unsafe fn put(server: *mut ffi::server_rec, config: *mut ServerConfig) {
    // SAFETY: live server by this function's contract.
    let vector = unsafe { (*server).module_config }.cast::<*mut ServerConfig>();
    // SAFETY: a configuration vector has a slot for every module, at its index (rule 8).
    let slot = unsafe { vector.add(super::module_index()) };
    // SAFETY: the slot is ours (rule 8).
    unsafe { slot.write(config) };
}

//! Typed worker configuration: properties in, [`Config`] and diagnostics with file and line out. Pure.
//!
//! Not here: files and directives (`apache`), shared copies of the editable settings (`shm`). The surprising thing: what the
//! status page may change is grouped in the `*Settings` structs, because those live in shared memory at run time and the
//! values here are only the start.
//!
//! ```
//! use mod_jk::config::{self, Defaults};
//! use mod_jk::properties::Properties;
//!
//! let mut findings = Vec::new();
//! let mut properties = Properties::new();
//! properties.read(b"worker.list=w1\nworker.w1.port=80a", "workers.properties", &mut findings);
//! let (_, more) = config::build(&properties, &Defaults::default());
//! findings.extend(more);
//! let error = findings.iter().find(|finding| finding.severity == mod_jk::properties::Severity::Error).unwrap();
//! assert_eq!(
//!     error.to_string(),
//!     "workers.properties:2: worker.w1.port must be a number from 1 to 65535, found \"80a\""
//! );
//! ```

pub mod advice;
pub mod attributes;
mod build;
mod origin;
pub mod rating;
mod reader;
pub mod toml;
pub mod value;

use crate::balancer::{Activation, Lock, Method};
use crate::properties::Properties;

pub use build::build;
pub use origin::{Origins, SettingOrigin, WorkerOrigins};

/// What the server knows and the workers file does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Threads that serve requests in one child process: the default of `connection_pool_size`.
    pub threads_per_child: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { threads_per_child: 1 }
    }
}

/// Everything the workers file and the JkWorkerProperty lines say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Workers of `worker.list`, in its order (repeats removed, noted by a warning).
    pub list: Vec<WorkerConfig>,
    /// Every AJP worker that exists: those of `worker.list` and all members, once per name.
    pub ajp: Vec<AjpConfig>,
    /// `worker.maintain`, seconds; 0 = never.
    pub maintain_s: u32,
    /// URI rules from `worker.<name>.mount`, in order: worker name and pattern.
    pub mounts: Vec<(String, String)>,
    /// What `cmd=dump` of the status page shows: all entries in order, without secrets.
    pub properties_dump: Vec<(String, String)>,
    /// Where each setting comes from; ask [`Config::origin_of`].
    pub origins: Origins,
}

impl Config {
    /// Where a worker has this attribute from.
    #[must_use]
    pub fn origin_of(&self, worker: &str, attribute: &str) -> SettingOrigin {
        self.origins.of(worker, attribute)
    }
}

/// One name of `worker.list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerConfig {
    /// `type=ajp13`: index into [`Config::ajp`].
    Ajp(usize),
    /// `type=lb`.
    Lb(LbConfig),
    /// `type=status`.
    Status(StatusConfig),
}

impl WorkerConfig {
    /// Its name.
    #[must_use]
    pub fn name<'c>(&'c self, config: &'c Config) -> Option<&'c str> {
        match self {
            Self::Ajp(index) => config.ajp.get(*index).map(|ajp| ajp.name.as_str()),
            Self::Lb(lb) => Some(&lb.name),
            Self::Status(status) => Some(&status.name),
        }
    }
}

/// One AJP worker (reference: ajp-side.md section 5). Times of 0 mean "off" as in C, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AjpConfig {
    /// Name, at most 63 bytes.
    pub name: String,
    /// What the status page can change.
    pub settings: AjpSettings,
    /// Local address to connect from.
    pub source: Option<String>,
    /// Prefer an IPv6 address when the host name has both.
    pub prefer_ipv6: bool,
    /// Receive and send timeout of the socket, seconds; 0 = none.
    pub socket_timeout_s: u32,
    /// Connect deadline; derived from `socket_timeout` when not given; 0 = the system's.
    pub socket_connect_timeout_ms: u32,
    /// SO_KEEPALIVE.
    pub socket_keepalive: bool,
    /// SO_SNDBUF and SO_RCVBUF, bytes; 0 = the system's.
    pub socket_buffer: u32,
    /// Connections per child; default: threads per child.
    pub connection_pool_size: u32,
    /// Connections that ageing leaves open.
    pub connection_pool_minsize: u32,
    /// How long a request waits for a free connection.
    pub connection_acquire_timeout_ms: u32,
    /// Letters of `ping_mode`.
    pub ping_mode: PingMode,
    /// `fail_on_status`: positive = hard, negative = soft; first match wins.
    pub fail_on_status: Vec<i32>,
    /// AJP secret, sent with every request; never logged.
    pub secret: Option<String>,
    /// `jkx.worker.<name>.unix_socket`: path of a Unix domain socket instead of host and port.
    pub unix_socket: Option<String>,
}

/// The part of an AJP worker that lives in shared memory and can be edited at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AjpSettings {
    /// Host name or address literal, at most 63 bytes.
    pub host: String,
    /// TCP port; 0 = contact disabled.
    pub port: u16,
    /// Idle seconds after which a pooled connection is closed; 0 = never.
    pub connection_pool_timeout_s: u32,
    /// CPing deadline, and default for the two below.
    pub ping_timeout_ms: u32,
    /// CPing after connect; 0 = off.
    pub connect_timeout_ms: u32,
    /// CPing before each request; 0 = off.
    pub prepost_timeout_ms: u32,
    /// Longest wait for the next packet of a response; 0 = for ever.
    pub reply_timeout_ms: u32,
    /// CPing of connections idle for this long; 0 = off.
    pub connection_ping_interval_s: u32,
    /// Tries in all per election, at least 1.
    pub retries: u32,
    /// Pause between tries.
    pub retry_interval_ms: u32,
    /// `recovery_options`; `None` = not set, which means DEVIATIONS section 2 and not 0.
    pub recovery_options: Option<u32>,
    /// Concurrent requests over all children; 0 = no limit.
    pub busy_limit: u32,
    /// Largest AJP packet, 8192 to 65536, a multiple of 1024.
    pub max_packet_size: u32,
}

impl Default for AjpSettings {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 8009,
            connection_pool_timeout_s: 0,
            ping_timeout_ms: 10_000,
            connect_timeout_ms: 0,
            prepost_timeout_ms: 0,
            reply_timeout_ms: 0,
            connection_ping_interval_s: 0,
            retries: 2,
            retry_interval_ms: 100,
            recovery_options: None,
            busy_limit: 0,
            max_packet_size: 8192,
        }
    }
}

/// `ping_mode`: when connections are probed (reference: ajp-side.md section 4). The derived timeouts are in [`AjpSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PingMode {
    /// `C`: after connect.
    pub connect: bool,
    /// `P`: before each request.
    pub prepost: bool,
    /// `I`: when idle.
    pub interval: bool,
}

/// One load balancer (reference: lb-shm-status.md section 2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LbConfig {
    /// Name, at most 63 bytes.
    pub name: String,
    /// What the status page can change.
    pub settings: LbSettings,
    /// Members in the order of `balance_workers`.
    pub members: Vec<MemberConfig>,
    /// Members tried per round.
    pub lb_retries: u32,
    /// Name of the session cookie.
    pub session_cookie: String,
    /// Path parameter with its leading `;`.
    pub session_path: String,
    /// Whether the balancer sets a cookie itself.
    pub set_session_cookie: bool,
    /// PATH of that cookie; empty = none.
    pub session_cookie_path: String,
    /// What C mod_jk does not have.
    pub extras: LbExtras,
}

/// Settings `jkx.worker.<lb>.*`, or `jkx.*` for all balancers (DEVIATIONS section 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbExtras {
    /// Healthy members are probed in the background, not only those in error.
    pub health: bool,
    /// Time between two probes of a member, at least 1.
    pub health_interval_s: u32,
    /// Longest wait for the answer, at least 1.
    pub health_timeout_ms: u32,
    /// Answers in a row that bring a member back, at least 1.
    pub health_rise: u32,
    /// Failures in a row that take a member out, at least 1.
    pub health_fall: u32,
    /// A method that replaces [`LbSettings::method`].
    pub method: Option<ExtraMethod>,
    /// Time over which a recovered member gets its share back; 0 = at once.
    pub slow_start_s: u32,
}

/// Balancing methods C mod_jk does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraMethod {
    /// `latency`: members that answer faster get more.
    Latency,
}

impl Default for LbExtras {
    fn default() -> Self {
        Self {
            health: false,
            health_interval_s: 10,
            health_timeout_ms: 2_000,
            health_rise: 2,
            health_fall: 3,
            method: None,
            slow_start_s: 0,
        }
    }
}

/// The part of a load balancer that lives in shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbSettings {
    /// Requests of a session go to its member.
    pub sticky_session: bool,
    /// ... or to none.
    pub sticky_session_force: bool,
    /// Rounds, at least 1.
    pub retries: u32,
    /// Pause between rounds.
    pub retry_interval_ms: u32,
    /// Seconds before a member in error is tried again, at least 1.
    pub recover_time_s: u32,
    /// Seconds that a member with other requests running may fail before it is in error.
    pub error_escalation_time_s: u32,
    /// Tolerated reply timeouts.
    pub max_reply_timeouts: u32,
    /// Balancing method.
    pub method: Method,
    /// What is held while choosing.
    pub lock: Lock,
}

impl Default for LbSettings {
    fn default() -> Self {
        Self {
            sticky_session: true,
            sticky_session_force: false,
            retries: 2,
            retry_interval_ms: 100,
            recover_time_s: 60,
            error_escalation_time_s: 30,
            max_reply_timeouts: 0,
            method: Method::Request,
            lock: Lock::Optimistic,
        }
    }
}

/// One member of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberConfig {
    /// Index into [`Config::ajp`].
    pub ajp: usize,
    /// What the status page can change.
    pub settings: MemberSettings,
}

/// The part of a member that lives in shared memory. Texts are at most 63 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSettings {
    /// jvmRoute of the Tomcat; default: the worker's name.
    pub route: String,
    /// Replication group; default: the route up to its first dot.
    pub domain: String,
    /// Route of the member that takes over.
    pub redirect: String,
    /// Preference; smaller is nearer.
    pub distance: i32,
    /// The admin's will.
    pub activation: Activation,
    /// Share of the load, at least 1.
    pub lb_factor: u32,
}

/// One status worker (reference: lb-shm-status.md section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusConfig {
    /// Name, at most 63 bytes.
    pub name: String,
    /// URL of a style sheet.
    pub css: Option<String>,
    /// Prefix of the XML elements, `jk:` by default; empty = none.
    pub ns: String,
    /// XML namespace attribute.
    pub xmlns: String,
    /// DOCTYPE line.
    pub doctype: Option<String>,
    /// Prefix of the properties format, `worker` by default.
    pub prefix: String,
    /// Changes are refused.
    pub read_only: bool,
    /// Users that may enter; empty = all.
    pub users: Vec<String>,
    /// Compare users without regard to case.
    pub user_case_insensitive: bool,
    /// `good` ratings as written.
    pub good: Vec<String>,
    /// `bad` ratings as written.
    pub bad: Vec<String>,
}

/// For the fuzzer: any bytes as a workers file, all the way to the configuration, its advice and its TOML form.
pub fn fuzz_properties(text: &[u8]) {
    let mut diagnostics = Vec::new();
    let mut properties = Properties::new();
    properties.read(text, "fuzz", &mut diagnostics);
    let _ = build(&properties, &Defaults::default());
    if let Ok(converted) = toml::convert_properties_to_toml(text, "workers.properties") {
        fuzz_toml(converted.as_bytes());
    }
}

/// For the fuzzer: any bytes as workers.toml, all the way to the configuration and its advice.
pub fn fuzz_toml(text: &[u8]) {
    let mut properties = Properties::new();
    toml::read(&mut properties, text, "fuzz", &mut Vec::new());
    let _ = build(&properties, &Defaults::default());
}

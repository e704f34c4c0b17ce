//! The one table of worker attributes: name, kind, default, bounds, what a repeat does, where it applies, old names, unit, status page
//! parameter, one line of documentation. Parsing, forms and documentation read it (reference: worker-properties.toml).
//!
//! Not here: how a value is read (`value`), derived defaults (`build`). The surprising thing: the table also decides how a file is
//! *read*, because what a repeated key does depends on the attribute; [`VOCABULARY`] carries that down to `properties`.

use crate::properties::{Duplicate, Properties, Severity, Vocabulary, nearest};

use Bounds::{Any, AtLeast, NegativeIsOff, PacketSize, Port};
use Duplicate::{Join, LastWins, List};
use Kind::{Activation, Bool, Int, IntList, Lock, Method, Names, PingMode, Text};
use Preset::{Derived, Is, Nothing};
use Scope::{Ajp, Global, Lb, Member, Status};
use Standing::{Current, Dead, Foreign, Renamed, Silent};

/// One attribute of one sort of worker. An attribute of both AJP workers and balancers (`retries`) has two rows.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Last part of the key; the two global ones are spelled in full.
    pub name: &'static str,
    /// What values look like.
    pub kind: Kind,
    /// What holds when it is not given.
    pub preset: Preset,
    /// Which numbers are taken as they are.
    pub bounds: Bounds,
    /// What a second value for the same key does.
    pub duplicate: Duplicate,
    /// Sorts of workers it means something to.
    pub applies_to: &'static [Scope],
    /// Whether it should be used.
    pub standing: Standing,
    /// Unit of the number; empty = none.
    pub unit: &'static str,
    /// Parameter of the status page's `update` that changes it; empty = not editable.
    pub status_parameter: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
}

/// What values of an attribute look like (reference: lb-shm-status.md section 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole number, with `k` or `m` for 1024 and 1048576.
    Int,
    /// Yes or no.
    Bool,
    /// Text of at most so many bytes.
    Text(usize),
    /// Names, separated by blanks, tabs or commas.
    Names,
    /// Numbers, separated likewise.
    IntList,
    /// Letters of [`super::PingMode`].
    PingMode,
    /// First letter of a balancing method, or its number.
    Method,
    /// First letter of a lock, or its number.
    Lock,
    /// First letter of an activation, or its number.
    Activation,
}

/// What holds when an attribute is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This value, written as in a file.
    Is(&'static str),
    /// The result of this formula.
    Derived(&'static str),
    /// Nothing.
    Nothing,
}

/// Which numbers are taken as they are. Other attributes than numbers have [`Bounds::Any`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// All.
    Any,
    /// Smaller ones are raised to this, with a warning.
    AtLeast(i32),
    /// Negative ones switch the feature off, as 0 does.
    NegativeIsOff,
    /// 0 to 65535; anything else is an error.
    Port,
    /// Rounded up to a multiple of 1024, then moved into 8192 to 65536, with a warning.
    PacketSize,
}

/// A sort of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No worker: the two settings of all.
    Global,
    /// AJP workers, members included.
    Ajp,
    /// AJP workers as members of a balancer.
    Member,
    /// Load balancers.
    Lb,
    /// Status workers.
    Status,
}

/// Whether an attribute should be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Current,
    /// Accepted without effect and, in C mod_jk, without a word.
    Silent,
    /// Works; this is the name to use now.
    Renamed(&'static str),
    /// Accepted without effect, with a warning.
    Dead,
    /// Unknown to C mod_jk, accepted because files of this product have it.
    Foreign(&'static str),
}

/// Longest worker name, route, domain, host and so on, in bytes: the shared records have 64 with their end mark.
pub const MAX_TEXT: usize = 63;
/// Longest path of a Unix domain socket that Linux takes.
pub const MAX_UNIX_SOCKET: usize = 107;

/// Limit of texts that nothing else limits.
const FREE: Kind = Text(crate::properties::MAX_VALUE);
const NAME: Kind = Text(MAX_TEXT);
/// Any worker: what the in-process worker of old left behind is accepted everywhere.
const ALL: &[Scope] = &[Ajp, Lb, Status];

macro_rules! attributes {
    ($($name:literal, $kind:expr, $preset:expr, $bounds:expr, $duplicate:expr, $scopes:expr, $standing:expr, $unit:literal,
       $status:literal, $doc:literal;)*) => {
        &[$(Attribute {
            name: $name, kind: $kind, preset: $preset, bounds: $bounds, duplicate: $duplicate, applies_to: $scopes,
            standing: $standing, unit: $unit, status_parameter: $status, doc: $doc,
        },)*]
    };
}

/// Every attribute a `worker.` key may end in.
pub static ATTRIBUTES: &[Attribute] = attributes! {
    "worker.list", Names, Is("ajp13"), Any, List, &[Global], Current, "", "",
        "Workers to create; only these can be mounted";
    "worker.maintain", Int, Is("60"), NegativeIsOff, Join('*'), &[Global], Current, "s", "",
        "Time between two maintenance runs (pools, recovery, decay of load); 0 = never";
    "type", FREE, Is("ajp13"), Any, LastWins, ALL, Current, "", "",
        "Sort of worker: ajp13, lb or status";
    "reference", FREE, Nothing, Any, LastWins, ALL, Current, "", "",
        "Prefix of the keys to take from another worker unless given here";
    "mount", Names, Nothing, Any, List, ALL, Current, "", "",
        "URI patterns this worker serves, for workers of worker.list";
    "list", Names, Nothing, Any, List, &[Global], Silent, "", "",
        "Only worker.list means something";
    "maintain", Int, Nothing, Any, Join('*'), &[Global], Silent, "", "",
        "Only worker.maintain means something";

    "host", NAME, Is("localhost"), Any, LastWins, &[Ajp], Current, "", "vahst",
        "Name or address of the backend";
    "port", Int, Is("8009"), Port, LastWins, &[Ajp], Current, "", "vaprt",
        "Port of the backend; 0 = no contact, and as a member stopped";
    "source", NAME, Nothing, Any, LastWins, &[Ajp], Current, "", "",
        "Local address to connect from";
    "prefer_ipv6", Bool, Is("false"), Any, LastWins, &[Ajp], Current, "", "",
        "Try IPv6 addresses of the host first";
    "secret", FREE, Nothing, Any, LastWins, &[Ajp, Lb], Current, "", "",
        "Secret sent with every request; of a balancer: for members without their own";
    "secretkey", FREE, Nothing, Any, Join('*'), &[], Silent, "", "",
        "Login key of ajp14 workers, which are not built";
    "socket_timeout", Int, Is("0"), NegativeIsOff, LastWins, &[Ajp], Current, "s", "",
        "Longest wait of one receive or send; 0 = no limit";
    "socket_connect_timeout", Int, Derived("socket_timeout * 1000"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "",
        "Longest wait for a connection; 0 = as long as the system tries";
    "socket_keepalive", Bool, Is("false"), Any, LastWins, &[Ajp], Current, "", "",
        "TCP keepalive on idle connections";
    "socket_buffer", Int, Is("0"), NegativeIsOff, LastWins, &[Ajp], Current, "bytes", "",
        "Kernel buffer per direction, at least max_packet_size; 0 = the system's";
    "connection_pool_size", Int, Derived("threads per child"), Any, LastWins, &[Ajp], Current, "", "",
        "Connections per child process; 0 = none, every request is refused";
    "connection_pool_minsize", Int, Derived("(connection_pool_size + 1) / 2"), Any, LastWins, &[Ajp], Current, "", "",
        "Connections that connection_pool_timeout leaves open; negative = all";
    "connection_pool_timeout", Int, Is("0"), Any, LastWins, &[Ajp], Current, "s", "vacpt",
        "Idle time after which a connection is closed; 0 = never";
    "connection_acquire_timeout", Int, Derived("retries * retry_interval"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "",
        "Longest wait for a free connection of the pool";
    "connection_ping_interval", Int, Derived("ping_timeout / 100 with ping_mode I, else 0"), NegativeIsOff, LastWins, &[Ajp],
        Current, "s", "vacpi",
        "Idle time after which a connection is probed; 0 = never";
    "ping_timeout", Int, Is("10000"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "vapng",
        "Longest wait for the answer to a probe";
    "ping_mode", PingMode, Nothing, Any, LastWins, &[Ajp], Current, "", "",
        "When connections are probed: C after connecting, P before each request, I when idle, A always";
    "connect_timeout", Int, Derived("ping_timeout with ping_mode C, else 0"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "vact",
        "Longest wait for the answer to the probe after connecting; 0 = no probe";
    "prepost_timeout", Int, Derived("ping_timeout with ping_mode P, else 0"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "vapt",
        "Longest wait for the answer to the probe before a request; 0 = no probe";
    "reply_timeout", Int, Is("0"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "vart",
        "Longest silence of the backend within a request; 0 = no limit";
    "retries", Int, Is("2"), AtLeast(1), LastWins, &[Ajp], Current, "", "var",
        "Tries against this backend, the first one included";
    "retry_interval", Int, Is("100"), NegativeIsOff, LastWins, &[Ajp], Current, "ms", "vari",
        "Pause before another try; 0 = none";
    "recovery_options", Int, Nothing, Any, LastWins, &[Ajp], Current, "", "varo",
        "What is not sent again: 1 requests sent, 2 after headers; 4 hard close; 8 HEAD and 16 GET are sent again all the same";
    "fail_on_status", IntList, Nothing, Any, List, &[Ajp], Current, "", "",
        "Statuses of the backend that count as failure; with a minus sign the member stays in service";
    "busy_limit", Int, Is("0"), NegativeIsOff, LastWins, &[Ajp], Current, "", "vabl",
        "Concurrent requests over all children; 0 = no limit";
    "max_packet_size", Int, Is("8192"), PacketSize, LastWins, &[Ajp], Current, "bytes", "vamps",
        "Largest AJP packet; the same as packetSize in Tomcat";
    "lb_retries", Int, Is("2"), AtLeast(1), LastWins, &[Ajp], Silent, "", "",
        "Only means something to balancers";

    "lbfactor", Int, Is("1"), AtLeast(1), LastWins, &[Member], Current, "", "vwf",
        "Share of the load in proportion to the other members";
    "distance", Int, Is("0"), Any, Join('*'), &[Member], Current, "", "vwd",
        "Preference: only the nearest usable members get work";
    "route", NAME, Derived("name of the worker"), Any, LastWins, &[Member], Current, "", "vwn",
        "jvmRoute of the Tomcat, as it stands behind the dot of session ids";
    "domain", NAME, Derived("route up to its first dot, if it has one"), Any, LastWins, &[Member], Current, "", "vwc",
        "Group of members that share sessions";
    "redirect", NAME, Nothing, Any, LastWins, &[Member], Current, "", "vwr",
        "Route of the member that takes over when this one is unusable";
    "activation", Activation, Is("active"), Any, LastWins, &[Member], Current, "", "vwa",
        "active, disabled (only sessions that belong here) or stopped";

    "balance_workers", Names, Nothing, Any, List, &[Lb], Current, "", "",
        "Members of the balancer";
    "sticky_session", Bool, Is("true"), Any, LastWins, &[Lb], Current, "", "vls",
        "Requests of a session go to the member that has it";
    "sticky_session_force", Bool, Is("false"), Any, LastWins, &[Lb], Current, "", "vlf",
        "... or are refused when it is unusable";
    "method", Method, Is("Request"), Any, LastWins, &[Lb], Current, "", "vlm",
        "What counts as load: Request, Traffic, Busyness, Sessions or Next";
    "lock", Lock, Is("Optimistic"), Any, LastWins, &[Lb], Current, "", "vll",
        "What is held while a member is chosen: Optimistic (nothing shared) or Pessimistic";
    "retries", Int, Is("2"), AtLeast(1), LastWins, &[Lb], Current, "", "vlr",
        "Rounds over the members";
    "lb_retries", Int, Is("2"), AtLeast(1), LastWins, &[Lb], Current, "", "",
        "Members tried in one round";
    "retry_interval", Int, Is("100"), NegativeIsOff, LastWins, &[Lb], Current, "ms", "vlri",
        "Pause between two rounds";
    "recover_time", Int, Is("60"), AtLeast(1), LastWins, &[Lb], Current, "s", "vlt",
        "Time before a member in error is tried again";
    "error_escalation_time", Int, Derived("recover_time / 2"), NegativeIsOff, LastWins, &[Lb], Current, "s", "vlee",
        "Time a member may fail some requests while it still serves others";
    "max_reply_timeouts", Int, Is("0"), Any, LastWins, &[Lb], Current, "", "vlx",
        "Reply timeouts a member may have before it is in error; negative = any number";
    "session_cookie", NAME, Is("JSESSIONID"), Any, LastWins, &[Lb], Current, "", "",
        "Name of the cookie with the session id";
    "session_path", NAME, Is(";jsessionid"), Any, LastWins, &[Lb], Current, "", "",
        "Path parameter with the session id, semicolon included";
    "set_session_cookie", Bool, Is("false"), Any, LastWins, &[Lb], Current, "", "",
        "Set a cookie with the route when the request had no session";
    "session_cookie_path", NAME, Is("/"), Any, LastWins, &[Lb], Current, "", "",
        "Path of that cookie";

    "css", FREE, Nothing, Any, LastWins, &[Status], Current, "", "",
        "URL of a style sheet for the HTML pages";
    "read_only", Bool, Is("false"), Any, LastWins, &[Status], Current, "", "",
        "Show, but change nothing";
    "user", Names, Nothing, Any, List, &[Status], Current, "", "",
        "Users that may enter; not given = everybody";
    "user_case_insensitive", Bool, Is("false"), Any, LastWins, &[Status], Current, "", "",
        "Compare them without regard to case";
    "good", Names, Is("a.o,a.i,a.b,a.r"), Any, List, &[Status], Current, "", "",
        "Members counted as good: activation letter, state letter, or both with a dot between";
    "bad", Names, Is("s,e"), Any, List, &[Status], Current, "", "",
        "Members counted as bad; looked at before good";
    "prefix", FREE, Is("worker"), Any, LastWins, &[Status], Current, "", "",
        "First word of the keys in the properties format";
    "ns", FREE, Is("jk:"), Any, LastWins, &[Status], Current, "", "",
        "Prefix of XML elements; - = none";
    "xmlns", FREE, Is("xmlns:jk=\"http://tomcat.apache.org\""), Any, LastWins, &[Status], Current, "", "",
        "Namespace attribute of the XML root; - = none";
    "doctype", FREE, Nothing, Any, LastWins, &[Status], Current, "", "",
        "Line after the XML declaration";

    "cachesize", Int, Nothing, Any, LastWins, &[Ajp], Renamed("connection_pool_size"), "", "",
        "Old name of connection_pool_size";
    "cache_timeout", Int, Nothing, Any, LastWins, &[Ajp], Renamed("connection_pool_timeout"), "s", "",
        "Old name of connection_pool_timeout";
    "recycle_timeout", Int, Nothing, Any, LastWins, &[Ajp], Dead, "s", "",
        "Was the idle time of connections, which connection_pool_timeout is now";
    "balanced_workers", Names, Nothing, Any, Join('*'), &[Lb], Renamed("balance_workers"), "", "",
        "Old name of balance_workers";
    "jvm_route", NAME, Nothing, Any, LastWins, &[Member], Renamed("route"), "", "",
        "Old name of route";
    "disabled", Bool, Is("false"), Any, LastWins, &[Member], Renamed("activation=disabled"), "", "",
        "Old form of activation=disabled";
    "stopped", Bool, Is("false"), Any, LastWins, &[Member], Renamed("activation=stopped"), "", "",
        "Old form of activation=stopped";
    "local_worker", Bool, Nothing, Any, LastWins, &[Member], Dead, "", "",
        "Was a preference, which distance is now";
    "local_worker_only", Bool, Nothing, Any, LastWins, &[Member], Dead, "", "",
        "Was a preference, which distance is now";

    "sysprops", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "stdout", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "stderr", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "mx", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "ms", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "class_path", FREE, Nothing, Any, Join(':'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "bridge", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "jvm_lib", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "ld_path", FREE, Nothing, Any, Join(':'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "cmd_line", FREE, Nothing, Any, Join(' '), ALL, Dead, "", "", "It was for Tomcat inside of the web server";
    "native_lib", FREE, Nothing, Any, Join('*'), ALL, Dead, "", "", "It was for Tomcat inside of the web server";

    "max_reuse_connections", FREE, Nothing, Any, LastWins, &[Ajp], Foreign("ColdFusion"), "", "",
        "Of the connector that ships with ColdFusion; connection_pool_size is the nearest thing";
};

/// Settings that only this module has: `jkx.worker.<name>.<attribute>`, and those of balancers also as `jkx.<attribute>` for all
/// (DEVIATIONS section 1).
pub static EXTRAS: &[Attribute] = attributes! {
    "unix_socket", Text(MAX_UNIX_SOCKET), Nothing, Any, LastWins, &[Ajp], Current, "", "",
        "Path of a Unix domain socket of the backend, instead of host and port";
    "health", Bool, Is("false"), Any, LastWins, &[Lb], Current, "", "",
        "Probe healthy members in the background too, so that no request finds out that one is down (needs JkWatchdogInterval)";
    "health_interval", Int, Is("10"), AtLeast(1), LastWins, &[Lb], Current, "s", "",
        "Time between two probes of a member";
    "health_timeout", Int, Is("2000"), AtLeast(1), LastWins, &[Lb], Current, "ms", "",
        "Longest wait for the answer to such a probe";
    "health_rise", Int, Is("2"), AtLeast(1), LastWins, &[Lb], Current, "", "",
        "Answers in a row that bring a member back";
    "health_fall", Int, Is("3"), AtLeast(1), LastWins, &[Lb], Current, "", "",
        "Failures in a row that take a member out";
    "method", FREE, Nothing, Any, LastWins, &[Lb], Current, "", "",
        "Balancing methods C mod_jk does not have: latency";
    "slow_start", Int, Is("0"), NegativeIsOff, LastWins, &[Lb], Current, "s", "",
        "Time over which a recovered member gets its share back; 0 = at once";
};

/// How workers files are read.
pub const VOCABULARY: Vocabulary = Vocabulary { duplicate, check };

/// Here and not in `properties`, because what a repeated key does is in the table above.
impl Properties {
    /// No entries yet; reads names as a workers file does.
    #[must_use]
    pub fn new() -> Self {
        Self::with_vocabulary(VOCABULARY)
    }
}

impl Default for Properties {
    fn default() -> Self {
        Self::new()
    }
}

/// The row of an attribute for one sort of worker; rows of AJP workers hold for members too.
#[must_use]
pub fn attribute(name: &str, scope: Scope) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|row| row.name == name && row.is_for(scope))
}

/// The row of a setting that only this module has.
#[must_use]
pub fn extra(name: &str) -> Option<&'static Attribute> {
    EXTRAS.iter().find(|row| row.name == name)
}

impl Attribute {
    /// Whether it means something to this sort of worker.
    #[must_use]
    pub fn is_for(&self, scope: Scope) -> bool {
        self.applies_to.contains(&scope) || (scope == Member && self.applies_to.contains(&Ajp))
    }

    /// The default as written in a file, empty when there is none or it is derived.
    #[must_use]
    pub fn default_text(&self) -> &'static str {
        match self.preset {
            Is(text) => text,
            Derived(_) | Nothing => "",
        }
    }
}

/// The part of a key that names the attribute.
fn suffix(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, suffix)| suffix)
}

fn duplicate(key: &str) -> Duplicate {
    if key.starts_with("jkx.") {
        return LastWins;
    }
    // C mod_jk looks at the suffix of any key, also of a user variable, but wants a dot before it.
    match key.rsplit_once('.').and_then(|(_, name)| ATTRIBUTES.iter().find(|row| row.name == name)) {
        Some(row) => row.duplicate,
        None if key.ends_with("_path") => Join(':'),
        None => Join('*'),
    }
}

fn check(key: &str) -> Option<(Severity, String)> {
    if let Some(rest) = key.strip_prefix("jkx.") {
        return check_extra(key, rest);
    }
    if !key.starts_with("worker.") {
        return None;
    }
    let (group, name) = key.rsplit_once('.')?;
    let Some(row) = ATTRIBUTES.iter().find(|row| row.name == name) else {
        return Some((Severity::Error, unknown(group, name)));
    };
    let message = match row.standing {
        Current | Silent => return None,
        Renamed(new) if new.contains('=') => format!("{key} is an old form; write {group}.{new}"),
        Renamed(new) => format!("{key} is an old name; write {group}.{new}"),
        Dead => format!("{key} has no effect any more and can be removed ({})", row.doc),
        Foreign(product) => format!("{key} is known to {product} only and has no effect here ({})", row.doc),
    };
    Some((Severity::Warning, message))
}

/// Says that a key is unknown, and what was probably meant.
fn unknown(group: &str, name: &str) -> String {
    let current = ATTRIBUTES.iter().filter(|row| row.standing == Current).map(|row| row.name);
    let near = nearest(name, current).or_else(|| nearest(name, ATTRIBUTES.iter().map(|row| row.name)));
    let hint = match (near, extra(name)) {
        (_, Some(_)) => format!("; this module's own settings are written jkx.{group}.{name}"),
        (Some(near), _) => format!("; did you mean {group}.{near}?"),
        (None, None) => String::new(),
    };
    format!("{group}.{name} is not a known attribute{hint}")
}

fn check_extra(key: &str, rest: &str) -> Option<(Severity, String)> {
    let (known, of_worker) = match rest.strip_prefix("worker.") {
        Some(rest) => (rest.contains('.') && extra(suffix(rest)).is_some(), true),
        None => (extra(rest).is_some_and(|row| row.is_for(Lb)), false),
    };
    if known {
        return None;
    }
    let (group, name) = key.rsplit_once('.')?;
    let hint = if of_worker && ATTRIBUTES.iter().any(|row| row.name == name) {
        format!("; an attribute of C mod_jk is written without jkx: {rest}")
    } else if extra(name).is_some() {
        format!("; it is written jkx.worker.<name>.{name}")
    } else {
        let near = nearest(name, EXTRAS.iter().map(|row| row.name));
        near.map_or(String::new(), |near| format!("; did you mean {group}.{near}?"))
    };
    Some((Severity::Warning, format!("{key} is not a known setting and is ignored{hint}")))
}

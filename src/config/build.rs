//! Properties to [`Config`]: which workers there are, and what follows from what is given (reference: lb-shm-status.md section
//! 1.7, 2.1, 2.2, 4.1; ajp-side.md section 5).
//!
//! Not here: how a value is read (`reader`), what is merely unwise (`advice`). The surprising thing: an AJP worker exists once per name,
//! however many balancers have it as a member, so that all of them see the same settings.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{MAX_TEXT, Scope, attribute};
use super::rating::Pairs;
use super::reader::{Reader, name_too_long, written_key};
use super::value::{self, ACTIVATIONS, LOCKS, METHODS, Number};
use super::{
    AjpConfig, AjpSettings, Config, Defaults, ExtraMethod, LbConfig, LbExtras, LbSettings, MemberConfig,
    MemberSettings, Origins, StatusConfig, WorkerConfig, advice,
};
use crate::balancer::{Activation, Lock, Method};
use crate::properties::{Diagnostic, Entry, Properties, Severity, nearest};

/// Shortest derived `connection_acquire_timeout` where `retry_interval` gives none. In C mod_jk such a worker is unusable.
const LEAST_ACQUIRE_TIMEOUT_MS: u32 = 200;

/// Understands what was read. With an [`Severity::Error`] among the findings the configuration must not be used; it is then as complete
/// as it can be, so that one run finds everything.
///
/// `reference`s are resolved here; `properties` stay as they were read.
#[must_use]
pub fn build(properties: &Properties, defaults: &Defaults) -> (Config, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut properties = properties.clone();
    properties.resolve_references(&mut diagnostics);
    let config = Config {
        properties_dump: properties.without_secrets(),
        origins: Origins::of_properties(&properties),
        ..Config::default()
    };
    let mut builder = Builder {
        properties: &properties,
        defaults,
        diagnostics: &mut diagnostics,
        config,
        places: BTreeMap::new(),
        members: Vec::new(),
    };
    let maintain = Reader::global(&properties, builder.diagnostics).int("worker.maintain");
    builder.config.maintain_s = unsigned(maintain);
    for name in builder.listed() {
        builder.worker(&name);
    }
    let config = builder.config;
    diagnostics.extend(advice::check(&properties, &config));
    (config, once_each(diagnostics))
}

#[derive(Debug)]
struct Builder<'a> {
    properties: &'a Properties,
    defaults: &'a Defaults,
    diagnostics: &'a mut Vec<Diagnostic>,
    config: Config,
    /// Places in `config.ajp` by name.
    places: BTreeMap<String, usize>,
    /// Member settings of the AJP worker at the same place in `config.ajp`, once a balancer has asked for them.
    members: Vec<Option<MemberSettings>>,
}

/// The sorts of workers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Ajp,
    Lb,
    Status,
}

impl<'a> Builder<'a> {
    fn complain(&mut self, severity: Severity, entry: Option<&Entry>, message: String) {
        self.diagnostics.push(match entry {
            Some(entry) => entry.diagnostic(severity, message),
            None => Diagnostic { origin: None, severity, message },
        });
    }

    fn entry(&self, worker: &str, attribute: &str) -> Option<&'a Entry> {
        self.properties.get(&format!("worker.{worker}.{attribute}"))
    }

    /// The names of `worker.list`, each once.
    fn listed(&mut self) -> Vec<String> {
        let names = Reader::global(self.properties, self.diagnostics).names("worker.list");
        let entry = self.properties.get("worker.list");
        if names.is_empty() {
            self.complain(Severity::Error, entry, "worker.list must name at least one worker".to_owned());
        }
        let mut seen = BTreeSet::new();
        let mut listed = Vec::new();
        for name in names {
            if seen.insert(name.clone()) {
                listed.push(name);
            } else {
                self.complain(Severity::Warning, entry, format!("worker.list names {name:?} again; once is enough"));
            }
        }
        listed
    }

    fn worker(&mut self, name: &str) {
        if let Some(problem) = name_too_long(name) {
            self.complain(Severity::Error, self.properties.get("worker.list"), problem);
        }
        let Some(sort) = self.sort(name) else { return };
        let scope = match sort {
            Sort::Ajp => Scope::Ajp,
            Sort::Lb => Scope::Lb,
            Sort::Status => Scope::Status,
        };
        let worker = match sort {
            Sort::Ajp => WorkerConfig::Ajp(self.ajp(name)),
            Sort::Lb => WorkerConfig::Lb(self.lb(name)),
            Sort::Status => WorkerConfig::Status(self.status(name)),
        };
        self.config.list.push(worker);
        self.mounts(name, scope);
    }

    /// The sort of a worker; an unknown one is an error.
    fn sort(&mut self, name: &str) -> Option<Sort> {
        let Some(entry) = self.entry(name, "type") else { return Some(Sort::Ajp) };
        let key = written_key(entry);
        let message = match entry.value.as_str() {
            "ajp13" => return Some(Sort::Ajp),
            "lb" => return Some(Sort::Lb),
            "status" => return Some(Sort::Status),
            old @ ("ajp12" | "ajp14") => {
                format!("{key} must be ajp13, lb or status, found {old:?}, which is not built; use ajp13")
            }
            other => {
                let near = nearest(other, ["ajp13", "lb", "status"]);
                let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                format!("{key} must be ajp13, lb or status, found {other:?}{hint}")
            }
        };
        self.complain(Severity::Error, Some(entry), message);
        None
    }

    /// The URI patterns given with the worker.
    fn mounts(&mut self, name: &str, scope: Scope) {
        let mut reader = Reader::worker(self.properties, self.diagnostics, name, scope);
        let patterns = reader.names("mount");
        let entry = reader.entry("mount");
        for pattern in patterns {
            let path = pattern.strip_prefix('-').unwrap_or(&pattern);
            if path.strip_prefix('!').unwrap_or(path).starts_with('/') {
                self.config.mounts.push((name.to_owned(), pattern));
            } else {
                let message =
                    format!("worker.{name}.mount must be a list of patterns that begin with /, found {pattern:?}");
                self.complain(Severity::Error, entry, message);
            }
        }
    }

    /// Place of the AJP worker of this name, which is read when it is first asked for.
    fn ajp(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let mut reader = Reader::worker(self.properties, self.diagnostics, name, Scope::Ajp);
        let worker = read_ajp(&mut reader, name, self.defaults);
        let unix_socket = Reader::extras(self.properties, self.diagnostics, name).unix_socket();
        self.config.ajp.push(AjpConfig { unix_socket, ..worker });
        self.members.push(None);
        let place = self.config.ajp.len() - 1;
        self.places.insert(name.to_owned(), place);
        place
    }

    fn lb(&mut self, name: &str) -> LbConfig {
        let mut reader = Reader::worker(self.properties, self.diagnostics, name, Scope::Lb);
        let mut lb = read_lb(&mut reader, name);
        let secret = reader.secret();
        let list = reader.entry("balance_workers").or_else(|| reader.entry("balanced_workers"));
        lb.extras = read_lb_extras(&mut Reader::extras(self.properties, self.diagnostics, name));
        for member in value::names(list.map_or("", |entry| &entry.value)) {
            self.member(&mut lb, member, list);
        }
        if lb.members.is_empty() {
            let at = list.or_else(|| self.entry(name, "type"));
            let message = format!("worker.{name}.balance_workers must name at least one member of the balancer");
            self.complain(Severity::Error, at, message);
        }
        self.check_routes(&lb, list);
        if let Some(secret) = secret {
            self.hand_down_secret(&lb, &secret);
        }
        lb.lb_retries = lb.lb_retries.min(u32::try_from(lb.members.len()).unwrap_or(u32::MAX)).max(1);
        lb
    }

    /// Adds a member to the balancer, or says why it cannot be one.
    fn member(&mut self, lb: &mut LbConfig, name: &str, list: Option<&Entry>) {
        if let Some(problem) = name_too_long(name) {
            self.complain(Severity::Error, list, problem);
        }
        let key = list.map_or(String::new(), written_key);
        match self.sort(name) {
            Some(Sort::Ajp) => {
                let ajp = self.ajp(name);
                if lb.members.iter().any(|member| member.ajp == ajp) {
                    self.complain(
                        Severity::Error,
                        list,
                        format!("{key} names {name:?} twice; a member can be there once"),
                    );
                    return;
                }
                let settings = self.member_settings(ajp, name);
                lb.members.push(MemberConfig { ajp, settings });
            }
            Some(Sort::Lb | Sort::Status) => {
                let sort = self.entry(name, "type").map_or("", |entry| &entry.value);
                let message = format!("{key} must name workers of type ajp13, found {name:?}, which has type {sort}");
                self.complain(Severity::Error, list, message);
            }
            None => {}
        }
    }

    fn member_settings(&mut self, ajp: usize, name: &str) -> MemberSettings {
        if let Some(Some(settings)) = self.members.get(ajp) {
            return settings.clone();
        }
        let mut settings =
            read_member(&mut Reader::worker(self.properties, self.diagnostics, name, Scope::Member), name);
        if self.config.ajp.get(ajp).is_some_and(|worker| worker.settings.port == 0 && worker.unix_socket.is_none()) {
            settings.activation = Activation::Stopped;
        }
        if let Some(known) = self.members.get_mut(ajp) {
            *known = Some(settings.clone());
        }
        settings
    }

    /// Two members with one route cannot be told apart by a session id.
    fn check_routes(&mut self, lb: &LbConfig, list: Option<&Entry>) {
        let mut owners: BTreeMap<&str, String> = BTreeMap::new();
        for member in &lb.members {
            let route = member.settings.route.as_str();
            let name = self.config.ajp.get(member.ajp).map_or(String::new(), |worker| worker.name.clone());
            let Some(first) = owners.get(route) else {
                owners.insert(route, name);
                continue;
            };
            let at = self.entry(&name, "route").or_else(|| self.entry(first, "route")).or(list);
            let message = format!(
                "members {first:?} and {name:?} of the balancer {:?} have the same route {route:?}; each needs its own",
                lb.name
            );
            self.complain(Severity::Error, at, message);
        }
    }

    /// The balancer's secret holds for members that have none. As AJP workers exist once per name, it also holds for them outside of
    /// this balancer; the first balancer that has one wins.
    fn hand_down_secret(&mut self, lb: &LbConfig, secret: &str) {
        for member in &lb.members {
            let Some(worker) = self.config.ajp.get_mut(member.ajp) else { continue };
            match &worker.secret {
                None => {
                    worker.secret = Some(secret.to_owned());
                    self.config.origins.hand_down("secret", &lb.name, &worker.name);
                }
                Some(other)
                    if other != secret && self.properties.get(&format!("worker.{}.secret", worker.name)).is_none() =>
                {
                    let message = format!(
                        "{:?} is a member of balancers with different secrets; the one of {:?} is not used for it",
                        worker.name, lb.name
                    );
                    let at = self.entry(&lb.name, "secret");
                    self.complain(Severity::Warning, at, message);
                }
                Some(_) => {}
            }
        }
    }

    fn status(&mut self, name: &str) -> StatusConfig {
        let mut reader = Reader::worker(self.properties, self.diagnostics, name, Scope::Status);
        read_status(&mut reader, name)
    }
}

fn read_ajp(reader: &mut Reader<'_, '_>, name: &str, defaults: &Defaults) -> AjpConfig {
    let socket_timeout = reader.int("socket_timeout");
    let max_packet_size = unsigned(reader.int("max_packet_size"));
    let settings = read_ajp_settings(reader, max_packet_size);
    let threads = i32::try_from(defaults.threads_per_child).unwrap_or(i32::MAX);
    let connection_pool_size = reader.first_not_negative("connection_pool_size", "cachesize", threads);
    let connection_pool_minsize =
        match reader.int_or("connection_pool_minsize", connection_pool_size.div_ceil(2).cast_signed()) {
            ..0 => connection_pool_size,
            size => unsigned(size),
        };
    let derived_ms = match settings.retries.saturating_mul(settings.retry_interval_ms) {
        0 => LEAST_ACQUIRE_TIMEOUT_MS,
        pause => pause,
    };
    let acquire = reader.int_or("connection_acquire_timeout", i32::try_from(derived_ms).unwrap_or(i32::MAX));
    let connect = reader.int_or("socket_connect_timeout", socket_timeout.saturating_mul(1_000));
    AjpConfig {
        name: name.to_owned(),
        settings,
        source: reader.text("source"),
        prefer_ipv6: reader.boolean("prefer_ipv6"),
        socket_timeout_s: unsigned(socket_timeout),
        socket_connect_timeout_ms: unsigned(connect),
        socket_keepalive: reader.boolean("socket_keepalive"),
        socket_buffer: reader.socket_buffer(max_packet_size),
        connection_pool_size,
        connection_pool_minsize,
        connection_acquire_timeout_ms: unsigned(acquire),
        ping_mode: reader.ping_mode(),
        fail_on_status: reader.numbers("fail_on_status"),
        secret: reader.secret(),
        unix_socket: None,
    }
}

fn read_ajp_settings(reader: &mut Reader<'_, '_>, max_packet_size: u32) -> AjpSettings {
    let mode = reader.ping_mode();
    let ping_timeout = reader.int("ping_timeout");
    // Only 0 is replaced: a negative value says that there is to be no probe whatever the mode.
    let mut derived = |name: &str, on: bool, preset: i32| match reader.int_or(name, 0) {
        0 if on => unsigned(preset),
        given => unsigned(given),
    };
    let connect_timeout_ms = derived("connect_timeout", mode.connect, ping_timeout);
    let prepost_timeout_ms = derived("prepost_timeout", mode.prepost, ping_timeout);
    let connection_ping_interval_s = derived("connection_ping_interval", mode.interval, ping_timeout / 100);
    let (host, port) = reader.address();
    AjpSettings {
        host,
        port,
        connection_pool_timeout_s: reader.first_not_negative("connection_pool_timeout", "cache_timeout", 0),
        ping_timeout_ms: unsigned(ping_timeout),
        connect_timeout_ms,
        prepost_timeout_ms,
        reply_timeout_ms: unsigned(reader.int("reply_timeout")),
        connection_ping_interval_s,
        retries: unsigned(reader.int("retries")),
        retry_interval_ms: unsigned(reader.int("retry_interval")),
        recovery_options: reader.int_if_given("recovery_options", None).map(i32::cast_unsigned),
        busy_limit: unsigned(reader.int("busy_limit")),
        max_packet_size,
    }
}

fn read_lb(reader: &mut Reader<'_, '_>, name: &str) -> LbConfig {
    let recover_time = reader.int("recover_time");
    let settings = LbSettings {
        sticky_session: reader.boolean("sticky_session"),
        sticky_session_force: reader.boolean("sticky_session_force"),
        retries: unsigned(reader.int("retries")),
        retry_interval_ms: unsigned(reader.int("retry_interval")),
        recover_time_s: unsigned(recover_time),
        error_escalation_time_s: unsigned(reader.int_or("error_escalation_time", recover_time / 2)),
        // C mod_jk compares it as unsigned, so a negative number is never exceeded.
        max_reply_timeouts: reader.int("max_reply_timeouts").cast_unsigned(),
        method: reader.choice("method", &METHODS).unwrap_or(Method::Request),
        lock: reader.choice("lock", &LOCKS).unwrap_or(Lock::Optimistic),
    };
    LbConfig {
        name: name.to_owned(),
        settings,
        members: Vec::new(),
        lb_retries: unsigned(reader.int("lb_retries")),
        session_cookie: reader.text_or_default("session_cookie"),
        session_path: reader.text_or_default("session_path"),
        set_session_cookie: reader.boolean("set_session_cookie"),
        session_cookie_path: reader.text_or_default("session_cookie_path"),
        extras: LbExtras::default(),
    }
}

fn read_lb_extras(reader: &mut Reader<'_, '_>) -> LbExtras {
    let method = reader.entry("method").and_then(|entry| {
        if entry.value.eq_ignore_ascii_case("latency") {
            return Some(ExtraMethod::Latency);
        }
        reader.complain(Severity::Warning, entry, &format!("must be latency, found {:?}; it is ignored", entry.value));
        None
    });
    LbExtras {
        health: reader.boolean("health"),
        health_interval_s: unsigned(reader.int("health_interval")),
        health_timeout_ms: unsigned(reader.int("health_timeout")),
        health_rise: unsigned(reader.int("health_rise")),
        health_fall: unsigned(reader.int("health_fall")),
        method,
        slow_start_s: unsigned(reader.int("slow_start")),
    }
}

fn read_member(reader: &mut Reader<'_, '_>, name: &str) -> MemberSettings {
    let old_route = reader.text("jvm_route");
    let route = reader.text("route").or(old_route).unwrap_or_else(|| name.to_owned());
    let before_dot = || route.split_once('.').map_or(String::new(), |(domain, _)| domain.to_owned());
    let domain = reader.text("domain").unwrap_or_else(before_dot);
    let (stopped, disabled) = (reader.boolean("stopped"), reader.boolean("disabled"));
    let activation = reader.choice("activation", &ACTIVATIONS).unwrap_or(match (stopped, disabled) {
        (true, _) => Activation::Stopped,
        (false, true) => Activation::Disabled,
        (false, false) => Activation::Active,
    });
    MemberSettings {
        route,
        domain,
        redirect: reader.text_or_default("redirect"),
        distance: reader.int("distance"),
        activation,
        lb_factor: unsigned(reader.int("lbfactor")),
    }
}

fn read_status(reader: &mut Reader<'_, '_>, name: &str) -> StatusConfig {
    let (good, bad) = (reader.ratings("good"), reader.ratings("bad"));
    // Only lists that are both given overlap by somebody's will.
    if let (Some(entry), Some(_)) = (reader.entry("good"), reader.entry("bad"))
        && Pairs::of(&good).0.overlap(Pairs::of(&bad).0)
    {
        reader.complain(Severity::Warning, entry, "names what bad names too; bad wins there");
    }
    let mut unless_dash = |attribute: &str| {
        let text = reader.text_or_default(attribute);
        if text.starts_with('-') { String::new() } else { text }
    };
    let (ns, xmlns) = (unless_dash("ns"), unless_dash("xmlns"));
    StatusConfig {
        name: name.to_owned(),
        css: reader.text("css"),
        ns,
        xmlns,
        doctype: reader.text("doctype"),
        prefix: reader.text_or_default("prefix"),
        read_only: reader.boolean("read_only"),
        users: reader.names("user"),
        user_case_insensitive: reader.boolean("user_case_insensitive"),
        good,
        bad,
    }
}

/// What only one attribute needs.
impl Reader<'_, '_> {
    /// The first of two names that has a number of at least 0, or the default.
    fn first_not_negative(&mut self, name: &str, old_name: &str, preset: i32) -> u32 {
        for name in [name, old_name] {
            match self.int_if_given(name, Some(preset)) {
                Some(number @ 0..) => return unsigned(number),
                Some(number) => {
                    if let Some(entry) = self.entry(name) {
                        self.complain(
                            Severity::Warning,
                            entry,
                            &format!("must be at least 0, found {number}; it is ignored"),
                        );
                    }
                }
                None => {}
            }
        }
        unsigned(preset)
    }

    fn socket_buffer(&mut self, max_packet_size: u32) -> u32 {
        let size = unsigned(self.int("socket_buffer"));
        match self.entry("socket_buffer") {
            Some(entry) if size > 0 && size < max_packet_size => {
                let problem = format!("must be at least max_packet_size, found {size}; {max_packet_size} is used");
                self.complain(Severity::Warning, entry, &problem);
                max_packet_size
            }
            _ => size,
        }
    }

    fn ping_mode(&mut self) -> super::PingMode {
        let Some(entry) = self.entry("ping_mode") else { return super::PingMode::default() };
        let (mode, unknown) = value::ping_mode(&entry.value);
        if !unknown.trim_matches([' ', '\t', ',']).is_empty() {
            let problem = format!("must be letters of C, P, I and A, found {:?}; {unknown:?} is ignored", entry.value);
            self.complain(Severity::Warning, entry, &problem);
        }
        mode
    }

    /// A list of ratings; elements that name nothing are left in, the status worker ignores them.
    fn ratings(&mut self, name: &str) -> Vec<String> {
        let list = self.names(name);
        let (_, unknown) = Pairs::of(&list);
        if let (Some(entry), Some(first)) = (self.entry(name), unknown.first()) {
            let problem =
                format!("must be letters a d s (activation) and o i b r e (state), found {first:?}; it is ignored");
            self.complain(Severity::Warning, entry, &problem);
        }
        list
    }

    /// Host and port. `host:port` and `[address]` are understood as well, which C mod_jk does not.
    fn address(&mut self) -> (String, u16) {
        let port = self.entry("port").map(|entry| (entry, self.port(entry, &entry.value)));
        let preset = attribute("port", Scope::Ajp).and_then(|row| row.default_text().parse().ok()).unwrap_or(0);
        let given = port.map_or(preset, |(_, port)| port);
        let Some(host) = self.entry("host") else { return (self.text_or_default("host"), given) };
        let (name, embedded) = match split_host(&host.value) {
            Ok(parts) => parts,
            Err(problem) => {
                self.complain(Severity::Error, host, &format!("{problem}, found {:?}", host.value));
                return (host.value.clone(), given);
            }
        };
        if name.len() > MAX_TEXT {
            self.complain(Severity::Error, host, &format!("must have at most {MAX_TEXT} bytes, found {}", name.len()));
        }
        if name.len() != host.value.len() {
            let problem =
                format!("{:?} is not understood by C mod_jk; better write host={name} and the port apart", host.value);
            self.complain(Severity::Advice, host, &problem);
        }
        let Some(embedded) = embedded.map(|text| self.port(host, text)) else { return (name.to_owned(), given) };
        if let Some((entry, port)) = port
            && port != embedded
        {
            let problem = format!("says {port}, but {} says {embedded}; which one is it?", written_key(host));
            self.complain(Severity::Error, entry, &problem);
        }
        (name.to_owned(), embedded)
    }

    /// A port. Unlike other numbers a wrong one is an error: C mod_jk would contact some other port.
    fn port(&mut self, entry: &Entry, text: &str) -> u16 {
        if let Number::Whole(number) = value::number(text)
            && let Ok(port) = u16::try_from(number)
        {
            return port;
        }
        self.complain(Severity::Error, entry, &format!("must be a number from 1 to 65535, found {text:?}"));
        0
    }

    fn unix_socket(&mut self) -> Option<String> {
        let path = self.text("unix_socket")?;
        if !path.starts_with('/')
            && let Some(entry) = self.entry("unix_socket")
        {
            self.complain(Severity::Error, entry, &format!("must be an absolute path, found {path:?}"));
        }
        Some(path)
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; a bare IPv6 address has more than one colon and stays whole.
fn split_host(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("must have a ] behind the address")?;
        let without_zone = address.split_once('%').map_or(address, |(address, _)| address);
        if without_zone.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("must have an IPv6 address between [ and ]");
        }
        return match port.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if port.is_empty() => Ok((address, None)),
            None => Err("must have nothing or :port behind the ]"),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') && !host.is_empty() => Ok((host, Some(port))),
        Some((_, port)) if !port.contains(':') => Err("must have a name or an address before the colon"),
        _ => Ok((text, None)),
    }
}

/// Negative numbers switch things off, as 0 does.
fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// What several workers have from one template is found once for each of them.
fn once_each(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let key = |one: &Diagnostic| (one.origin.as_ref().map(|at| (at.file.to_string(), at.line)), one.message.clone());
    diagnostics.into_iter().filter(|one| seen.insert(key(one))).collect()
}

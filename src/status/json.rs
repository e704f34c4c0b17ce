//! The view as JSON (`mime=json`): everything there is, with the origin of each setting.
//!
//! Not here: what the old formats must look like. The surprising thing: the number `schema` only changes when a field goes away or changes
//! its meaning; new fields may come at any time.
//!
//! The fields are described in `conf/status-json.md`; tests hold that page to what comes.

use std::collections::HashMap;

use serde::Serialize;

use super::command::Verb;
use super::effective::{self, Settings};
use super::explain::Explanation;
use super::view::{Ajp, Balancer, Map, Member, Times, View};
use super::{Ask, Outcome, Scene};
use crate::balancer::Activation;
use crate::config::{LbConfig, WorkerConfig};
use crate::log::Shown;
use crate::shm::{Draining, FAILINGS, Failing, Histogram};

/// Version of the schema.
const SCHEMA: u32 = 1;

/// What an answer says beside head and result.
#[derive(Default)]
pub(super) struct Content<'a> {
    /// Of `list` and `show`.
    pub(super) view: Option<&'a View>,
    /// Of `explain`.
    pub(super) explanation: Option<&'a Explanation<'a>>,
}

#[derive(Serialize)]
struct Top<'a> {
    schema: u32,
    server: Server<'a>,
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    balancers: Option<Vec<BalancerOut<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ajp_workers: Option<Vec<Plain<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Vec<Property<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<&'a Explanation<'a>>,
    result: ResultOut<'a>,
}

#[derive(Serialize)]
struct Server<'a> {
    name: String,
    port: u16,
    web_server: String,
    jk_version: &'a str,
    maintain_s: u32,
}

#[derive(Serialize)]
struct Time {
    unix: u64,
    iso: String,
}

#[derive(Serialize)]
struct ResultOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Property<'a> {
    name: &'a str,
    value: &'a str,
}

/// From, to: of what happens at the earliest and at the latest.
#[derive(Serialize)]
struct Range {
    min: u64,
    max: u64,
}

#[derive(Serialize)]
struct Rated {
    good: usize,
    degraded: usize,
    bad: usize,
}

#[derive(Serialize)]
struct BalancerOut<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    rated: Rated,
    member_count: usize,
    busy: u32,
    max_busy: u64,
    map_count: usize,
    maintenance_s: Range,
    last_reset_unix: u64,
    settings: Settings<'a>,
    members: Vec<MemberOut<'a>>,
    maps: Vec<MapOut<'a>>,
}

/// What members and AJP workers have in common.
#[derive(Serialize)]
struct Counters<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    address: &'a str,
    source: Option<&'a str>,
    client_errors: u64,
    reply_timeouts: u64,
    retries: u64,
    failures: Failures,
    last_failure: Option<&'static str>,
    transferred: u64,
    read: u64,
    busy: u32,
    max_busy: u64,
    connected: u32,
    max_connected: u64,
    pool: Pool,
    last_reset_unix: u64,
    response_time: TimesOut,
    first_byte_time: TimesOut,
}

#[derive(Serialize)]
struct MemberOut<'a> {
    #[serde(flatten)]
    counters: Counters<'a>,
    activation: &'static str,
    state: &'static str,
    state_since_unix: u64,
    state_why: &'static str,
    usable: bool,
    rating: &'static str,
    draining: bool,
    drain: Option<DrainOut>,
    lbmult: u64,
    lbvalue: u64,
    elected: u64,
    sessions: u64,
    errors: u64,
    error_unix: Option<u64>,
    recovery_s: Range,
    settings: Settings<'a>,
}

/// Failed attempts by kind; those that never happened are left out.
struct Failures([u64; FAILINGS]);

impl Serialize for Failures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = Failing::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0);
        serializer.collect_map(each.map(|(failing, count)| (failing.word(), count)))
    }
}

/// Connections of all children.
#[derive(Serialize)]
struct Pool {
    connections: u32,
    busy: u32,
    idle: u32,
    size_per_child: u32,
}

/// A drain under way.
#[derive(Serialize)]
struct DrainOut {
    since_unix: u64,
    until_unix: Option<u64>,
    quiet_s: u64,
    last_request_unix: u64,
    sessions_seen: u32,
}

#[derive(Serialize)]
struct Plain<'a> {
    #[serde(flatten)]
    counters: Counters<'a>,
    state: &'static str,
    used: u64,
    errors: u64,
    error_unix: Option<u64>,
    map_count: usize,
    settings: Settings<'a>,
    maps: Vec<MapOut<'a>>,
}

/// Count, sum, and the buckets that are not empty, by their upper bound in microseconds.
#[derive(Serialize)]
struct TimesOut {
    count: u64,
    sum_us: u64,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    to_us: Option<u64>,
    count: u64,
}

#[derive(Serialize)]
struct MapOut<'a> {
    id: usize,
    server: &'a str,
    uri: String,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    origin: Option<String>,
    reply_timeout: Option<u32>,
    sticky_ignore: bool,
    stateless: bool,
    fail_on_status: &'a [i32],
    active: Vec<String>,
    disabled: Vec<String>,
    stopped: Vec<String>,
    use_server_errors: i32,
}

/// The answer as JSON.
pub(super) fn render(
    scene: &Scene<'_>,
    ask: &Ask<'_>,
    verb: Option<Verb>,
    content: &Content<'_>,
    outcome: &Outcome,
) -> String {
    // A name may come twice, so the properties are no object.
    let properties = || scene.config.properties_dump.iter().map(|(name, value)| Property { name, value }).collect();
    let lbs = scene.config.list.iter().filter_map(|worker| match worker {
        WorkerConfig::Lb(config) => Some((config.name.as_str(), config)),
        _ => None,
    });
    let lbs: HashMap<&str, &LbConfig> = lbs.collect();
    let each = |lb| balancer(scene, &lbs, lb);
    let top = Top {
        schema: SCHEMA,
        server: Server {
            name: Shown(ask.server_name).to_string(),
            port: ask.server_port,
            web_server: Shown(ask.web_server).to_string(),
            jk_version: ask.jk_version,
            maintain_s: scene.config.maintain_s,
        },
        time: Time { unix: ask.now_s, iso: ask.clock.format("%Y-%m-%dT%H:%M:%S%z", ask.now_s) },
        balancers: content.view.map(|view| view.balancers.iter().map(each).collect()),
        ajp_workers: content.view.map(|view| view.workers.iter().map(|worker| plain(scene, worker)).collect()),
        properties: (verb == Some(Verb::Dump)).then(properties),
        explain: content.explanation,
        result: ResultOut { kind: outcome.word(), message: outcome.message() },
    };
    // Only a map with keys that are no texts could fail, and there is none.
    let mut text = serde_json::to_string(&top).unwrap_or_default();
    text.push('\n');
    text
}

fn balancer<'a>(scene: &Scene<'a>, configs: &HashMap<&str, &'a LbConfig>, lb: &'a Balancer) -> BalancerOut<'a> {
    let config = configs.get(lb.name.as_str()).copied();
    let [good, degraded, bad] = lb.rated;
    BalancerOut {
        name: &lb.name,
        kind: "lb",
        rated: Rated { good, degraded, bad },
        member_count: lb.member_count,
        busy: lb.busy,
        max_busy: lb.max_busy,
        map_count: lb.maps.len(),
        maintenance_s: Range { min: lb.to_maintenance.0, max: lb.to_maintenance.1 },
        last_reset_unix: lb.last_reset,
        settings: config.map(|config| effective::of_lb(scene, config, &lb.settings)).unwrap_or_default(),
        members: lb.members.iter().map(|found| member(scene, config, found)).collect(),
        maps: lb.maps.iter().map(map).collect(),
    }
}

fn member<'a>(scene: &Scene<'a>, lb: Option<&LbConfig>, member: &'a Member) -> MemberOut<'a> {
    let ajp = &member.ajp;
    let activation = member.settings.activation;
    let start = lb.and_then(|lb| lb.members.get(member.place)).map(|own| &own.settings);
    MemberOut {
        counters: counters(ajp),
        activation: activation.text(),
        state: member.state.text(),
        state_since_unix: member.state_since.0,
        state_why: member.state_since.1.word(),
        usable: member.is_usable(),
        rating: super::html::rating_word(member.rating),
        draining: activation != Activation::Active && ajp.busy > 0,
        drain: member.drain.as_ref().map(drain),
        lbmult: member.multiplier,
        lbvalue: member.value,
        elected: ajp.used,
        sessions: member.sessions,
        errors: member.errors,
        error_unix: some(member.first_error),
        recovery_s: Range { min: member.to_recovery.0, max: member.to_recovery.1 },
        settings: effective::of_member(scene, start, &member.settings, ajp.index, &ajp.settings),
    }
}

fn drain(drain: &Draining) -> DrainOut {
    DrainOut {
        since_unix: drain.since_s,
        until_unix: drain.until_s,
        quiet_s: drain.quiet_s,
        last_request_unix: drain.last_seen_s,
        sessions_seen: drain.sessions,
    }
}

fn plain<'a>(scene: &Scene<'a>, ajp: &'a Ajp) -> Plain<'a> {
    Plain {
        counters: counters(ajp),
        state: ajp.state.text(),
        used: ajp.used,
        errors: ajp.errors,
        error_unix: some(ajp.error_time),
        map_count: ajp.maps.len(),
        settings: effective::of_ajp(scene, ajp.index, &ajp.settings),
        maps: ajp.maps.iter().map(map).collect(),
    }
}

fn counters(ajp: &Ajp) -> Counters<'_> {
    Counters {
        name: &ajp.name,
        kind: "ajp13",
        address: &ajp.address,
        source: ajp.source.as_deref(),
        client_errors: ajp.client_errors,
        reply_timeouts: ajp.reply_timeouts,
        retries: ajp.retries,
        failures: Failures(ajp.failures),
        last_failure: ajp.last_failure.map(Failing::word),
        transferred: ajp.transferred,
        read: ajp.read,
        busy: ajp.busy,
        max_busy: ajp.max_busy,
        connected: ajp.connected,
        max_connected: ajp.max_connected,
        pool: Pool { connections: ajp.connected, busy: ajp.busy, idle: ajp.idle(), size_per_child: ajp.pool_size },
        last_reset_unix: ajp.last_reset,
        response_time: times(&ajp.response),
        first_byte_time: times(&ajp.first_byte),
    }
}

fn times(times: &Times) -> TimesOut {
    let filled = times.counts.iter().enumerate().filter(|(_, count)| **count > 0);
    TimesOut {
        count: times.counts.iter().sum(),
        sum_us: times.sum_us,
        buckets: filled.map(|(index, count)| Bucket { to_us: Histogram::bound_us(index), count: *count }).collect(),
    }
}

fn map(map: &Map) -> MapOut<'_> {
    let (rule, options) = (&map.rule, &map.rule.options);
    let names = |list: &Option<crate::uri_map::MemberList>| -> Vec<String> {
        list.iter().flat_map(|list| list.names()).map(|name| Shown(name).to_string()).collect()
    };
    MapOut {
        id: map.id,
        server: &map.server,
        uri: Shown(&rule.pattern).to_string(),
        kind: rule.type_text(),
        source: rule.source.text(),
        origin: rule.origin.as_ref().map(ToString::to_string),
        reply_timeout: options.reply_timeout_ms,
        sticky_ignore: options.sticky_ignore,
        stateless: options.stateless,
        fail_on_status: &options.fail_on_status,
        active: names(&options.active),
        disabled: names(&options.disabled),
        stopped: names(&options.stopped),
        use_server_errors: options.use_server_errors,
    }
}

fn some(time: u64) -> Option<u64> {
    (time > 0).then_some(time)
}

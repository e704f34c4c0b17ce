//! The view as JSON (`mime=json`): everything there is, with the origin of each setting.
//!
//! Not here: what the old formats must look like. The surprising thing: the number `schema` only changes when a field goes away or changes
//! its meaning; new fields may come at any time.
//!
//! ```json
//! {"schema":1,
//!  "server":{"name":"www","port":80,"web_server":"Apache/2.4","jk_version":"mod_jk/1.3.0"},
//!  "time":{"unix":1795351479,"iso":"2026-11-22T12:44:39+0000"},
//!  "balancers":[{"name":"lb","type":"lb","rated":{"good":1,"degraded":0,"bad":0},"busy":0,"max_busy":1,"map_count":1,
//!    "maintenance_s":{"min":58,"max":118},"last_reset_unix":1795351477,
//!    "settings":{"retries":{"value":2,"origin":"default"}},
//!    "members":[{"name":"m1","address":"127.0.0.1:8009","activation":"ACT","state":"OK","usable":true,"rating":"good",
//!      "draining":false,"elected":7,"sessions":3,"errors":0,"settings":{"lbfactor":{"value":2,"origin":"workers.properties:7"}}}],
//!    "maps":[{"id":1,"server":"www:80","uri":"/app/*","type":"Wildchar","source":"JkMount","origin":"httpd.conf:12"}]}],
//!  "ajp_workers":[],
//!  "result":{"type":"OK","message":"Action finished"}}
//! ```
//!
//! Times are seconds since 1970, `null` when there is none. An origin is `default`, `file:line`, `file:line via worker.template`, or
//! `status page`. In `list` answers, all workers come; in `show` answers, one; otherwise only the head and the result.

use serde_json::{Map as Object, Value as Json, json};

use super::command::Verb;
use super::field::{AJP, Draft, Field, LB, MEMBER, Value};
use super::view::{Ajp, Balancer, Map, Member, Times, View};
use super::{Ask, Outcome, Scene};
use crate::balancer::Activation;
use crate::config::{LbConfig, SettingOrigin, WorkerConfig};
use crate::log::Shown;
use crate::shm::Histogram;

/// Version of the schema.
const SCHEMA: u32 = 1;

/// The answer as JSON; `extra` are further fields at the top.
pub(super) fn render(
    scene: &Scene<'_>,
    ask: &Ask<'_>,
    view: Option<&View>,
    extra: Object<String, Json>,
    outcome: &Outcome,
) -> String {
    let mut top = Object::new();
    top.insert("schema".to_owned(), SCHEMA.into());
    top.insert(
        "server".to_owned(),
        json!({
            "name": Shown(ask.server_name).to_string(),
            "port": ask.server_port,
            "web_server": Shown(ask.web_server).to_string(),
            "jk_version": ask.jk_version,
        }),
    );
    top.insert(
        "time".to_owned(),
        json!({"unix": ask.now_s, "iso": ask.clock.format("%Y-%m-%dT%H:%M:%S%z", ask.now_s)}),
    );
    if let Some(view) = view {
        let balancers: Vec<_> = view.balancers.iter().map(|lb| balancer(scene, lb)).collect();
        let workers: Vec<_> = view.workers.iter().map(|worker| plain(scene, worker)).collect();
        top.insert("balancers".to_owned(), balancers.into());
        top.insert("ajp_workers".to_owned(), workers.into());
    }
    top.extend(extra);
    top.insert("result".to_owned(), json!({"type": outcome.word(), "message": outcome.message()}));
    let mut text = Json::Object(top).to_string();
    text.push('\n');
    text
}

/// No further fields.
pub(super) fn none() -> Object<String, Json> {
    Object::new()
}

/// Further fields of a command's answer: the properties of `dump`, in order, because a name may come twice.
pub(super) fn extra(scene: &Scene<'_>, verb: Verb) -> Object<String, Json> {
    let mut extra = Object::new();
    if verb == Verb::Dump {
        let property = |(name, value): &(String, String)| json!({"name": name, "value": value});
        let properties: Vec<_> = scene.config.properties_dump.iter().map(property).collect();
        extra.insert("properties".to_owned(), properties.into());
    }
    extra
}

fn balancer(scene: &Scene<'_>, lb: &Balancer) -> Json {
    let config = scene.config.list.iter().find_map(|worker| match worker {
        WorkerConfig::Lb(config) if config.name == lb.name => Some(config),
        _ => None,
    });
    let now = Draft { lb: lb.settings.clone(), ..Draft::default() };
    let start = Draft { lb: config.map(|config| config.settings.clone()).unwrap_or_default(), ..Draft::default() };
    let members: Vec<_> = lb.members.iter().map(|found| member(scene, config, found)).collect();
    let maps: Vec<_> = lb.maps.iter().map(map).collect();
    let [good, degraded, bad] = lb.rated;
    json!({
        "name": lb.name,
        "type": "lb",
        "rated": {"good": good, "degraded": degraded, "bad": bad},
        "member_count": lb.member_count,
        "busy": lb.busy,
        "max_busy": lb.max_busy,
        "map_count": lb.maps.len(),
        "maintenance_s": {"min": lb.to_maintenance.0, "max": lb.to_maintenance.1},
        "last_reset_unix": lb.last_reset,
        "settings": settings(scene, &lb.name, LB.iter(), &now, &start),
        "members": members,
        "maps": maps,
    })
}

fn member(scene: &Scene<'_>, lb: Option<&LbConfig>, member: &Member) -> Json {
    let ajp = &member.ajp;
    let own = lb.and_then(|lb| lb.members.iter().find(|own| own.ajp == ajp.index));
    let (mut now, mut start) = ajp_drafts(scene, ajp);
    now.member = member.settings.clone();
    start.member = own.map(|own| own.settings.clone()).unwrap_or_default();
    let mut object = counters(ajp);
    let activation = member.settings.activation;
    object.extend(object_of(json!({
        "activation": activation.text(),
        "state": member.state.text(),
        "usable": member.is_usable(),
        "rating": super::html::rating_word(member.rating),
        "draining": activation != Activation::Active && ajp.busy > 0,
        "lbmult": member.multiplier,
        "lbvalue": member.value,
        "elected": ajp.used,
        "sessions": member.sessions,
        "errors": member.errors,
        "error_unix": some(member.first_error),
        "recovery_s": {"min": member.to_recovery.0, "max": member.to_recovery.1},
        "settings": settings(scene, &ajp.name, MEMBER.iter().chain(&AJP), &now, &start),
    })));
    object.into()
}

fn plain(scene: &Scene<'_>, ajp: &Ajp) -> Json {
    let (now, start) = ajp_drafts(scene, ajp);
    let maps: Vec<_> = ajp.maps.iter().map(map).collect();
    let mut object = counters(ajp);
    object.extend(object_of(json!({
        "state": ajp.state.text(),
        "used": ajp.used,
        "errors": ajp.errors,
        "error_unix": some(ajp.error_time),
        "map_count": ajp.maps.len(),
        "settings": settings(scene, &ajp.name, AJP.iter(), &now, &start),
        "maps": maps,
    })));
    object.into()
}

/// Settings in force, and those of the start.
fn ajp_drafts(scene: &Scene<'_>, ajp: &Ajp) -> (Draft, Draft) {
    let start = scene.config.ajp.get(ajp.index).map(|config| config.settings.clone());
    let now = Draft { ajp: ajp.settings.clone(), ..Draft::default() };
    (now, Draft { ajp: start.unwrap_or_default(), ..Draft::default() })
}

fn counters(ajp: &Ajp) -> Object<String, Json> {
    object_of(json!({
        "name": ajp.name,
        "type": "ajp13",
        "address": ajp.address,
        "source": ajp.source,
        "client_errors": ajp.client_errors,
        "reply_timeouts": ajp.reply_timeouts,
        "transferred": ajp.transferred,
        "read": ajp.read,
        "busy": ajp.busy,
        "max_busy": ajp.max_busy,
        "connected": ajp.connected,
        "max_connected": ajp.max_connected,
        "last_reset_unix": ajp.last_reset,
        "response_time": times(&ajp.response),
        "first_byte_time": times(&ajp.first_byte),
    }))
}

/// Count, sum, and the buckets that are not empty, by their upper bound in microseconds.
fn times(times: &Times) -> Json {
    let buckets: Vec<_> = times.counts.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    let buckets: Vec<_> =
        buckets.iter().map(|(index, count)| json!({"to_us": Histogram::bound_us(*index), "count": count})).collect();
    json!({"count": times.counts.iter().sum::<u64>(), "sum_us": times.sum_us, "buckets": buckets})
}

fn map(map: &Map) -> Json {
    let (rule, options) = (&map.rule, &map.rule.options);
    let names = |list: &Option<crate::uri_map::MemberList>| -> Vec<String> {
        list.iter().flat_map(|list| list.names()).map(|name| Shown(name).to_string()).collect()
    };
    json!({
        "id": map.id,
        "server": &*map.server,
        "uri": Shown(&rule.pattern).to_string(),
        "type": rule.type_text(),
        "source": rule.source.text(),
        "origin": rule.origin.as_ref().map(ToString::to_string),
        "reply_timeout": options.reply_timeout_ms,
        "sticky_ignore": options.sticky_ignore,
        "stateless": options.stateless,
        "fail_on_status": options.fail_on_status,
        "active": names(&options.active),
        "disabled": names(&options.disabled),
        "stopped": names(&options.stopped),
        "use_server_errors": options.use_server_errors,
    })
}

fn settings(
    scene: &Scene<'_>,
    worker: &str,
    fields: impl Iterator<Item = &'static Field>,
    now: &Draft,
    start: &Draft,
) -> Json {
    let setting = |field: &'static Field| {
        let value = (field.get)(now);
        let origin = if value == (field.get)(start) {
            origin_text(&scene.config.origin_of(worker, field.attribute))
        } else {
            "status page".to_owned()
        };
        let value = match value {
            Value::Number(number) => number.into(),
            Value::Flag(on) => on.into(),
            other => Json::String(other.log_text()),
        };
        (field.attribute.to_owned(), json!({"value": value, "origin": origin}))
    };
    fields.map(setting).collect::<Object<_, _>>().into()
}

fn origin_text(origin: &SettingOrigin) -> String {
    match origin {
        SettingOrigin::Default => "default".to_owned(),
        SettingOrigin::Written(origin) => origin.to_string(),
        SettingOrigin::Inherited { from, origin } => format!("{origin} via {from}"),
    }
}

fn some(time: u64) -> Option<u64> {
    (time > 0).then_some(time)
}

fn object_of(json: Json) -> Object<String, Json> {
    match json {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

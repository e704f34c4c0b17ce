//! JSON and metrics of the status worker.
//!
//! Not here: the old formats. The surprising thing: metrics are checked by a small reader of both syntaxes, which knows what Prometheus and
//! OpenMetrics want of names, types and buckets.

use std::collections::{BTreeMap, HashSet};

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::balancer::State;
use mod_jk::worker::lb::{Balance, Trail};
use mod_jk::worker::{BodyKind, Request};
use serde_json::{Value, json};

use crate::desk::{Desk, NOW};
use crate::engine::Client;

fn json(desk: &Desk, query: &str) -> Value {
    serde_json::from_str(&desk.ask(&format!("mime=json&{query}"))).unwrap()
}

#[test]
fn json_holds_head_workers_and_result() {
    let desk = Desk::new().mount("/app/*", "lb");
    let page = json(&desk, "");
    assert_eq!((page["schema"].as_u64(), page["time"]["unix"].as_u64()), (Some(1), Some(NOW)));
    assert_eq!(page["time"]["iso"], "2026-11-22T12:44:39+0000");
    assert_eq!((&page["server"]["name"], &page["server"]["port"]), (&"www.example.org".into(), &80.into()));
    let lb = &page["balancers"][0];
    assert_eq!(
        (lb["name"].as_str(), lb["type"].as_str(), lb["rated"]["good"].as_u64()),
        (Some("lb"), Some("lb"), Some(3))
    );
    let names: Vec<_> =
        lb["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["m1", "m2", "m3"]);
    assert_eq!((&lb["maps"][0]["uri"], &lb["maps"][0]["id"]), (&"/app/*".into(), &1.into()));
    assert_eq!(page["ajp_workers"][0]["name"], "solo");
    assert_eq!(page["result"]["message"], "Action finished");
}

#[test]
fn json_tells_where_each_setting_comes_from() {
    let desk = Desk::with("worker.t.reply_timeout=9000\nworker.m1.reference=worker.t\nworker.m2.lbfactor=2\n");
    desk.done("cmd=update&w=lb&sw=m3&vwf=5");
    desk.done("cmd=update&w=lb&vlr=4");
    let lb = &json(&desk, "cmd=show&w=lb")["balancers"][0];
    let setting = |member: usize, name: &str| {
        let setting = &lb["members"][member]["settings"][name];
        (setting["value"].clone(), setting["origin"].as_str().unwrap().to_owned())
    };
    let line = |origin: String| origin.starts_with("workers.properties:");
    assert_eq!(setting(0, "retries"), (2.into(), "default".to_owned()));
    let (value, origin) = setting(0, "reply_timeout");
    assert_eq!(value, 9_000);
    assert!(origin.starts_with("workers.properties:") && origin.ends_with(" via worker.t"), "{origin}");
    let (value, origin) = setting(1, "lbfactor");
    assert!(value == 2 && line(origin));
    assert_eq!(setting(2, "lbfactor"), (5.into(), "status page".to_owned()));
    assert_eq!(lb["settings"]["retries"]["origin"], "status page");
    assert_eq!(lb["settings"]["sticky_session"], serde_json::json!({"value": true, "origin": "default"}));
}

#[test]
fn json_tells_what_is_wrong_with_a_member() {
    let desk = Desk::new();
    desk.member(1).state.set(State::Error);
    desk.member(1).first_error_time.set(NOW - 5);
    desk.member(1).last_error_time.set(NOW - 3);
    desk.done("cmd=update&w=lb&sw=m3&vwa=d");
    let lb = json(&desk, "cmd=show&w=lb")["balancers"][0].clone();
    let member = |index: usize| &lb["members"][index];
    assert_eq!((&member(0)["usable"], &member(0)["error_unix"]), (&true.into(), &Value::Null));
    assert_eq!((&member(1)["state"], &member(1)["usable"]), (&"ERR".into(), &false.into()));
    assert_eq!((&member(1)["error_unix"], &member(1)["recovery_s"]["min"]), (&(NOW - 5).into(), &57.into()));
    assert_eq!((&member(2)["activation"], &member(2)["rating"]), (&"DIS".into(), &"degraded".into()));
}

#[test]
fn json_answers_errors_and_changes_with_a_result() {
    let desk = Desk::new();
    let page = json(&desk, "cmd=update&w=lb&vlr=0");
    assert_eq!(page["result"]["type"], "ERROR");
    assert!(page["result"]["message"].as_str().unwrap().contains("vlr (Retries)"));
    assert!(page["balancers"].is_null());
    assert_eq!(json(&desk, "cmd=reset&w=lb")["result"]["type"], "OK");
    assert_eq!(json(&desk, "cmd=nosuch")["result"]["message"], "Invalid command.");
    let dump = json(&desk, "cmd=dump");
    let first = dump["properties"].as_array().unwrap().iter().find(|entry| entry["name"] == "worker.list").unwrap();
    assert_eq!(first["value"], "lb,solo,st");
}

/// A balancer of members that nobody may contact: each attempt fails at once, and goes on to the next one.
fn contactless() -> Desk {
    let desk = Desk::of(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=a,b\nworker.lb.retries=1\nworker.st.type=status\n\
         worker.a.port=0\nworker.b.port=0\nworker.a.retries=3\nworker.a.retry_interval=1\nworker.b.retries=1\n",
    );
    // A port of 0 stops a member at the start.
    desk.done("cmd=update&w=lb&sw=*&vwa=a");
    desk
}

fn request(desk: &Desk) {
    let forward = ForwardRequest { method: b"GET", protocol: b"HTTP/1.1", uri: b"/", ..ForwardRequest::default() };
    let mut request = Request::new(&forward, BodyKind::None);
    let (balance, mut trail) = (Balance::default(), Trail::default());
    let result = desk.lbs()[0].service(&mut request, &mut Client::default(), &balance, desk.log(), &mut trail);
    assert!(result.is_err());
}

#[test]
fn attempts_are_counted_by_cause_and_those_made_again_as_retries() {
    let desk = contactless();
    request(&desk);
    let page = json(&desk, "");
    let member = |index: usize| &page["balancers"][0]["members"][index];
    assert_eq!(
        (&member(0)["failures"], &member(0)["retries"]),
        (&json!({"address": 3}), &3.into()),
        "two here, one on b"
    );
    assert_eq!((&member(1)["failures"], &member(1)["retries"]), (&json!({"address": 1}), &0.into()));
    assert_eq!((&member(0)["last_failure"], &member(0)["errors"]), (&"address".into(), &1.into()));
    let samples = samples(&desk.ask("mime=prom"), false);
    assert_eq!(samples["jk_worker_retries_total{worker=\"a\"}"], 3.0);
    assert_eq!(samples["jk_worker_attempt_failures_total{worker=\"a\",cause=\"address\"}"], 3.0);
    desk.done("cmd=reset&w=lb&sw=a");
    let page = json(&desk, "");
    let member = &page["balancers"][0]["members"][0];
    assert_eq!(
        (&member["failures"], &member["retries"], &member["last_failure"]),
        (&json!({}), &0.into(), &Value::Null)
    );
}

#[test]
fn a_member_tells_since_when_it_has_its_state_and_why() {
    let desk = contactless();
    let state = |index: usize| {
        let page = json(&desk, "");
        let member = &page["balancers"][0]["members"][index];
        let since = member["state_since_unix"].as_u64().unwrap();
        (member["state"].as_str().unwrap().to_owned(), member["state_why"].as_str().unwrap().to_owned(), since)
    };
    assert_eq!(state(0), ("OK/IDLE".into(), "start".into(), NOW - 10));
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    request(&desk);
    let (word, why, since) = state(0);
    assert_eq!((word.as_str(), why.as_str()), ("ERR", "address"));
    assert!(since >= now_s, "{since}");
    desk.done("cmd=recover&w=lb&sw=a");
    assert_eq!(state(0), ("ERR/REC".into(), "admin".into(), NOW));
    desk.done("cmd=reset&w=lb&sw=b");
    assert_eq!(state(1), ("OK/IDLE".into(), "admin".into(), NOW));
}

#[test]
fn pools_are_shown_with_their_connections() {
    let desk = Desk::with("worker.m1.connection_pool_size=7\n");
    let m1 = desk.lbs()[0].workers().next().unwrap().shared();
    let connections = [(); 3].map(|()| m1.connect());
    let busy = m1.begin_request(m1.slot().unwrap());
    let page = json(&desk, "");
    let expected = json!({"connections": 3, "busy": 1, "idle": 2, "size_per_child": 7});
    assert_eq!(page["balancers"][0]["members"][0]["pool"], expected);
    let samples = samples(&desk.ask("mime=prom"), false);
    for (name, value) in [("connections", 3.0), ("connections_idle", 2.0), ("busy", 1.0), ("pool_size", 7.0)] {
        assert_eq!(samples[&format!("jk_worker_{name}{{worker=\"m1\"}}")], value, "{name}");
    }
    drop((connections, busy));
}

#[test]
fn settings_that_nobody_can_edit_are_listed_too_and_secrets_are_not() {
    let desk = Desk::with(
        "worker.m1.secret=hush\nworker.m1.socket_timeout=17\njkx.worker.lb.health=on\nworker.lb.lb_retries=1\n",
    );
    let text = desk.ask("mime=json");
    assert!(!text.contains("hush"));
    let lb = &json(&desk, "")["balancers"][0];
    let settings = &lb["members"][0]["settings"];
    assert_eq!(settings["socket_timeout"]["value"], 17);
    assert!(settings["socket_timeout"]["origin"].as_str().unwrap().starts_with("workers.properties:"));
    assert_eq!((&settings["secret"]["value"], &settings["recovery_options"]["value"]), (&true.into(), &Value::Null));
    assert_eq!((&lb["settings"]["lb_retries"]["value"], &lb["settings"]["health"]["value"]), (&1.into(), &true.into()));
    assert_eq!(lb["settings"]["session_cookie"], json!({"value": "JSESSIONID", "origin": "default"}));
}

/// Samples by name with labels, after checking the syntax.
fn samples(text: &str, openmetrics: bool) -> BTreeMap<String, f64> {
    let (mut types, mut seen, mut samples) = (BTreeMap::new(), HashSet::new(), BTreeMap::new());
    let mut current = String::new();
    let body = if openmetrics { text.strip_suffix("# EOF\n").expect("ends with EOF") } else { text };
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name.to_owned()), "{name} is announced once");
            types.insert(name.to_owned(), kind.to_owned());
            current = name.to_owned();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# UNIT ")) {
            assert!(rest.starts_with(&format!("{current} ")), "{line}");
            if line.starts_with("# UNIT ") {
                assert!(openmetrics && current.ends_with(rest.rsplit(' ').next().unwrap()), "{line}");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let suffixes: &[&str] = match types[&current].as_str() {
            "counter" if openmetrics => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.iter().any(|suffix| name == format!("{current}{suffix}")), "{line} under {current}");
        assert!(types[&current] != "counter" || name.ends_with("_total"), "{line}");
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} comes once");
    }
    samples
}

fn busy_desk() -> Desk {
    let desk = Desk::new();
    desk.ajp("m1").used.set(7);
    desk.ajp("m1").transferred.set(4_000_000_000_000);
    desk.member(2).state.set(State::Error);
    desk.ajp("m1").response_time.record(100_000);
    desk.ajp("m1").response_time.record(3_000_000);
    desk.ajp("m1").response_time.record(500_000_000_000);
    desk
}

#[test]
fn metrics_are_valid_in_both_syntaxes() {
    let desk = busy_desk();
    let prometheus = desk.page("mime=prom");
    let content_type = |page: &mod_jk::status::Page| {
        page.headers.iter().find(|(name, _)| *name == "Content-Type").map(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(content_type(&prometheus), "text/plain; version=0.0.4; charset=utf-8");
    let openmetrics =
        desk.page_for("mime=prom", |ask| ask.accept = Some(b"application/openmetrics-text;version=1.0.0"));
    assert_eq!(content_type(&openmetrics), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let (one, other) = (samples(&prometheus.body, false), samples(&openmetrics.body, true));
    assert_eq!(one, other);
    assert_eq!(one["jk_worker_requests_total{worker=\"m1\"}"], 7.0);
    assert_eq!(one["jk_worker_sent_bytes_total{worker=\"m1\"}"], 4e12);
    assert_eq!(one["jk_member_usable{lb=\"lb\",worker=\"m3\"}"], 0.0);
    assert_eq!(one["jk_member_state{lb=\"lb\",worker=\"m3\"}"], 5.0);
    assert_eq!(one["jk_lb_members{lb=\"lb\",rating=\"bad\"}"], 1.0);
    assert_eq!(one["jk_worker_requests_total{worker=\"solo\"}"], 0.0);
}

#[test]
fn histograms_are_cumulative_up_to_infinity() {
    let samples = samples(&busy_desk().page("mime=prom").body, false);
    let bucket = |le: &str| samples[&format!("jk_worker_response_seconds_bucket{{worker=\"m1\",le=\"{le}\"}}")];
    assert_eq!(
        [bucket("0.000064"), bucket("0.000256"), bucket("0.004096"), bucket("67.108864"), bucket("+Inf")],
        [0.0, 1.0, 2.0, 2.0, 3.0]
    );
    assert_eq!(samples["jk_worker_response_seconds_count{worker=\"m1\"}"], 3.0);
    let sum = samples["jk_worker_response_seconds_sum{worker=\"m1\"}"];
    assert!((sum - 500.0031).abs() < 1e-6, "{sum}");
}

#[test]
fn a_worker_of_several_balancers_is_counted_once() {
    let desk = Desk::of(
        "worker.list=a,b,st\nworker.a.type=lb\nworker.a.balance_workers=m\nworker.b.type=lb\nworker.b.balance_workers=m\n\
         worker.st.type=status\n",
    );
    let samples = samples(&desk.page("mime=prom").body, false);
    assert!(samples.contains_key("jk_member_usable{lb=\"b\",worker=\"m\"}"));
    assert!(samples.contains_key("jk_worker_requests_total{worker=\"m\"}"));
}

#[test]
fn a_scrape_that_is_refused_is_no_answer_of_200() {
    let desk = Desk::with("worker.st.user=alice\n");
    let page = desk.page("mime=prom");
    assert_eq!((page.status, page.body.as_str()), (400, "# ERROR - Access denied.\n"));
}

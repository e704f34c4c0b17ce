//! What the documents say about the status worker is what it does: the JSON example and its fields, and the names of metrics.
//!
//! Not here: the facts behind them (`status_machines.rs`). The surprising thing: with `UPDATE_DOCS=1` the example is written anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::desk::{Desk, NOW};

fn document(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

/// The workers of the example.
fn desk(text: &str) -> Desk {
    let example = text.split("## Example").nth(1).unwrap();
    let lines = example.lines().filter_map(|line| line.strip_prefix("    ")).collect::<Vec<_>>().join("\n");
    let desk = Desk::of(&lines).mount("/app/*", "lb");
    desk.done("cmd=update&w=lb&sw=tomcat1&vwf=2");
    let ajp = desk.ajp("tomcat1");
    ajp.used.set(1);
    ajp.transferred.set(412);
    ajp.read.set(1_893);
    ajp.response_time.record(2_700_000);
    ajp.first_byte_time.record(2_100_000);
    desk.member(0).sessions.set(1);
    desk
}

#[test]
fn the_json_example_is_what_comes() {
    let (path, text) = document("conf/status-json.md");
    let (before, rest) = text.split_once("```json\n").unwrap();
    let (example, after) = rest.split_once("```").unwrap();
    let found: Value = serde_json::from_str(&desk(&text).ask("mime=json")).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}```json\n{}\n```{after}", pretty(&found))).unwrap();
        return;
    }
    assert_eq!(example.trim_end(), pretty(&found), "UPDATE_DOCS=1 writes it anew");
}

/// Small objects on one line, as a person would write them.
fn pretty(value: &Value) -> String {
    fn write(value: &Value, depth: usize, out: &mut String) {
        let flat = value.to_string();
        let pad = "  ".repeat(depth + 1);
        let list = |open: char, close: char, parts: Vec<(String, &Value)>, out: &mut String| {
            out.push(open);
            for (index, (key, value)) in parts.iter().enumerate() {
                out.push_str(if index == 0 { "\n" } else { ",\n" });
                out.push_str(&pad);
                out.push_str(key);
                write(value, depth + 1, out);
            }
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
            out.push(close);
        };
        match value {
            Value::Object(fields) if flat.len() > 100 => {
                let parts = fields.iter().map(|(key, value)| (format!("\"{key}\": "), value)).collect();
                list('{', '}', parts, out);
            }
            Value::Array(items) if flat.len() > 100 => {
                list('[', ']', items.iter().map(|item| (String::new(), item)).collect(), out);
            }
            _ => out.push_str(&flat),
        }
    }
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

/// Names of all fields, but not of settings and causes, which have names of their own.
fn names(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                all.insert(name.clone());
                if !["settings", "lb_settings", "failures"].contains(&name.as_str()) {
                    names(value, all);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, all)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_json_is_documented() {
    let (_, text) = document("conf/status-json.md");
    let text = text.split("## Example").next().unwrap();
    let desk = Desk::new().mount("/app/*", "lb").mount("/solo", "solo");
    desk.done("cmd=drain&w=lb&sw=m2&until=5m");
    desk.ajp("m1").response_time.record(5_000);
    let mut all = BTreeSet::new();
    for query in ["", "cmd=explain&uri=/app/x&cookie=JSESSIONID=1.m1", "cmd=dump", "cmd=update&w=lb&vlr=0"] {
        names(&serde_json::from_str(&desk.ask(&format!("mime=json&{query}"))).unwrap(), &mut all);
    }
    let missing: Vec<_> = all.iter().filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", all.len());
    assert!(all.len() > 60 && NOW > 0, "{all:?}");
}

#[test]
fn every_cause_is_documented() {
    let (_, text) = document("conf/status-json.md");
    for failing in mod_jk::shm::Failing::ALL {
        assert!(text.contains(&format!("`{}`", failing.word())), "{}", failing.word());
    }
}

/// Names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("jk_")).map(str::to_owned).collect()
}

#[test]
fn dashboard_and_alerts_use_the_metrics_that_there_are() {
    let desk = Desk::new();
    desk.ajp("m1").count_failure(mod_jk::shm::Failing::Connect);
    let exposition = desk.ask("mime=prom");
    let known: BTreeSet<_> = exposition
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('{').next().unwrap().to_owned())
        .collect();
    for (name, at_least) in [("conf/grafana-mod_jk.json", 18), ("conf/prometheus.yml", 4)] {
        let (_, text) = document(name);
        // A path of the status worker in the README's example is no metric.
        let used = metrics(&text);
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        assert!(used.len() >= at_least, "{name}: {used:?}");
    }
}

#[test]
fn labels_of_the_dashboard_are_those_of_its_metrics() {
    let (_, text) = document("conf/grafana-mod_jk.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let desk = Desk::new();
    desk.ajp("m1").count_failure(mod_jk::shm::Failing::Connect);
    let exposition = desk.ask("mime=prom");
    let mut seen = 0;
    for target in dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let expression = target["expr"].as_str().unwrap();
        let (before, selector) = expression.split_once('{').unwrap();
        let metric = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap();
        let sample = exposition.lines().find(|line| line.starts_with(&format!("{metric}{{"))).unwrap();
        for label in selector.split('}').next().unwrap().split(',').map(|part| part.split(['=', '~']).next().unwrap()) {
            // Prometheus adds the instance itself.
            assert!(
                label == "instance" || sample.contains(&format!("{label}=\"")),
                "{expression}: {label} in {sample}"
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

//! `reference`: what is inherited, how far, and what stops it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mod_jk::properties::{Properties, Severity};

fn resolved(text: &str) -> (Properties, Vec<String>) {
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    properties.read(text.as_bytes(), "f", &mut findings);
    findings.clear();
    properties.resolve_references(&mut findings);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    (properties, findings.iter().map(ToString::to_string).collect())
}

#[test]
fn copies_what_is_not_said() {
    let text = "worker.t.host=h\nworker.t.mount=/t\nworker.t.port=1\nworker.p.mount=/p\nworker.p.reference=worker.t\nworker.p.host=own";
    let (properties, errors) = resolved(text);
    assert_eq!(errors, [""; 0]);
    assert_eq!(properties.value("worker.p.host"), Some("own"));
    assert_eq!(properties.value("worker.p.mount"), Some("/p"), "lists are not merged");
    let port = properties.get("worker.p.port").unwrap();
    assert_eq!((port.value.as_str(), port.inherited.as_deref()), ("1", Some("worker.t")));
    assert_eq!(port.origin.as_ref().unwrap().line, 3);
    assert_eq!(properties.entries().last().unwrap().key, "worker.p.port", "inherited keys come last");
}

#[test]
fn takes_any_prefix_but_only_a_whole_one() {
    let (properties, errors) = resolved(
        "tmpl.host=h\nworker.p.reference=tmpl\nworker.t.host=1\nworker.t2.port=2\nworker.q.reference=worker.t\n\
         worker.a.b.reference=worker.t",
    );
    assert_eq!(errors, [""; 0]);
    assert_eq!(properties.value("worker.p.host"), Some("h"));
    assert_eq!(properties.value("worker.q.host"), Some("1"));
    assert_eq!(properties.value("worker.q.port"), None, "worker.t is no prefix of worker.t2");
    assert_eq!(properties.value("worker.a.b.host"), Some("1"));
}

#[test]
fn settings_of_this_module_follow_the_same_references() {
    let (properties, _) = resolved(
        "worker.t.host=h\njkx.worker.t.unix_socket=/s\nworker.p.reference=worker.t\njkx.worker.q.unix_socket=/q",
    );
    assert_eq!(properties.value("jkx.worker.p.unix_socket"), Some("/s"));
}

fn chain(hops: usize) -> String {
    let mut text = String::new();
    for hop in 0..hops {
        text += &format!("worker.r{hop}.reference=worker.r{}\n", hop + 1);
    }
    text + &format!("worker.r{hops}.host=deep\n")
}

#[test]
fn follows_nineteen_references_and_not_twenty() {
    let (properties, errors) = resolved(&chain(19));
    assert_eq!((properties.value("worker.r0.host"), errors.len()), (Some("deep"), 0));
    let (_, errors) = resolved(&chain(20));
    assert_eq!(errors, ["f:20: worker.r0.reference leads over more than 19 references, which is the limit"]);
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let mut lines: Vec<String> = chain(19).lines().map(str::to_owned).collect();
    lines.reverse();
    let (properties, errors) = resolved(&lines.join("\n"));
    assert_eq!((properties.value("worker.r0.host"), errors.len()), (Some("deep"), 0));
}

#[test]
fn reports_a_circle_with_its_line() {
    let (_, errors) = resolved("worker.p.reference=worker.q\nworker.q.reference=worker.p\nworker.s.reference=worker.s");
    assert_eq!(
        errors,
        [
            "f:2: worker.q.reference goes round in a circle: worker.p -> worker.q -> worker.p",
            "f:1: worker.p.reference goes round in a circle: worker.q -> worker.p -> worker.q",
            "f:3: worker.s.reference goes round in a circle: worker.s -> worker.s",
        ]
    );
}

#[test]
fn reports_a_prefix_without_entries_and_what_was_meant() {
    let (_, errors) = resolved(
        "worker.tmpl.host=1\nworker.p.reference=worker.tmp\nworker.q.reference=tmpl\nworker.r.reference=far.away",
    );
    assert_eq!(
        errors,
        [
            "f:2: worker.p.reference must be the prefix of other entries, found \"worker.tmp\", under which there are none; did you \
             mean \"worker.tmpl\"?",
            "f:3: worker.q.reference must be the prefix of other entries, found \"tmpl\", under which there are none; it takes a \
             whole prefix, did you mean \"worker.tmpl\"?",
            "f:4: worker.r.reference must be the prefix of other entries, found \"far.away\", under which there are none",
        ]
    );
}

#[test]
fn reports_a_broken_end_once_for_all_that_lead_to_it() {
    let (_, errors) =
        resolved("worker.a.reference=worker.t\nworker.b.reference=worker.t\nworker.t.reference=worker.gone");
    assert_eq!(errors.len(), 1);
    assert!(errors.first().unwrap().starts_with("f:3: worker.t.reference must be"));
}

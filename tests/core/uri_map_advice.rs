//! What is said about rules that are legal but hardly meant, and about workers that do not exist
//! (users-and-rivals.md, lint rules 10 to 14; apache-side.md section 3.6).
//!
//! Not here: lines that cannot be read (`uri_map_file`). The surprising thing: for each finding there is a row that must
//! stay silent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use mod_jk::properties::{Diagnostic, Severity};
use mod_jk::uri_map::{KnownWorker, MountTable, UriMap, UriMapBuilder, WorkerKind, read_mount_file};

fn map(text: &str) -> UriMap {
    let (rules, _) = read_mount_file(text.as_bytes(), "map", |_| None);
    UriMapBuilder::from_parts(Vec::new(), Vec::new(), rules).build()
}

fn advice(text: &str) -> Vec<String> {
    let findings = map(text).advice();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Advice));
    findings.iter().map(Diagnostic::to_string).collect()
}

fn only(text: &str) -> String {
    let mut found = advice(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn workers(text: &str) -> Vec<String> {
    let known = [
        KnownWorker { name: "w1", kind: WorkerKind::Ajp, members: vec![] },
        KnownWorker { name: "balancer", kind: WorkerKind::Lb, members: vec!["node1", "node2"] },
        KnownWorker { name: "jkstatus", kind: WorkerKind::Status, members: vec![] },
    ];
    let findings = map(text).check_workers(&known);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
    findings.iter().map(Diagnostic::to_string).collect()
}

#[test]
fn names_the_second_of_two_rules_with_one_pattern() {
    let mut table = MountTable::default();
    table.put_mount(b"/dup", b"w1", None);
    table.put_mount(b"/dup|/z", b"w2", None);
    let found = UriMapBuilder::from_parts(table.rules().rules, Vec::new(), Vec::new()).build().advice();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "rule \"/dup\" is never used: \"/dup\" goes before it and takes the same URIs to \"w1\""
    );
}

#[test]
fn tells_that_a_jkmount_given_again_replaces_the_first() {
    let mut table = MountTable::default();
    table.put_mount(b"/p", b"w1", None);
    table.put_mount(b"/p", b"w2", None);
    table.put_mount(b"/p", b"w2", None);
    let found = table.rules().diagnostics;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "\"/p\" is mounted again: to w2, no longer to w1");
    assert_eq!(found[0].severity, Severity::Advice);
}

#[test]
fn names_a_rule_that_a_broader_one_shadows() {
    let found = only("/=w1\n/*=w2");
    assert_eq!(
        found,
        "map:1: rule \"/\" is never used: \"/*\" (map:2) goes before it and takes the same URIs to \"w2\""
    );
}

#[test]
fn is_silent_when_the_broader_rule_does_the_same() {
    assert_eq!(advice("/=w1\n/*=w1\n/app|/*=w1"), [""; 0]);
}

#[test]
fn names_a_shadowed_rule_whose_settings_differ() {
    assert!(only("/=w1;reply_timeout=5\n/*=w1").contains("is never used"));
}

#[test]
fn is_silent_when_the_broader_rule_comes_later() {
    assert_eq!(advice("/app/*=w1\n/*=w2\n/app/x/*=w3"), [""; 0]);
}

#[test]
fn claims_nothing_when_a_question_mark_met_a_star() {
    assert_eq!(advice("/a?b/=w1\n/?*/=w2"), [""; 0]);
    assert_eq!(advice("/a*/?x=w1\n/a*/*=w2"), [""; 0]);
}

#[test]
fn names_a_mount_that_is_excluded_as_a_whole() {
    let found = only("/app/x/*=w1\n!/app/*=w1\n/app/*=w2");
    assert_eq!(found, "map:1: rule \"/app/x/*\" is never used: \"!/app/*\" for \"w1\" (map:2) excludes all of it");
    assert_eq!(advice("/app/*=w1\n!/app/x/*=w1"), [""; 0]);
}

#[test]
fn names_an_exclusion_for_a_worker_that_nothing_mounts() {
    let found = only("/jkstatus=jkstatus\n!/jkstaus=jkstaus");
    assert_eq!(
        found,
        "map:2: exclusion \"/jkstaus\" has no effect: no rule mounts worker \"jkstaus\", did you mean \"jkstatus\"?"
    );
    assert_eq!(advice("/a/*=w1\n!/a/x=w1\n!/a/y=*"), [""; 0]);
}

#[test]
fn names_a_prefix_that_also_takes_its_neighbours() {
    let found = only("/app*=w1");
    assert_eq!(found, "map:1: rule \"/app*\" also takes \"/appother\"; \"/app|/*\" takes \"/app\" and what is below");
    assert_eq!(advice("/app/*=w1\n/*.do*=w1\n/*=w1\n-/x*=w1"), [""; 0]);
}

#[test]
fn names_patterns_that_no_normalised_uri_can_match() {
    for pattern in ["/a//b", "/a/./b", "/a/../b", "/a/..", "/a;x"] {
        assert!(only(&format!("{pattern}=w1")).contains("can never match"), "{pattern}");
    }
    assert_eq!(advice("/a/=w1\n/.well-known/*=w1\n/a..b/...=w1"), [""; 0]);
}

#[test]
fn names_patterns_that_are_written_encoded() {
    assert!(only("/a%20b=w1").contains("'%' stands for itself"));
    assert_eq!(advice("/100%=w1\n/a b=w1"), [""; 0]);
}

#[test]
fn names_an_unknown_worker_once_with_a_near_name() {
    let found = workers("/a=balancr\n/b=balancr\n/c/*=balancr");
    assert_eq!(
        found,
        [
            "map:3: worker \"balancr\" of rule \"/c/*\" (and in 2 more rules) does not exist: requests for it get status 500, did you mean \"balancer\"?"
        ]
    );
}

#[test]
fn does_not_judge_workers_of_exclusions_and_disabled_rules() {
    assert_eq!(workers("/a=w1\n!/a=nobody\n-/b=nobody\n!/c=*"), [""; 0]);
}

#[test]
fn tells_that_a_star_mounts_nothing() {
    assert!(workers("/a=*")[0].contains("'*' stands for every worker in exclusions only"));
}

#[test]
fn names_unknown_members_once_for_both_halves_of_a_bar() {
    let found = workers("/a|/*=balancer;disabled=node1,nod2");
    assert_eq!(
        found,
        ["map:1: rule extension disabled: balancer \"balancer\" has no member \"nod2\", did you mean \"node2\"?"]
    );
}

#[test]
fn names_a_member_with_two_activations() {
    let found = workers("/a=balancer;stopped=node1;active=node1,node2");
    assert_eq!(found, ["map:1: member \"node1\" is both active and stopped in one rule: stopped holds"]);
}

#[test]
fn names_balancer_settings_of_other_workers() {
    let found = workers("/a=w1;active=x;session_cookie=S;session_path=s;set_session_cookie=1;session_cookie_path=/");
    assert_eq!(found.len(), 5);
    assert!(found[0].ends_with("rule extension active is ignored: worker \"w1\" is no load balancer"), "{}", found[0]);
    assert_eq!(workers("/a=w1;reply_timeout=5;fail_on_status=500\n/b=balancer;session_cookie=S"), [""; 0]);
}

#[test]
fn judges_100_000_rules() {
    let mut text = String::new();
    for n in 0..50_000 {
        text.push_str(&format!("/app{n}/*=w{n}\n!/app{n}/static/*=w{n}\n"));
    }
    let map = map(&text);
    assert_eq!(map.advice(), []);
    assert_eq!(map.check_workers(&[]).len(), 50_000);
}

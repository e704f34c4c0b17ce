//! Limits of the reader, and that no bytes make it panic.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mod_jk::config;
use mod_jk::properties::{MAX_ENTRIES, MAX_LINE, MAX_VALUE, Properties, Severity};
use proptest::prelude::*;

fn errors(text: &str) -> (Properties, Vec<String>) {
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    properties.read(text.as_bytes(), "f", &mut findings);
    let errors =
        findings.iter().filter(|finding| finding.severity == Severity::Error).map(ToString::to_string).collect();
    (properties, errors)
}

#[test]
fn takes_a_line_whole_that_the_c_library_would_cut() {
    let names: Vec<String> = (0..2_000).map(|number| format!("w{number}")).collect();
    let (properties, errors) = errors(&format!("worker.list={}\nworker.y.host=ok", names.join(",")));
    assert_eq!(properties.value("worker.list").unwrap().split(',').count(), 2_000);
    assert_eq!((properties.value("worker.y.host"), errors.len()), (Some("ok"), 0));
}

#[test]
fn refuses_a_line_over_the_limit_and_names_it() {
    let (properties, errors) = errors(&format!("a={}\nb=1", "x".repeat(MAX_LINE)));
    assert_eq!(errors, [format!("f:1: the line has 65538 bytes; at most {MAX_LINE} are read, so nothing of it is")]);
    assert_eq!((properties.value("a"), properties.value("b")), (None, Some("1")));
}

#[test]
fn a_long_comment_is_no_long_line() {
    assert!(errors(&format!("a=1 #{}", "x".repeat(MAX_LINE))).1.is_empty());
}

#[test]
fn variables_cannot_grow_without_end() {
    let mut text = format!("v0={}\n", "x".repeat(1_000));
    for level in 1..30 {
        text += &format!("v{level}={}\n", format!("$(v{})", level - 1).repeat(20));
    }
    let (properties, errors) = errors(&text);
    assert!(
        errors
            .iter()
            .any(|error| error == &format!("f:3: v2 becomes longer than {MAX_VALUE} bytes, which is the limit")),
        "{errors:?}"
    );
    assert!(properties.entries().all(|entry| entry.value.len() <= MAX_VALUE));
}

#[test]
fn repeats_cannot_grow_without_end() {
    let text = format!("worker.list={}\n", "x".repeat(30_000)).repeat(3);
    let (properties, errors) = errors(&text);
    assert_eq!(errors, [format!("f:3: worker.list becomes longer than {MAX_VALUE} bytes, which is the limit")]);
    assert!(properties.value("worker.list").unwrap().len() <= MAX_VALUE);
}

#[test]
fn references_cannot_multiply_entries_without_end() {
    let mut text = String::new();
    for number in 0..300 {
        text += &format!("worker.t.a{number}.host=1\nworker.w{number}.reference=worker.t\n");
    }
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    properties.read(text.as_bytes(), "f", &mut findings);
    properties.resolve_references(&mut findings);
    assert!(properties.entries().count() <= MAX_ENTRIES);
    assert!(findings.iter().any(|finding| finding.message.contains("which is the limit")));
}

/// Text that often looks like a workers file.
fn file() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "worker\\.(list|maintain)",
        "(jkx\\.)?worker\\.[abl]\\.(type|host|port|reference|balance_workers|route|retries|secret|mount|health|ping_mode)",
        "[a-c]",
        "\\PC{0,8}",
    ];
    let value = prop_oneof![
        "[abl, ]{1,6}",
        "-?[0-9]{1,11}[kmx]?",
        "(ajp13|lb|status|worker\\.[ab]|true|\\$\\([a-c]\\))",
        "\\[?[0-9a-f:]{0,6}\\]?:?[0-9]{0,3}",
        "\\PC{0,12}",
    ];
    proptest::collection::vec((key, value).prop_map(|(key, value)| format!("{key}={value}")), 0..12)
        .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        config::fuzz_properties(&bytes);
        config::fuzz_toml(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_a_file_makes_the_readers_panic(text in file()) {
        config::fuzz_properties(text.as_bytes());
    }

    #[test]
    fn a_converted_file_means_the_same(text in file()) {
        let mut before = Properties::new();
        before.read(text.as_bytes(), "f", &mut Vec::new());
        if let Ok(toml) = config::toml::convert_properties_to_toml(text.as_bytes(), "workers.properties") {
            let mut after = Properties::new();
            let mut findings = Vec::new();
            config::toml::read(&mut after, toml.as_bytes(), "t", &mut findings);
            prop_assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}\n{toml}");
            let build = |properties: &Properties| config::build(properties, &config::Defaults::default()).0;
            let (before, after) = (build(&before), build(&after));
            prop_assert_eq!(before.list, after.list);
            prop_assert_eq!(before.ajp, after.ajp);
            prop_assert_eq!(before.mounts, after.mounts);
        }
    }
}

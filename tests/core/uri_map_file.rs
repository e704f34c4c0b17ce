//! The text of a mount file, statement by statement of the reference (apache-side.md section 3.3, section 3.6, section 3.8).
//!
//! Not here: what the rules then match (`uri_map_match`). The surprising thing: whatever is wrong with a line, the others
//! are read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use mod_jk::properties::Severity;
use mod_jk::uri_map::{Rule, UriMapBuilder, read_mount_file};

/// `prefixes pattern worker` of each rule, and the messages.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    read_with(text, |_| None)
}

fn read_with(text: &str, env: impl Fn(&[u8]) -> Option<Vec<u8>>) -> (Vec<String>, Vec<String>) {
    let (rules, findings) = read_mount_file(text.as_bytes(), "map", env);
    let line = |rule: &Rule| {
        let disabled = if rule.disabled { "-" } else { "" };
        let exclusion = if rule.exclusion { "!" } else { "" };
        let (pattern, worker) = (String::from_utf8_lossy(&rule.pattern), String::from_utf8_lossy(&rule.worker));
        format!("{disabled}{exclusion}{pattern} {worker}")
    };
    assert!(findings.iter().all(|finding| finding.severity != Severity::Error));
    (rules.iter().map(line).collect(), findings.iter().map(ToString::to_string).collect())
}

/// Rules of a text that gives rise to no message.
fn clean(text: &str) -> Vec<String> {
    let (rules, findings) = read(text);
    assert_eq!(findings, [""; 0], "{text}");
    rules
}

/// The only message of a text, and its rules.
fn warned(text: &str) -> (Vec<String>, String) {
    let (rules, mut findings) = read(text);
    assert_eq!(findings.len(), 1, "{findings:?}");
    (rules, findings.remove(0))
}

#[test]
fn reads_one_rule_per_line_trimmed_at_both_sides() {
    assert_eq!(clean("/a=w1\n\n  \t/b/* \t=  w2 \r\n\x0B/c=w3"), ["/a w1", "/b/* w2", "/c w3"]);
}

#[test]
fn a_hash_starts_a_comment_anywhere() {
    assert_eq!(clean("# text\n/a=w1 # w2\n #/b=w2\n"), ["/a w1"]);
    let (rules, _) = read("/c#d=w1\n");
    assert_eq!(rules, [""; 0]);
}

#[test]
fn a_line_is_split_at_its_first_equals_sign() {
    assert_eq!(clean("/u6=w1=x"), ["/u6 w1=x"]);
}

#[test]
fn there_are_no_continuation_lines() {
    assert_eq!(clean("/a=w1\\\n/b=w2"), ["/a w1\\", "/b w2"]);
}

#[test]
fn a_line_without_equals_sign_or_without_a_side_is_ignored_and_named() {
    let (rules, findings) = read("/a\n/b=\n=w1\n/c=w1\n");
    assert_eq!(rules, ["/c w1"]);
    assert!(findings[0].starts_with("map:1: \"/a\" has no '='"), "{}", findings[0]);
    assert!(findings[1].starts_with("map:2: \"/b=\" has no worker behind"), "{}", findings[1]);
    assert!(findings[2].starts_with("map:3: \"=w1\" has no pattern before"), "{}", findings[2]);
}

#[test]
fn minus_then_exclamation_mark_are_prefixes() {
    assert_eq!(clean("-/a=w\n!/b=w\n-!/c=w\n"), ["-/a w", "!/b w", "-!/c w"]);
}

#[test]
fn exclamation_mark_then_minus_is_rejected_with_a_hint() {
    let (rules, finding) = warned("!-/a=w1\n/b=w1");
    assert_eq!(rules, ["/b w1"]);
    assert_eq!(
        finding,
        "map:1: the pattern of a rule must begin with '/', found \"!-/a\", '-' goes before '!', the rule is dropped"
    );
}

#[test]
fn patterns_that_begin_with_a_wildcard_are_rejected_with_a_hint() {
    let (rules, finding) = warned("*.jsp=w1");
    assert_eq!(rules, [""; 0]);
    assert!(finding.contains("found \"*.jsp\", write \"/*.jsp\""), "{finding}");
    let (rules, finding) = warned("!*.gif=w1");
    assert_eq!(rules, [""; 0]);
    assert!(finding.contains("found \"!*.gif\", write \"/*.gif\""), "{finding}");
}

#[test]
fn a_suffix_is_no_prefix() {
    assert_eq!(clean("/a!=w1\n/b-=w1"), ["/a! w1", "/b- w1"]);
}

#[test]
fn a_bar_makes_two_rules_and_prefixes_hold_for_both() {
    assert_eq!(clean("/a|/*=w1\n-!/b|/*=w2"), ["/a w1", "/a/* w1", "-!/b w2", "-!/b/* w2"]);
}

#[test]
fn the_worker_ends_at_the_first_semicolon_untrimmed() {
    assert_eq!(clean("/a=w1 ;stateless=1"), ["/a w1 "]);
}

#[test]
fn an_unknown_setting_is_named_with_its_line_and_the_rule_stays() {
    let (rules, finding) = warned("\n/a=w1;sticky_ignor=1");
    assert_eq!(rules, ["/a w1"]);
    assert_eq!(
        finding,
        "map:2: unknown rule extension \"sticky_ignor=1\" is ignored, did you mean \"sticky_ignore=\"?"
    );
}

#[test]
fn blanks_after_a_semicolon_belong_to_the_name() {
    let (rules, finding) = warned("/a=w1; reply_timeout=5");
    assert_eq!(rules, ["/a w1"]);
    assert!(finding.contains("unknown rule extension \" reply_timeout=5\""), "{finding}");
}

#[test]
fn the_last_of_two_equal_keys_wins_with_a_warning() {
    let (rules, finding) = warned("/a=w1\n/b=w1\n/a=w2\n");
    assert_eq!(rules, ["/a w2", "/b w1"]);
    assert_eq!(finding, "map:3: \"/a\" is given again and replaces line 1");
}

#[test]
fn a_key_given_three_times_is_told_about_line_by_line_and_is_the_last() {
    let (rules, findings) = read_mount_file(b"/a=w1\n/a=w2\n/a=w3\n", "map", |_| None);
    let messages: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        ["map:2: \"/a\" is given again and replaces line 1", "map:3: \"/a\" is given again and replaces line 2"]
    );
    assert_eq!(rules[0].origin.as_ref().unwrap().line, 3);
}

#[test]
fn a_repeated_exclusion_for_another_worker_is_told_about_the_star() {
    let (rules, finding) = warned("!/a=w1\n!/a=w2\n");
    assert_eq!(rules, ["!/a w2"]);
    assert!(finding.contains("'*' would exclude it for every worker"), "{finding}");
}

#[test]
fn keys_differ_by_their_prefixes() {
    assert_eq!(clean("/x=w1\n!/x=w1\n-/x=w1"), ["/x w1", "!/x w1", "-/x w1"]);
}

#[test]
fn an_earlier_key_serves_as_a_variable_and_is_then_no_bad_rule() {
    assert_eq!(clean("lb=balancer\n/a=$(lb);stateless=1\n"), ["/a balancer"]);
    assert_eq!(clean("/a=w1\n/b=$(/a)\n"), ["/a w1", "/b w1"]);
}

#[test]
fn a_key_that_is_neither_pattern_nor_variable_is_named() {
    let (_, finding) = warned("lb=balancer\n/a=w1\n");
    assert!(finding.starts_with("map:1: the pattern of a rule must begin with '/', found \"lb\""), "{finding}");
}

#[test]
fn the_environment_is_asked_for_what_no_earlier_line_gives() {
    let env = |name: &[u8]| (name == b"W").then(|| b"env".to_vec());
    let (rules, findings) = read_with("/a=$(W)\nW=file\n/b=x$(W)y\n", env);
    assert_eq!(rules, ["/a env", "/b xfiley"]);
    assert_eq!(findings, [""; 0]);
}

#[test]
fn an_unknown_variable_stays_as_written() {
    assert_eq!(clean("/a=$(nothing)\n/b=$(open\n/c=$($(n))"), ["/a $(nothing)", "/b $(open", "/c $($(n))"]);
}

#[test]
fn what_a_variable_gives_is_not_expanded_again() {
    let env = |name: &[u8]| (name == b"W").then(|| b"$(W)".to_vec());
    assert_eq!(read_with("/a=$(W)", env).0, ["/a $(W)"]);
}

#[test]
fn at_most_21_variables_of_a_value_are_replaced() {
    let env = |_: &[u8]| Some(b"x".to_vec());
    let (rules, _) = read_with(&format!("/a={}", "$(v)".repeat(30)), env);
    assert_eq!(rules, [format!("/a {}{}", "x".repeat(21), "$(v)".repeat(9))]);
}

#[test]
fn a_worker_setting_is_ignored_with_a_warning_and_the_rest_is_read() {
    let (rules, finding) = warned("/a=w1\nworker.w1.prot=80\n/b=w1\n");
    assert_eq!(rules, ["/a w1", "/b w1"]);
    assert!(finding.starts_with("map:2: \"worker.w1.prot\" is ignored here"), "{finding}");
}

#[test]
fn a_line_is_cut_at_8191_bytes_and_its_tail_is_another_line() {
    let filler = "x".repeat(8_191 - "/a=w1#".len());
    let (rules, finding) = warned(&format!("/a=w1#{filler}/tail=w2\n/b=w3"));
    assert_eq!(rules, ["/a w1", "/tail w2", "/b w3"]);
    assert!(finding.starts_with("map:1: a line has at most 8191 bytes"), "{finding}");
}

#[test]
fn a_line_of_8191_bytes_with_its_end_is_not_cut() {
    let filler = "x".repeat(8_191 - "/a=w1#\n".len());
    assert_eq!(clean(&format!("/a=w1#{filler}\n/b=w2")), ["/a w1", "/b w2"]);
}

#[test]
fn a_byte_order_mark_is_skipped_with_a_warning() {
    let (rules, finding) = warned("\u{feff}!/secret/*=w1\n/*=w1");
    assert_eq!(rules, ["!/secret/* w1", "/* w1"]);
    assert!(finding.contains("byte order mark"), "{finding}");
}

#[test]
fn bytes_that_are_no_utf8_are_taken_as_they_are() {
    let (rules, findings) = read_mount_file(b"/caf\xE9=w\xFF", "map", |_| None);
    assert_eq!((&*rules[0].pattern, &*rules[0].worker), (b"/caf\xE9".as_slice(), b"w\xFF".as_slice()));
    assert_eq!(findings, []);
}

#[test]
fn rules_know_where_they_were_written() {
    let (rules, _) = read_mount_file(b"\n# x\n/a|/*=w1\n", "conf/map", |_| None);
    for rule in rules {
        let origin = rule.origin.unwrap();
        assert_eq!((&*origin.file, origin.line), ("conf/map", 3));
    }
}

#[test]
fn the_sample_file_reads_without_a_word() {
    let text = include_str!("../../conf/uriworkermap.properties");
    let (rules, findings) = read_mount_file(text.as_bytes(), "uriworkermap.properties", |_| None);
    assert_eq!(findings, []);
    assert!(!rules.is_empty());
    let map = UriMapBuilder::from_parts(Vec::new(), Vec::new(), rules).build();
    assert_eq!(map.advice(), []);
}

//! Which rule serves a URI, statement by statement of the reference (apache-side.md section 1.1, section 1.2, section 3, section 9, section 10).
//!
//! Not here: the mount file's text (`uri_map_file`). The surprising thing: URIs here go through normalisation first, as in
//! the hooks, so that the rows show what a client's request does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use mod_jk::uri_map::normalize::{NormalizeError, normalize};
use mod_jk::uri_map::{Lookup, MountTable, RuleList, UriMap, UriMapBuilder, read_mount_file};

/// Lines like `/app/* w1` or `!/app/x w1`, as JkMount and JkUnMount.
fn table(lines: &[&str]) -> MountTable {
    let mut table = MountTable::default();
    for line in lines {
        let (pattern, worker) = line.split_once(' ').unwrap();
        match pattern.strip_prefix('!') {
            Some(pattern) => table.put_unmount(pattern.as_bytes(), worker.as_bytes(), None),
            None => table.put_mount(pattern.as_bytes(), worker.as_bytes(), None),
        }
    }
    table
}

fn map(lines: &[&str]) -> UriMap {
    UriMapBuilder::from_parts(table(lines).rules().rules, Vec::new(), Vec::new()).build()
}

/// The same from a mount file.
fn file_map(text: &str) -> UriMap {
    let (rules, _) = read_mount_file(text.as_bytes(), "map", |_| None);
    UriMapBuilder::from_parts(Vec::new(), Vec::new(), rules).build()
}

/// The worker, `-` when nothing matches, `excluded`, `400`, or the other answers by name.
fn worker(map: &UriMap, uri: &str) -> String {
    let Ok(normal) = normalize(uri.as_bytes()) else { return "400".to_owned() };
    match map.lookup(&normal) {
        Lookup::Match(rule) => String::from_utf8(rule.worker.to_vec()).unwrap(),
        Lookup::Excluded { .. } => "excluded".to_owned(),
        Lookup::None => "-".to_owned(),
        other => format!("{other:?}"),
    }
}

fn rows(map: &UriMap, rows: &[(&str, &str)]) {
    for (uri, expected) in rows {
        assert_eq!(worker(map, uri), *expected, "{uri}");
    }
}

#[test]
fn a_mount_is_written_decoded_and_percent_stands_for_itself() {
    rows(&map(&["/x%20y w1"]), &[("/x%20y", "w1"), ("/x y", "-")]);
    let mut spaced = MountTable::default();
    spaced.put_mount(b"/x y", b"w1", None);
    let spaced = UriMapBuilder::from_parts(spaced.rules().rules, Vec::new(), Vec::new()).build();
    rows(&spaced, &[("/x y", "w1"), ("/x%20y", "-")]);
}

#[test]
fn matching_is_case_sensitive() {
    rows(&map(&["/App/* w1"]), &[("/App/x", "w1"), ("/app/x", "-")]);
}

#[test]
fn an_exact_rule_equals_the_whole_uri() {
    rows(&map(&["/a w1"]), &[("/a", "w1"), ("/a/", "-"), ("/a/x", "-"), ("/ab", "-")]);
}

#[test]
fn the_root_alone_maps_only_the_root() {
    rows(&map(&["/ w1"]), &[("/", "w1"), ("/x", "-")]);
}

#[test]
fn slash_star_maps_everything() {
    rows(&map(&["/* w1"]), &[("/", "w1"), ("/x", "w1"), ("/x/y.jsp", "w1")]);
}

#[test]
fn bar_mounts_the_context_and_what_is_below() {
    rows(&map(&["/app|/* w1"]), &[("/app", "w1"), ("/app/", "w1"), ("/app/x", "w1"), ("/appx", "-")]);
}

#[test]
fn bar_works_in_exclusions_too() {
    let map = map(&["/* w1", "!/app|/* w1"]);
    rows(&map, &[("/app", "excluded"), ("/app/x", "excluded"), ("/appx", "w1")]);
}

#[test]
fn only_the_first_bar_counts() {
    rows(&map(&["/a|b|c w1"]), &[("/a", "w1"), ("/ab|c", "w1"), ("/abc", "-"), ("/ab", "-")]);
}

#[test]
fn star_matches_nothing_and_slashes() {
    rows(&map(&["/app/* w1"]), &[("/app/", "w1"), ("/app/a/b/c", "w1"), ("/app", "-")]);
    rows(&map(&["/a*z w1"]), &[("/az", "w1"), ("/a/b/z", "w1"), ("/azx", "-")]);
}

#[test]
fn question_mark_matches_one_byte_and_also_a_slash() {
    rows(&map(&["/a?c w1"]), &[("/abc", "w1"), ("/a/c", "w1"), ("/ac", "-"), ("/abbc", "-")]);
}

#[test]
fn several_stars_are_allowed() {
    rows(&map(&["/*/x/*.do w1"]), &[("/a/x/b.do", "w1"), ("/a/b/x/.do", "w1"), ("/x/b.do", "-")]);
}

#[test]
fn brackets_are_ordinary_characters() {
    rows(&map(&["/[ab]* w1"]), &[("/[ab]c", "w1"), ("/ac", "-")]);
}

#[test]
fn more_slashes_win_over_everything_else() {
    rows(&map(&["/*.jsp w2", "/app/* w1"]), &[("/app/x.jsp", "w1"), ("/x.jsp", "w2")]);
    rows(&map(&["/app w1", "/app/* w2"]), &[("/app", "w1"), ("/app/", "w2")]);
}

#[test]
fn of_equally_many_slashes_the_longer_pattern_wins_even_over_an_exact_one() {
    rows(&map(&["/app w1", "/app* w2"]), &[("/app", "w2")]);
    rows(&map(&["/ w1", "/* w2"]), &[("/", "w2")]);
}

#[test]
fn of_equal_patterns_the_mount_file_goes_before_jkmount_before_the_mount_property() {
    let jk = || table(&["/a w-jk", "/b w-jk"]).rules().rules;
    let property = || {
        let mut list = RuleList::default();
        for pattern in ["/a", "/b", "/c"] {
            list.add_worker_mount("w-property", pattern, None);
        }
        list.rules
    };
    let (file, _) = read_mount_file(b"/a=w-file", "map", |_| None);
    let map = UriMapBuilder::from_parts(jk(), property(), file).build();
    rows(&map, &[("/a", "w-file"), ("/b", "w-jk"), ("/c", "w-property")]);
}

#[test]
fn on_a_full_tie_the_first_written_wins() {
    rows(&map(&["/dup w1", "/dup|/z w2"]), &[("/dup", "w1"), ("/dup/z", "w2")]);
    rows(&map(&["/dup|/z w2", "/dup w1"]), &[("/dup", "w2")]);
    rows(&map(&["/?b w1", "/a? w2"]), &[("/ab", "w1")]);
    rows(&map(&["/a? w2", "/?b w1"]), &[("/ab", "w2")]);
}

#[test]
fn the_same_jkmount_again_replaces_the_worker_and_keeps_the_place() {
    rows(&map(&["/p w1", "/p w2"]), &[("/p", "w2")]);
    rows(&map(&["/dup w1", "/dup|/z w2", "/dup w3"]), &[("/dup", "w3")]);
}

#[test]
fn unmounts_of_one_pattern_for_several_workers_all_hold() {
    let lines = ["/p w1", "/q/* w2", "!/* w1", "!/* w2"];
    rows(&map(&lines), &[("/p", "excluded"), ("/q/x", "excluded")]);
}

#[test]
fn an_excluded_uri_is_not_served_by_a_lower_rule() {
    let map = map(&["/app/* w1", "/* w2", "!/app/s/* w1"]);
    rows(&map, &[("/app/s/x", "excluded"), ("/app/x", "w1"), ("/x", "w2")]);
}

#[test]
fn an_exclusion_for_another_worker_has_no_effect() {
    rows(&map(&["/app/* w1", "!/app/s/* w2"]), &[("/app/s/x", "w1")]);
}

#[test]
fn a_star_as_worker_excludes_for_every_worker_and_nothing_else_does() {
    rows(&map(&["/a/* w1", "/b/* w2", "!/*.gif *"]), &[("/a/x.gif", "excluded"), ("/b/x.gif", "excluded")]);
    rows(&map(&["/a/* w1", "!/*.gif w*"]), &[("/a/x.gif", "w1")]);
}

#[test]
fn an_exact_exclusion_excludes_exactly_that() {
    rows(&map(&["/a/* w1", "!/a/x w1"]), &[("/a/x", "excluded"), ("/a/x/", "w1")]);
}

#[test]
fn settings_of_an_exclusion_are_no_part_of_its_worker() {
    rows(&map(&["/a/* w1", "!/a/x w1;stateless=1"]), &[("/a/x", "excluded")]);
}

#[test]
fn an_excluded_answer_names_both_rules() {
    let map = map(&["/a/* w1", "!/a/x w1"]);
    let Lookup::Excluded { rule, by } = map.lookup(b"/a/x") else { panic!("not excluded") };
    assert_eq!((&*rule.pattern, &*by.pattern), (b"/a/*".as_slice(), b"/a/x".as_slice()));
}

#[test]
fn disabled_rules_and_exclusions_do_nothing() {
    rows(&file_map("-/a/*=w1\n/*=w2\n"), &[("/a/x", "w2")]);
    rows(&file_map("/a/*=w1\n-!/a/x=w1\n"), &[("/a/x", "w1")]);
}

#[test]
fn the_worker_is_not_trimmed_before_its_settings() {
    rows(&map(&["/a w1 ;stateless=1"]), &[("/a", "w1 ")]);
}

#[test]
fn settings_reach_the_matched_rule() {
    let map = map(&["/a|/* lb;reply_timeout=3000;sticky_ignore=1;active=m1"]);
    for uri in ["/a", "/a/x"] {
        let Lookup::Match(rule) = map.lookup(uri.as_bytes()) else { panic!("{uri}") };
        assert_eq!(rule.options.reply_timeout_ms, Some(3000));
        assert!(rule.options.sticky_ignore);
    }
}

#[test]
fn the_bar_of_a_mount_property_is_an_ordinary_character() {
    let mut list = RuleList::default();
    list.add_worker_mount("w1", "/mnt2|/*", None);
    let map = UriMapBuilder::from_parts(Vec::new(), list.rules, Vec::new()).build();
    rows(&map, &[("/mnt2", "-"), ("/mnt2/x", "-"), ("/mnt2|/x", "w1")]);
}

#[test]
fn a_bad_pattern_is_an_error_except_in_a_mount_file() {
    use mod_jk::properties::Severity;
    let mut list = RuleList::default();
    list.add_worker_mount("w1", "*.jsp", None);
    list.add_mount(b"app", b"w1", None);
    assert!(list.rules.is_empty());
    assert!(list.diagnostics.iter().all(|finding| finding.severity == Severity::Error));
    assert_eq!(list.diagnostics.len(), 2);
    let (rules, findings) = read_mount_file(b"*.jsp=w1", "map", |_| None);
    assert!(rules.is_empty());
    assert_eq!(findings[0].severity, Severity::Warning);
}

#[test]
fn a_mount_property_may_exclude_and_disable() {
    let mut list = RuleList::default();
    for pattern in ["/a/*", "!/a/x", "-/b"] {
        list.add_worker_mount("w1", pattern, None);
    }
    let map = UriMapBuilder::from_parts(Vec::new(), list.rules, Vec::new()).build();
    rows(&map, &[("/a/y", "w1"), ("/a/x", "excluded"), ("/b", "-")]);
}

#[test]
fn percent_and_backslash_are_mapped_unless_rejected() {
    rows(&map(&["/* w1"]), &[("/a%b", "w1"), ("/a\\b", "w1")]);
    let rules = table(&["/* w1"]).rules().rules;
    let strict = UriMapBuilder::from_parts(rules, Vec::new(), Vec::new()).reject_unsafe_uri(true).build();
    rows(&strict, &[("/a%b", "Unsafe"), ("/a\\b", "Unsafe"), ("/ab", "w1")]);
}

#[test]
fn options_asterisk_is_not_rejected_and_not_mapped() {
    rows(&map(&["/* w1"]), &[("*", "NotAPath")]);
}

#[test]
fn an_empty_map_maps_nothing() {
    let empty = UriMap::default();
    assert!(empty.is_empty());
    rows(&empty, &[("/", "-"), ("/x", "-")]);
}

#[test]
fn a_traversal_is_refused_even_when_nothing_is_mounted() {
    assert_eq!(normalize(b"/a/..;/..;/x"), Err(NormalizeError::Traversal));
    rows(&map(&["/a w1"]), &[("/../x", "400"), ("x", "400")]);
}

#[test]
fn a_virtual_host_copies_only_what_it_does_not_have() {
    let mut own = table(&["/a w-own", "!/x w1"]);
    own.copy_missing(&table(&["/a w-main", "/b w-main", "!/x w2", "!/y w2", "!/y w3"]));
    let map = UriMapBuilder::from_parts(own.rules().rules, Vec::new(), Vec::new()).build();
    rows(&map, &[("/a", "w-own"), ("/b", "w-main")]);
    let exclusions: Vec<_> =
        map.rules().iter().filter(|rule| rule.exclusion).map(|rule| rule.worker.to_vec()).collect();
    // Its own exclusion of /x lifts the main server's, and both of the main server's for /y hold.
    assert_eq!(exclusions, [b"w1", b"w2", b"w3"]);
}

#[test]
fn a_mount_and_an_unmount_of_one_pattern_do_not_replace_each_other() {
    let mut own = table(&["/a w1"]);
    own.copy_missing(&table(&["!/a w1"]));
    let map = UriMapBuilder::from_parts(own.rules().rules, Vec::new(), Vec::new()).build();
    rows(&map, &[("/a", "excluded")]);
}

#[test]
fn a_reload_replaces_the_rules_of_the_file_and_keeps_the_others() {
    let jk = table(&["/jk w-jk"]).rules().rules;
    let build = |text: &str| {
        let (file, _) = read_mount_file(text.as_bytes(), "map", |_| None);
        UriMapBuilder::from_parts(jk.clone(), Vec::new(), file).build()
    };
    rows(&build("/old=w1\n/both=w1\n"), &[("/old", "w1"), ("/both", "w1"), ("/jk", "w-jk")]);
    rows(&build("/both=w2\n/new=w2\n"), &[("/old", "-"), ("/both", "w2"), ("/new", "w2"), ("/jk", "w-jk")]);
}

#[test]
fn cve_2007_0774_a_uri_beyond_4095_bytes_is_not_mapped() {
    let map = map(&["/* w1"]);
    let uri = |length: usize| format!("/{}", "a".repeat(length - 1));
    rows(&map, &[(&uri(4095), "w1"), (&uri(4096), "TooLong"), (&uri(8001), "TooLong")]);
    let long_but_normally_short = format!("/app/;{}/x", "p".repeat(5_000));
    rows(&map, &[(&long_but_normally_short, "w1")]);
}

#[test]
fn cve_2014_8111_repeated_slashes_do_not_pass_an_exclusion() {
    let map = map(&["/app/* w1", "!/app/private/* w1"]);
    rows(&map, &[("/app//private/x", "excluded"), ("//app///private/x", "excluded"), ("/app/public", "w1")]);
    rows(&map, &[("/app/./private/x", "excluded"), ("/app/x/../private/x", "excluded")]);
}

#[test]
fn cve_2018_1323_path_parameters_do_not_hide_dot_segments() {
    let map = map(&["/app/* w1", "!/app/private/* w1"]);
    rows(&map, &[("/app/x/..;/private/y", "excluded"), ("/app/.;x/private/y", "excluded"), ("/app/..;x/b", "-")]);
    rows(&map, &[("/app/..;/..;/x", "400")]);
}

#[test]
fn cve_2018_11759_the_uri_for_access_rules_is_the_one_that_is_mapped() {
    let map = map(&["/jkstatus jk", "/app/* w1"]);
    for (uri, seen, expected) in [
        ("/jkstatus;", "/jkstatus", "jk"),
        ("/app/admin;x/y", "/app/admin/y", "w1"),
        ("/app;a=b/admin", "/app/admin", "w1"),
        ("/x/..;/jkstatus", "/jkstatus", "jk"),
    ] {
        assert_eq!(&*normalize(uri.as_bytes()).unwrap(), seen.as_bytes());
        rows(&map, &[(uri, expected)]);
    }
}

#[test]
fn cve_2023_41081_no_rule_means_no_worker() {
    rows(&map(&["/app/* w1"]), &[("/", "-"), ("/other/", "-"), ("/jkstatus", "-")]);
}

#[test]
fn doubled_leading_slashes_are_mapped() {
    rows(&map(&["/jk/* w1"]), &[("//jk/a", "w1")]);
}

#[test]
fn status_words_ids_and_order_are_those_of_the_reference() {
    let (file, _) =
        read_mount_file(b"/ext/*=lbA;reply_timeout=3000\n!/app/static/*=lbA\n-/off/*=lbB\n/both|/*=*\n", "map", |_| {
            None
        });
    let mut property = RuleList::default();
    for pattern in ["/mnt/*", "/mnt2|/*"] {
        property.add_worker_mount("lbA", pattern, None);
    }
    let map = UriMapBuilder::from_parts(table(&["/app/* lbA"]).rules().rules, property.rules, file).build();
    let listed = |worker: &'static str| -> Vec<_> {
        let line = |(id, rule): (usize, &mod_jk::uri_map::Rule)| {
            format!("{id} {} {} {}", String::from_utf8_lossy(&rule.pattern), rule.type_text(), rule.source.text())
        };
        map.rules_of(worker.as_bytes()).map(line).collect()
    };
    assert_eq!(
        listed("lbA"),
        [
            "1 /app/static/* Unmount Wildchar uriworkermap",
            "2 /mnt2|/* Wildchar worker definition",
            "3 /both/* Wildchar uriworkermap",
            "4 /ext/* Wildchar uriworkermap",
            "5 /app/* Wildchar JkMount",
            "6 /mnt/* Wildchar worker definition",
            "7 /both Exact uriworkermap",
        ]
    );
    assert_eq!(
        listed("lbB"),
        ["1 /both/* Wildchar uriworkermap", "2 /off/* Disabled Wildchar uriworkermap", "3 /both Exact uriworkermap",]
    );
}

#[test]
fn disabled_exclusions_have_all_three_words() {
    let map = file_map("-!/a=w1\n-!/b/*=w1\n");
    let words: Vec<_> = map.rules().iter().map(mod_jk::uri_map::Rule::type_text).collect();
    assert_eq!(words, ["Disabled Unmount Wildchar", "Disabled Unmount Exact"]);
}

#[test]
fn rules_know_the_places_of_their_workers() {
    let names = ["", "a", "b", "a"].map(|name| std::ffi::CString::new(name).unwrap());
    let rules = table(&["/a/* a", "/b b;reply_timeout=7", "/c nobody"]).rules().rules;
    let map = UriMapBuilder::from_parts(rules, Vec::new(), Vec::new()).workers(&names).build();
    for (uri, place, plain) in [("/a/x", Some(1), true), ("/b", Some(2), false), ("/c", None, true)] {
        let Lookup::Match(rule) = map.lookup(uri.as_bytes()) else { panic!("{uri} is mapped") };
        assert_eq!((rule.place, rule.plain), (place, plain), "{uri}");
        assert_eq!(rule.plain, rule.options.is_plain(), "{uri}");
    }
}

//! Which requests are forwarded: JkMount and JkUnMount, their patterns, order and exclusions, and the URI they are compared with.
//!
//! Not here: rules of a file (`mount_file.rs`), virtual hosts (`merges.rs`); rules against each other in bulk (tests/core/uri_map_*.rs).

use crate::support::backend::{Backend, ask, get, status};
use crate::support::http_client::Request;
use crate::support::httpd::{Builder, Httpd, under_every_mpm};

/// What is served by httpd itself, from a file, answers this.
const LOCAL: &str = "file";

/// An httpd whose workers `w1` and `w2` answer with their names.
struct Two {
    w1: Backend,
    w2: Backend,
}

impl Two {
    fn start() -> Two {
        Two { w1: Backend::named("w1"), w2: Backend::named("w2") }
    }

    fn httpd(&self, config: &str) -> Builder {
        let workers = format!("worker.list=w1,w2\n{}{}", self.w1.worker("w1"), self.w2.worker("w2"));
        Httpd::builder().workers(&workers).config(config)
    }
}

/// Each target with what answers it: `w1`, `w2`, `file`, or a status.
#[track_caller]
fn assert_served(httpd: &Httpd, rows: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (target, expected) in rows {
        let response = get(httpd, target);
        let found = if response.status() == 200 { response.text() } else { response.status().to_string() };
        if found != *expected {
            wrong.push(format!("{target}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

under_every_mpm! {
    fn mounted_uris_are_forwarded_and_the_rest_is_httpds(mpm: Mpm) {
        let two = Two::start();
        let config = "JkMount /app/* w1\nJkMount /exact w2\nJkUnMount /app/static/* w1\nJkUnMount /app/*.gif w1\n";
        let httpd = two
            .httpd(config)
            .mpm(mpm)
            .file("htdocs/app/static/a.txt", LOCAL)
            .file("htdocs/app/b.gif", LOCAL)
            .file("htdocs/c.txt", LOCAL)
            .start();
        assert_served(&httpd, &[
            ("/app/x", "w1"), ("/app/", "w1"), ("/exact", "w2"), ("/exact/x", "404"),
            ("/app/static/a.txt", LOCAL), ("/app/b.gif", LOCAL), ("/c.txt", LOCAL), ("/none", "404"),
        ]);
    }
}

#[test]
fn patterns_match_as_the_reference_tells() {
    let two = Two::start();
    let config = "JkMount / w1\nJkMount /pair|/* w1\nJkMount /one?two w1\nJkMount /*.jsp w2\nJkMount /app/* w1\nJkMount /a/b/?/c w2\n\
                  JkMount \"/x y\" w1\nJkMount /pct%20x w2\nJkMount /Case w1\nJkMount /m*d/*/e w2\n";
    let httpd = two.httpd(config).start();
    assert_served(
        &httpd,
        &[
            ("/", "w1"),
            ("/other", "404"),
            ("/pair", "w1"),
            ("/pair/", "w1"),
            ("/pair/x/y", "w1"),
            ("/pairx", "404"),
            ("/one-two", "w1"),
            ("/one/two", "w1"),
            ("/onetwo", "404"),
            ("/x.jsp", "w2"),
            ("/deep/er/x.jsp", "w2"),
            ("/app/x.jsp", "w1"),
            ("/a/b/1/c", "w2"),
            ("/a/b/11/c", "404"),
            ("/x%20y", "w1"),
            ("/pct%2520x", "w2"),
            ("/case", "404"),
            ("/Case", "w1"),
            ("/m/d/x/y/e", "w2"),
            ("/x.jsp?a=/app/", "w2"),
        ],
    );
}

#[test]
fn more_slashes_then_longer_patterns_come_first() {
    let two = Two::start();
    let config =
        "JkMount /* w1\nJkMount /a/* w2\nJkMount /a/b w1\nJkMount /a/b* w2\nJkMount /tie w1\nJkMount /tie|/z w2\n";
    let httpd = two.httpd(config).start();
    assert_served(
        &httpd,
        &[("/x", "w1"), ("/a/x", "w2"), ("/a/b", "w2"), ("/a/bc", "w2"), ("/tie", "w1"), ("/tie/z", "w2")],
    );
}

#[test]
fn last_mount_of_a_pattern_wins() {
    let two = Two::start();
    let httpd = two.httpd("JkMount /dup w1\nJkMount /dup w2\n").start();
    assert_served(&httpd, &[("/dup", "w2")]);
}

#[test]
fn exclusions_name_their_worker_or_all_and_end_the_search() {
    let two = Two::start();
    let config = "JkMount /* w2\nJkMount /app/* w1\nJkUnMount /app/s/* w1\nJkUnMount /app/other/* w2\nJkUnMount /app/all/* *\n\
                  JkUnMount /both w1\nJkUnMount /both w2\n";
    let httpd = two.httpd(config).file("htdocs/app/s/x", LOCAL).start();
    assert_served(
        &httpd,
        &[
            ("/app/s/x", LOCAL),
            ("/app/other/x", "w1"),
            ("/app/all/x", "404"),
            ("/both", "404"),
            ("/app/x", "w1"),
            ("/x", "w2"),
        ],
    );
}

#[test]
fn unmounts_of_one_pattern_for_two_workers_both_hold() {
    let two = Two::start();
    let config = "JkMount /p/* w1\nJkMount /p/q/* w2\nJkUnMount /p/*.txt w1\nJkUnMount /p/*.txt w2\n";
    let httpd = two.httpd(config).start();
    assert_served(&httpd, &[("/p/x", "w1"), ("/p/q/x", "w2"), ("/p/x.txt", "404"), ("/p/q/x.txt", "404")]);
}

#[test]
fn sections_give_the_pattern() {
    let two = Two::start();
    let config = "<Location /sec>\nJkMount w1\n</Location>\n<Location /wild/*>\nJkMount w2\n</Location>\n\
                  <Location /wild/no/*>\nJkUnMount w2\n</Location>\n<Directory /tmp>\nJkMount w1\n</Directory>\n";
    let httpd = two.httpd(config).start();
    assert_served(
        &httpd,
        &[
            ("/sec", "w1"),
            ("/sec/x", "404"),
            ("/wild/x", "w2"),
            ("/wild/no/x", "404"),
            ("/tmp/", "w1"),
            ("/tmp", "404"),
        ],
    );
}

#[test]
fn uris_are_normalised_before_they_are_compared() {
    let two = Two::start();
    let config = "MergeSlashes Off\nJkMount /app/* w1\nJkMount /b w2\nJkUnMount /app/private/* w1\n";
    let httpd = two.httpd(config).start();
    assert_served(
        &httpd,
        &[
            ("/app//x", "w1"),
            ("//app/x", "w1"),
            ("/app/;a=b/x", "w1"),
            ("/app;a=b/x", "w1"),
            ("/x/..;/app/y", "w1"),
            ("/app/..;/b", "w2"),
            ("/b;x", "w2"),
            ("/app/.;/private/x", "404"),
            ("/app//private/x", "404"),
            ("/app/private;x/y", "404"),
            ("/..;/x", "400"),
            ("/app/..;/..;/x", "400"),
        ],
    );
    assert!(two.w1.uris().contains(&"/x/..;/app/y".to_owned()), "forwarded as the client wrote it");
}

#[test]
fn traversal_is_refused_without_any_mount() {
    let httpd = Httpd::builder().start();
    assert_eq!((status(&httpd, "/a/..;/..;/b"), status(&httpd, "/..;/")), (400, 400));
}

#[test]
fn options_asterisk_is_httpds() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    assert_eq!((ask(&httpd, &Request::new("OPTIONS", "*")).status(), backend.count()), (200, 0));
}

#[test]
fn uris_up_to_4095_bytes_are_mapped() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("LimitRequestLine 70000\n").allow_error_log("AH00127").start();
    let uri = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(status(&httpd, &uri(4_095)), 200);
    assert_eq!(backend.count(), 1);
    for length in [4_096, 4_097, 8_001] {
        assert!([403, 404].contains(&status(&httpd, &uri(length))), "{length}");
    }
    httpd.await_jk_log("longer than 4095 bytes");
    let long = format!("/{}", ";p".repeat(2_500));
    assert_eq!((status(&httpd, &long), backend.last().uri()), (200, long), "what counts is the normalised URI");
}

#[test]
fn unsafe_uris_can_be_left_unmapped() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("JkOptions +RejectUnsafeURI\n").start();
    for target in ["/a%25b", "/a%5Cb", "/a/%252e%252e/b"] {
        assert_eq!(status(&httpd, target), 404, "{target}");
    }
    assert_eq!((status(&httpd, "/a%20b"), backend.count()), (200, 1));
    httpd.await_jk_log("RejectUnsafeURI");
}

#[test]
fn workers_can_bring_their_mounts() {
    let backend = Backend::echo();
    let workers = format!("worker.list=w\n{}worker.w.mount=/one/* /two\nworker.w.mount=/three\n", backend.worker("w"));
    let httpd = Httpd::builder().workers(&workers).start();
    for (target, expected) in [("/one/x", 200), ("/two", 200), ("/three", 200), ("/four", 404)] {
        assert_eq!(status(&httpd, target), expected, "{target}");
    }
}

#[test]
fn trace_is_answered_by_httpd() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("TraceEnable On\n").start();
    let response = ask(&httpd, &Request::new("TRACE", "/x"));
    assert_eq!((response.status(), response.header("Content-Type"), backend.count()), (200, Some("message/http"), 0));
}

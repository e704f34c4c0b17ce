//! The mount file: its rules, and how changes to it are taken over while httpd serves.
//!
//! Not here: the grammar of the file in all its corners (tests/core/uri_map_file.rs). The surprising thing: a file that became worse
//! changes nothing, so each such test makes it better again and waits for that.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::backend::{Backend, status};
use crate::support::httpd::{Builder, Httpd, under_every_mpm};
use crate::support::wait;

/// Only a failing test waits as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_file(backend: &Backend, rules: &str) -> Builder {
    backend
        .unmounted()
        .children(1)
        .file("uriworkermap.properties", rules)
        .config("JkMountFile uriworkermap.properties\nJkMountFileReload 1\n")
}

/// Waits until `target` is answered with `expected`; JkMountFileReload is 1 second.
#[track_caller]
fn await_status(httpd: &Httpd, target: &str, expected: u16) {
    wait::until(PATIENCE, &format!("{target} to be answered with {expected}"), || status(httpd, target) == expected);
}

under_every_mpm! {
    fn changed_file_is_taken_over(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = with_file(&backend, "/one=w\n").mpm(mpm).start();
        assert_eq!((status(&httpd, "/one"), status(&httpd, "/two")), (200, 404));
        httpd.write_file("uriworkermap.properties", "/two=w\n/three=w\n");
        await_status(&httpd, "/two", 200);
        assert_eq!((status(&httpd, "/one"), status(&httpd, "/three")), (404, 200));
    }
}

#[test]
fn rules_of_the_file_stand_beside_those_of_jkmount() {
    let backend = Backend::echo();
    let rules = "# rules\n/file/* = w\n!/file/no/*=w\n-/off=w\n/pair|/*=w;reply_timeout=60000\n\n";
    let httpd = with_file(&backend, rules).config("JkMount /mount w\n").start();
    let rows = [
        ("/file/x", 200),
        ("/file/no/x", 404),
        ("/off", 404),
        ("/pair", 200),
        ("/pair/x", 200),
        ("/mount", 200),
        ("/x", 404),
    ];
    for (target, expected) in rows {
        assert_eq!(status(&httpd, target), expected, "{target}");
    }
    httpd.write_file("uriworkermap.properties", "/later=w\n");
    await_status(&httpd, "/later", 200);
    assert_eq!((status(&httpd, "/mount"), status(&httpd, "/file/x")), (200, 404));
}

#[test]
fn broken_file_keeps_the_rules_and_is_named_in_the_log() {
    let backend = Backend::echo();
    let httpd = with_file(&backend, "/one=w\n").start();
    assert_eq!(status(&httpd, "/one"), 200);
    let (file, other) = (httpd.root().join("uriworkermap.properties"), httpd.root().join("other"));
    // httpd's children run as another user than the file's owner, or the owner may not read it either.
    httpd.write_file("other", "/two=w\n");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::rename(&other, &file).unwrap();
    await_refusal(&httpd, "cannot read");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    await_refusal(&httpd, "must be a regular file");
    assert_eq!(status(&httpd, "/two"), 404);
    std::fs::remove_dir(&file).unwrap();
    httpd.write_file("uriworkermap.properties", "/two=w\n");
    await_status(&httpd, "/two", 200);
    assert_eq!(status(&httpd, "/one"), 404);
}

/// Waits until the log says why the file is not taken; the rules before hold all the while.
#[track_caller]
fn await_refusal(httpd: &Httpd, why: &str) {
    wait::until(PATIENCE, "the file to be refused", || {
        assert_eq!(status(httpd, "/one"), 200);
        let log = httpd.jk_log();
        log.lines().any(|line| {
            line.contains(why) && line.contains("uriworkermap.properties") && line.contains("the current rules stay")
        })
    });
}

#[test]
fn deleted_file_keeps_the_rules() {
    let backend = Backend::echo();
    let httpd = with_file(&backend, "/one=w\n").start();
    std::fs::remove_file(httpd.root().join("uriworkermap.properties")).unwrap();
    wait::until(PATIENCE, "the loss to be noticed", || {
        assert_eq!(status(&httpd, "/one"), 200);
        httpd.jk_log().contains("the current rules stay")
    });
    httpd.write_file("uriworkermap.properties", "/two=w\n");
    await_status(&httpd, "/two", 200);
}

#[test]
fn bad_line_at_the_start_is_dropped_and_named_and_the_others_hold() {
    let backend = Backend::echo();
    let httpd = with_file(&backend, "*.jsp=w\n/two=w\n").start();
    assert_eq!((status(&httpd, "/two"), status(&httpd, "/x.jsp")), (200, 404));
    assert!(httpd.await_jk_log("*.jsp").contains("uriworkermap.properties:1"));
    // A fault that the rules in force have already does not stand in the way of a change, wherever its line has gone.
    httpd.write_file("uriworkermap.properties", "/three=w\n*.jsp=w\n");
    await_status(&httpd, "/three", 200);
    assert_eq!(status(&httpd, "/two"), 404);
}

#[test]
fn file_that_became_worse_keeps_the_rules() {
    let backend = Backend::echo();
    let good = "/app/*=w\n!/app/private/*=w\n";
    let rows: [(&str, &[u8], &str); 6] = [
        ("an exclusion without its slash", b"/app/*=w\n!app/private/*=w\n", "uriworkermap.properties:2"),
        ("garbage", b"garbage\n*.jsp=w\n\xff\0\n=\n", "uriworkermap.properties:1"),
        ("half a line", b"/app/*=w\n!/app/private/*", "uriworkermap.properties:2"),
        ("an unknown worker", b"/app/*=wrong\n!/app/private/*=w\n", "does not exist"),
        ("an odd setting", b"/app/*=w;reply_timeout=soon\n!/app/private/*=w\n", "reply_timeout"),
        ("nothing", b"\n \n", "is blank"),
    ];
    for (name, bad, told) in rows {
        let httpd = with_file(&backend, good).start();
        httpd.write_file("uriworkermap.properties", bad);
        wait::until(PATIENCE, name, || {
            assert_eq!((status(&httpd, "/app/x"), status(&httpd, "/app/private/x")), (200, 404), "{name}");
            httpd.jk_log().contains("the current rules stay")
        });
        let log = httpd.jk_log();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("[error]")).collect();
        assert!(errors.iter().any(|line| line.contains(told)), "{name}: {errors:?}");
        // The next good version is taken.
        httpd.write_file("uriworkermap.properties", "# none but\n/other=w\n");
        await_status(&httpd, "/other", 200);
        assert_eq!(status(&httpd, "/app/x"), 404, "{name}");
    }
}

#[test]
fn comment_alone_says_that_no_rule_is_meant() {
    let backend = Backend::echo();
    let httpd = with_file(&backend, "/one=w\n").start();
    httpd.write_file("uriworkermap.properties", "# closed for today\n");
    await_status(&httpd, "/one", 404);
}

#[test]
fn reload_can_be_switched_off() {
    let backend = Backend::echo();
    let two = "JkMountFile a.map\nJkMountFileReload 0\n\
               <VirtualHost *:${PORT}>\nServerName live.test\nJkMountFile b.map\nJkMountFileReload 1\n</VirtualHost>\n\
               <VirtualHost *:${PORT}>\nServerName still.test\nJkMountFile a.map\n</VirtualHost>\n";
    let httpd = backend.unmounted().children(1).file("a.map", "/one=w\n").file("b.map", "/one=w\n").config(two).start();
    let ask = |host: &str, target: &str| {
        let request = crate::support::http_client::Request::new("GET", target).header("Host", host);
        crate::support::backend::ask(&httpd, &request).status()
    };
    httpd.write_file("a.map", "/two=w\n");
    httpd.write_file("b.map", "/two=w\n");
    wait::until(PATIENCE, "the live file to be read", || ask("live.test", "/two") == 200);
    assert_eq!((ask("still.test", "/one"), ask("still.test", "/two")), (200, 404));
}

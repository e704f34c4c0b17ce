//! What URI the container gets: the table of apache-side.md section 4.4, every row in all four ForwardURI modes.
//!
//! Not here: which URI is matched (`mounts.rs`). The surprising thing: httpd itself has decoded, merged and refused before; a status in
//! the table is httpd's answer or ours, and then nothing reached the container.

use std::fmt::Write as _;

use crate::support::backend::{Backend, ask};
use crate::support::http_client::Request;
use crate::support::httpd::Httpd;
use crate::support::wait;

/// Only a failing test waits as long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

const MODES: [&str; 4] = ["ForwardURIProxy", "ForwardURIEscaped", "ForwardURICompat", "ForwardURICompatUnparsed"];

/// A target, what AllowEncodedSlashes says, and what is forwarded (or the status) per mode.
struct Row(&'static [u8], &'static str, [&'static [u8]; 4]);

const NOT_FOUND: [&[u8]; 4] = [b"404"; 4];
const BAD: [&[u8]; 4] = [b"400"; 4];

/// The same in all modes.
const fn same(uri: &'static [u8]) -> [&'static [u8]; 4] {
    [uri; 4]
}

/// Decoded in three modes, as received in the fourth.
const fn decoded(uri: &'static [u8], received: &'static [u8]) -> [&'static [u8]; 4] {
    [uri, uri, uri, received]
}

const ROWS: &[Row] = &[
    Row(b"/a%20b", "Off", [b"/a%20b", b"/a%20b", b"/a b", b"/a%20b"]),
    Row(b"/a%2Fb", "Off", NOT_FOUND),
    Row(b"/a%2Fb", "On", decoded(b"/a/b", b"/a%2Fb")),
    Row(b"/a%2Fb", "NoDecode", [b"/a%252Fb", b"/a%252Fb", b"/a%2Fb", b"/a%2Fb"]),
    Row(b"/a%3Bb;jsessionid=1.r", "Off", decoded(b"/a;b;jsessionid=1.r", b"/a%3Bb;jsessionid=1.r")),
    Row(b"/x;jsessionid=A.n1/y", "Off", same(b"/x;jsessionid=A.n1/y")),
    Row(b"/%C3%A9", "Off", [b"/%C3%A9", b"/%c3%a9", b"/\xc3\xa9", b"/%C3%A9"]),
    Row(b"/a%25b", "Off", [b"/a%25b", b"/a%25b", b"/a%b", b"/a%25b"]),
    Row(b"/a%2525b", "Off", [b"/a%2525b", b"/a%2525b", b"/a%25b", b"/a%2525b"]),
    Row(b"/a/%252e%252e/b", "Off", [b"/a/%252e%252e/b", b"/a/%252e%252e/b", b"/a/%2e%2e/b", b"/a/%252e%252e/b"]),
    Row(b"/a+b", "Off", same(b"/a+b")),
    Row(b"/a%2Bb", "Off", decoded(b"/a+b", b"/a%2Bb")),
    Row(b"/a%3Fb?q=%20x", "Off", [b"/a%3Fb", b"/a%3fb", b"/a?b", b"/a%3Fb"]),
    Row(b"/a%23b", "Off", [b"/a%23b", b"/a%23b", b"/a#b", b"/a%23b"]),
    Row(b"/~u/$-_.!*'(),:@&=z", "Off", same(b"/~u/$-_.!*'(),:@&=z")),
    Row(
        b"/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
        "Off",
        [
            b"/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
            b"/a%22%3c%3e%5b%5d%5e%60%7b%7c%7d",
            b"/a\"<>[]^`{|}",
            b"/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
        ],
    ),
    Row(b"/a%5Cb", "Off", [b"/a%5Cb", b"/a%5cb", b"/a\\b", b"/a%5Cb"]),
    Row(b"/a%7Fb", "Off", [b"/a%7Fb", b"/a%7fb", b"/a\x7fb", b"/a%7Fb"]),
    Row(b"/a%01b", "Off", [b"/a%01b", b"/a%01b", b"/a\x01b", b"/a%01b"]),
    Row(b"/a%0Ab", "Off", [b"/a%0Ab", b"/a%0ab", b"/a\nb", b"/a%0Ab"]),
    Row(b"/a//b", "Off", decoded(b"/a/b", b"/a//b")),
    Row(b"/a/./b", "Off", decoded(b"/a/b", b"/a/./b")),
    Row(b"/a/../b", "Off", decoded(b"/b", b"/a/../b")),
    Row(b"/a/%2e%2e/b", "Off", decoded(b"/b", b"/a/%2e%2e/b")),
    Row(b"/a/..;/b", "Off", same(b"/a/..;/b")),
    Row(b"/a;x=1/../b", "Off", decoded(b"/b", b"/a;x=1/../b")),
    Row(b"/../b", "Off", BAD),
    Row(b"/a/..;x/..;y/b", "Off", BAD),
    Row(b"/a%00b", "Off", NOT_FOUND),
];

/// A host for each mode and each AllowEncodedSlashes.
fn hosts() -> String {
    let mut config = String::new();
    for (number, mode) in MODES.iter().enumerate() {
        for slashes in ["Off", "On", "NoDecode"] {
            write!(
                config,
                "<VirtualHost *:${{PORT}}>\nServerName {}.{slashes}.test\nAllowEncodedSlashes {slashes}\nJkOptions +{mode}\n\
                 JkMount /* w\n</VirtualHost>\n",
                number
            )
            .unwrap();
        }
    }
    config
}

fn exchange(httpd: &Httpd, host: &str, target: &[u8]) -> u16 {
    let target = std::str::from_utf8(target).unwrap();
    ask(httpd, &Request::new("GET", target).header("Host", host)).status()
}

#[test]
fn every_mode_forwards_what_the_table_says() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config(&hosts()).allow_error_log("AH00").allow_error_log("AH10244").start();
    let mut wrong = Vec::new();
    for Row(target, slashes, expected) in ROWS {
        for (number, (mode, expected)) in MODES.iter().zip(expected).enumerate() {
            let before = backend.count();
            let status = exchange(&httpd, &format!("{number}.{slashes}.test"), target);
            let forwarded = if backend.count() > before {
                backend.last().request.uri.escape_ascii().to_string()
            } else {
                status.to_string()
            };
            let expected = expected.escape_ascii().to_string();
            if forwarded != expected {
                wrong.push(format!("{} {mode}: {forwarded}, not {expected}", target.escape_ascii()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn absolute_targets_are_forwarded_as_their_path() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config(&hosts()).start();
    for number in 0..MODES.len() {
        let host = format!("{number}.off.test");
        let target = format!("http://{host}/abs/p?q=1");
        assert_eq!(exchange(&httpd, &host, target.as_bytes()), 200);
        let seen = backend.last();
        assert_eq!(
            (seen.uri().as_str(), seen.request.query_string.as_deref()),
            ("/abs/p", Some(&b"q=1"[..])),
            "{number}"
        );
    }
}

#[test]
fn slashes_that_httpd_leaves_are_forwarded() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config("MergeSlashes Off\nJkMount /a/* w\n").start();
    assert_eq!(exchange(&httpd, "localhost", b"/a//b"), 200);
    assert_eq!(backend.last().uri(), "/a//b");
    // httpd itself takes a target that begins with two slashes for one that begins with one.
    assert_eq!(exchange(&httpd, "localhost", b"//a///b"), 200);
    assert_eq!(backend.last().uri(), "/a///b");
}

#[test]
fn other_modules_still_see_the_target_as_it_came() {
    let backend = Backend::echo();
    let script = "function log(r)\n  local file = io.open(r.subprocess_env['SEEN'], 'a')\n  file:write(r.unparsed_uri .. '\\n')\n  file:close()\n  \
                  return apache2.DECLINED\nend\n";
    let config = format!("{}SetEnv SEEN ${{ROOT}}/seen/uris\nLuaHookLog ${{ROOT}}/log.lua log\n", hosts());
    let httpd =
        backend.unmounted().load("mod_lua").file("log.lua", script).file("seen/uris", "").config(&config).start();
    let seen = httpd.root().join("seen/uris");
    std::fs::set_permissions(&seen, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut expected = String::new();
    for number in 0..MODES.len() {
        for path in ["/a%20b;jsessionid=1.r/./c?q=%20x".to_owned(), format!("http://{number}.off.test/abs/p?q=1")] {
            assert_eq!(exchange(&httpd, &format!("{number}.off.test"), path.as_bytes()), 200);
            expected += &format!("{path}\n");
            wait::until(PATIENCE, "the line of the log hook", || std::fs::read_to_string(&seen).unwrap() == expected);
        }
    }
}

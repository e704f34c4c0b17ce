//! HTTP/2 clients (mod_http2, h2c with prior knowledge), by curl.
//!
//! Not here: what is the same for every protocol (`forwarding.rs`). The surprising thing: an HTTP/2 stream is not a connection, so
//! cutting a broken response off means a reset of the stream, which curl reports as exit status 92.

use std::path::Path;
use std::process::Command;

use crate::support::backend::Backend;
use crate::support::cluster::PATIENCE;
use crate::support::httpd::Httpd;
use crate::support::tomcat::{chunk, headers};
use crate::support::tomcat_server::Pattern;
use crate::support::wait;

const STREAM_RESET: i32 = 92;

struct Curl {
    code: i32,
    body: Vec<u8>,
    status: String,
}

fn curl(httpd: &Httpd, target: &str, more: &[&str]) -> Curl {
    let url = httpd.url(target);
    let arguments =
        ["-sS", "--http2-prior-knowledge", "--max-time", "120", "-w", "%{stderr}%{http_version} %{http_code}"];
    let output = Command::new("curl").args(arguments).args(more).arg(url).output().expect("curl must be installed");
    let status = String::from_utf8_lossy(&output.stderr).into_owned();
    Curl { code: output.status.code().unwrap_or(-1), body: output.stdout, status }
}

fn httpd(backend: &Backend) -> Httpd {
    backend.httpd().load("mod_http2").config("Protocols h2c http/1.1\n").start()
}

#[test]
fn responses_come_whole_over_http_2() {
    let backend = Backend::start(|call| call.answer(200, &[], Pattern::bytes(300_000)));
    let httpd = httpd(&backend);
    let answer = curl(&httpd, "/", &[]);
    assert_eq!((answer.code, answer.status.as_str()), (0, "2 200"));
    assert_eq!(answer.body.len(), 300_000);
    Pattern::new().assert_next(&answer.body);
    assert_eq!(String::from_utf8_lossy(&backend.last().request.protocol), "HTTP/2.0");
}

#[test]
fn uploads_arrive_whole_over_http_2() {
    let backend = Backend::echo();
    let httpd = httpd(&backend);
    let file = httpd.root().join("upload.bin");
    std::fs::write(&file, Pattern::bytes(200_000)).unwrap();
    let argument = format!("@{}", Path::new(&file).display());
    let answer = curl(&httpd, "/up", &["--data-binary", &argument]);
    assert_eq!((answer.code, answer.body.as_slice()), (0, &b"POST /up"[..]));
    assert_eq!(backend.last().body.len(), 200_000);
    Pattern::new().assert_next(&backend.last().body);
}

#[test]
fn response_that_broke_after_a_flush_resets_its_stream() {
    let backend = Backend::start(|call| {
        call.peer.headers(200);
        call.peer.chunk(b"part");
        call.peer.flush();
        call.peer.close();
    });
    let httpd = httpd(&backend);
    let answer = curl(&httpd, "/", &[]);
    assert_eq!(answer.code, STREAM_RESET, "{}", answer.status);
    // A reset may overtake what was flushed before it.
    assert!(b"part".starts_with(&answer.body), "{:?}", answer.body);
    assert_eq!(backend.count(), 1);
}

#[test]
fn response_that_broke_before_a_flush_is_a_clean_502_over_http_2() {
    let backend = Backend::start(|call| {
        call.peer.send_and_close(&[headers(200, &[]), chunk(b"part")].concat());
    });
    let httpd = httpd(&backend);
    let answer = curl(&httpd, "/", &[]);
    assert_eq!((answer.code, answer.status.as_str()), (0, "2 502"));
}

/// A stream that has taken the end of its response is over at once, which must not be taken for a client that went away.
#[test]
fn whole_responses_over_http_2_keep_their_connection_and_blame_nobody() {
    const REQUESTS: usize = 30;
    let backend = Backend::echo();
    let config = "Protocols h2c http/1.1\nJkRequestLogFormat \"served %s\"\n";
    let httpd = backend.httpd().load("mod_http2").children(1).config(config).start();
    for number in 1..=REQUESTS {
        assert_eq!(curl(&httpd, "/", &[]).status, "2 200");
        // The connection is back in its pool then.
        wait::until(PATIENCE, "the request's line", || httpd.jk_log().matches("served 200").count() == number);
    }
    assert_eq!(backend.connections(), 1);
    assert!(!httpd.jk_log().contains("request failed"));
}

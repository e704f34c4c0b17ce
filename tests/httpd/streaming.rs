//! Bodies on the move: flushes that reach the client one by one, bodies asked for piece by piece, 100 Continue.
//!
//! Not here: whole bodies (`forwarding.rs`). The surprising thing: nothing here waits for time to pass; the container goes on when the
//! test has seen what it sent before.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::backend::{Backend, ask, text};
use crate::support::http_client::{Body, Client, LAST_CHUNK, Request, chunk};
use crate::support::httpd::{Httpd, Mpm, under_every_mpm};
use crate::support::tomcat::Tomcat;

/// A container that sends headers when told, then a part of the body each time it is told, then the end.
fn told(parts: &'static [&'static str], flush: bool) -> (Backend, Sender<()>) {
    let (tell, told) = channel::<()>();
    let told: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(told));
    let backend = Backend::start(move |call| {
        let told = told.lock().unwrap();
        told.recv().unwrap();
        call.peer.headers_with(200, &[("Content-Type", "text/event-stream")]);
        if flush {
            call.peer.flush();
        }
        for part in parts {
            told.recv().unwrap();
            call.peer.chunk(part.as_bytes());
            if flush {
                call.peer.flush();
            }
        }
        told.recv().unwrap();
        call.peer.end(true);
    });
    (backend, tell)
}

#[track_caller]
fn parts_arrive_one_by_one(httpd: &Httpd, tell: &Sender<()>, parts: &[&str]) {
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send(&Request::new("GET", "/events")).unwrap();
    tell.send(()).unwrap();
    tell.send(()).unwrap();
    let mut response = client.response("GET").unwrap();
    for (number, part) in parts.iter().enumerate() {
        assert_eq!(response.part().unwrap().as_deref().map(text).as_deref(), Some(*part), "{number}");
        tell.send(()).unwrap();
    }
    assert!(response.finish().unwrap().complete());
}

under_every_mpm! {
    fn flushed_events_arrive_one_by_one(mpm: Mpm) {
        const EVENTS: &[&str] = &["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"];
        let (backend, tell) = told(EVENTS, true);
        let httpd = backend.httpd().mpm(mpm).start();
        parts_arrive_one_by_one(&httpd, &tell, EVENTS);
    }
}

under_every_mpm! {
    fn body_that_is_not_flushed_arrives_while_the_container_pauses(mpm: Mpm) {
        const PARTS: &[&str] = &["the first rows", "and the last"];
        let (backend, tell) = told(PARTS, false);
        let httpd = backend.httpd().mpm(mpm).start();
        parts_arrive_one_by_one(&httpd, &tell, PARTS);
    }
}

#[test]
fn response_in_progress_is_served_to_its_end_over_a_graceful_restart() {
    const PARTS: &[&str] = &["before", "after"];
    // Under prefork the child that still serves keeps the place of its successor; the restart is only complete without it.
    for mpm in [Mpm::Event, Mpm::Worker] {
        let (backend, tell) = told(PARTS, true);
        let mut httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        client.send(&Request::new("GET", "/long")).unwrap();
        tell.send(()).unwrap();
        tell.send(()).unwrap();
        let mut response = client.response("GET").unwrap();
        assert_eq!(response.part().unwrap().as_deref(), Some(&b"before"[..]));
        httpd.graceful();
        tell.send(()).unwrap();
        assert_eq!(response.part().unwrap().as_deref(), Some(&b"after"[..]));
        tell.send(()).unwrap();
        assert!(response.finish().unwrap().complete());
    }
}

#[test]
fn flush_packets_sends_every_packet_on() {
    const PARTS: &[&str] = &["one", "two", "three"];
    let (backend, tell) = told(PARTS, false);
    let httpd = backend.httpd().config("JkOptions +FlushPackets\n").start();
    parts_arrive_one_by_one(&httpd, &tell, PARTS);
}

#[test]
fn flush_header_sends_the_head_on_before_the_body() {
    let (backend, tell) = told(&["body"], false);
    let httpd = backend.httpd().config("JkOptions +FlushHeader\n").start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send(&Request::new("GET", "/")).unwrap();
    tell.send(()).unwrap();
    let response = client.response("GET").unwrap();
    assert_eq!(response.head.header("Content-Type"), Some("text/event-stream"));
    tell.send(()).unwrap();
    tell.send(()).unwrap();
    assert_eq!(response.finish().unwrap().text(), "body");
}

#[test]
fn flush_before_the_headers_is_ignored() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.flush();
        peer.ok(b"fine");
    });
    let httpd = one(&tomcat).start();
    assert_eq!(ask(&httpd, &Request::new("GET", "/")).text(), "fine");
    drop(httpd);
    assert_eq!(tomcat.finish(), 1);
}

fn one(tomcat: &Tomcat) -> crate::support::httpd::Builder {
    let workers = format!("worker.list=w\nworker.w.host=127.0.0.1\nworker.w.port={}\n", tomcat.port());
    Httpd::builder().workers(&workers).config("JkMount /* w\n")
}

#[test]
fn first_packet_of_a_body_with_length_is_sent_unasked() {
    for (length, first) in [(1, 1), (8_186, 8_186), (8_187, 8_186), (20_000, 8_186)] {
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            assert_eq!(peer.expect_body().len(), first);
            peer.ok(b"");
        });
        let httpd = one(&tomcat).start();
        let request = Request::new("POST", "/").body(Body::Length(vec![b'x'; length]));
        assert_eq!(ask(&httpd, &request).status(), 200, "{length}");
        drop(httpd);
        tomcat.finish();
    }
}

#[test]
fn first_packet_is_as_long_as_max_packet_size_allows() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        assert_eq!(peer.expect_body().len(), 65_530);
        peer.ok(b"");
    });
    let workers = format!(
        "worker.list=w\nworker.w.host=127.0.0.1\nworker.w.port={}\nworker.w.max_packet_size=65536\n",
        tomcat.port()
    );
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* w\n").start();
    let request = Request::new("POST", "/").body(Body::Length(vec![b'x'; 70_000]));
    assert_eq!(ask(&httpd, &request).status(), 200);
    drop(httpd);
    tomcat.finish();
}

#[test]
fn asking_beyond_the_end_is_answered_with_an_empty_packet() {
    for body in [Body::Length(b"abc".to_vec()), Body::Chunked(vec![b"abc".to_vec()])] {
        let unasked = matches!(body, Body::Length(_));
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            if !unasked {
                peer.get_body(8_186);
            }
            assert_eq!(peer.expect_body(), b"abc");
            for _ in 0..2 {
                peer.get_body(8_186);
                assert_eq!(peer.expect_body(), b"");
            }
            peer.ok(b"done");
        });
        let httpd = one(&tomcat).start();
        assert_eq!(ask(&httpd, &Request::new("POST", "/").body(body)).text(), "done");
        drop(httpd);
        tomcat.finish();
    }
}

#[test]
fn expectation_of_a_body_with_length_is_always_met() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send_bytes(b"POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).unwrap();
    assert_eq!(text(&interim), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send_bytes(b"abc").unwrap();
    let response = client.response("POST").unwrap().finish().unwrap();
    assert_eq!((response.status(), backend.last().body.as_slice()), (200, &b"abc"[..]));
}

#[test]
fn expectation_of_a_chunked_body_is_met_when_the_container_asks() {
    let backend = Backend::start(|call| {
        if call.uri() == "/asks" {
            call.read_body();
        }
        call.answer(if call.uri() == "/asks" { 200 } else { 403 }, &[("Connection", "close")], "x");
    });
    let httpd = backend.httpd().start();
    for (target, status, interim) in [("/asks", 200, vec![100]), ("/refuses", 403, vec![])] {
        let mut client = Client::connect(httpd.address()).unwrap();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
        client.send_bytes(head.as_bytes()).unwrap();
        if !interim.is_empty() {
            let mut continues = [0; 25];
            client.read_exact(&mut continues).unwrap();
            assert_eq!(text(&continues), "HTTP/1.1 100 Continue\r\n\r\n");
            client.send_bytes(&[chunk(b"abc"), LAST_CHUNK.to_vec()].concat()).unwrap();
        }
        let response = client.response("POST").unwrap();
        assert_eq!((response.head.status, response.interim.len()), (status, 0), "{target}");
    }
}

#[test]
fn declared_length_can_be_ignored() {
    for name in ["JK_IGNORE_CL", "MY_IGNORE"] {
        let tomcat = Tomcat::once(|peer| {
            let request = peer.expect_forward_request();
            assert_eq!(request.header("content-length"), None);
            let mut body = Vec::new();
            loop {
                peer.get_body(8_186);
                let part = peer.expect_body();
                if part.is_empty() {
                    break;
                }
                body.extend(part);
            }
            peer.ok(body.len().to_string().as_bytes());
        });
        let renamed = if name == "MY_IGNORE" { "JkIgnoreCLIndicator MY_IGNORE\n" } else { "" };
        let httpd = one(&tomcat).config(&format!("{renamed}SetEnv {name}\n")).start();
        let request = Request::new("POST", "/").body(Body::Length(vec![b'x'; 20_000]));
        assert_eq!(ask(&httpd, &request).text(), "20000", "{name}");
        drop(httpd);
        tomcat.finish();
    }
}

#[test]
fn bodies_inflated_by_httpd_are_forwarded_whole_when_the_length_is_ignored() {
    // A gzip stream of one stored block: header, block of 5 bytes, CRC-32 and length of "hello".
    let gzip: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o', 0x86, 0xa6, 0x10, 0x36,
        5, 0, 0, 0,
    ];
    let backend = Backend::start(|call| {
        let mut body = Vec::new();
        loop {
            call.peer.get_body(8_186);
            let part = call.peer.expect_body();
            if part.is_empty() {
                break;
            }
            body.extend(part);
        }
        call.ok(body);
    });
    let httpd = backend
        .httpd()
        .load("mod_filter")
        .load("mod_deflate")
        .config("SetInputFilter DEFLATE\nSetEnv JK_IGNORE_CL 1\n")
        .start();
    let request = Request::new("POST", "/").header("Content-Encoding", "gzip").body(Body::Length(gzip.to_vec()));
    assert_eq!(ask(&httpd, &request).text(), "hello");
}

#[test]
fn responses_can_be_deflated_by_httpd() {
    let backend = Backend::start(|call| {
        call.answer(200, &[("Content-Type", "text/plain"), ("Content-Length", "20000")], vec![b'x'; 20_000])
    });
    let httpd = backend
        .httpd()
        .load("mod_filter")
        .load("mod_deflate")
        .config("AddOutputFilterByType DEFLATE text/plain\n")
        .start();
    let response = ask(&httpd, &Request::new("GET", "/").header("Accept-Encoding", "gzip"));
    assert_eq!((response.header("Content-Encoding"), response.complete()), (Some("gzip"), true));
    assert!(response.body.starts_with(&[0x1f, 0x8b]) && response.body.len() < 1_000);
}

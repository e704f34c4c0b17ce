//! Connections to the container: kept, used again, and given up when they are not what they should be.
//!
//! Not here: how many there may be (tests/core/engine_pool.rs).

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::support::backend::{Backend, ask, get};
use crate::support::http_client::{Body, Request};
use crate::support::httpd::under_every_mpm;
use crate::support::tomcat::{chunk, headers};
use mod_jk::ajp::response::encode_end;

under_every_mpm! {
    fn connection_is_used_again_for_other_clients(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).children(1).start();
        for number in 0..10 {
            let body = Body::Chunked(vec![vec![b'x'; number * 1_000 + 1]]);
            assert_eq!(ask(&httpd, &Request::new("POST", "/").body(body)).status(), 200);
        }
        assert_eq!((backend.count(), backend.connections()), (10, 1));
    }

    fn connection_with_stray_bytes_is_never_used(mpm: Mpm) {
        let backend = Backend::start(|call| {
            // In one piece: what comes later than the look at the resting connection cannot be told from an answer.
            let answer = [headers(200, &[]), chunk(b"mine"), encode_end(true).to_vec()].concat();
            let secret = [headers(200, &[]), chunk(b"for another user"), encode_end(true).to_vec()].concat();
            call.peer.send(&[answer, secret].concat());
        });
        let httpd = backend.httpd().mpm(mpm).children(1).start();
        for _ in 0..10 {
            assert_eq!(get(&httpd, "/").text(), "mine");
        }
    }

    fn connection_that_the_container_closed_is_replaced(mpm: Mpm) {
        let backend = Backend::start(|call| {
            call.ok("fine");
            call.close();
        });
        let httpd = backend.httpd().mpm(mpm).children(1).start();
        for method in ["GET", "POST", "POST", "GET"] {
            assert_eq!(ask(&httpd, &Request::new(method, "/")).text(), "fine", "{method}");
        }
    }
}

#[test]
fn stray_bytes_that_come_while_the_connection_rests_are_noticed() {
    let (tell, told) = channel::<()>();
    let (sent, was_sent) = channel::<()>();
    let told = Arc::new(Mutex::new((told, sent)));
    let backend = Backend::start(move |call| {
        call.ok("mine");
        let told = told.lock().unwrap();
        if told.0.recv().is_ok() {
            call.peer.send(&[headers(200, &[]), chunk(b"stray"), encode_end(true).to_vec()].concat());
            told.1.send(()).unwrap();
        }
    });
    let httpd = backend.httpd().children(1).start();
    assert_eq!(get(&httpd, "/").text(), "mine");
    tell.send(()).unwrap();
    was_sent.recv().unwrap();
    drop(tell);
    assert_eq!(get(&httpd, "/").text(), "mine");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn disable_reuse_closes_after_each_response() {
    let backend = Backend::echo();
    let httpd = backend.httpd().children(1).config("JkOptions +DisableReuse\n").start();
    for _ in 0..4 {
        assert_eq!(get(&httpd, "/").status(), 200);
    }
    assert_eq!(backend.connections(), 4);
}

#[test]
fn container_can_refuse_reuse() {
    let backend = Backend::start(|call| {
        call.peer.headers(200);
        call.peer.chunk(b"fine");
        call.peer.end(false);
    });
    let httpd = backend.httpd().children(1).start();
    for _ in 0..3 {
        assert_eq!(get(&httpd, "/").text(), "fine");
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn cping_precedes_requests_when_it_is_asked_for() {
    let tomcat = crate::support::tomcat::Tomcat::once(|peer| {
        for _ in 0..2 {
            peer.expect_cping();
            peer.cpong();
            peer.serve(b"fine");
        }
    });
    let workers = format!(
        "worker.list=w\nworker.w.host=127.0.0.1\nworker.w.port={}\nworker.w.ping_mode=CP\nworker.w.ping_timeout=10000\n",
        tomcat.port()
    );
    let httpd = crate::support::httpd::Httpd::builder().children(1).workers(&workers).config("JkMount /* w\n").start();
    for _ in 0..2 {
        assert_eq!(get(&httpd, "/").text(), "fine");
    }
    drop(httpd);
    assert_eq!(tomcat.finish(), 2);
}

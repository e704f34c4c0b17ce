//! Faults before and instead of the first packet of a response (reference: ajp-side.md section 11.2).

use std::sync::mpsc;

use mod_jk::balancer::State;
use mod_jk::worker::{Class, Error};

use crate::engine::Engine;
use crate::tomcat::{Peer, Script, Tomcat, chunk, headers, packet, script};

/// Reads the request and closes.
fn closing() -> Script {
    script(|peer: &mut Peer| {
        peer.expect_forward_request();
        peer.close();
    })
}

#[test]
fn early_end_repeats_an_idempotent_request_and_is_502() {
    let tomcat = Tomcat::start(vec![closing(), closing()]);
    let engine = Engine::new(tomcat.port());
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (502, 2, 2));
    assert_eq!(outcome.failure().error.class(), Class::Failure);
    assert_eq!(engine.worker.shared().state(), State::Error);
    assert_eq!(tomcat.finish(), 2);
    assert_eq!((engine.level("info").len(), engine.level("error").len()), (1, 1));
}

#[test]
fn early_end_never_repeats_a_post_by_default() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        assert_eq!(peer.expect_body(), b"body");
        peer.close();
    });
    let outcome = Engine::new(tomcat.port()).post(b"body");
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert!(!outcome.failure().recoverable, "no other member may have it either");
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn early_end_repeats_a_post_with_its_body_when_recovery_options_say_so() {
    let dying = || {
        script(|peer: &mut Peer| {
            peer.expect_forward_request();
            assert_eq!(peer.expect_body(), b"body");
            peer.close();
        })
    };
    let tomcat = Tomcat::start(vec![dying(), dying()]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = Some(0));
    assert_eq!(engine.post(b"body").failed(), (502, 2, 2));
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn early_end_once_is_answered_by_the_second_attempt() {
    let tomcat = Tomcat::start(vec![closing(), script(|peer| peer.serve(b"OK"))]);
    let engine = Engine::new(tomcat.port());
    let outcome = engine.get();
    assert_eq!((outcome.served().status, outcome.served().attempts), (200, 2));
    assert_eq!(outcome.client.body, b"OK");
    assert_eq!(engine.worker.shared().state(), State::Ok);
    assert_eq!(engine.worker.shared().errors(), 0);
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn recovery_option_one_forbids_the_repetition() {
    let tomcat = Tomcat::start(vec![closing()]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = Some(1));
    assert_eq!(engine.get().failed(), (502, 1, 1));
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn reset_is_a_connection_failure_even_with_a_reply_timeout() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.reset();
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.reply_timeout_ms = 60_000;
        config.settings.retries = 1;
    });
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert_eq!(engine.worker.shared().reply_timeouts(), 0);
    assert!(engine.level("error")[0].contains("(errno=104)"), "{:?}", engine.level("error"));
    tomcat.finish();
}

#[test]
fn end_inside_the_first_packet_is_502_and_not_repeated() {
    let whole = headers(200, &[("Content-Type", "text/plain")]);
    for (bytes, class) in
        [(1, Class::Failure), (3, Class::Failure), (4, Class::ProtocolError), (9, Class::ProtocolError)]
    {
        let part = whole[..bytes].to_vec();
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            peer.send(&part);
            peer.close();
        });
        let outcome = Engine::new(tomcat.port()).get();
        assert_eq!(outcome.failed(), (502, 1, 1), "{bytes} bytes");
        assert_eq!(outcome.failure().error.class(), class, "{bytes} bytes");
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn anything_but_a_response_is_502_and_closes_the_connection() {
    let ajp14 = [0x12, 0x35, 0x00, 0x02, 0x05, 0x01];
    let rows: Vec<(&str, Vec<u8>, Class)> = vec![
        ("wrong magic", vec![0xFF, 0xFE, 0x00, 0x02, 0x05, 0x01], Class::ProtocolError),
        ("our own magic", vec![0x12, 0x34, 0x00, 0x02, 0x05, 0x01], Class::ProtocolError),
        ("AJP14", ajp14.to_vec(), Class::ProtocolError),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Class::ProtocolError),
        ("TLS alert", vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32], Class::ProtocolError),
        ("length one over the maximum", vec![0x41, 0x42, 0x20, 0x01], Class::ProtocolError),
        ("empty payload", packet(&[]), Class::Failure),
        ("unknown code", packet(&[0x2A]), Class::Failure),
        ("cpong", packet(&[0x09]), Class::Failure),
        ("chunk before the headers", chunk(b"data"), Class::Failure),
        ("end without headers", packet(&[0x05, 0x01]), Class::Failure),
        ("end without headers or reuse", packet(&[0x05, 0x00]), Class::Failure),
    ];
    for (name, bytes, class) in rows {
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            peer.send(&bytes);
            peer.expect_end();
        });
        let engine = Engine::new(tomcat.port());
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (502, 1, 1), "{name}");
        assert_eq!(outcome.failure().error.class(), class, "{name}");
        assert_eq!(outcome.client.started, 0, "{name}");
        assert_eq!(engine.worker.shared().connected(), 0, "{name}");
        assert_eq!(engine.level("error").len(), 1, "{name}");
        assert_eq!(tomcat.finish(), 1, "{name}");
    }
}

#[test]
fn names_http_in_the_log_when_the_peer_speaks_it() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.expect_end();
    });
    let engine = Engine::new(tomcat.port());
    engine.get();
    assert!(engine.level("error")[0].contains("HTTP"), "{:?}", engine.level("error"));
    tomcat.finish();
}

#[test]
fn accepts_a_payload_as_long_as_max_packet_size() {
    let data = vec![b'x'; 8192 - 4];
    let expected = data.clone();
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        peer.headers(200);
        peer.chunk(&data);
        peer.end(true);
    });
    let engine = Engine::new(tomcat.port());
    assert_eq!(engine.get().client.body, expected);
    tomcat.finish();
}

#[test]
fn silence_is_504_at_the_reply_timeout_and_counted_per_attempt() {
    let silent = || {
        script(|peer: &mut Peer| {
            peer.expect_forward_request();
            peer.expect_end();
        })
    };
    let tomcat = Tomcat::start(vec![silent(), silent()]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 20);
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (504, 2, 2));
    assert_eq!(outcome.failure().error.class(), Class::ReplyTimeout);
    assert_eq!(engine.worker.shared().reply_timeouts(), 2);
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn rule_replaces_the_reply_timeout_of_the_worker() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.expect_end();
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.retries = 1);
    let outcome = engine.send(b"GET", mod_jk::worker::BodyKind::None, Default::default(), |request| {
        request.overrides.reply_timeout_ms = Some(20);
    });
    assert_eq!(outcome.failed(), (504, 1, 1));
    tomcat.finish();
}

#[test]
fn rule_can_switch_the_reply_timeout_off() {
    let (done, wait) = mpsc::channel::<()>();
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        // Longer than the worker's own limit, ended by nothing else.
        let _ = wait.recv_timeout(std::time::Duration::from_millis(60));
        peer.ok(b"late");
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 10);
    let outcome = engine.send(b"GET", mod_jk::worker::BodyKind::None, Default::default(), |request| {
        request.overrides.reply_timeout_ms = Some(0);
    });
    assert_eq!(outcome.client.body, b"late");
    drop(done);
    tomcat.finish();
}

#[test]
fn socket_timeout_is_an_early_end_and_not_a_reply_timeout() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.expect_end();
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.socket_timeout_s = 1;
        config.settings.retries = 1;
    });
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert!(matches!(*outcome.failure().error, Error::SocketTimeout { limit_ms: 1000, .. }));
    assert_eq!(engine.worker.shared().reply_timeouts(), 0);
    tomcat.finish();
}

#[test]
fn response_in_single_bytes_is_put_together() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        let bytes = [headers(200, &[("Content-Type", "text/plain")]), chunk(b"OK"), packet(&[0x05, 0x01])].concat();
        for byte in bytes {
            peer.send(&[byte]);
        }
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 60_000);
    assert_eq!(engine.get().client.body, b"OK");
    tomcat.finish();
}

#[test]
fn whole_response_in_one_segment_is_passed_on_once() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.send(&[headers(200, &[]), chunk(b"one "), chunk(b"two"), packet(&[0x05, 0x01])].concat());
    });
    let outcome = Engine::new(tomcat.port()).get();
    assert_eq!(outcome.client.body, b"one two");
    assert_eq!(outcome.client.passes, [(7, false)]);
    assert_eq!(outcome.served().body_bytes, 7);
    tomcat.finish();
}

#[test]
fn flush_before_the_headers_is_ignored() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.flush();
        peer.ok(b"OK");
    });
    let outcome = Engine::new(tomcat.port()).get();
    assert_eq!(outcome.client.body, b"OK");
    assert!(outcome.client.passes.iter().all(|(_, flush)| !flush));
    tomcat.finish();
}

#[test]
fn chunk_without_headers_after_a_body_request_is_502() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.get_body(8186);
        assert_eq!(peer.expect_body(), b"");
        peer.chunk(b"data");
        peer.expect_end();
    });
    assert_eq!(Engine::new(tomcat.port()).get().failed(), (502, 1, 1));
    tomcat.finish();
}

//! Faults inside a response: headers, body, end (reference: ajp-side.md sections 11.3 and 11.4). After the headers nothing is
//! repeated; an error page is possible only as long as nothing has left the web server.

use mod_jk::balancer::State;
use mod_jk::worker::{BodyKind, Class, Error};

use crate::engine::{Client, Engine};
use crate::tomcat::{Peer, Script, Tomcat, chunk, headers, packet, script};

/// Two requests' worth of a container that answers with `bytes` and waits for the end of the connection.
fn answering(bytes: Vec<u8>) -> Script {
    script(move |peer: &mut Peer| {
        peer.expect_forward_request();
        peer.send(&bytes);
        peer.expect_end();
    })
}

/// SendHeaders with one header, of which `edit` changes the payload.
fn edited_headers(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = headers(200, &[("X-Name", "value")])[4..].to_vec();
    edit(&mut payload);
    packet(&payload)
}

#[test]
fn malformed_headers_are_502_and_reach_nobody() {
    // Payload: 04, status, length 4 "text" 00, count, length 6 "X-Name" 00, length 5 "value" 00.
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("status 0", headers(0, &[])),
        ("status 1", headers(1, &[])),
        ("status 99", headers(99, &[])),
        ("status 100", headers(100, &[])),
        ("status 103", headers(103, &[])),
        ("status 1000", headers(1000, &[])),
        ("status 65535", headers(65535, &[])),
        ("status cut off", packet(&[0x04, 0x00])),
        ("count too high", edited_headers(|payload| payload[11] = 2)),
        ("count 65535", edited_headers(|payload| payload[10..12].copy_from_slice(&[0xFF, 0xFF]))),
        ("no count", packet(&headers(200, &[])[4..14])),
        ("code A000", edited_headers(|payload| payload[12..14].copy_from_slice(&[0xA0, 0x00]))),
        ("code A00C", edited_headers(|payload| payload[12..14].copy_from_slice(&[0xA0, 0x0C]))),
        ("null name", edited_headers(|payload| payload[12..14].copy_from_slice(&[0xFF, 0xFF]))),
        ("value longer than the packet", edited_headers(|payload| payload[22] = 200)),
        ("value without NUL", edited_headers(|payload| *payload.last_mut().unwrap() = b'!')),
        ("NUL in a value", headers(200, &[("X-Name", "a\0b")])),
        ("line break in a value", headers(200, &[("X-Name", "a\r\nb")])),
        ("line break in a name", headers(200, &[("X-\r\nName", "a")])),
        ("malformed length", headers(200, &[("Content-Length", "+5")])),
        ("two lengths", headers(200, &[("Content-Length", "5"), ("Content-Length", "6")])),
    ];
    for (name, bytes) in rows {
        let tomcat = Tomcat::start(vec![answering(bytes)]);
        let engine = Engine::new(tomcat.port());
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (502, 1, 1), "{name}");
        assert_eq!(outcome.client.started, 0, "{name}");
        assert!(!outcome.failure().recoverable, "{name}");
        assert_eq!(tomcat.finish(), 1, "{name}");
    }
}

#[test]
fn explicit_recovery_options_repeat_malformed_headers_as_c_does() {
    let bad = || answering(packet(&[0x2A]));
    let tomcat = Tomcat::start(vec![bad(), bad()]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = Some(3));
    assert_eq!(engine.get().failed(), (502, 2, 2));
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn headers_reach_the_web_server_without_hop_by_hop_ones() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        let list =
            [("Set-Cookie", "a=1"), ("Transfer-Encoding", "chunked"), ("Set-Cookie", "b=2"), ("Content-Length", "2")];
        peer.headers_with(201, &list);
        peer.chunk(b"OK");
        peer.end(true);
    });
    let client = Engine::new(tomcat.port()).get().client;
    let cookie = |value: &str| ("Set-Cookie".to_owned(), value.to_owned());
    assert_eq!((client.status, client.content_length), (201, Some(2)));
    assert_eq!(client.headers, [cookie("a=1"), cookie("b=2")]);
    tomcat.finish();
}

#[test]
fn end_after_the_headers_is_502_and_never_repeated() {
    for options in [None, Some(0)] {
        let tomcat = Tomcat::once(|peer| {
            peer.expect_forward_request();
            peer.send_and_close(&[headers(200, &[]), chunk(b"PART")].concat());
        });
        let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = options);
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (502, 1, 1), "{options:?}");
        assert!(!outcome.failure().error.aborts_client(), "an error page is still possible");
        assert!(!outcome.failure().recoverable);
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn failure_in_the_same_receive_as_the_headers_discards_what_came() {
    let tomcat = Tomcat::start(vec![answering([headers(200, &[]), chunk(b"PART"), packet(&[0x2A])].concat())]);
    let outcome = Engine::new(tomcat.port()).get();
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert_eq!((outcome.client.discarded, outcome.client.passes.len()), (1, 0));
    assert_eq!(outcome.client.body, b"");
    tomcat.finish();
}

/// Sends headers, PART and a flush, then does `fail`.
fn failing_after_flush(fail: impl FnOnce(&mut Peer) + Send + 'static) -> Tomcat {
    Tomcat::once(move |peer| {
        peer.expect_forward_request();
        peer.send(&[headers(200, &[("Content-Length", "100")]), chunk(b"PART"), chunk(b"")].concat());
        // Asked for only when all of the above has been handled.
        peer.get_body(1);
        peer.expect_body();
        fail(peer);
    })
}

#[test]
fn every_failure_after_a_flush_cuts_the_client_off() {
    type Fail = fn(&mut Peer);
    let rows: [(&str, Fail, u16); 8] = [
        ("close", Peer::close, 502),
        ("reset", Peer::reset, 502),
        ("unknown code", |peer| peer.send(&packet(&[0x2A])), 502),
        ("cpong", Peer::cpong, 502),
        ("empty payload", |peer| peer.send(&packet(&[])), 502),
        ("second headers", |peer| peer.headers(200), 502),
        ("chunk longer than its packet", |peer| peer.send(&packet(&[0x03, 0x00, 0x09, b'x', 0x00])), 502),
        ("short end", |peer| peer.end(true), 502),
    ];
    for (name, fail, status) in rows {
        let tomcat = failing_after_flush(fail);
        let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = Some(0));
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (status, 1, 1), "{name}");
        assert!(matches!(*outcome.failure().error, Error::Committed(_)), "{name}");
        assert!(outcome.failure().error.aborts_client(), "{name}");
        assert_eq!(outcome.client.body, b"PART", "{name}");
        assert_eq!(engine.worker.pool().idle(), 0, "{name}");
        assert_eq!(tomcat.finish(), 1, "{name}");
    }
}

#[test]
fn stall_between_and_inside_packets_is_cut_off_at_the_reply_timeout() {
    for part in [vec![], chunk(b"more")[..6].to_vec()] {
        let tomcat = failing_after_flush(move |peer| {
            peer.send(&part);
            peer.expect_end();
        });
        let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 500);
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (504, 1, 1));
        assert!(outcome.failure().error.aborts_client());
        assert_eq!(outcome.failure().error.class(), Class::ReplyTimeout);
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn body_that_is_held_is_passed_on_when_the_container_pauses_and_headers_alone_are_not() {
    for (body, aborts) in [(chunk(b"PART"), true), (Vec::new(), false)] {
        let tomcat = Tomcat::start(vec![answering([headers(200, &[]), body].concat())]);
        // Much longer than a pause, also where the peer waits for a processor.
        let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 500);
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (504, 1, 1));
        assert_eq!(outcome.failure().error.aborts_client(), aborts);
        assert_eq!(outcome.client.passes, if aborts { vec![(4, true)] } else { vec![] });
        assert_eq!(outcome.client.body, if aborts { &b"PART"[..] } else { b"" });
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn body_that_filled_the_buffer_is_flushed_too_when_the_container_pauses() {
    let part = chunk(&[b'x'; 8184]);
    // The buffer of 32 KiB has no room for a fourth packet of the largest size.
    let bytes = [headers(200, &[]), part.repeat(3)].concat();
    let tomcat = Tomcat::start(vec![answering(bytes)]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 500);
    let outcome = engine.get();
    assert!(outcome.failure().error.aborts_client());
    assert_eq!(outcome.client.passes, [(3 * 8184, false), (0, true)]);
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn body_shorter_than_declared_is_502_while_nothing_is_out() {
    let bytes = [headers(200, &[("Content-Length", "5")]), chunk(b"four"), packet(&[0x05, 0x01])].concat();
    let tomcat = Tomcat::start(vec![answering(bytes)]);
    let outcome = Engine::new(tomcat.port()).get();
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert!(matches!(*outcome.failure().error, Error::ShortBody { missing: 1, .. }));
    assert_eq!(outcome.client.body, b"");
    tomcat.finish();
}

#[test]
fn body_longer_than_declared_is_cut_and_the_connection_closed() {
    let bytes = [headers(200, &[("Content-Length", "2")]), chunk(b"OKAY"), packet(&[0x05, 0x01])].concat();
    let tomcat = Tomcat::start(vec![answering(bytes)]);
    let engine = Engine::new(tomcat.port());
    let outcome = engine.get();
    outcome.served();
    assert_eq!(outcome.client.body, b"OK");
    assert_eq!(engine.level("warn").len(), 1);
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn body_of_head_204_and_304_is_dropped_and_the_connection_kept() {
    for (method, status) in [(&b"HEAD"[..], 200), (b"GET", 204), (b"GET", 304)] {
        let tomcat = Tomcat::once(move |peer| {
            for _ in 0..2 {
                peer.expect_forward_request();
                peer.headers(status);
                peer.chunk(b"nobody sees this");
                peer.end(true);
            }
        });
        let engine = Engine::new(tomcat.port());
        for _ in 0..2 {
            let outcome = engine.send(method, BodyKind::None, Client::default(), |_| {});
            assert_eq!((outcome.served().status, &*outcome.client.body), (status, &b""[..]));
        }
        assert_eq!(tomcat.finish(), 2);
    }
}

#[test]
fn error_status_without_a_body_is_passed_on_as_it_is() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(404);
        peer.end(true);
    });
    let outcome = Engine::new(tomcat.port()).get();
    assert_eq!((outcome.served().status, outcome.client.status), (404, 404));
    assert_eq!(outcome.served().page, None);
    tomcat.finish();
}

#[test]
fn chunk_without_its_nul_is_accepted() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(200);
        peer.send(&packet(&[0x03, 0x00, 0x02, b'O', b'K']));
        peer.end(true);
    });
    assert_eq!(Engine::new(tomcat.port()).get().client.body, b"OK");
    tomcat.finish();
}

#[test]
fn irregular_ends_deliver_the_response_and_close_the_connection() {
    let rows = [
        ("reuse 0", packet(&[0x05, 0x00])),
        ("reuse 0xFF", packet(&[0x05, 0xFF])),
        ("no reuse flag", packet(&[0x05])),
        ("bytes after the flag", packet(&[0x05, 0x01, 0x00])),
    ];
    for (name, end) in rows {
        let tomcat = Tomcat::start(vec![answering([headers(200, &[]), chunk(b"OK"), end].concat())]);
        let engine = Engine::new(tomcat.port());
        let outcome = engine.get();
        assert_eq!(outcome.served().status, 200, "{name}");
        assert_eq!(outcome.client.body, b"OK", "{name}");
        assert_eq!(engine.worker.pool().idle(), 0, "{name}");
        assert_eq!(engine.level("warn").len(), 1, "{name}");
        assert_eq!(tomcat.finish(), 1, "{name}");
    }
}

#[test]
fn bytes_behind_the_end_close_the_connection() {
    for stray in [packet(&[0x05, 0x01]), chunk(b"stray"), chunk(b""), headers(200, &[]), vec![0x41]] {
        let bytes = [headers(200, &[]), chunk(b"OK"), packet(&[0x05, 0x01]), stray].concat();
        let tomcat = Tomcat::start(vec![answering(bytes), script(|peer| peer.serve(b"next"))]);
        let engine = Engine::new(tomcat.port());
        assert_eq!(engine.get().client.body, b"OK");
        assert_eq!(engine.worker.pool().idle(), 0);
        assert_eq!(engine.get().client.body, b"next");
        assert_eq!(tomcat.finish(), 2);
    }
}

#[test]
fn flushes_only_when_the_container_asks() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        // In one segment, so that the container does not pause.
        let asking = mod_jk::ajp::response::encode_get_body(1).to_vec();
        let first = [headers(200, &[]), chunk(b"one"), chunk(b""), chunk(b"two"), asking.clone()].concat();
        let second = [chunk(b"three"), asking, chunk(b"four"), chunk(b""), packet(&[0x05, 0x01])].concat();
        peer.send(&[first, second].concat());
        peer.expect_body();
        peer.expect_body();
    });
    let client = Engine::new(tomcat.port()).get().client;
    assert_eq!(client.body, b"onetwothreefour");
    let flushed: Vec<_> = client.passes.iter().filter(|(bytes, _)| *bytes > 0).collect();
    assert_eq!(flushed, [&(6, true), &(9, false)], "no flush at the end: the web server does that");
    tomcat.finish();
}

#[test]
fn passes_on_what_it_holds_before_it_waits_for_the_client() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        let asking = mod_jk::ajp::response::encode_get_body(8186);
        peer.send(&[headers(200, &[]), chunk(b"question"), chunk(b""), asking.to_vec()].concat());
        assert_eq!(peer.expect_body(), b"answer");
        peer.end(true);
    });
    let client = Client::with_body(&[b"answer"]);
    let client = Engine::new(tomcat.port()).send(b"POST", BodyKind::Chunked, client, |_| {}).client;
    assert_eq!(client.passed_at_reads.first(), Some(&"question".len()));
    tomcat.finish();
}

#[test]
fn passes_on_what_nobody_flushed_before_it_waits_for_the_client() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        let asking = mod_jk::ajp::response::encode_get_body(8186);
        peer.send(&[headers(200, &[]), chunk(b"question"), asking.to_vec()].concat());
        assert_eq!(peer.expect_body(), b"answer");
        peer.end(true);
    });
    let client = Client::with_body(&[b"answer"]);
    let client = Engine::new(tomcat.port()).send(b"POST", BodyKind::Chunked, client, |_| {}).client;
    assert_eq!(client.passed_at_reads.first(), Some(&"question".len()));
    assert_eq!(client.passes.first(), Some(&("question".len(), true)));
    tomcat.finish();
}

#[test]
fn flush_options_flush_headers_and_packets() {
    let run = |header: bool, packets: bool| {
        let tomcat = Tomcat::once(|peer| {
            peer.expect_forward_request();
            // In one segment, so that the container does not pause.
            let asking = mod_jk::ajp::response::encode_get_body(1).to_vec();
            let body = [chunk(b"one"), asking.clone(), packet(&[0x05, 0x01])].concat();
            peer.send(&[headers(200, &[]), asking, body].concat());
            peer.expect_body();
            peer.expect_body();
        });
        let outcome = Engine::new(tomcat.port()).send(b"GET", BodyKind::None, Client::default(), |request| {
            request.options.flush_header = header;
            request.options.flush_packets = packets;
        });
        tomcat.finish();
        assert_eq!(outcome.client.finished, 1, "the end goes out with the last batch");
        outcome.client.passes
    };
    assert_eq!(run(false, false), [(3, false)]);
    assert_eq!(run(true, false), [(0, true), (3, false)]);
    assert_eq!(run(false, true), [(3, true)]);
}

#[test]
fn client_that_goes_away_closes_the_connection_and_blames_nobody_else() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(200);
        peer.chunk(b"lots");
        peer.chunk(b"");
        peer.expect_end();
    });
    let engine = Engine::new(tomcat.port());
    let mut gone = Client::default();
    gone.gone_at_pass = Some(0);
    let outcome = engine.send(b"GET", BodyKind::None, gone, |_| {});
    assert_eq!(outcome.failed(), (200, 1, 1));
    assert!(matches!(*outcome.failure().error, Error::ClientWrite));
    assert_eq!((engine.worker.shared().client_errors(), engine.worker.shared().errors()), (1, 0));
    assert_eq!(engine.worker.shared().state(), State::Ok);
    assert!(engine.level("error").is_empty(), "{:?}", engine.level("error"));
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn listed_status_is_503_and_repeats_only_what_is_harmless() {
    let unavailable = || answering(headers(503, &[]));
    let tomcat = Tomcat::start(vec![unavailable(), unavailable(), unavailable()]);
    let engine = Engine::with(tomcat.port(), |config| config.fail_on_status = vec![500, 503]);
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (503, 2, 2));
    assert_eq!(outcome.failure().error.class(), Class::HardStatus);
    assert_eq!(outcome.client.started, 0);
    assert_eq!(engine.post(b"").failed(), (503, 1, 1));
    assert_eq!(tomcat.finish(), 3);
}

#[test]
fn negative_listed_status_is_soft_and_the_first_match_counts() {
    let tomcat = Tomcat::start(vec![answering(headers(404, &[]))]);
    let engine = Engine::with(tomcat.port(), |config| {
        config.fail_on_status = vec![-404, 404];
        config.settings.retries = 1;
    });
    let outcome = engine.get();
    assert_eq!(outcome.failed(), (503, 1, 1));
    assert_eq!(outcome.failure().error.class(), Class::SoftStatus);
    tomcat.finish();
}

#[test]
fn rule_replaces_the_list_of_the_worker() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(503);
        peer.end(true);
    });
    let engine = Engine::with(tomcat.port(), |config| config.fail_on_status = vec![503]);
    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
        request.overrides.fail_on_status = Some(&[500]);
    });
    assert_eq!(outcome.served().status, 503);
    tomcat.finish();
}

#[test]
fn server_errors_are_left_to_the_web_server_and_keep_the_connection() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers_with(
            401,
            &[("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Negotiate"), ("Content-Length", "9")],
        );
        peer.chunk(b"not shown");
        peer.flush();
        peer.end(true);
        peer.serve(b"OK");
    });
    let engine = Engine::new(tomcat.port());
    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
        request.overrides.use_server_errors = 400;
    });
    let page = outcome.served().page.clone().expect("a page of the web server");
    assert_eq!((outcome.served().status, page.www_authenticate.as_deref()), (401, Some(&b"Negotiate"[..])));
    assert_eq!((outcome.client.started, outcome.client.passes.len()), (0, 0));
    assert_eq!(engine.get().client.body, b"OK");
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn statuses_below_the_threshold_are_passed_on() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(404);
        peer.end(true);
    });
    let outcome = Engine::new(tomcat.port()).send(b"GET", BodyKind::None, Client::default(), |request| {
        request.overrides.use_server_errors = 500;
    });
    assert_eq!((outcome.served().page.is_some(), outcome.client.status), (false, 404));
    tomcat.finish();
}

#[test]
fn the_threshold_itself_is_left_to_the_web_server() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(500);
        peer.end(true);
    });
    let outcome = Engine::new(tomcat.port()).send(b"GET", BodyKind::None, Client::default(), |request| {
        request.overrides.use_server_errors = 500;
    });
    assert!(outcome.served().page.is_some());
    tomcat.finish();
}

#[test]
fn next_response_on_a_connection_has_the_whole_buffer() {
    // The first response ends where one more packet of the largest size would just fit into the receive buffer of 32 KiB.
    let overhead = headers(200, &[]).len() + 3 * chunk(b"").len() + 6;
    let body = (32_768 - 8196 - 10 - overhead) / 3;
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        let chunk = chunk(&vec![b'x'; body]);
        peer.send(&[headers(200, &[]), chunk.repeat(3), packet(&[5, 1])].concat());
        peer.expect_forward_request();
        peer.ok(&[b'y'; 4000]);
    });
    let engine = Engine::new(tomcat.port());
    assert_eq!(engine.get().client.body.len(), 3 * body);
    assert_eq!(engine.get().client.passes, [(4000, false)], "all of it goes out with the end");
    tomcat.finish();
}

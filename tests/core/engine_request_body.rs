//! The request and its body (reference: ajp-side.md sections 2 and 11.5): one packet unasked when the length is known, one
//! for each GetBodyChunk otherwise, and never a body that looks complete but is not.

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::balancer::{Activation, State};
use mod_jk::worker::{Blame, BodyKind, Error, MemberContext};

use crate::engine::{Client, Engine, kept, plain};
use crate::tomcat::{Tomcat, script};

#[test]
fn known_length_sends_the_first_packet_unasked_and_the_rest_on_demand() {
    let body = vec![b'x'; 8187];
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        assert_eq!(peer.expect_body().len(), 8186);
        peer.get_body(8186);
        assert_eq!(peer.expect_body().len(), 1);
        for _ in 0..2 {
            peer.get_body(8186);
            assert_eq!(peer.expect_body(), b"", "asked past the end");
        }
        peer.ok(b"OK");
    });
    assert_eq!(Engine::new(tomcat.port()).post(&body).served().status, 200);
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn never_sends_more_than_was_asked_for() {
    for kind in [BodyKind::Length(30), BodyKind::Chunked] {
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            let mut left = 30;
            if kind != BodyKind::Chunked {
                left -= peer.expect_body().len();
            }
            while left > 0 {
                peer.get_body(10);
                let sent = peer.expect_body().len();
                assert!((1..=10).contains(&sent), "{sent}");
                left -= sent;
            }
            peer.get_body(10);
            assert_eq!(peer.expect_body(), b"");
            peer.ok(b"OK");
        });
        let outcome = Engine::new(tomcat.port()).send(b"POST", kind, Client::with_body(&[&[b'x'; 30]]), |_| {});
        assert_eq!(outcome.served().status, 200);
        tomcat.finish();
    }
}

#[test]
fn chunked_body_goes_out_on_demand_only() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.get_body(8186);
        assert_eq!(peer.expect_body(), b"onetwo", "reads are joined");
        peer.get_body(8186);
        assert_eq!(peer.expect_body(), b"");
        peer.ok(b"OK");
    });
    let client = Client::with_body(&[b"one", b"two"]);
    Engine::new(tomcat.port()).send(b"POST", BodyKind::Chunked, client, |_| {}).served();
    tomcat.finish();
}

#[test]
fn nothing_wanted_is_answered_with_an_empty_packet_and_loses_nothing() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.get_body(0);
        assert_eq!(peer.expect_body(), b"");
        peer.get_body(100);
        assert_eq!(peer.expect_body(), b"data");
        peer.ok(b"OK");
    });
    Engine::new(tomcat.port()).send(b"POST", BodyKind::Chunked, Client::with_body(&[b"data"]), |_| {}).served();
    tomcat.finish();
}

#[test]
fn request_without_a_body_answers_body_requests_with_its_end() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.get_body(8186);
        assert_eq!(peer.expect_body(), b"");
        peer.ok(b"OK");
    });
    Engine::new(tomcat.port()).get().served();
    tomcat.finish();
}

#[test]
fn zero_length_sends_no_packet() {
    let tomcat = Tomcat::once(|peer| {
        peer.serve(b"1");
        peer.serve(b"2");
    });
    let engine = Engine::new(tomcat.port());
    engine.post(b"").served();
    assert_eq!(engine.get().client.body, b"2", "no packet lay between the requests");
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn unread_body_stays_with_the_web_server() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        assert_eq!(peer.expect_body().len(), 8186);
        peer.ok(b"OK");
        peer.serve(b"next");
    });
    let engine = Engine::new(tomcat.port());
    let outcome = engine.post(&[b'x'; 10_000]);
    outcome.served();
    assert_eq!(outcome.client.unread(), 10_000 - 8186);
    assert_eq!(engine.get().client.body, b"next", "the connection is kept");
    tomcat.finish();
}

#[test]
fn early_refusal_is_passed_on_and_the_connection_closed() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.expect_body();
        peer.headers(413);
        peer.end(false);
        peer.expect_end();
    });
    let outcome = Engine::new(tomcat.port()).post(&[b'x'; 10_000]);
    assert_eq!(outcome.served().status, 413);
    tomcat.finish();
}

#[test]
fn end_after_a_body_request_is_never_repeated() {
    for options in [None, Some(0)] {
        let tomcat = Tomcat::once(|peer| {
            peer.expect_forward_request();
            peer.expect_body();
            peer.get_body(8186);
            peer.expect_body();
            peer.close();
        });
        let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = options);
        let outcome = engine.send(b"PUT", BodyKind::Length(10_000), Client::with_body(&[&[b'x'; 10_000]]), |_| {});
        assert_eq!(outcome.failed(), (502, 1, 1), "{options:?}");
        assert!(!outcome.failure().recoverable);
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn listed_status_after_a_body_request_is_never_repeated() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.get_body(8186);
        peer.expect_body();
        peer.headers(503);
        peer.expect_end();
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.recovery_options = Some(0);
        config.fail_on_status = vec![503];
    });
    let outcome = engine.send(b"POST", BodyKind::Chunked, Client::with_body(&[b"gone"]), |_| {});
    assert_eq!(outcome.failed(), (503, 1, 1));
    assert!(!outcome.failure().recoverable);
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn malformed_body_requests_are_502() {
    for bytes in [&[0x06, 0xFF, 0xFF][..], &[0x06, 0x01], &[0x06]] {
        let bytes = crate::tomcat::packet(bytes);
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            peer.send(&bytes);
            peer.expect_end();
        });
        assert_eq!(Engine::new(tomcat.port()).get().failed(), (502, 1, 1));
        tomcat.finish();
    }
}

#[test]
fn container_that_never_asks_for_the_rest_is_504() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.expect_body();
        peer.expect_end();
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.reply_timeout_ms = 30);
    assert_eq!(engine.post(&[b'x'; 10_000]).failed(), (504, 1, 1));
    tomcat.finish();
}

#[test]
fn client_gone_within_the_first_packet_sends_nothing_at_all() {
    let engine = Engine::new(Tomcat::closed_port());
    for client in [
        Client::breaking_off_after(&[]),
        Client::breaking_off_after(&[b"fifty"]),
        Client::breaking_off_after(&[b"sho", b"rt"]),
    ] {
        let outcome = engine.send(b"POST", BodyKind::Length(100), client, |_| {});
        assert_eq!(outcome.failed(), (400, 0, 0));
        assert_eq!(outcome.failure().error.blames(), Blame::Client);
        assert!(outcome.failure().error.aborts_client());
        assert!(!outcome.failure().recoverable);
    }
    assert_eq!((engine.worker.shared().client_errors(), engine.worker.shared().errors()), (3, 0), "each counted once");
    assert!(engine.level("error").is_empty());
}

#[test]
fn client_gone_later_closes_the_connection_and_fakes_no_end() {
    for client in [Client::breaking_off_after(&[&[b'x'; 8186], b"more"]), Client::breaking_off_after(&[&[b'x'; 8190]])]
    {
        let tomcat = Tomcat::once(|peer| {
            peer.expect_forward_request();
            peer.expect_body();
            peer.get_body(8186);
            peer.expect_end();
        });
        let engine = Engine::new(tomcat.port());
        let outcome = engine.send(b"POST", BodyKind::Length(10_000), client, |_| {});
        assert_eq!(outcome.failed(), (400, 1, 1));
        assert!(matches!(*outcome.failure().error, Error::ClientRead));
        assert_eq!(engine.worker.shared().state(), State::Ok);
        assert_eq!(tomcat.finish(), 1);
    }
}

#[test]
fn request_too_large_for_a_packet_is_413_and_not_sent() {
    let engine = Engine::new(Tomcat::closed_port());
    let value = vec![b'v'; 9000];
    let value: &'static [u8] = value.leak();
    let list: &'static [(&[u8], &[u8])] = vec![(&b"X-Large"[..], value)].leak();
    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
        request.forward = kept(ForwardRequest { headers: list, ..plain(b"GET") });
    });
    assert_eq!(outcome.failed(), (413, 0, 0));
    assert!(!outcome.failure().error.aborts_client(), "the client is told");
    assert_eq!(engine.worker.shared().client_errors(), 1);
    assert_eq!(engine.worker.shared().state(), State::Idle);
    let line = &engine.level("error")[0];
    assert!(line.contains("X-Large") && line.contains("max_packet_size"), "{line}");
}

#[test]
fn string_that_would_wrap_its_length_is_413() {
    let engine = Engine::with(Tomcat::closed_port(), |config| config.settings.max_packet_size = 65_536);
    let value: &'static [u8] = vec![b'v'; 65_536].leak();
    let list: &'static [(&[u8], &[u8])] = vec![(&b"X-Large"[..], value)].leak();
    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
        request.forward = kept(ForwardRequest { headers: list, ..plain(b"GET") });
    });
    assert_eq!(outcome.failed(), (413, 0, 0));
}

#[test]
fn larger_packets_carry_more_of_the_body() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        assert_eq!(peer.expect_body().len(), 16_378);
        peer.get_body(65_000);
        assert_eq!(peer.expect_body().len(), 20_000 - 16_378);
        peer.ok(b"OK");
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.max_packet_size = 16_384);
    engine.post(&[b'x'; 20_000]).served();
    tomcat.finish();
}

#[test]
fn body_is_replayed_to_a_member_with_smaller_packets() {
    let dying = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.close();
    });
    let second = Tomcat::once(|peer| {
        peer.expect_forward_request();
        let mut body = peer.expect_body();
        assert_eq!(body.len(), 8186);
        while body.len() < 12_000 {
            peer.get_body(8186);
            body.extend(peer.expect_body());
        }
        assert!(body.iter().enumerate().all(|(n, byte)| *byte == n as u8));
        peer.ok(b"OK");
    });
    let body: Vec<u8> = (0..12_000_usize).map(|n| n as u8).collect();
    let large = Engine::with(dying.port(), |config| {
        config.settings.max_packet_size = 65_536;
        config.settings.recovery_options = Some(0);
        config.settings.retries = 1;
    });
    let small = Engine::new(second.port());
    let mut client = Client::with_body(&[&body]);
    let forward = mod_jk::ajp::request::ForwardRequest {
        method: b"POST",
        protocol: b"HTTP/1.1",
        uri: b"/",
        ..Default::default()
    };
    let mut request = mod_jk::worker::Request::new(&forward, BodyKind::Length(12_000));
    let member = MemberContext::default();
    let failure = large.worker.service(&mut request, &mut client, &member, large.log()).unwrap_err();
    assert!(failure.recoverable);
    small.worker.service(&mut request, &mut client, &member, small.log()).unwrap();
    assert_eq!((dying.finish(), second.finish()), (1, 1));
}

#[test]
fn route_secret_and_activation_of_the_member_are_sent() {
    let tomcat = Tomcat::start(vec![script(|peer| {
        peer.serve(b"1");
        peer.serve(b"2");
    })]);
    let engine = Engine::with(tomcat.port(), |config| config.secret = None);
    engine.get().served();
    let member =
        MemberContext { route: Some(b"node1"), activation: Activation::Disabled, secret: Some(b"of the balancer") };
    engine.send_as(b"GET", BodyKind::None, Client::default(), &member, |_| {}).served();
    let requests = tomcat.requests();
    assert_eq!(requests[0].attribute("JK_LB_ACTIVATION"), Some(&b"ACT"[..]));
    assert_eq!((&requests[0].route, &requests[0].secret), (&None, &None));
    assert_eq!(requests[1].attribute("JK_LB_ACTIVATION"), Some(&b"DIS"[..]));
    assert_eq!(requests[1].route.as_deref(), Some(&b"node1"[..]));
    assert_eq!(requests[1].secret.as_deref(), Some(&b"of the balancer"[..]));
    tomcat.finish();
}

#[test]
fn secret_of_the_worker_comes_before_that_of_the_balancer_and_is_never_logged() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(403);
        peer.end(false);
    });
    let engine = Engine::with(tomcat.port(), |config| config.secret = Some("hush".to_owned()));
    let member = MemberContext { secret: Some(b"of the balancer"), ..MemberContext::default() };
    let outcome = engine.send_as(b"GET", BodyKind::None, Client::default(), &member, |_| {});
    assert_eq!(outcome.served().status, 403);
    assert_eq!(tomcat.requests()[0].secret.as_deref(), Some(&b"hush"[..]));
    assert!(engine.lines("hush").is_empty());
    tomcat.finish();
}

#[test]
fn container_that_stops_reading_fails_the_send_at_the_deadline() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        // Keeps asking and never reads: sooner or later no buffer takes more.
        for _ in 0..10_000 {
            peer.send_anyway(&mod_jk::ajp::response::encode_get_body(8186));
        }
        let _ = wait.recv();
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.reply_timeout_ms = 200;
        config.socket_buffer = 8192;
    });
    let part = [b'x'; 65_536];
    let parts: Vec<&[u8]> = std::iter::repeat_n(&part[..], 640).collect();
    let outcome = engine.send(b"POST", BodyKind::Chunked, Client::with_body(&parts), |_| {});
    assert_eq!(outcome.failed(), (502, 1, 1));
    assert!(matches!(*outcome.failure().error, Error::Send { body: true, .. }), "{}", outcome.failure().error);
    drop(done);
    tomcat.finish();
}

#[test]
fn body_that_httpd_made_shorter_is_ended_by_an_empty_packet() {
    for (parts, first) in [(&[][..], &b""[..]), (&[&b"short"[..]][..], b"short")] {
        let tomcat = Tomcat::once(move |peer| {
            peer.expect_forward_request();
            assert_eq!(peer.expect_body(), first, "the container waits for the first packet, be it empty");
            peer.get_body(100);
            assert_eq!(peer.expect_body(), b"");
            peer.ok(b"OK");
        });
        let outcome = Engine::new(tomcat.port()).send(b"POST", BodyKind::Length(100), Client::with_body(parts), |_| {});
        assert_eq!(outcome.served().status, 200);
        tomcat.finish();
    }
}

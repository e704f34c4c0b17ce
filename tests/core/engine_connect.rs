//! Faults while connecting and probing (reference: ajp-side.md section 11.1): nothing has been sent, so everything may be
//! tried again, and the answer is 503.

use std::time::Duration;

use mod_jk::worker::clock::Moment;
use mod_jk::worker::{Blame, BodyKind, Class, Error};

use crate::engine::{Client, Engine};
use crate::tomcat::{Peer, Tomcat, headers, packet, script};

#[test]
fn refused_connection_is_tried_as_often_as_configured_and_is_503() {
    let engine = Engine::new(Tomcat::closed_port());
    let outcome = engine.post(b"body");
    assert_eq!(outcome.failed(), (503, 0, 2));
    assert!(outcome.failure().recoverable, "another member may have it");
    assert_eq!(outcome.failure().error.class(), Class::Failure);
    assert_eq!(outcome.failure().error.blames(), Blame::Member);
    assert_eq!(engine.worker.shared().errors(), 1, "one request, one error");
    assert_eq!(engine.level("error").len(), 1);
    assert!(engine.level("error")[0].contains("(w1) "));
    assert!(engine.level("error")[0].contains("(errno=111)"), "{:?}", engine.level("error"));
    assert_eq!(engine.level("info").len(), 1, "the attempt that was repeated");
}

#[test]
fn port_zero_is_503_without_a_connection() {
    let engine = Engine::new(0);
    let outcome = engine.get();
    assert_eq!(outcome.failed().0, 503);
    assert!(matches!(*outcome.failure().error, Error::ContactDisabled));
}

#[test]
fn name_without_address_is_503() {
    let engine = Engine::with(8009, |config| config.settings.host = "no-such-host.invalid".to_owned());
    assert!(engine.worker.resolve().is_err());
    let outcome = engine.get();
    assert_eq!(outcome.failed().0, 503);
    assert!(engine.level("error")[0].contains("no-such-host.invalid"));
}

#[test]
fn port_zero_set_at_run_time_stops_even_pooled_connections() {
    let tomcat = Tomcat::once(|peer| {
        peer.serve(b"OK");
        peer.expect_end();
    });
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    engine.worker.shared().update(|settings| settings.port = 0).unwrap();
    assert_eq!(engine.get().failed(), (503, 0, 2));
    engine.maintain(Moment::now());
    assert_eq!(tomcat.finish(), 1);
}

/// After connecting, with a deadline of 30 ms for the CPong.
fn probed(port: u16) -> Engine {
    Engine::with(port, |config| config.settings.connect_timeout_ms = 30)
}

#[test]
fn silent_peer_fails_the_probe_at_its_deadline() {
    let silent = || {
        script(|peer: &mut Peer| {
            peer.expect_cping();
            peer.expect_end();
        })
    };
    let tomcat = Tomcat::start(vec![silent(), silent()]);
    let outcome = probed(tomcat.port()).post(b"body");
    assert_eq!(outcome.failed(), (503, 0, 2));
    assert!(matches!(*outcome.failure().error, Error::Probe { fresh: true, .. }));
    assert_eq!(tomcat.finish(), 0);
}

#[test]
fn only_exactly_one_cpong_passes_the_probe() {
    let cpong = packet(&[0x09]);
    let answers = [
        ("END_RESPONSE", packet(&[0x05, 0x01])),
        ("headers before the cpong", [headers(200, &[]), cpong.clone()].concat()),
        ("13 bytes more", packet(&[&[0x09], &[0; 13][..]].concat())),
        ("30 bytes more", packet(&[&[0x09], &[0; 30][..]].concat())),
        ("two cpongs", [cpong.clone(), cpong].concat()),
        ("part of a cpong", vec![0x41, 0x42, 0x00]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (name, answer) in answers {
        let again = answer.clone();
        let wrong = |bytes: Vec<u8>| {
            script(move |peer: &mut Peer| {
                peer.expect_cping();
                peer.send(&bytes);
                peer.expect_end();
            })
        };
        let tomcat = Tomcat::start(vec![wrong(answer), wrong(again)]);
        let outcome = probed(tomcat.port()).get();
        assert_eq!(outcome.failed(), (503, 0, 2), "{name}");
        assert_eq!(tomcat.finish(), 0, "{name}");
    }
}

#[test]
fn peer_that_closes_on_a_cping_is_503() {
    let closing = || {
        script(|peer: &mut Peer| {
            peer.expect_cping();
            peer.close();
        })
    };
    let tomcat = Tomcat::start(vec![closing(), closing()]);
    assert_eq!(probed(tomcat.port()).get().failed(), (503, 0, 2));
    assert_eq!(tomcat.finish(), 0);
}

#[test]
fn answered_probe_lets_the_request_through_and_is_remembered() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_cping();
        peer.cpong();
        peer.serve(b"OK");
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.connect_timeout_ms = 60_000);
    assert!(!engine.worker.shared().cpong_seen());
    assert_eq!(engine.get().client.body, b"OK");
    assert!(engine.worker.shared().cpong_seen());
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn prepost_probe_comes_before_each_request_but_not_twice_on_a_new_connection() {
    let tomcat = Tomcat::once(|peer| {
        for _ in 0..2 {
            peer.expect_cping();
            peer.cpong();
            peer.serve(b"OK");
        }
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.connect_timeout_ms = 60_000;
        config.settings.prepost_timeout_ms = 60_000;
    });
    engine.get().served();
    engine.get().served();
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn failed_prepost_probe_of_a_pooled_connection_costs_no_attempt() {
    let tomcat = Tomcat::start(vec![
        script(|peer| {
            peer.expect_cping();
            peer.cpong();
            peer.serve(b"1");
            peer.expect_cping();
            peer.close();
        }),
        script(|peer| {
            peer.expect_cping();
            peer.cpong();
            peer.serve(b"2");
        }),
    ]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.prepost_timeout_ms = 60_000);
    engine.get().served();
    let outcome = engine.post(b"");
    assert_eq!(outcome.served().attempts, 1);
    assert_eq!(outcome.client.body, b"2");
    assert!(engine.level("error").is_empty());
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn connect_deadline_ends_the_attempt() {
    // A queue of one that is full: nobody ever accepts, further connections get no answer.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        held.push(stream);
    }
    let engine = Engine::with(address.port(), |config| config.socket_connect_timeout_ms = 30);
    let outcome = engine.send(b"POST", BodyKind::None, Client::default(), |_| {});
    assert_eq!(outcome.failed(), (503, 0, 2));
    assert!(engine.level("error")[0].contains("no answer within"), "{:?}", engine.level("error"));
}

/// Accepts and closes at once: in order, or with a reset.
fn hanging_up(with_reset: bool) -> (u16, std::thread::JoinHandle<usize>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = std::thread::spawn(move || {
        let mut accepted = 0;
        loop {
            let (stream, _) = listener.accept().unwrap();
            let mut first = [0];
            let socket = socket2::SockRef::from(&stream);
            // Whoever asks for the end of the test says so in its first byte.
            if accepted >= 2 && std::io::Read::read(&mut &stream, &mut first).is_ok_and(|_| first == [b'!']) {
                return accepted;
            }
            accepted += 1;
            if with_reset {
                socket.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    });
    (port, accepting)
}

#[test]
fn peer_that_hangs_up_before_the_request_fails_it_without_a_delivery() {
    for with_reset in [false, true] {
        let (port, accepting) = hanging_up(with_reset);
        let outcome = probed(port).post(b"body");
        assert_eq!(outcome.failed(), (503, 0, 2), "reset: {with_reset}");
        assert!(outcome.failure().recoverable, "another member may have it");
        std::io::Write::write_all(&mut std::net::TcpStream::connect(("127.0.0.1", port)).unwrap(), b"!").unwrap();
        assert_eq!(accepting.join().unwrap(), 2, "reset: {with_reset}");
    }
}

#[test]
fn peer_that_hangs_up_unprobed_is_never_taken_for_an_answer() {
    for with_reset in [false, true] {
        let (port, accepting) = hanging_up(with_reset);
        let outcome = Engine::new(port).get();
        let (status, _, attempts) = outcome.failed();
        // Whether the request was written before the end was seen is a race; that nothing came back is not.
        assert!([502, 503].contains(&status) && attempts == 2, "{status} after {attempts}, reset: {with_reset}");
        assert_eq!(outcome.client.started, 0);
        std::io::Write::write_all(&mut std::net::TcpStream::connect(("127.0.0.1", port)).unwrap(), b"!").unwrap();
        assert_eq!(accepting.join().unwrap(), 2, "reset: {with_reset}");
    }
}

#[test]
fn silent_pooled_connections_are_found_by_the_probe_and_one_new_one_serves() {
    // A firewall forgot the flow, or the connector is paused: what is written is taken and nothing comes back.
    let silent = || {
        script(|peer: &mut Peer| {
            peer.expect_cping();
            peer.cpong();
            peer.serve(b"OK");
            peer.expect_cping();
            peer.expect_end();
        })
    };
    let healthy = script(|peer: &mut Peer| {
        peer.expect_cping();
        peer.cpong();
        peer.serve(b"NEW");
    });
    let tomcat = Tomcat::start(vec![silent(), healthy]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.prepost_timeout_ms = 1_000);
    engine.get().served();
    let outcome = engine.post(b"");
    assert_eq!((outcome.served().attempts, outcome.client.body.as_slice()), (1, &b"NEW"[..]));
    assert_eq!(tomcat.finish(), 2);
}

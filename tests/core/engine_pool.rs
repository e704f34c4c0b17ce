//! Connections between requests: reuse, stale ones, limits, maintenance (reference: ajp-side.md section 11.6).

use std::sync::mpsc;
use std::time::Duration;

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::worker::clock::Moment;
use mod_jk::worker::{Blame, BodyKind, Class, Error};

use crate::engine::{Client, Engine, kept, plain};
use crate::tomcat::{Peer, Script, Tomcat, chunk, packet, script};

/// Serves one request and then does `after`, when it is told to; says when that is done.
fn serving_then(after: impl FnOnce(&mut Peer) + Send + 'static) -> (Script, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (go, told) = mpsc::channel();
    let (say, done) = mpsc::channel();
    let script = script(move |peer| {
        peer.serve(b"first");
        told.recv().unwrap();
        after(peer);
        say.send(()).unwrap();
        // Stays open until the engine lets go, if it is open.
        let _ = told.recv();
    });
    (script, go, done)
}

#[test]
fn connection_is_reused_after_a_regular_end() {
    let tomcat = Tomcat::once(|peer| {
        for _ in 0..3 {
            peer.serve(b"OK");
        }
    });
    let engine = Engine::new(tomcat.port());
    for _ in 0..3 {
        engine.get().served();
    }
    assert_eq!((engine.worker.shared().connected(), engine.worker.shared().max_connected()), (1, 1));
    assert_eq!(engine.worker.shared().used(), 3);
    assert_eq!(tomcat.finish(), 3);
}

#[test]
fn disable_reuse_closes_the_connection() {
    let tomcat = Tomcat::once(|peer| {
        peer.serve(b"OK");
        peer.expect_end();
    });
    let outcome = Engine::new(tomcat.port()).send(b"GET", BodyKind::None, Client::default(), |request| {
        request.options.disable_reuse = true;
    });
    outcome.served();
    tomcat.finish();
}

#[test]
fn dead_pooled_connection_is_replaced_without_an_attempt_or_a_line_at_info() {
    let (first, go, done) = serving_then(Peer::close);
    let tomcat = Tomcat::start(vec![first, script(|peer| peer.serve(b"second"))]);
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    go.send(()).unwrap();
    done.recv().unwrap();
    let outcome = engine.post(b"");
    assert_eq!((outcome.served().attempts, &*outcome.client.body), (1, &b"second"[..]));
    assert!(engine.level("info").is_empty() && engine.level("error").is_empty());
    drop(go);
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn bytes_on_an_idle_connection_are_never_read_as_an_answer() {
    let response = [crate::tomcat::headers(200, &[]), chunk(b"somebody else's"), packet(&[0x05, 0x01])].concat();
    for stray in [response, packet(&[0x05, 0x01]), chunk(b"stray"), chunk(b""), packet(&[0x09]), vec![0x41]] {
        let (first, go, done) = serving_then(move |peer| peer.send(&stray));
        let tomcat = Tomcat::start(vec![first, script(|peer| peer.serve(b"mine"))]);
        let engine = Engine::new(tomcat.port());
        engine.get().served();
        go.send(()).unwrap();
        done.recv().unwrap();
        let outcome = engine.get();
        assert_eq!((outcome.served().attempts, &*outcome.client.body), (1, &b"mine"[..]));
        drop(go);
        assert_eq!(tomcat.finish(), 2);
    }
}

/// A pooled connection that looks alive, takes the second request and closes without an answer.
fn closing_on_the_second_request(body: bool) -> Script {
    script(move |peer| {
        peer.serve(b"first");
        peer.expect_forward_request();
        if body {
            peer.expect_body();
        }
        peer.close();
    })
}

#[test]
fn reused_connection_that_closes_before_the_answer_costs_an_idempotent_request_nothing() {
    let tomcat = Tomcat::start(vec![closing_on_the_second_request(false), script(|peer| peer.serve(b"second"))]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.retries = 1);
    engine.get().served();
    let outcome = engine.get();
    assert_eq!((outcome.served().attempts, &*outcome.client.body), (1, &b"second"[..]));
    assert_eq!(tomcat.finish(), 3);
}

#[test]
fn reused_connection_that_closes_before_the_answer_fails_a_post_once() {
    let tomcat = Tomcat::start(vec![closing_on_the_second_request(true)]);
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    assert_eq!(engine.post(b"body").failed(), (502, 1, 1));
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn reused_connection_that_closes_counts_as_an_attempt_under_explicit_options() {
    let tomcat = Tomcat::start(vec![closing_on_the_second_request(false), script(|peer| peer.serve(b"second"))]);
    let engine = Engine::with(tomcat.port(), |config| config.settings.recovery_options = Some(0));
    engine.get().served();
    assert_eq!(engine.get().served().attempts, 2);
    assert_eq!(tomcat.finish(), 3);
}

/// An engine with one connection, and a request that holds it until told.
fn with_one_held_connection(wait_ms: u32, after: impl FnOnce(&Engine, mpsc::Sender<()>)) {
    let (arrived, seen) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        arrived.send(()).unwrap();
        let _ = told.recv();
        peer.ok(b"held");
        while peer.try_serve(b"OK") {}
    });
    let engine = Engine::with(tomcat.port(), |config| {
        config.connection_pool_size = 1;
        config.connection_acquire_timeout_ms = wait_ms;
    });
    std::thread::scope(|scope| {
        let held = scope.spawn(|| engine.get().served().status);
        seen.recv().unwrap();
        after(&engine, go);
        assert_eq!(held.join().unwrap(), 200);
    });
    engine.worker.shut_down();
    tomcat.finish();
}

#[test]
fn full_pool_is_503_and_no_error_of_the_member() {
    with_one_held_connection(0, |engine, go| {
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (503, 0, 0));
        assert_eq!(outcome.failure().error.class(), Class::NoEndpoint);
        assert_eq!(outcome.failure().error.blames(), Blame::Nobody);
        assert!(outcome.failure().recoverable, "another member may have it");
        assert_eq!((engine.worker.shared().errors(), engine.worker.shared().used()), (0, 1));
        assert_eq!(engine.lines("could not get endpoint").len(), 1);
        go.send(()).unwrap();
    });
}

#[test]
fn full_pool_serves_a_waiting_request_as_soon_as_a_place_is_free() {
    with_one_held_connection(600_000, |engine, go| {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| engine.get().client.body);
            go.send(()).unwrap();
            assert_eq!(waiting.join().unwrap(), b"OK");
        });
    });
}

#[test]
fn busy_limit_is_503_at_once_and_leaves_the_state() {
    let (arrived, seen) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let tomcat = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        arrived.send(()).unwrap();
        let _ = told.recv();
        peer.ok(b"OK");
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.busy_limit = 1);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| engine.get().served().status);
        seen.recv().unwrap();
        let outcome = engine.get();
        assert_eq!(outcome.failed(), (503, 0, 0));
        assert!(matches!(*outcome.failure().error, Error::BusyLimit { limit: 1 }));
        assert!(outcome.failure().recoverable);
        assert_eq!((engine.worker.shared().errors(), engine.worker.shared().busy()), (1, 1));
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), 200);
    });
    assert_eq!((engine.worker.shared().busy(), engine.worker.shared().max_busy()), (0, 2));
    tomcat.finish();
}

#[test]
fn idle_connections_are_closed_down_to_the_minimum() {
    let serving = || {
        script(|peer: &mut Peer| {
            peer.serve(b"OK");
            peer.expect_end();
        })
    };
    let (tomcat, engine) = two_idle(vec![serving(), serving()], |config| {
        config.settings.connection_pool_timeout_s = 10;
    });
    engine.maintain(Moment::now());
    assert_eq!(engine.worker.pool().idle(), 2);
    engine.maintain(Moment::now() + Duration::from_secs(11));
    assert_eq!((engine.worker.pool().idle(), engine.worker.shared().connected()), (1, 1));
    drop(engine);
    tomcat.finish();
}

#[test]
fn after_a_reply_timeout_the_next_attempt_opens_a_new_connection() {
    let silent = || {
        script(|peer: &mut Peer| {
            peer.serve(b"OK");
            while peer.try_forward_request().is_some() {}
        })
    };
    let (say, told) = mpsc::channel();
    let fresh = script(move |peer: &mut Peer| {
        say.send(peer.try_forward_request().is_some()).unwrap();
        peer.expect_end();
    });
    let (tomcat, engine) = two_idle(vec![silent(), silent(), fresh], |_| {});
    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
        request.overrides.reply_timeout_ms = Some(20);
    });
    assert_eq!(outcome.failed(), (504, 2, 2));
    drop(engine);
    // If the engine opened no third connection, this one ends the script.
    drop(std::net::TcpStream::connect(("127.0.0.1", tomcat.port())));
    assert_eq!(tomcat.finish(), 4);
    assert_eq!(told.recv(), Ok(true), "the second attempt went to another idle connection");
}

/// An engine whose pool holds two idle connections: two requests at the same time.
fn two_idle(scripts: Vec<Script>, change: impl FnOnce(&mut mod_jk::config::AjpConfig)) -> (Tomcat, Engine) {
    let tomcat = Tomcat::start(scripts);
    let engine = Engine::with(tomcat.port(), change);
    let both = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Both hold a connection before either is given back: the body is read after the lease is taken.
                let mut client = Waiting { client: Client::default(), barrier: &both };
                let forward = mod_jk::ajp::request::ForwardRequest { method: b"GET", uri: b"/", ..Default::default() };
                let mut request = mod_jk::worker::Request::new(&forward, BodyKind::None);
                engine.worker.service(&mut request, &mut client, &Default::default(), engine.log()).unwrap();
            });
        }
    });
    assert_eq!(engine.worker.pool().idle(), 2);
    (tomcat, engine)
}

/// A client whose response starts only when the other's does.
struct Waiting<'a> {
    client: Client,
    barrier: &'a std::sync::Barrier,
}

impl mod_jk::worker::Downstream for Waiting<'_> {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, mod_jk::worker::ClientError> {
        self.client.read_body(buffer)
    }
    fn start(&mut self, head: &mod_jk::ajp::response::ResponseHead<'_>) {
        self.barrier.wait();
        self.client.start(head);
    }
    fn body(&mut self, bytes: &[u8]) {
        self.client.body(bytes);
    }
    fn pass(&mut self, flush: bool) -> Result<(), mod_jk::worker::ClientError> {
        self.client.pass(flush)
    }
    fn finish(&mut self) -> Result<(), mod_jk::worker::ClientError> {
        Ok(())
    }

    fn queue_header(&mut self, _: Option<&[u8]>) {}

    fn discard(&mut self) {
        self.client.discard();
    }
    fn committed(&self) -> bool {
        self.client.committed()
    }
}

#[test]
fn interval_probe_keeps_who_answers_and_closes_who_does_not() {
    let answering = script(|peer: &mut Peer| {
        peer.serve(b"OK");
        peer.expect_cping();
        peer.cpong();
        peer.expect_end();
    });
    let silent = script(|peer: &mut Peer| {
        peer.serve(b"OK");
        peer.expect_cping();
        peer.expect_end();
    });
    let (tomcat, engine) = two_idle(vec![answering, silent], |config| {
        config.settings.connection_ping_interval_s = 10;
        config.settings.ping_timeout_ms = 50;
    });
    engine.maintain(Moment::now());
    assert_eq!(engine.worker.pool().idle(), 2, "not due yet");
    engine.maintain(Moment::now() + Duration::from_secs(10));
    assert_eq!(engine.worker.pool().idle(), 1);
    assert_eq!(engine.lines("cping to idle connection").len(), 1);
    drop(engine);
    tomcat.finish();
}

#[test]
fn unanswered_interval_probe_keeps_nobody_waiting() {
    let (pinged, seen) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let silent = script(move |peer: &mut Peer| {
        peer.serve(b"OK");
        peer.expect_cping();
        pinged.send(()).unwrap();
        let _ = told.recv();
        peer.cpong();
    });
    let tomcat = Tomcat::start(vec![silent, script(|peer| peer.serve(b"meanwhile"))]);
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.connection_ping_interval_s = 10;
        config.settings.ping_timeout_ms = 600_000;
    });
    engine.get().served();
    std::thread::scope(|scope| {
        let maintenance = scope.spawn(|| engine.maintain(Moment::now() + Duration::from_secs(10)));
        seen.recv().unwrap();
        assert_eq!(engine.get().client.body, b"meanwhile", "while the probe is unanswered");
        go.send(()).unwrap();
        maintenance.join().unwrap();
    });
    drop(engine);
    tomcat.finish();
}

#[test]
fn address_change_moves_the_next_request_and_closes_the_old_connection() {
    let old = Tomcat::once(|peer| {
        peer.serve(b"old");
        peer.expect_end();
    });
    let new = Tomcat::once(|peer| {
        peer.serve(b"new");
        peer.serve(b"new");
    });
    let engine = Engine::new(old.port());
    assert_eq!(engine.get().client.body, b"old");
    let port = new.port();
    engine.worker.shared().update(|settings| settings.port = port).unwrap();
    assert_eq!(engine.get().client.body, b"new");
    assert_eq!(engine.get().client.body, b"new", "the new connection is reused");
    assert_eq!((old.finish(), new.finish()), (1, 2));
}

#[test]
fn address_change_during_a_request_closes_its_connection_afterwards() {
    let new = Tomcat::once(|peer| peer.serve(b"new"));
    let (arrived, seen) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let old = Tomcat::once(move |peer| {
        peer.expect_forward_request();
        arrived.send(()).unwrap();
        told.recv().unwrap();
        peer.ok(b"old");
        peer.expect_end();
    });
    let engine = Engine::new(old.port());
    std::thread::scope(|scope| {
        let active = scope.spawn(|| engine.get().client.body);
        seen.recv().unwrap();
        let port = new.port();
        engine.worker.shared().update(|settings| settings.port = port).unwrap();
        go.send(()).unwrap();
        assert_eq!(active.join().unwrap(), b"old", "it finishes");
    });
    assert_eq!(engine.get().client.body, b"new");
    assert_eq!((old.finish(), new.finish()), (1, 1));
}

#[test]
fn larger_max_packet_size_set_at_run_time_holds_for_pooled_connections() {
    let data = vec![b'x'; 30_000];
    let expected = data.clone();
    let tomcat = Tomcat::once(move |peer| {
        peer.serve(b"OK");
        peer.expect_forward_request();
        peer.ok(&data);
    });
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    engine.worker.shared().update(|settings| settings.max_packet_size = 65_536).unwrap();
    assert_eq!(engine.get().client.body, expected);
    tomcat.finish();
}

#[test]
fn shutdown_closes_idle_connections_and_refuses_requests() {
    let tomcat = Tomcat::once(|peer| {
        peer.serve(b"OK");
        peer.expect_end();
    });
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    engine.worker.shut_down();
    assert_eq!(engine.get().failed(), (503, 0, 0));
    assert_eq!(tomcat.finish(), 1);
}

#[test]
fn zero_retry_interval_and_zero_acquire_timeout_still_serve() {
    let tomcat = Tomcat::once(|peer| peer.serve(b"OK"));
    let engine = Engine::with(tomcat.port(), |config| {
        config.settings.retry_interval_ms = 0;
        config.connection_acquire_timeout_ms = 0;
    });
    engine.get().served();
    tomcat.finish();
}

#[test]
fn bytes_of_both_directions_are_counted() {
    let tomcat = Tomcat::once(|peer| peer.serve(b"OK"));
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    let answer = [crate::tomcat::headers(200, &[]), chunk(b"OK"), packet(&[0x05, 0x01])].concat();
    assert_eq!(engine.worker.shared().read(), answer.len() as u64);
    assert!(engine.worker.shared().transferred() > 20);
    tomcat.finish();
}

#[test]
fn many_requests_at_once_never_exceed_the_pool_and_never_mix_answers() {
    let echoing = || {
        script(|peer: &mut Peer| {
            while let Some(request) = peer.try_forward_request() {
                let uri = request.uri.clone();
                peer.ok(&uri);
            }
        })
    };
    let tomcat = Tomcat::start(vec![echoing(), echoing(), echoing()]);
    let engine = Engine::with(tomcat.port(), |config| {
        config.connection_pool_size = 3;
        config.connection_acquire_timeout_ms = 600_000;
    });
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..50 {
                    let uri: &'static [u8] = format!("/{thread}/{n}").into_bytes().leak();
                    let outcome = engine.send(b"GET", BodyKind::None, Client::default(), |request| {
                        request.forward = kept(ForwardRequest { uri, ..plain(b"GET") });
                    });
                    assert_eq!(outcome.client.body, uri, "{:?}", outcome.result);
                }
            });
        }
    });
    assert!(engine.worker.shared().max_connected() <= 3);
    // A connection that was never needed leaves a script waiting: open it so that the container can finish.
    for _ in engine.worker.shared().max_connected()..3 {
        drop(std::net::TcpStream::connect(("127.0.0.1", tomcat.port())));
    }
    engine.worker.shut_down();
    assert_eq!(tomcat.finish(), 400);
}

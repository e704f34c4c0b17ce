//! How long responses take: what is counted in the histograms that all children share.
//!
//! Not here: the buckets (src/shm/histogram.rs).

use crate::engine::Engine;
use crate::tomcat::Tomcat;

/// How many durations were counted: of whole responses, of first bytes.
fn counted(engine: &Engine) -> (u64, u64) {
    let (responses, first_bytes) = engine.worker.shared().times().unwrap();
    (responses.counts().iter().sum(), first_bytes.counts().iter().sum())
}

#[test]
fn a_whole_response_is_counted_once_in_both() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(200);
        peer.flush();
        peer.chunk(b"slow");
        peer.end(true);
        peer.expect_end();
    });
    let engine = Engine::new(tomcat.port());
    engine.get().served();
    assert_eq!(counted(&engine), (1, 1));
    let (responses, first_bytes) = engine.worker.shared().times().unwrap();
    assert!(responses.sum_us() >= first_bytes.sum_us());
}

#[test]
fn a_response_that_breaks_off_is_counted_by_its_first_byte_alone() {
    let tomcat = Tomcat::once(|peer| {
        peer.expect_forward_request();
        peer.headers(200);
        peer.flush();
        peer.close();
    });
    let engine = Engine::with(tomcat.port(), |config| config.settings.retries = 1);
    engine.get().failure();
    assert_eq!(counted(&engine), (0, 1));
}

#[test]
fn a_request_that_nobody_answers_is_not_counted() {
    let engine = Engine::new(Tomcat::closed_port());
    engine.get().failure();
    assert_eq!(counted(&engine), (0, 0));
}

//! Metrics over a graceful restart: no counter goes back, and nothing that the old children count is lost.
//!
//! Not here: states and edits (`lb_shm.rs`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::support::backend::{Backend, get};
use crate::support::http_client::{Client, Request};
use crate::support::httpd::{Builder, Httpd, under_every_mpm};

fn builder(backend: &Backend) -> Builder {
    let workers = format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1\nworker.st.type=status\n{}",
        backend.worker("m1")
    );
    Httpd::builder().workers(&workers).config("JkMount /app/* lb\nJkMount /jkstatus st\n")
}

/// Counters by their names with labels.
fn counters(address: std::net::SocketAddr) -> BTreeMap<String, f64> {
    scrape(address).unwrap()
}

/// The same; `None` when the restart closes the connection before it is served.
fn scrape(address: std::net::SocketAddr) -> Option<BTreeMap<String, f64>> {
    let page = Client::once(address, &Request::new("GET", "/jkstatus?mime=prom")).ok()?;
    if !page.complete() {
        return None;
    }
    let page = page.text();
    let samples = page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    let grows = |name: &str| {
        ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.split('{').next().unwrap().ends_with(end))
    };
    Some(
        samples
            .filter(|(name, _)| grows(name))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect(),
    )
}

#[track_caller]
fn assert_grew(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) {
    for (name, value) in before {
        let now = after.get(name).unwrap_or_else(|| panic!("{name} is gone"));
        assert!(now >= value, "{name} went back from {value} to {now}");
    }
}

const REQUESTS: &str = "jk_worker_requests_total{worker=\"m1\"}";
const RESPONSES: &str = "jk_worker_response_seconds_count{worker=\"m1\"}";

under_every_mpm! {
    fn counters_never_go_back_over_graceful_restarts_under_load(mpm: Mpm) {
        let backend = Backend::named("m1");
        let mut httpd: Httpd = builder(&backend).mpm(mpm).allow_error_log("AH0").start();
        let address = httpd.address();
        let stop = Arc::new(AtomicBool::new(false));
        let load = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut served = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    // A connection that the restart closes before it is served is no request.
                    let answer = Client::once(address, &Request::new("GET", "/app/x"));
                    served += u32::from(answer.is_ok_and(|answer| answer.status() == 200));
                }
                served
            }
        });
        let scraper = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut before, mut scrapes) = (BTreeMap::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let Some(after) = scrape(address) else { continue };
                    assert_grew(&before, &after);
                    (before, scrapes) = (after, scrapes + 1);
                }
                scrapes
            }
        });
        for _ in 0..3 {
            httpd.graceful();
        }
        stop.store(true, Ordering::Relaxed);
        let served = load.join().unwrap();
        assert!(scraper.join().unwrap() > 3);
        let counted = counters(address)[REQUESTS];
        assert!(counted >= f64::from(served) && served > 0, "{counted} of {served}");
    }
}

#[test]
fn a_request_that_outlives_the_restart_is_counted() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = Backend::start(move |call| {
        if call.uri() == "/app/long" {
            released.lock().unwrap().recv().unwrap();
        }
        call.ok("done");
    });
    let mut httpd = builder(&backend).start();
    let address = httpd.address();
    let long = std::thread::spawn(move || Client::once(address, &Request::new("GET", "/app/long")).unwrap().text());
    backend.await_count(1);
    httpd.graceful();
    let before = counters(address);
    assert_eq!((before[REQUESTS], before[RESPONSES]), (1.0, 0.0));
    get(&httpd, "/app/x");
    release.send(()).unwrap();
    assert_eq!(long.join().unwrap(), "done");
    crate::support::wait::until(std::time::Duration::from_secs(60), "the response to be counted", || {
        counters(address)[RESPONSES] >= 2.0
    });
    let after = counters(address);
    assert_eq!((after[REQUESTS], after[RESPONSES]), (2.0, 2.0));
    assert_grew(&before, &after);
}

//! A panic in the module: one answer of 500, one line in the error log, and the same child serves on.
//!
//! Not here: the module under test everywhere else. This one is built with the feature `planted-panic`, into a target folder of its
//! own; the first build takes as long as all dependencies do.

use crate::support::backend::{Backend, get, status};
use crate::support::cluster::{Cluster, Mode, PATIENCE, fetch};
use crate::support::http_client::{Client, Request};
use crate::support::httpd::{module_with_feature, under_every_mpm};
use crate::support::wait;

#[test]
fn watchdog_that_panics_begins_anew() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let more = "worker.lb.retry_interval=0\nworker.$W.retry_interval=0\nworker.lb.recover_time=1\nworker.maintain=1\n";
    let httpd = cluster
        .httpd(more)
        .config("JkWatchdogInterval 1\n")
        .module_path(module_with_feature("planted-panic"))
        .expect_error_log("mod_jk: internal error in watchdog: ")
        .start();
    let children = httpd.children();
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    cluster.members[0].set(Mode::Serve);
    // With a watchdog nobody else does the maintenance that brings the member back.
    wait::until(PATIENCE, "w1 to serve", || fetch(&httpd, None).1 == "w1");
    assert_eq!(httpd.children(), children, "no child has ended");
    assert_eq!(httpd.error_log().matches("internal error in watchdog").count(), children.len());
}

under_every_mpm! {
    fn panic_is_500_with_one_log_line_and_the_child_serves_on(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend
            .httpd()
            .mpm(mpm)
            .children(1)
            .module_path(module_with_feature("planted-panic"))
            .expect_error_log("mod_jk: internal error in ")
            .start();
        let children = httpd.children();
        assert_eq!(get(&httpd, "/before").text(), "GET /before");
        let mut client = Client::connect(httpd.address()).unwrap();
        let response = client.exchange(&Request::new("GET", "/planted-panic")).unwrap();
        assert_eq!((response.status(), response.complete()), (500, true));
        assert_eq!(status(&httpd, "/after"), 200);
        assert_eq!(httpd.children(), children, "no child has ended");
        let log = httpd.error_log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("internal error")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        let place = lines[0].split_once("src/apache/handler.rs:").expect("the file in the line").1;
        let number: String = place.chars().take_while(char::is_ascii_digit).collect();
        assert!(number.parse::<u32>().is_ok_and(|number| number > 0), "{place}");
        assert!(lines[0].contains("index out of bounds"), "{}", lines[0]);
    }
}

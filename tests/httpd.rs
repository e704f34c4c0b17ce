//! Tests with a real httpd that loads the module cargo has built, under event, worker and prefork.
//!
//! Not here: anything that can be tested without httpd (tests/core.rs). The surprising thing: MOD_JK_SO=/path/mod_jk.so runs
//! them against that module instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

mod support;

mod httpd {
    mod balancing;
    mod connections;
    mod cves;
    mod directives;
    mod failures;
    mod fields;
    mod forwarding;
    mod harness;
    mod http2;
    mod lb_cluster;
    mod lb_failure;
    mod lb_health;
    mod lb_sessions;
    mod lb_shares;
    mod lb_shm;
    mod logs;
    mod merges;
    mod mount_file;
    mod mounts;
    mod neighbours;
    mod panic;
    mod real_tomcat;
    mod refusals;
    mod shared_memory;
    mod status_ant;
    mod status_browser;
    mod status_drain;
    mod status_explain;
    mod status_page;
    mod status_replay;
    mod status_restart;
    mod status_wcag;
    mod streaming;
    mod tls;
    mod tomcat_connectors;
    mod uri_modes;
}

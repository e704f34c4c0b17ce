//! Tests that need no httpd, in one binary. What belongs to one file is tested at the bottom of that file instead. The
//! folder is named like this file, so each module must be listed here to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

#[path = "support/engine.rs"]
mod engine;
#[path = "support/tomcat.rs"]
mod tomcat;

mod core {
    mod ajp_properties;
    mod engine_connect;
    mod engine_pool;
    mod engine_reply;
    mod engine_request_body;
    mod engine_response;
}

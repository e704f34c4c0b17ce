//! Everything that is tested without httpd, in one binary. What belongs to one file is tested at the bottom of that file
//! instead. The folder is named like this file, so each module must be listed here to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

#[path = "support/engine.rs"]
mod engine;
#[path = "support/tomcat.rs"]
mod tomcat;

mod core {
    mod ajp_properties;
    mod balancer_lab;
    mod balancer_model;
    mod balancer_properties;
    mod balancer_request_loop;
    mod balancer_sessions;
    mod balancer_shares;
    mod config_advice;
    mod config_attributes;
    mod config_build;
    mod config_reading;
    mod config_samples;
    mod config_toml;
    mod engine_connect;
    mod engine_pool;
    mod engine_reply;
    mod engine_request_body;
    mod engine_response;
    mod properties_grammar;
    mod properties_limits;
    mod properties_reference;
    mod shm_file;
    mod shm_fork;
    mod shm_processes;
    mod uri_map_advice;
    mod uri_map_file;
    mod uri_map_fuzz;
    mod uri_map_match;
}

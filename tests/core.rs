//! Everything that is tested without httpd, in one binary. What belongs to one file is tested at the bottom of that file
//! instead; each module must be listed here to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

#[path = "support/desk.rs"]
mod desk;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/tomcat.rs"]
mod tomcat;

#[path = "core/ajp_properties.rs"]
mod ajp_properties;
#[path = "core/balancer_lab.rs"]
mod balancer_lab;
#[path = "core/balancer_model.rs"]
mod balancer_model;
#[path = "core/balancer_properties.rs"]
mod balancer_properties;
#[path = "core/balancer_request_loop.rs"]
mod balancer_request_loop;
#[path = "core/balancer_sessions.rs"]
mod balancer_sessions;
#[path = "core/balancer_shares.rs"]
mod balancer_shares;
#[path = "core/config_advice.rs"]
mod config_advice;
#[path = "core/config_attributes.rs"]
mod config_attributes;
#[path = "core/config_build.rs"]
mod config_build;
#[path = "core/config_reading.rs"]
mod config_reading;
#[path = "core/config_samples.rs"]
mod config_samples;
#[path = "core/config_toml.rs"]
mod config_toml;
#[path = "core/engine_connect.rs"]
mod engine_connect;
#[path = "core/engine_pool.rs"]
mod engine_pool;
#[path = "core/engine_reply.rs"]
mod engine_reply;
#[path = "core/engine_request_body.rs"]
mod engine_request_body;
#[path = "core/engine_response.rs"]
mod engine_response;
#[path = "core/engine_times.rs"]
mod engine_times;
#[path = "core/lb_pessimistic.rs"]
mod lb_pessimistic;
#[path = "core/properties_grammar.rs"]
mod properties_grammar;
#[path = "core/properties_limits.rs"]
mod properties_limits;
#[path = "core/properties_reference.rs"]
mod properties_reference;
#[path = "core/shm_file.rs"]
mod shm_file;
#[path = "core/shm_fork.rs"]
mod shm_fork;
#[path = "core/shm_history.rs"]
mod shm_history;
#[path = "core/shm_processes.rs"]
mod shm_processes;
#[path = "core/status_access.rs"]
mod status_access;
#[path = "core/status_bad_input.rs"]
mod status_bad_input;
#[path = "core/status_clients.rs"]
mod status_clients;
#[path = "core/status_docs.rs"]
mod status_docs;
#[path = "core/status_drain.rs"]
mod status_drain;
#[path = "core/status_explain.rs"]
mod status_explain;
#[path = "core/status_html.rs"]
mod status_html;
#[path = "core/status_machines.rs"]
mod status_machines;
#[path = "core/status_update.rs"]
mod status_update;
#[path = "core/uri_map_advice.rs"]
mod uri_map_advice;
#[path = "core/uri_map_file.rs"]
mod uri_map_file;
#[path = "core/uri_map_fuzz.rs"]
mod uri_map_fuzz;
#[path = "core/uri_map_match.rs"]
mod uri_map_match;

//! Everything that is tested without httpd, in one binary.

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

//! mod_jk: Apache httpd's connector to Tomcat over AJP/1.3, a drop-in for the C mod_jk 1.2.51.
//!
//! This file is the list of rooms and the rules that hold between them; it contains nothing else.
//!
//! ```text
//!  5   apache                              knows httpd; nothing below does
//!        |
//!  4   runtime                             one configuration, put together
//!        |
//!  3   status  ------>  worker             commands and pages; engine and sockets
//!        |                |
//!  2     +----> shm <-----+                slots shared by all children
//!        |       |        |
//!  1     |    config   uri_map             typed meaning of the two kinds of file
//!        |       |        |
//!  0   balancer   properties   ajp   log   request_log        no module of ours
//! ```
//!
//! What is absent, and stays absent:
//!
//! - `ajp` never reads the clock and never sees a socket: bytes in, events out.
//! - `balancer` never sees shared memory: it gets copies of members and returns an index.
//! - No module keeps a copy of a setting that the status page can change beyond one request.
//! - No C function with a variable argument list is callable: text crosses into C as data only.
//! - Nothing imports `apache`; all other modules run and are tested without httpd.
//! - Nothing is written to a client before the packet or command that asks for it is fully parsed.
//! - Unsafe code is in `apache/` (httpd's structures) and `shm/` (the shared mapping), nowhere else.

pub mod ajp;
mod apache;
pub mod balancer;
pub mod config;
pub mod log;
pub mod properties;
pub mod request_log;
pub mod runtime;
pub mod shm;
pub mod status;
pub mod uri_map;
pub mod worker;

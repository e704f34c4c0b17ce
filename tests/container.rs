//! The module in containers: httpds and Tomcats with addresses of their own, the network between them cut and mended.
//!
//! Not here: what shows on one host as well (tests/httpd). The surprising thing: it needs a Docker engine and the images that
//! tests/container/image.sh builds, so `cargo test` leaves it alone and `make container-test` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where a fact is not as it must be; the table is a result; a failing test shows the logs"
)]

mod support;

#[path = "container"]
mod container {
    pub(crate) mod docker;
    pub(crate) mod hosts;
    pub(crate) mod load;

    mod accidents;
    mod address;
    mod commands;
    mod image;
    mod planned;
    mod sessions;
}

//! What the tests stand on: clients, servers and waiting. One list, so that both test binaries say `mod support;` alone.

pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod cluster;
pub(crate) mod http_client;
pub(crate) mod httpd;
pub(crate) mod process;
pub(crate) mod tomcat;
pub(crate) mod tomcat_server;
pub(crate) mod wait;

//! One server or virtual host, ready for requests: what post_config built from its directives.
//!
//! Not here: the directives themselves (`server_config.rs`). The surprising thing: several hosts may hold the same map and log; both
//! are counted references.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use super::member_notes::MemberNotes;
use super::options::Flags;
use super::server_config::{EnvVar, INDICATOR_DEFAULTS, Indicator};
use crate::log::Logger;
use crate::request_log::RequestLogFormat;
use crate::runtime::Runtime;
use crate::runtime::live_map::LiveMap;

/// Everything the hooks need; never changed after the start, but for what lies behind `map` and `runtime`.
#[derive(Debug)]
pub(super) struct Vhost {
    pub(super) runtime: Arc<Runtime>,
    pub(super) logger: Arc<Logger>,
    /// `None`: nothing is ever mapped here.
    pub(super) map: Option<Arc<LiveMap>>,
    /// Place among the servers that the status worker knows.
    pub(super) place: usize,
    pub(super) flags: Flags,
    /// Names of environment variables, in the order of [`Indicator`].
    pub(super) indicators: Vec<CString>,
    pub(super) extract_ssl: bool,
    /// A JkEnvVar or a Jk...Indicator may name a variable that httpd computes for CGI, so they are computed for each request.
    pub(super) wants_cgi_variables: bool,
    pub(super) env_vars: Vec<EnvVar>,
    pub(super) request_log: Option<RequestLogFormat>,
    pub(super) auto_alias: Option<Vec<u8>>,
    /// Parameter that JkStripSession removes.
    pub(super) strip_session: Option<Vec<u8>>,
    /// Notes of a balancer about its members.
    pub(super) member_notes: MemberNotes,
}

impl Vhost {
    /// Name of the environment variable for `which`.
    pub(super) fn indicator(&self, which: Indicator) -> &CStr {
        match self.indicators.get(which as usize) {
            Some(name) => name,
            None => INDICATOR_DEFAULTS.first().copied().unwrap_or_default(),
        }
    }
}

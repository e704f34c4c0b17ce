//! A request for a status worker: what httpd knows about it in, the page out. And how servers are named in listings.
//!
//! Not here: what the page says (`status`). The surprising thing: the answer goes out in one piece with its length, so that a client can
//! tell a whole listing from half of one.

use std::ffi::{CStr, c_int};
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::ffi;
use super::hooks::OK;
use super::request::Request;
use super::vhost::Vhost;
use crate::status::{Ask, Clock, Host, Provenance, StatusWorker};
use crate::worker::{Downstream, Log, say};

/// Longest name of a server in listings; longer ones are replaced, as ever.
const MAX_LABEL: usize = 80;

/// Answers the request.
pub(super) fn serve(request: Request<'_>, vhost: &Vhost, worker: &StatusWorker, log: Log<'_>) -> c_int {
    let headers = request.headers_in();
    let header = |name: &CStr| headers.get(name).map(CStr::to_bytes);
    let ask = Ask {
        path: request.uri(),
        query: request.args().unwrap_or_default(),
        user: request.user(),
        provenance: Provenance {
            fetch_site: header(c"Sec-Fetch-Site"),
            origin: header(c"Origin"),
            referer: header(c"Referer"),
            host: header(c"Host"),
        },
        site: vhost.place,
        server_name: request.server_name(),
        server_port: request.server_port(),
        web_server: web_server(),
        jk_version: concat!("mod_jk/", env!("CARGO_PKG_VERSION")),
        accept: header(c"Accept"),
        now_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        clock: Clock::local(),
    };
    let page = vhost.runtime.status(worker, &ask, log);
    let mut client = Client::new(request);
    client.start_page(&page);
    client.body(page.body.as_bytes());
    if client.finish().is_err() {
        say!(log, Info, "Aborting connection for worker={}: the client is gone", worker.name());
    }
    OK
}

/// What httpd says it is.
fn web_server() -> &'static [u8] {
    // SAFETY: returns a NUL-terminated text that lives as long as the configuration.
    let text = unsafe { ffi::ap_get_server_description() };
    // SAFETY: as above; the page is rendered before this request, and so the configuration, ends (rule 1).
    unsafe { super::apr::text(text) }.map(CStr::to_bytes).unwrap_or_default()
}

/// Main server `name:port`, the port left out when it is not configured; virtual host `name [address:port]`.
///
/// # Safety
/// `server` must be live (rule 1).
pub(super) unsafe fn label(server: *const ffi::server_rec) -> String {
    // SAFETY: live by this function's contract.
    let hostname = unsafe { (*server).server_hostname };
    // SAFETY: null or a NUL-terminated text (rule 4).
    let name = unsafe { super::apr::text(hostname) }.unwrap_or_default().to_string_lossy();
    // SAFETY: live by this function's contract.
    let is_virtual = unsafe { (*server).is_virtual } != 0;
    // SAFETY: live by this function's contract.
    let port = unsafe { (*server).port };
    // SAFETY: live by this function's contract.
    let address = unsafe { (*server).addrs };
    let label = match (is_virtual, port) {
        (false, 0) => name.into_owned(),
        (false, port) => format!("{name}:{port}"),
        (true, _) if address.is_null() => name.into_owned(),
        (true, _) => {
            // SAFETY: an address of a live server is live.
            let host = unsafe { (*address).virthost };
            // SAFETY: null or a NUL-terminated text (rule 4).
            let host = unsafe { super::apr::text(host) }.unwrap_or_default().to_string_lossy();
            // SAFETY: an address of a live server is live.
            let port = unsafe { (*address).host_port };
            format!("{name} [{host}:{port}]")
        }
    };
    if label.len() > MAX_LABEL { "XXX".to_owned() } else { label }
}

/// ServerName, aliases and addresses.
///
/// # Safety
/// `server` must be live (rule 1).
pub(super) unsafe fn host(server: *const ffi::server_rec) -> Host {
    // SAFETY: live by this function's contract.
    let hostname = unsafe { (*server).server_hostname };
    // SAFETY: null or a NUL-terminated text (rule 4).
    let mut names: Vec<_> =
        unsafe { super::apr::text(hostname) }.map(|name| name.to_string_lossy().into_owned()).into_iter().collect();
    // SAFETY: live by this function's contract.
    let aliases = unsafe { (*server).names };
    // SAFETY: live by this function's contract.
    let wild = unsafe { (*server).wild_names };
    for array in [aliases, wild] {
        // SAFETY: null or an array of texts of the live configuration.
        names.extend(unsafe { texts(array) });
    }
    // SAFETY: live by this function's contract.
    let is_virtual = unsafe { (*server).is_virtual } != 0;
    // SAFETY: live by this function's contract.
    let mut address = unsafe { (*server).addrs };
    let mut addresses = Vec::new();
    while is_virtual && !address.is_null() {
        // SAFETY: an address of a live server is live.
        let found = unsafe { address.read() };
        // SAFETY: null or a NUL-terminated text (rule 4).
        let host = unsafe { super::apr::text(found.virthost) }.unwrap_or_default().to_string_lossy();
        addresses.push((host.to_ascii_lowercase(), found.host_port));
        address = found.next;
    }
    Host { names, addresses }
}

/// Texts of an array of httpd's.
///
/// # Safety
/// `array` must be null or a live array of texts.
unsafe fn texts(array: *const ffi::apr_array_header_t) -> Vec<String> {
    if array.is_null() {
        return Vec::new();
    }
    // SAFETY: live by this function's contract.
    let header = unsafe { array.read() };
    let count = usize::try_from(header.nelts).unwrap_or(0);
    let first = header.elts.cast::<*const std::ffi::c_char>();
    let text = |index: usize| {
        // SAFETY: the array has `count` elements of this type, by this function's contract.
        let text = unsafe { first.wrapping_add(index).read() };
        // SAFETY: null or a NUL-terminated text (rule 4).
        unsafe { super::apr::text(text) }.map(|text| text.to_string_lossy().into_owned())
    };
    (0..count).filter_map(text).collect()
}

//! Typed view of one `request_rec`: what the module reads and sets of a request.
//!
//! Not here: how a response is written (`client.rs`), what is told to Tomcat (`forward.rs`). The surprising thing: no reference
//! into the `request_rec` is kept across a call into httpd; every access reads the field afresh, because httpd changes it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::apr::{Pool, ServerRef, Table, text};
use super::ffi;
use super::server_config::{self, ServerConfig};
use super::vhost::Vhost;

/// Name of the handler that means "this request goes to a worker".
pub(super) const HANDLER: &CStr = c"jakarta-servlet";
/// Handler that httpd gives to directories.
pub(super) const DIRECTORY_HANDLER: &CStr = c"httpd/unix-directory";

const SERVER_ERROR: c_int = 500;
/// The environment variables of a request. `None`: there are none, as for most requests, and nothing need be searched for.
#[derive(Clone, Copy)]
pub(super) struct Env(Option<Table>);

impl Env {
    /// Value of a variable; [`Table::get`]'s conditions hold.
    #[inline]
    pub(super) fn get<'t>(self, name: &CStr) -> Option<&'t CStr> {
        self.0?.get(name)
    }

    /// Whether nothing need be searched for.
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0.is_none()
    }

    /// All variables; [`Table::entries`]' conditions hold.
    pub(super) fn entries<'t>(self) -> impl Iterator<Item = (&'t CStr, &'t CStr)> {
        self.0.into_iter().flat_map(Table::entries)
    }
}

/// One request, for the callback that is running.
#[derive(Clone, Copy)]
pub(super) struct Request<'r> {
    raw: NonNull<ffi::request_rec>,
    callback: PhantomData<&'r ()>,
}

/// Reads one field of the request.
macro_rules! field {
    ($request:expr, $($field:ident).+) => {{
        let raw = $request.raw.as_ptr();
        // SAFETY: the request is live for the callback (rule 1) and the field is a plain value.
        unsafe { (&raw const (*raw).$($field).+).read() }
    }};
}

/// Writes one field of the request.
macro_rules! set_field {
    ($request:expr, $($field:ident).+, $value:expr) => {{
        let raw = $request.raw.as_ptr();
        let value = $value;
        // SAFETY: the request is live and ours for the callback (rule 1).
        unsafe { (&raw mut (*raw).$($field).+).write(value) }
    }};
}

impl<'r> Request<'r> {
    /// # Safety
    /// `raw` is what httpd passed to the callback that is running, and `'r` does not exceed it (rules 1, 5).
    pub(super) unsafe fn from_ptr(raw: *mut ffi::request_rec) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, callback: PhantomData })
    }

    pub(super) fn as_ptr(self) -> *mut ffi::request_rec {
        self.raw.as_ptr()
    }

    pub(super) fn pool(self) -> Pool {
        let pool = field!(self, pool);
        // SAFETY: a request has a live pool (rule 1).
        match unsafe { Pool::from_ptr(pool) } {
            Some(pool) => pool,
            None => unreachable!("httpd gives every request a pool"),
        }
    }

    fn table(self, table: *mut ffi::apr_table_t) -> Table {
        // SAFETY: a request has live tables (rule 1).
        match unsafe { Table::from_ptr(table) } {
            Some(table) => table,
            None => unreachable!("httpd gives every request its tables"),
        }
    }

    pub(super) fn headers_in(self) -> Table {
        self.table(field!(self, headers_in))
    }

    pub(super) fn headers_out(self) -> Table {
        self.table(field!(self, headers_out))
    }

    pub(super) fn err_headers_out(self) -> Table {
        self.table(field!(self, err_headers_out))
    }

    /// The environment as it is now.
    pub(super) fn env(self) -> Env {
        let table = self.table(field!(self, subprocess_env));
        Env(Some(table).filter(|table| !table.is_empty()))
    }

    pub(super) fn notes(self) -> Table {
        self.table(field!(self, notes))
    }

    /// Puts a table of the request's pool in the place of its notes, as httpd does after a fast internal redirect.
    pub(super) fn set_notes(self, notes: Table) {
        set_field!(self, notes, notes.as_ptr());
    }

    fn text(self, pointer: *const c_char) -> Option<&'r CStr> {
        // SAFETY: texts of a request are null or NUL-terminated, and live in its pool (rule 4).
        unsafe { text(pointer) }
    }

    fn bytes(self, pointer: *const c_char) -> &'r [u8] {
        self.text(pointer).map(CStr::to_bytes).unwrap_or_default()
    }

    pub(super) fn uri(self) -> &'r [u8] {
        self.bytes(field!(self, uri))
    }

    /// Whether `text` is the URI, where it lies or by its bytes.
    pub(super) fn is_uri(self, text: &[u8]) -> bool {
        std::ptr::eq(field!(self, uri).cast::<u8>(), text.as_ptr()) || self.uri() == text
    }

    pub(super) fn set_uri(self, uri: &[u8]) {
        set_field!(self, uri, self.pool().text(uri));
    }

    pub(super) fn unparsed_uri(self) -> &'r [u8] {
        self.bytes(field!(self, unparsed_uri))
    }

    pub(super) fn args(self) -> Option<&'r [u8]> {
        self.text(field!(self, args)).map(CStr::to_bytes)
    }

    pub(super) fn method(self) -> &'r [u8] {
        self.bytes(field!(self, method))
    }

    pub(super) fn protocol(self) -> &'r [u8] {
        self.bytes(field!(self, protocol))
    }

    pub(super) fn request_line(self) -> &'r [u8] {
        self.bytes(field!(self, the_request))
    }

    pub(super) fn filename(self) -> Option<&'r [u8]> {
        self.text(field!(self, filename)).map(CStr::to_bytes)
    }

    pub(super) fn set_filename(self, name: *mut c_char) {
        set_field!(self, filename, name);
    }

    /// Makes the last segment of the URI the filename: no copy, but the end of the URI's own text, as the C mod_jk does. Whoever wants
    /// another URI or filename puts a new text in its place.
    pub(super) fn set_filename_to_last_segment(self) {
        let uri = field!(self, uri);
        if uri.is_null() {
            return self.set_filename(self.pool().text(b""));
        }
        // SAFETY: the URI is NUL-terminated (rule 4).
        let slash = unsafe { libc::strrchr(uri, c_int::from(b'/')) };
        self.set_filename(if slash.is_null() { uri } else { slash.wrapping_add(1) });
    }

    /// Whether its handler is the one of that name. What we set ourselves is told by where it lies.
    #[inline]
    pub(super) fn has_handler(self, name: &'static CStr) -> bool {
        let handler = field!(self, handler);
        std::ptr::eq(handler, name.as_ptr()) || self.text(handler) == Some(name)
    }

    pub(super) fn set_handler(self, handler: &'static CStr) {
        set_field!(self, handler, handler.as_ptr());
    }

    pub(super) fn is_proxied(self) -> bool {
        field!(self, proxyreq) != 0
    }

    pub(super) fn status(self) -> c_int {
        field!(self, status)
    }

    pub(super) fn set_status(self, status: u16, line: *const c_char) {
        set_field!(self, status, c_int::from(status));
        set_field!(self, status_line, line);
    }

    pub(super) fn bytes_sent(self) -> u64 {
        u64::try_from(field!(self, bytes_sent)).unwrap_or(0)
    }

    /// httpd counts body bytes once it has begun to send a response that has a body.
    pub(super) fn has_sent_body(self) -> bool {
        field!(self, sent_bodyct) != 0
    }

    /// The port that the request's scheme has if none is named.
    pub(super) fn default_port(self) -> u16 {
        if self.http_scheme().eq_ignore_ascii_case(b"https") { 443 } else { 80 }
    }

    pub(super) fn user(self) -> Option<&'r [u8]> {
        self.text(field!(self, user)).map(CStr::to_bytes)
    }

    pub(super) fn auth_type(self) -> Option<&'r [u8]> {
        self.text(field!(self, ap_auth_type)).map(CStr::to_bytes)
    }

    pub(super) fn useragent_ip(self) -> &'r [u8] {
        self.bytes(field!(self, useragent_ip))
    }

    pub(super) fn useragent_port(self) -> u16 {
        port_of(field!(self, useragent_addr))
    }

    fn connection(self) -> *mut ffi::conn_rec {
        field!(self, connection)
    }

    pub(super) fn client_ip(self) -> &'r [u8] {
        // SAFETY: a request has a live connection (rule 1).
        self.bytes(unsafe { (*self.connection()).client_ip })
    }

    pub(super) fn client_port(self) -> u16 {
        // SAFETY: a request has a live connection (rule 1).
        port_of(unsafe { (*self.connection()).client_addr })
    }

    pub(super) fn local_ip(self) -> &'r [u8] {
        // SAFETY: a request has a live connection (rule 1).
        self.bytes(unsafe { (*self.connection()).local_ip })
    }

    /// Whether a response is to be [written out](Self::write_out) when httpd was given its end. Asked before it is given anything.
    ///
    /// Only where httpd would not write before it is asked to (an MPM that leaves slow clients to its poller, as event does), on the
    /// client's own connection, and when no earlier response is still on its way there.
    pub(super) fn may_write_out(self) -> bool {
        // SAFETY: a request has a live connection, used by this thread (rule 1).
        let connection = unsafe { &*self.connection() };
        let is_asynchronous = !connection.cs.is_null();
        let is_the_clients = connection.master.is_null() && self.main().is_none();
        is_asynchronous && is_the_clients && connection.data_in_output_filters == 0
    }

    /// Has httpd write what it holds for the client, as far as the client takes it at once. It would do so anyway, but only after its
    /// clean-up and a look for the client's next request: this way the client has the answer before, and its next request may be there
    /// for that look, which spares the connection the way over the poller and another thread.
    pub(super) fn write_out(self) {
        // SAFETY: a request has a live connection, used by this thread (rule 1).
        unsafe { ffi::jk_shim_write_what_is_held(self.connection()) };
    }

    pub(super) fn client_is_gone(self) -> bool {
        // SAFETY: a request has a live connection (rule 1).
        unsafe { (*self.connection()).aborted != 0 }
    }

    /// Marks the client's connection broken: httpd writes nothing more to it, so the client sees that the response is not whole.
    pub(super) fn abort_client(self) {
        let connection = self.connection();
        // SAFETY: a request has a live connection, used by this thread (rule 1).
        unsafe { (*connection).aborted = 1 };
        // SAFETY: as above.
        unsafe { (*connection).keepalive = ffi::AP_CONN_CLOSE };
    }

    pub(super) fn bucket_alloc(self) -> *mut ffi::apr_bucket_alloc_t {
        // SAFETY: a request has a live connection (rule 1).
        unsafe { (*self.connection()).bucket_alloc }
    }

    /// Lets httpd close the client's connection once the response is out: the rest of the request cannot be told from the next one.
    pub(super) fn close_after_response(self) {
        // SAFETY: a request has a live connection, used by this thread (rule 1).
        unsafe { (*self.connection()).keepalive = ffi::AP_CONN_CLOSE };
    }

    pub(super) fn input_filters(self) -> *mut ffi::ap_filter_t {
        field!(self, input_filters)
    }

    /// Notes that `bytes` of the body were read, and whether it has ended, where `ap_get_client_block` would.
    pub(super) fn count_body(self, bytes: usize, ended: bool) {
        let read = field!(self, read_length).saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        set_field!(self, read_length, read);
        if ended {
            set_field!(self, remaining, if self.body_is_chunked() { -1 } else { 0 });
        }
    }

    pub(super) fn output_filters(self) -> *mut ffi::ap_filter_t {
        field!(self, output_filters)
    }

    /// The request this one is a part of: set for sub-requests.
    pub(super) fn main(self) -> Option<Self> {
        let main = field!(self, main);
        // SAFETY: the main request lives longer than its sub-requests (rule 1).
        unsafe { Self::from_ptr(main) }
    }

    /// Whether httpd redirected an earlier request of the client to this one (an ErrorDocument, say), which may have left its body.
    pub(super) fn is_redirected(self) -> bool {
        !field!(self, prev).is_null()
    }

    pub(super) fn server(self) -> *mut ffi::server_rec {
        field!(self, server)
    }

    pub(super) fn server_ref(self) -> ServerRef {
        // SAFETY: a request's server lives as long as the configuration (rule 1).
        unsafe { ServerRef::from_ptr(self.server()) }
    }

    pub(super) fn config(self) -> Option<&'r ServerConfig> {
        // SAFETY: a request's server lives as long as the configuration (rule 1).
        unsafe { server_config::of_server(self.server()) }
    }

    /// What post_config built for this request's server.
    pub(super) fn vhost(self) -> Option<&'r Vhost> {
        self.config()?.active.get().map(|vhost| &**vhost)
    }

    /// Our record of this request, made by an earlier hook.
    pub(super) fn state(self) -> Option<NonNull<c_void>> {
        // SAFETY: the slot is readable (rule 8).
        NonNull::new(unsafe { self.state_slot().read() })
    }

    pub(super) fn set_state(self, state: *mut c_void) {
        // SAFETY: the slot is ours (rule 8).
        unsafe { self.state_slot().write(state) };
    }

    fn state_slot(self) -> *mut *mut c_void {
        let vector = field!(self, request_config).cast::<*mut c_void>();
        // SAFETY: a request has a vector with a slot for every module, at its index (rule 8).
        unsafe { vector.add(super::module_index()) }
    }

    /// Whether the client sends a body with a chunked transfer coding.
    pub(super) fn body_is_chunked(self) -> bool {
        field!(self, read_chunked) != 0
    }

    /// Content-Length as httpd parsed it, once the body has been set up; 0 without one.
    pub(super) fn body_length(self) -> u64 {
        u64::try_from(field!(self, remaining)).unwrap_or(0)
    }

    pub(super) fn finfo_type(self, file_type: u32) {
        set_field!(self, finfo.filetype, file_type);
    }

    /// Prepares the request body; an HTTP status when httpd refuses it.
    pub(super) fn setup_body(self) -> Result<(), c_int> {
        let policy = c_int::try_from(ffi::REQUEST_CHUNKED_DECHUNK).unwrap_or(2);
        let headers = self.headers_in();
        let is_get = u32::try_from(field!(self, method_number)) == Ok(ffi::M_GET);
        // Without a body httpd would do just this, after some more questions. With another method there usually is one.
        if is_get && !headers.has(c"Content-Length") && !headers.has(c"Transfer-Encoding") {
            set_field!(self, read_body, policy);
            set_field!(self, read_chunked, 0);
            set_field!(self, remaining, 0);
            return Ok(());
        }
        // SAFETY: live request (rule 1).
        match unsafe { ffi::ap_setup_client_block(self.as_ptr(), policy) } {
            0 => Ok(()),
            status => Err(status),
        }
    }

    #[inline(always)]
    pub(super) fn server_name(self) -> &'r [u8] {
        // SAFETY: live request (rule 1); the result is a text in its pool or the configuration.
        self.bytes(unsafe { ffi::ap_get_server_name(self.as_ptr()) })
    }

    pub(super) fn server_port(self) -> u16 {
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_get_server_port(self.as_ptr()) }
    }

    /// Client host name; only with HostnameLookups.
    pub(super) fn remote_host(self) -> Option<&'r [u8]> {
        let kind = c_int::try_from(ffi::REMOTE_HOST).unwrap_or(0);
        // SAFETY: live request (rule 1).
        let per_dir = field!(self, per_dir_config).cast::<c_void>();
        // SAFETY: live connection and per-directory configuration of this request.
        let name = unsafe { ffi::ap_get_remote_host(self.connection(), per_dir, kind, std::ptr::null_mut()) };
        self.text(name).map(CStr::to_bytes)
    }

    /// httpd's status for `path`, decoded, if it were asked for in the place of this request: 200, or why not (access rules, above
    /// all). A refusal's WWW-Authenticate and a redirect's Location become this request's.
    pub(super) fn status_of_lookup(self, path: &[u8]) -> c_int {
        let path = self.pool().text(path);
        // SAFETY: `text` made a NUL-terminated copy in the request's pool.
        let escaped = self.escape_path(unsafe { CStr::from_ptr(path) });
        let uri = self.pool().text(escaped);
        // SAFETY: live request (rule 1) and a NUL-terminated URI; without a next filter, as nothing will be run.
        let lookup = unsafe { ffi::ap_sub_req_lookup_uri(uri, self.as_ptr(), std::ptr::null_mut()) };
        // SAFETY: a sub-request of this live request, until it is destroyed below.
        let Some(found) = (unsafe { Request::from_ptr(lookup) }) else { return SERVER_ERROR };
        let status = found.status();
        if let Some(value) = found.err_headers_out().get(c"WWW-Authenticate") {
            self.err_headers_out().set(self.pool(), c"WWW-Authenticate", value.to_bytes());
        }
        if let Some(value) = found.headers_out().get(c"Location") {
            self.headers_out().set(self.pool(), c"Location", value.to_bytes());
        }
        // SAFETY: made above, used no more.
        unsafe { ffi::ap_destroy_sub_req(lookup) };
        status
    }

    pub(super) fn add_common_vars(self) {
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_add_common_vars(self.as_ptr()) };
    }

    /// httpd's own path escaping (lower-case hex).
    pub(super) fn escape_path(self, path: &CStr) -> &'r [u8] {
        // SAFETY: live pool, NUL-terminated path; the result is a text in the pool.
        let escaped = unsafe { ffi::ap_os_escape_path(self.pool().as_ptr(), path.as_ptr(), 1) };
        self.bytes(escaped)
    }

    /// Whether response bytes have passed the HTTP filters.
    pub(super) fn response_has_begun(self) -> bool {
        field!(self, sent_bodyct) != 0 || field!(self, eos_sent) != 0
    }

    /// ServerName and port as configured, without UseCanonicalName rules.
    pub(super) fn configured_server(self) -> (&'r [u8], u16) {
        let server = self.server();
        // SAFETY: a request's server lives as long as the configuration (rule 1).
        let name = unsafe { (*server).server_hostname };
        // SAFETY: as above.
        let port = unsafe { (*server).port };
        (self.bytes(name), port)
    }

    /// When the request line was read, in seconds since 1970.
    pub(super) fn time_s(self) -> u64 {
        u64::try_from(field!(self, request_time)).unwrap_or(0) / 1_000_000
    }

    pub(super) fn http_scheme(self) -> &'r [u8] {
        // SAFETY: live request (rule 1); the result is a constant text.
        self.bytes(unsafe { ffi::ap_run_http_scheme(self.as_ptr()) })
    }

    /// Where the text of [`Self::uri`] lies.
    pub(super) fn uri_start(self) -> *const c_char {
        field!(self, uri)
    }
}

fn port_of(address: *const ffi::apr_sockaddr_t) -> u16 {
    if address.is_null() {
        return 0;
    }
    // SAFETY: addresses of a live connection are live (rule 1).
    unsafe { (*address).port }
}

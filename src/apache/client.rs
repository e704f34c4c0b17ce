//! The client's side of a forwarded request: its body in, the response out (implements `worker::Downstream`).
//!
//! Not here: what is told to Tomcat. The surprising thing: response bytes are passed as transient buckets that point into the
//! worker's receive buffer, so they are written to the client's socket without a copy of ours; that is why every batch must be
//! passed on before the buffer is filled again.

use std::ffi::{CStr, c_char};

use super::ffi;
use super::request::Request;
use crate::ajp::response::ResponseHead;
use crate::worker::{ClientError, Downstream};

/// Status by which httpd's filters know that a backend broke.
const BAD_GATEWAY: i32 = 502;

/// Request body and response of one request.
pub(super) struct Client<'r> {
    request: Request<'r>,
    brigade: *mut ffi::apr_bucket_brigade,
    /// `ap_should_client_block` has been asked: a waiting client has got its 100 Continue.
    reading: bool,
    started: bool,
    committed: bool,
    ended: bool,
    /// Set-Cookie of the balancer.
    set_cookie: Option<Vec<u8>>,
    /// Bytes of response body that were given to httpd.
    body_bytes: u64,
}

impl<'r> Client<'r> {
    pub(super) fn new(request: Request<'r>) -> Self {
        Self {
            request,
            brigade: std::ptr::null_mut(),
            reading: false,
            started: false,
            committed: false,
            ended: false,
            set_cookie: None,
            body_bytes: 0,
        }
    }

    /// Forgets a started response that has not been passed on, so that an error page can take its place.
    pub(super) fn withdraw(&mut self) {
        Downstream::discard(self);
        if !self.started {
            return;
        }
        let headers = self.request.headers_out();
        let names: Vec<std::ffi::CString> = headers.entries().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            headers.unset(&name);
        }
        self.request.set_status(200, std::ptr::null());
        self.request.reset_content();
        self.started = false;
    }

    /// Ends a response that is already on its way as broken: the HTTP filters send no final chunk, HTTP/2 resets the stream,
    /// and the connection is closed, so that nobody takes the part for the whole.
    pub(super) fn break_off(&mut self) {
        let request = self.request;
        // SAFETY: live pool and bucket allocator of this request's connection (rule 1); no message is passed.
        let bucket = unsafe {
            ffi::ap_bucket_error_create(BAD_GATEWAY, std::ptr::null(), request.pool().as_ptr(), request.bucket_alloc())
        };
        self.insert(bucket);
        // The client may be gone as well: there is nobody left to tell.
        let _ = Downstream::finish(self);
        request.abort_client();
    }

    fn brigade(&mut self) -> *mut ffi::apr_bucket_brigade {
        if self.brigade.is_null() {
            // SAFETY: live pool and bucket allocator of this request's connection (rule 1).
            self.brigade =
                unsafe { ffi::apr_brigade_create(self.request.pool().as_ptr(), self.request.bucket_alloc()) };
        }
        self.brigade
    }

    fn insert(&mut self, bucket: *mut ffi::apr_bucket) {
        let brigade = self.brigade();
        // SAFETY: a live brigade and a fresh bucket of the same allocator.
        unsafe { ffi::jk_shim_insert_tail(brigade, bucket) };
    }

    fn insert_flush(&mut self) {
        // SAFETY: live bucket allocator of this connection (rule 1).
        let bucket = unsafe { ffi::apr_bucket_flush_create(self.request.bucket_alloc()) };
        self.insert(bucket);
    }

    fn pass_brigade(&mut self) -> Result<(), ClientError> {
        let brigade = self.brigade();
        self.committed = true;
        // SAFETY: live filter chain and brigade of this request; all bytes the buckets point to are still unchanged (Downstream's contract).
        let status = unsafe { ffi::ap_pass_brigade(self.request.output_filters(), brigade) };
        // SAFETY: the brigade stays usable after it was passed; emptying it drops what a filter left in it.
        unsafe { ffi::apr_brigade_cleanup(brigade.cast()) };
        if status == 0 && !self.request.client_is_gone() { Ok(()) } else { Err(ClientError) }
    }

    /// The container's reason, else httpd's; for a status that httpd does not know, C's.
    fn status_line(&self, status: u16, reason: &[u8]) -> *const c_char {
        let number = itoa3(status);
        let reason = if reason.is_empty() {
            // SAFETY: returns a constant text for every number.
            let known = unsafe { ffi::ap_get_status_line(i32::from(status)) };
            // SAFETY: null or a constant NUL-terminated text.
            let line = unsafe { super::apr::text(known) }.map(CStr::to_bytes).unwrap_or_default();
            if line.starts_with(&number) {
                return known;
            }
            b"Unknown Reason"
        } else {
            reason
        };
        self.request.pool().text(&[&number, &b" "[..], reason].concat())
    }

    fn set_header(&self, name: &[u8], value: &[u8]) {
        let request = self.request;
        let pool = request.pool();
        match known(name) {
            Known::ContentType => request.set_content_type(pool.text(value)),
            Known::Location => request.headers_out().set(pool, c"Location", value),
            Known::LastModified => request.set_last_modified(pool.text(value)),
            Known::Other => request.headers_out().add(pool, name, value),
        }
    }
}

enum Known {
    ContentType,
    Location,
    LastModified,
    Other,
}

/// Headers that httpd wants to know about, or of which only the last one counts.
fn known(name: &[u8]) -> Known {
    match name.len() {
        8 if name.eq_ignore_ascii_case(b"Location") => Known::Location,
        12 if name.eq_ignore_ascii_case(b"Content-Type") => Known::ContentType,
        13 if name.eq_ignore_ascii_case(b"Last-Modified") => Known::LastModified,
        _ => Known::Other,
    }
}

impl Downstream for Client<'_> {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        if !self.reading {
            self.reading = true;
            // SAFETY: live request (rule 1).
            if unsafe { ffi::ap_should_client_block(self.request.as_ptr()) } == 0 {
                return Ok(0);
            }
        }
        // SAFETY: live request (rule 1) and a writable buffer of the length given.
        let read = unsafe {
            ffi::ap_get_client_block(self.request.as_ptr(), buffer.as_mut_ptr().cast::<c_char>(), buffer.len())
        };
        usize::try_from(read).map_err(|_| ClientError)
    }

    fn start(&mut self, head: &ResponseHead<'_>) {
        let request = self.request;
        self.started = true;
        let line = self.status_line(head.status, head.reason.unwrap_or_default());
        request.set_status(head.status, line);
        for (name, value) in &head.headers {
            self.set_header(name, value);
        }
        if let Some(cookie) = &self.set_cookie {
            request.headers_out().add(request.pool(), b"Set-Cookie", cookie);
        }
        if let Some(length) = head.content_length {
            // SAFETY: live request (rule 1).
            unsafe { ffi::ap_set_content_length(request.as_ptr(), i64::try_from(length).unwrap_or(i64::MAX)) };
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.body_bytes = self.body_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        // SAFETY: the bytes stay unchanged until `pass` (Downstream's contract); the allocator is live (rule 1).
        let bucket = unsafe {
            ffi::apr_bucket_transient_create(bytes.as_ptr().cast::<c_char>(), bytes.len(), self.request.bucket_alloc())
        };
        self.insert(bucket);
    }

    fn pass(&mut self, flush: bool) -> Result<(), ClientError> {
        if flush {
            self.insert_flush();
        }
        self.pass_brigade()
    }

    fn discard(&mut self) {
        if !self.brigade.is_null() {
            // SAFETY: the brigade was made for this live request; dropping its buckets does not read what they point to.
            unsafe { ffi::apr_brigade_cleanup(self.brigade.cast()) };
        }
    }

    fn finish(&mut self) -> Result<(), ClientError> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        // SAFETY: live bucket allocator of this connection (rule 1).
        let bucket = unsafe { ffi::apr_bucket_eos_create(self.request.bucket_alloc()) };
        self.insert(bucket);
        self.pass_brigade()
    }

    fn queue_header(&mut self, set_cookie: Option<&[u8]>) {
        self.set_cookie = set_cookie.map(<[u8]>::to_vec);
    }

    fn committed(&self) -> bool {
        self.committed
    }
}

/// Three decimal digits of a status.
fn itoa3(status: u16) -> [u8; 3] {
    let digit = |place: u16| b'0'.saturating_add(u8::try_from(status / place % 10).unwrap_or(0));
    [digit(100), digit(10), digit(1)]
}

impl Request<'_> {
    /// Content-Type in lower case up to its parameters, as a text of the request's pool.
    pub(super) fn set_content_type(self, value: *mut c_char) {
        // SAFETY: a writable NUL-terminated text in the request's pool.
        unsafe { ffi::ap_content_type_tolower(value) };
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_set_content_type(self.as_ptr(), value) };
    }

    fn set_last_modified(self, value: *mut c_char) {
        // SAFETY: a NUL-terminated text.
        let time = unsafe { ffi::apr_date_parse_http(value) };
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_update_mtime(self.as_ptr(), time) };
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_set_last_modified(self.as_ptr()) };
    }

    /// As if no response had been started.
    fn reset_content(self) {
        let raw = self.as_ptr();
        // SAFETY: live request (rule 1); httpd reads a null content type as "none".
        unsafe { (*raw).content_type = std::ptr::null() };
        // SAFETY: live request (rule 1).
        unsafe { (*raw).clength = 0 };
        // SAFETY: live request (rule 1).
        unsafe { (*raw).mtime = 0 };
    }

    /// Looks up a note.
    pub(super) fn note<'n>(self, name: &CStr) -> Option<&'n [u8]> {
        self.notes().get(name).map(CStr::to_bytes)
    }
}

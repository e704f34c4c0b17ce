//! The client's side of a forwarded request: its body in, the response out (implements `worker::Downstream`).
//!
//! Not here: what is told to Tomcat. The surprising thing: response bytes are passed as transient buckets that point into the
//! worker's receive buffer, so they are written to the client's socket without a copy of ours; that is why every batch must be
//! passed on before the buffer is filled again.

use std::ffi::{CStr, c_char};

use smallvec::SmallVec;

use super::apr::Pool;
use super::ffi;
use super::request::Request;
use super::upload::Upload;
use crate::ajp::response::{Field, HeaderKind, ResponseHead};
use crate::status::Page;
use crate::worker::{ClientError, Downstream, Parts};

/// Status by which httpd's filters know that a backend broke.
const BAD_GATEWAY: i32 = 502;

/// Request body and response of one request.
pub(super) struct Client<'r> {
    request: Request<'r>,
    brigade: *mut ffi::apr_bucket_brigade,
    /// A body was declared, and nothing of it has come yet.
    owed: bool,
    upload: Upload<'r>,
    started: bool,
    committed: bool,
    ended: bool,
    /// The response is whole, and httpd would write it only after its clean-up.
    may_write_out: bool,
    /// A filter answered the client in our place, with an error page of httpd's.
    replaced: bool,
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
            owed: false,
            upload: Upload::new(request),
            started: false,
            committed: false,
            ended: false,
            may_write_out: false,
            replaced: false,
            set_cookie: None,
            body_bytes: 0,
        }
    }

    /// The client declared a body. One that ends before its first byte, as a filter of httpd may leave it, is then a failure of the client
    /// as in C mod_jk: the container would take nothing for the whole. What a filter makes shorter (inflates, say) is passed on as it is.
    pub(super) fn expect_body(&mut self) {
        self.owed = true;
    }

    /// Starts a response of our own.
    pub(super) fn start_page(&mut self, page: &Page) {
        let (request, pool) = (self.request, self.request.pool());
        self.started = true;
        request.set_status(page.status, self.status_line(page.status, b""));
        for (name, value) in &page.headers {
            if *name == "Content-Type" {
                request.set_content_type(pool, pool.bytes_with_nul(value.as_bytes()));
            } else {
                request.headers_out().add(pool, name.as_bytes(), value.as_bytes());
            }
        }
        // SAFETY: live request (rule 1).
        unsafe { ffi::ap_set_content_length(request.as_ptr(), i64::try_from(page.body.len()).unwrap_or(i64::MAX)) };
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

    /// Whether a filter answered in our place (a range that the response cannot satisfy, say): the client has its whole answer.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// Writes a response that has ended, as far as the client takes it. When the worker's connection is back in its pool: the client's next
    /// request may come at once, on another thread.
    pub(super) fn write_out(&self) {
        if self.may_write_out {
            self.request.write_out();
        }
    }

    /// Ends a response that is already on its way as broken: the HTTP filters send no final chunk, HTTP/2 resets the stream,
    /// and the connection is closed, so that nobody takes the part for the whole.
    pub(super) fn break_off(&mut self) {
        let request = self.request;
        if !self.ended {
            let (pool, buckets) = (request.pool().as_ptr(), request.bucket_alloc());
            // SAFETY: live pool and bucket allocator of this request's connection (rule 1); no message is passed.
            let bucket = unsafe { ffi::ap_bucket_error_create(BAD_GATEWAY, std::ptr::null(), pool, buckets) };
            self.insert(bucket);
            // The client may be gone as well: there is nobody left to tell.
            let _ = self.end();
        }
        request.abort_client();
    }

    fn brigade(&mut self) -> *mut ffi::apr_bucket_brigade {
        if self.brigade.is_null() {
            // SAFETY: live pool and bucket allocator of this request's connection (rule 1).
            // `pass_brigade` and `discard` empty it.
            self.brigade = unsafe { ffi::jk_shim_brigade(self.request.pool().as_ptr(), self.request.bucket_alloc()) };
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
        self.replaced |= status == ffi::AP_FILTER_ERROR;
        // Under HTTP/2 a stream that has taken the end of its response is over, which reads like a client that is gone.
        if status == 0 && (self.ended || !self.request.client_is_gone()) { Ok(()) } else { Err(ClientError) }
    }

    #[inline(never)]
    fn end(&mut self) -> Result<(), ClientError> {
        self.ended = true;
        // SAFETY: live bucket allocator of this connection (rule 1).
        let bucket = unsafe { ffi::apr_bucket_eos_create(self.request.bucket_alloc()) };
        self.insert(bucket);
        self.may_write_out = self.request.may_write_out();
        self.pass_brigade()
    }

    /// The container's reason, else httpd's; for a status that httpd does not know, C's.
    #[inline(always)]
    fn status_line(&self, status: u16, reason: &[u8]) -> *const c_char {
        // Tomcat's reason is the number again.
        match (NUMBERS_TWICE.get(usize::from(status)), reason) {
            (Some(line @ [a, b, c, ..]), [d, e, f]) if (a, b, c) == (d, e, f) => line.as_ptr().cast::<c_char>(),
            _ => self.made_status_line(status, reason),
        }
    }

    #[cold]
    fn made_status_line(&self, status: u16, reason: &[u8]) -> *const c_char {
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
        let mut line: SmallVec<[u8; 64]> = SmallVec::from_slice(&number);
        line.push(b' ');
        line.extend_from_slice(reason);
        self.request.pool().text(&line)
    }

    /// Gives the headers to httpd where they lie in one copy of the packet's block.
    #[inline(always)]
    fn set_headers(&self, head: &ResponseHead<'_>) {
        let request = self.request;
        let pool = request.pool();
        let headers_out = request.headers_out();
        for Field { name, value, kind } in head.headers.fields_in(pool.bytes(head.headers.block())) {
            // Each text ends with the NUL that the parser saw.
            let (name, text) = (name.as_ptr().cast::<c_char>(), value.as_ptr().cast::<c_char>());
            match kind {
                HeaderKind::ContentType => request.set_content_type(pool, value),
                HeaderKind::ContentLength => {
                    if let Some(length) = head.content_length {
                        request.set_content_length(length, value);
                    }
                }
                HeaderKind::LastModified => request.set_last_modified(text),
                // Of several, the last one counts.
                // SAFETY: live table (rule 1); name and value are NUL-terminated and constant or in the table's pool.
                HeaderKind::Location => unsafe { ffi::apr_table_setn(headers_out.as_ptr(), name, text) },
                // SAFETY: as above.
                _ => unsafe { ffi::apr_table_addn(headers_out.as_ptr(), name, text) },
            }
        }
    }
}

impl Downstream for Client<'_> {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        match self.upload.read(buffer)? {
            0 if self.owed && !buffer.is_empty() => Err(ClientError),
            read => {
                self.owed &= read == 0;
                Ok(read)
            }
        }
    }

    fn held_body(&self) -> usize {
        self.upload.held()
    }

    fn lend_body<'p>(&'p mut self, length: usize, parts: &mut Parts<'p>) {
        self.upload.lend(length, parts);
    }

    fn start(&mut self, head: &ResponseHead<'_>) {
        let request = self.request;
        self.started = true;
        let line = self.status_line(head.status, head.reason.unwrap_or_default());
        request.set_status(head.status, line);
        self.set_headers(head);
        if let Some(cookie) = &self.set_cookie {
            request.headers_out().add(request.pool(), b"Set-Cookie", cookie);
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
        if self.ended { Ok(()) } else { self.end() }
    }

    fn queue_header(&mut self, set_cookie: Option<&[u8]>) {
        if set_cookie.is_some() || self.set_cookie.is_some() {
            self.set_cookie = set_cookie.map(<[u8]>::to_vec);
        }
    }

    fn committed(&self) -> bool {
        self.committed
    }
}

/// Three decimal digits of a status.
#[allow(clippy::cast_possible_truncation, reason = "a digit is less than ten")]
const fn itoa3(status: u16) -> [u8; 3] {
    [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8]
}

/// Status lines that say the number twice, each ended by NUL.
static NUMBERS_TWICE: [[u8; 8]; 1000] = {
    let mut lines = [[0; 8]; 1000];
    let mut status: u16 = 0;
    while status < 1000 {
        let [a, b, c] = itoa3(status);
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            lines[status as usize] = [a, b, c, b' ', a, b, c, 0];
        }
        status += 1;
    }
    lines
};

/// Whether there is a capital letter before the first semicolon.
fn has_capital(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut left = text;
    // Whole words without either are passed over: the high bit of a byte is set where it is at least `A` (and no more than `Z`), or
    // where it is a semicolon; it may also be set behind such a byte, or for bytes beyond ASCII, which the loop then looks at.
    while let Some((word, behind)) = left.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let capital = word.wrapping_add(ONES * 0x3F) & !word.wrapping_add(ONES * 0x25);
        let semicolon = word ^ (ONES * u64::from(b';'));
        let odd = (capital | (semicolon.wrapping_sub(ONES) & !semicolon) | word) & (ONES * 0x80);
        if odd != 0 {
            let plain = usize::try_from(odd.trailing_zeros() / 8).unwrap_or(0);
            left = left.get(plain..).unwrap_or_default();
            break;
        }
        left = behind;
    }
    for byte in left {
        match byte {
            b';' => return false,
            b'A'..=b'Z' => return true,
            _ => {}
        }
    }
    false
}

impl Request<'_> {
    /// Content-Type in lower case up to its parameters. `value` ends with NUL and lives in `pool`, the request's.
    pub(super) fn set_content_type(self, pool: Pool, value: &[u8]) {
        let mut text = value.as_ptr().cast::<c_char>();
        if has_capital(value) {
            let copy = pool.text(value);
            // SAFETY: a writable NUL-terminated text in the request's pool.
            unsafe { ffi::ap_content_type_tolower(copy) };
            text = copy;
        }
        // SAFETY: live request (rule 1); the text lives in its pool.
        unsafe { ffi::ap_set_content_type(self.as_ptr(), text) };
    }

    /// As `ap_set_content_length`, but with the container's own digits when they are as httpd would write them. `text` ends with NUL and
    /// lives in the request's pool.
    fn set_content_length(self, length: u64, text: &[u8]) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        // What is between blanks is a number for certain: the parser has read it.
        let is_plain = matches!(text, [b'1'..=b'9', ..]) && matches!(text, [.., b'0'..=b'9', 0]);
        if !is_plain {
            // SAFETY: live request (rule 1).
            unsafe { ffi::ap_set_content_length(self.as_ptr(), length) };
            return;
        }
        let raw = self.as_ptr();
        // SAFETY: live request (rule 1).
        unsafe { (*raw).clength = length };
        let (headers, text) = (self.headers_out(), text.as_ptr().cast::<c_char>());
        if headers.is_empty() {
            // SAFETY: live table (rule 1); the name is static and the value lives in the table's pool.
            unsafe { ffi::apr_table_addn(headers.as_ptr(), c"Content-Length".as_ptr(), text) };
        } else {
            // SAFETY: as above.
            unsafe { ffi::apr_table_setn(headers.as_ptr(), c"Content-Length".as_ptr(), text) };
        }
    }

    fn set_last_modified(self, value: *const c_char) {
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

    /// Looks up a note, one that we set as a rule.
    pub(super) fn note<'n>(self, name: &'static CStr) -> Option<&'n [u8]> {
        self.notes().get_own(name).map(CStr::to_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_count_before_the_semicolon_only() {
        for text in [
            "",
            "text/html",
            "text/html;charset=UTF-8",
            "application/vnd.ms-excel;A",
            "[text]@{x}`/y",
            "\u{e9}t\u{e9}/x;A",
        ] {
            assert!(!has_capital(text.as_bytes()), "{text}");
            assert!(!has_capital(format!("{text};X").as_bytes()), "{text}");
            for letter in ['A', 'M', 'Z'] {
                for at in text.char_indices().map(|(at, _)| at).take_while(|at| !text[..*at].contains(';')) {
                    let text = format!("{}{letter}{}", &text[..at], &text[at..]);
                    assert!(has_capital(text.as_bytes()), "{text}");
                }
            }
        }
    }

    #[test]
    fn status_lines_that_say_the_number_twice_are_ready() {
        for status in [200_u16, 207, 404, 599, 999] {
            let line = NUMBERS_TWICE.get(usize::from(status)).map(<[u8; 8]>::as_slice);
            assert_eq!(line, Some(format!("{status} {status}\0").as_bytes()));
        }
    }
}

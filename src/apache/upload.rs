//! The request body as httpd's input filters give it: read ahead while there is something to read, lent out where it lies.
//!
//! Not here: how much of it goes into which packet (`worker::body`). The surprising thing: httpd is asked for more than the next packet
//! needs. It waits for the first bytes only, so this never waits longer, and most packets are then sent from httpd's own buffers.

use std::ffi::c_char;
use std::io::IoSlice;

use smallvec::SmallVec;

use super::ffi;
use super::request::Request;
use crate::worker::{ClientError, Parts};

/// Bytes that httpd is asked for at a time: nine packets of the usual size, all that one request may hold of its body.
const READ_AHEAD: usize = 9 * 8192;
/// httpd reads 8,000 bytes at a time.
const USUAL_PIECES: usize = 10;
/// More pieces than these are not lent but copied: what one `writev` takes is limited.
const MOST_PIECES: usize = 128;

/// Bytes in a bucket that have not been given away.
struct Piece {
    start: *const u8,
    length: usize,
}

/// The body of one request.
pub(super) struct Upload<'r> {
    request: Request<'r>,
    /// Holds the buckets that `pieces` point into.
    brigade: *mut ffi::apr_bucket_brigade,
    pieces: SmallVec<[Piece; USUAL_PIECES]>,
    /// The first of `pieces` with bytes in it.
    next: usize,
    /// Bytes in `pieces`.
    held: usize,
    ended: bool,
}

impl<'r> Upload<'r> {
    pub(super) fn new(request: Request<'r>) -> Self {
        Self { request, brigade: std::ptr::null_mut(), pieces: SmallVec::new(), next: 0, held: 0, ended: false }
    }

    /// Bytes that can be lent now.
    pub(super) fn held(&self) -> usize {
        if self.pieces.len() > MOST_PIECES { 0 } else { self.held }
    }

    /// The next `length` bytes, fewer if fewer are held, added to `parts`.
    pub(super) fn lend<'p>(&'p mut self, length: usize, parts: &mut Parts<'p>) {
        self.take(length, |bytes| parts.push(IoSlice::new(bytes)));
    }

    /// Fills `buffer` as far as one read goes; 0 = end of body.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        if self.held == 0 && !self.ended {
            self.refill(buffer.len().max(READ_AHEAD))?;
        }
        let mut filled = 0;
        self.take(buffer.len(), |bytes| {
            let end = filled + bytes.len();
            if let Some(room) = buffer.get_mut(filled..end) {
                room.copy_from_slice(bytes);
            }
            filled = end;
        });
        Ok(filled)
    }

    /// Gives away up to `length` of the bytes held. They stay where they are until the next refill, which needs `self` again.
    fn take<'p>(&'p mut self, length: usize, mut give: impl FnMut(&'p [u8])) {
        let mut missing = length;
        while missing > 0
            && let Some(piece) = self.pieces.get_mut(self.next)
        {
            let taken = piece.length.min(missing);
            // SAFETY: the bytes lie in a bucket of our brigade, which changes only in `refill`; that borrows `self` anew.
            give(unsafe { std::slice::from_raw_parts(piece.start, taken) });
            piece.start = piece.start.wrapping_add(taken);
            piece.length -= taken;
            self.held -= taken;
            missing -= taken;
            if piece.length == 0 {
                self.next += 1;
            }
        }
    }

    /// Waits for more of the body. As `ap_get_client_block`, what fails ends the client's connection.
    fn refill(&mut self, wanted: usize) -> Result<(), ClientError> {
        self.pieces.clear();
        self.next = 0;
        let brigade = self.empty_brigade();
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let filters = self.request.input_filters();
        // SAFETY: live filter chain and brigade of this request (rule 1).
        let status =
            unsafe { ffi::ap_get_brigade(filters, brigade, ffi::AP_MODE_READBYTES, ffi::APR_BLOCK_READ, wanted) };
        if status != 0 {
            // With AP_FILTER_ERROR a filter has answered already, and has decided on the connection.
            if status != ffi::AP_FILTER_ERROR {
                self.request.close_after_response();
            }
            return Err(ClientError);
        }
        let mut bucket = std::ptr::null_mut();
        loop {
            // SAFETY: a bucket of the brigade, or null for the first one.
            bucket = unsafe { ffi::jk_shim_bucket_after(brigade, bucket) };
            if bucket.is_null() {
                break;
            }
            // SAFETY: a bucket of the brigade.
            if unsafe { ffi::jk_shim_bucket_is_eos(bucket) } != 0 {
                self.ended = true;
                break;
            }
            self.keep(bucket)?;
        }
        self.request.count_body(self.held, self.ended);
        Ok(())
    }

    /// Notes what `bucket` has, after seeing to it that the bytes stay when the filters are called again.
    fn keep(&mut self, bucket: *mut ffi::apr_bucket) -> Result<(), ClientError> {
        let (mut start, mut length): (*const c_char, usize) = (std::ptr::null(), 0);
        let pool = self.request.pool().as_ptr();
        // SAFETY: a bucket of our brigade, the request's pool and two places to write to.
        let status = unsafe { ffi::jk_shim_bucket_keep(bucket, pool, &raw mut start, &raw mut length) };
        if status != 0 {
            return Err(ClientError);
        }
        if length > 0 {
            self.pieces.push(Piece { start: start.cast::<u8>(), length });
            self.held += length;
        }
        Ok(())
    }

    fn empty_brigade(&mut self) -> *mut ffi::apr_bucket_brigade {
        if self.brigade.is_null() {
            // SAFETY: live pool and bucket allocator of this request's connection (rule 1).
            self.brigade =
                unsafe { ffi::apr_brigade_create(self.request.pool().as_ptr(), self.request.bucket_alloc()) };
        } else {
            // SAFETY: made above for this live request; nothing points into its buckets any more.
            unsafe { ffi::apr_brigade_cleanup(self.brigade.cast()) };
        }
        self.brigade
    }
}

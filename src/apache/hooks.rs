//! The hooks of httpd that the module takes part in, each behind the guard with its fallback spelled out.
//!
//! Not here: what they do (`start.rs`, `mapping.rs`, `handler.rs`). The surprising thing: all of them are registered in the middle with
//! no neighbours named, so among other modules' middle hooks the order is that of the LoadModule lines (reference:
//! apache-side.md section 2).

use std::ffi::c_int;

use super::apr::{Pool, ServerRef};
use super::guard::guard;
use super::mapping::Mapping;
use super::request::Request;
use super::{ffi, handler, start};

/// The request goes on as if the module were not there.
pub(super) const DECLINED: c_int = ffi::DECLINED;
/// The hook did its work.
pub(super) const OK: c_int = 0;
/// Internal Server Error.
pub(super) const SERVER_ERROR: c_int = 500;

/// httpd asks for our hooks.
pub(super) unsafe extern "C" fn register(_: *mut ffi::apr_pool_t) {
    guard("register_hooks", ServerRef::none(), (), || {
        let middle = c_int::try_from(ffi::APR_HOOK_MIDDLE).unwrap_or(10);
        let none = std::ptr::null();
        // SAFETY: called while httpd registers hooks; the functions live as long as the library stays mapped (nodelete).
        unsafe { ffi::ap_hook_check_config(Some(check_config), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_post_config(Some(post_config), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_child_init(Some(child_init), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_translate_name(Some(translate_name), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_map_to_storage(Some(map_to_storage), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_handler(Some(handle), none, none, middle) };
        // SAFETY: as above.
        unsafe { ffi::ap_hook_log_transaction(Some(log_transaction), none, none, middle) };
    });
}

unsafe extern "C" fn check_config(
    pconf: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
) -> c_int {
    guard("check_config", ServerRef::none(), SERVER_ERROR, || {
        // SAFETY: httpd passes the live configuration pool (rule 1).
        match unsafe { Pool::from_ptr(pconf) } {
            Some(pool) => start::check_config(pool, main),
            None => SERVER_ERROR,
        }
    })
}

unsafe extern "C" fn post_config(
    pconf: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
) -> c_int {
    guard("post_config", ServerRef::none(), SERVER_ERROR, || {
        // SAFETY: httpd passes the live configuration pool (rule 1).
        match unsafe { Pool::from_ptr(pconf) } {
            Some(pool) => start::post_config(pool, main),
            None => SERVER_ERROR,
        }
    })
}

unsafe extern "C" fn child_init(pchild: *mut ffi::apr_pool_t, main: *mut ffi::server_rec) {
    guard("child_init", ServerRef::none(), (), || {
        // SAFETY: httpd passes the live pool of this child (rule 1).
        if let Some(pool) = unsafe { Pool::from_ptr(pchild) } {
            start::child_init(pool, main);
        }
    });
}

unsafe extern "C" fn translate_name(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd passes a live request to the callback that is running (rules 1, 5).
    let Some(request) = (unsafe { Request::from_ptr(raw) }) else { return DECLINED };
    guard("translate_name", request.server_ref(), SERVER_ERROR, || match request.vhost() {
        Some(vhost) => Mapping { request, vhost }.translate(),
        None => DECLINED,
    })
}

unsafe extern "C" fn map_to_storage(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd passes a live request to the callback that is running (rules 1, 5).
    let Some(request) = (unsafe { Request::from_ptr(raw) }) else { return DECLINED };
    guard("map_to_storage", request.server_ref(), SERVER_ERROR, || match request.vhost() {
        Some(vhost) => Mapping { request, vhost }.map_to_storage(),
        None => DECLINED,
    })
}

unsafe extern "C" fn handle(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd passes a live request to the callback that is running (rules 1, 5).
    let Some(request) = (unsafe { Request::from_ptr(raw) }) else { return DECLINED };
    let before = request.bytes_sent();
    let mut panicked = true;
    let status = guard("handler", request.server_ref(), SERVER_ERROR, || {
        let status = match request.vhost() {
            Some(vhost) => handler::handle(request, vhost),
            None => DECLINED,
        };
        panicked = false;
        status
    });
    if panicked && (request.bytes_sent() != before || request.response_has_begun()) {
        // An error page must not be glued into a half-sent body.
        request.abort_client();
    }
    status
}

unsafe extern "C" fn log_transaction(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd passes a live request to the callback that is running (rules 1, 5).
    let Some(request) = (unsafe { Request::from_ptr(raw) }) else { return DECLINED };
    guard("log_transaction", request.server_ref(), DECLINED, || {
        if let Some(vhost) = request.vhost() {
            handler::log_request(request, vhost);
        }
        DECLINED
    })
}

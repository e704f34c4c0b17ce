//! httpd and APR: the module record, hooks, directives, and the typed views of httpd's structures.
//!
//! Not here: anything that can be decided without httpd. The surprising thing: this is one of the two places with unsafe code, so
//! its rules are written down once, here, and the SAFETY comments of the folder refer to them by number:
//!
//! 1. A `request_rec*`, `server_rec*` or `apr_pool_t*` given to a callback is valid for that callback, and used by one thread.
//! 2. APR pools abort the process on exhaustion; an allocation that returns is not null.
//! 3. httpd does not longjmp through modules; only our own unwinding must be stopped, which `guard` does.
//! 4. Strings from httpd are NUL-terminated bytes in any encoding. They are `&[u8]` or `&CStr`, never `&str`.
//! 5. `Request<'r>` is created by the guard for one callback and passed by reference: it cannot outlive it.
//! 6. Rust values with destructors live in a pool only through `Pool::own`, which registers the cleanup that drops them.
//! 7. No variadic C function is in bindgen's allow-list: text crosses into C only through `shim.c`'s `"%s"`.
//! 8. A module's slot in a configuration vector holds what this module put there, or null.
#![allow(unsafe_code, reason = "httpd's C interface; rules 1 to 8 above")]

#[cfg(panic = "abort")]
compile_error!("mod_jk must be built with panic=unwind: an abort would take an httpd child with all its requests");

mod apr;
mod client;
mod directives;
mod forward;
mod guard;
mod handler;
mod hooks;
mod keep;
mod log_file;
mod mapping;
mod member_notes;
mod options;
mod request;
mod server_config;
mod signals;
mod start;
mod status;
mod upload;
mod vhost;
mod watchdog;

/// httpd's and APR's declarations.
#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unnecessary_transmutes,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::missing_safety_doc,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "generated from httpd's headers by build.rs"
)]
mod ffi {
    include!(concat!(env!("OUT_DIR"), "/httpd.rs"));
}

/// The module record that `LoadModule jk_module` looks up. httpd links it into its list of modules and writes its index,
/// before any of our code runs.
#[unsafe(no_mangle)]
pub(crate) static mut jk_module: ffi::module = ffi::module {
    version: MAGIC_MAJOR,
    minor_version: MAGIC_MINOR,
    module_index: -1,
    name: c"mod_jk.c".as_ptr(),
    dynamic_load_handle: std::ptr::null_mut(),
    next: std::ptr::null_mut(),
    magic: ffi::MODULE_MAGIC_COOKIE as std::ffi::c_ulong,
    rewrite_args: None,
    create_dir_config: None,
    merge_dir_config: None,
    create_server_config: Some(server_config::create),
    merge_server_config: Some(server_config::merge),
    cmds: directives::TABLE.as_ptr(),
    register_hooks: Some(hooks::register),
    flags: 0,
};

#[allow(clippy::cast_possible_wrap, reason = "httpd's magic numbers are dates and small counters")]
const MAGIC_MAJOR: std::ffi::c_int = ffi::MODULE_MAGIC_NUMBER_MAJOR as std::ffi::c_int;
#[allow(clippy::cast_possible_wrap, reason = "httpd's magic numbers are dates and small counters")]
const MAGIC_MINOR: std::ffi::c_int = ffi::MODULE_MAGIC_NUMBER_MINOR as std::ffi::c_int;

/// Our slot in httpd's configuration vectors.
fn module_index() -> usize {
    let module = &raw const jk_module;
    // SAFETY: httpd wrote the index before any callback and does not change it while callbacks run (rule 8).
    let index = unsafe { (*module).module_index };
    usize::try_from(index).unwrap_or(0)
}

//! Finds httpd's headers through apxs, turns them into Rust declarations (bindgen, allow-list) and compiles the C shim.
//!
//! Not here: anything that runs inside httpd. The surprising thing: no variadic C function is on the allow-list, so text
//! can reach httpd only through the shim's `"%s"`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FUNCTIONS: &[&str] = &[
    "ap_add_common_vars",
    "ap_add_version_component",
    "ap_bucket_error_create",
    "ap_check_cmd_context",
    "ap_content_type_tolower",
    "ap_destroy_sub_req",
    "ap_finalize_request_protocol",
    "ap_get_brigade",
    "ap_get_remote_host",
    "ap_get_server_description",
    "ap_get_server_name",
    "ap_get_server_port",
    "ap_get_status_line",
    "ap_getword_conf",
    "ap_hook_(check_config|post_config|child_init|translate_name|map_to_storage|handler|log_transaction)",
    "ap_make_dirstr_parent",
    "ap_make_full_path",
    "ap_mpm_query",
    "ap_open_piped_log",
    "ap_os_escape_path",
    "ap_pass_brigade",
    "ap_piped_log_write_fd",
    "ap_run_http_scheme",
    "ap_server_root_relative",
    "ap_set_content_length",
    "ap_set_content_type",
    "ap_set_last_modified",
    "ap_setup_client_block",
    "ap_state_query",
    "ap_sub_req_lookup_uri",
    "ap_update_mtime",
    "apr_brigade_cleanup",
    "apr_brigade_create",
    "apr_bucket_eos_create",
    "apr_bucket_flush_create",
    "apr_bucket_transient_create",
    "apr_date_parse_http",
    "apr_os_file_get",
    "apr_palloc",
    "apr_pool_cleanup_null",
    "apr_pool_cleanup_register",
    "apr_pool_userdata_get",
    "apr_pool_userdata_setn",
    "apr_pstrmemdup",
    "apr_sockaddr_ip_get",
    "apr_stat",
    "apr_table_(addn|copy|elts|get|make|setn|unset|mergen)",
    "jk_shim_.*",
];

const TYPES: &[&str] = &[
    "module",
    "module_struct",
    "command_rec",
    "cmd_parms",
    "server_rec",
    "request_rec",
    "conn_rec",
    "apr_table_entry_t",
    "apr_finfo_t",
    "process_rec",
];

const VARS: &[&str] = &[
    "AP_MPMQ_.*",
    "AP_SQ_.*",
    "APLOG_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG|TRACE1|STARTUP)",
    "APR_HOOK_MIDDLE",
    "APR_(NOFILE|REG|DIR|UNKFILE)",
    "AP_FILTER_ERROR",
    "AP_MODE_READBYTES",
    "APR_BLOCK_READ",
    "APR_SUCCESS",
    "APR_FINFO_TYPE",
    "APR_FINFO_MTIME",
    "DECLINED",
    "DONE",
    "GLOBAL_ONLY",
    "MODULE_MAGIC_.*",
    "OK",
    "OR_.*",
    "ACCESS_CONF",
    "RSRC_CONF",
    "REMOTE_HOST",
    "REQUEST_CHUNKED_DECHUNK",
    "M_GET",
    "ap_server_root",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=apache-headers");
    println!("cargo:rerun-if-env-changed=APXS");

    let apxs = find_apxs();
    let includes = include_dirs(&apxs);
    let defines: Vec<String> = query(&apxs, "EXTRA_CPPFLAGS")
        .split_whitespace()
        .filter(|word| word.starts_with("-D"))
        .map(str::to_owned)
        .collect();

    generate_bindings(&includes, &defines);
    compile_shim(&includes, &defines);

    // Statics survive a restart of httpd, whether or not a thread-local pinned the library (DESIGN 1.4 "Unloading").
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
}

fn find_apxs() -> PathBuf {
    if let Some(named) = env::var_os("APXS") {
        return named.into();
    }
    for name in ["apxs", "apxs2"] {
        if Command::new(name).args(["-q", "INCLUDEDIR"]).output().is_ok_and(|out| out.status.success()) {
            return name.into();
        }
    }
    fail(
        "apxs was not found: install httpd's development files (Debian: apache2-dev, RHEL: httpd-devel), or set APXS=/path/to/apxs",
    );
}

fn query(apxs: &Path, variable: &str) -> String {
    let output = Command::new(apxs).args(["-q", variable]).output();
    match output {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        _ => String::new(),
    }
}

fn include_dirs(apxs: &Path) -> Vec<String> {
    let mut dirs = vec![query(apxs, "INCLUDEDIR")];
    for variable in ["APR_INCLUDEDIR", "APU_INCLUDEDIR"] {
        dirs.push(query(apxs, variable));
    }
    for word in query(apxs, "EXTRA_INCLUDES").split_whitespace() {
        if let Some(dir) = word.strip_prefix("-I") {
            dirs.push(dir.to_owned());
        }
    }
    dirs.retain(|dir| !dir.is_empty() && dir != "." && Path::new(dir).is_dir());
    dirs.dedup();
    if !dirs.iter().any(|dir| Path::new(dir).join("httpd.h").is_file()) {
        fail(&format!("httpd.h is in none of the folders that {} names: {dirs:?}", apxs.display()));
    }
    dirs
}

fn generate_bindings(includes: &[String], defines: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("apache-headers/wrapper.h")
        .clang_args(includes.iter().map(|dir| format!("-I{dir}")))
        .clang_args(defines)
        .layout_tests(false)
        .generate_comments(false)
        .derive_debug(false)
        .derive_copy(true)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARS {
        builder = builder.allowlist_var(name);
    }
    let out = out_dir().join("httpd.rs");
    match builder.generate() {
        Ok(bindings) => bindings
            .write_to_file(&out)
            .unwrap_or_else(|error| fail(&format!("cannot write {}: {error}", out.display()))),
        Err(error) => {
            fail(&format!("bindgen cannot read httpd's headers (is libclang installed? Debian: libclang-dev): {error}"))
        }
    }
}

fn compile_shim(includes: &[String], defines: &[String]) {
    let mut build = cc::Build::new();
    build.file("apache-headers/shim.c").includes(includes).warnings(true).flag_if_supported("-Wno-unused-parameter");
    for define in defines {
        let (name, value) = match define.trim_start_matches("-D").split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (define.trim_start_matches("-D"), None),
        };
        build.define(name, value);
    }
    build.compile("jk_shim");
}

fn out_dir() -> PathBuf {
    env::var_os("OUT_DIR").map_or_else(|| fail("OUT_DIR is not set: build with cargo"), PathBuf::from)
}

fn fail(message: &str) -> ! {
    panic!("{message}");
}

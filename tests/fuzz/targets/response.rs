//! Any bytes for `ajp::response::fuzz_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::ajp::response::fuzz_response(data));

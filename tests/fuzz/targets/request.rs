//! Any bytes for `ajp::request::fuzz_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::ajp::request::fuzz_request(data));

//! Any bytes for `uri_map::fuzz_normalize`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::uri_map::fuzz_normalize(data));

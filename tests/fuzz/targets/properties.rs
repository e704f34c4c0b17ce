//! Any bytes for `config::fuzz_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::config::fuzz_properties(data));

//! Any bytes for `config::fuzz_toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::config::fuzz_toml(data));

//! Any bytes for `ajp::exchange::fuzz_exchange`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::ajp::exchange::fuzz_exchange(data));

//! Any bytes for `ajp::packet::fuzz_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mod_jk::ajp::packet::fuzz_packet(data));

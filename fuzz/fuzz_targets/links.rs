//! Feeds the fuzzer's bytes to `liferaft_fuzz::links`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liferaft_fuzz::links(data));

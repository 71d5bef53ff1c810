//! `cargo +nightly fuzz run startup --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::startup(data));

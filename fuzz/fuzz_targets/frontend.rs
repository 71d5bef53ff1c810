//! `cargo +nightly fuzz run frontend --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frontend(data));

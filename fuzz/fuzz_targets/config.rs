//! libFuzzer calls the target.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hookbus_fuzz::config::run(input));

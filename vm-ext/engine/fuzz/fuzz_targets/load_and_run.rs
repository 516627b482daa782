#![no_main]
//! `cargo +nightly fuzz run load_and_run` in this folder's parent.

use aiinference_differential::memory::Counting;

#[path = "../body.rs"]
#[allow(dead_code)]
mod body;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::load_and_run(data));

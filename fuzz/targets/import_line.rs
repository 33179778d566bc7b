//! A line of an import that anybody wrote: what is taken can be written and read again.
#![no_main]

use iam_core::directory::import::parse_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(refusal) = parse_line(bytes) {
        assert!(!refusal.problem.detail.is_empty(), "a refusal says why");
    }
});

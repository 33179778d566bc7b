//! A SCIM filter (RFC 7644 section 3.4.2.2) that anybody sent.
#![no_main]

use iam_core::scim::filter::{Filter, UserFilter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Filter::parse(text);
    let _ = UserFilter::parse(text);
});

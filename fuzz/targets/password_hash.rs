//! A password hash of another software: recognised within its bounds or refused, and never verified at a cost
//! beyond them.
#![no_main]

use iam_core::secret::password::{is_outdated, recognise, PasswordCost};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let kind = recognise(text);
    if kind.is_err() {
        assert!(is_outdated(text, PasswordCost::default()), "what is unknown is never up to date");
    }
});

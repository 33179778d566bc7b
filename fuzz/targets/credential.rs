//! An opaque credential that anybody sent: what is read back is exactly what came.
#![no_main]

use iam_core::secret::credential::{Credential, REFRESH_TOKEN_PREFIX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(credential) = Credential::parse(REFRESH_TOKEN_PREFIX, text) {
        assert_eq!(credential.reveal(), text);
    }
});

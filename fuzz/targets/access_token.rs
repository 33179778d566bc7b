//! A token that anybody sent: read, checked, and verified with a key that did not sign it.
#![no_main]

use std::sync::LazyLock;

use iam_core::jose::jwt::{Algorithm, PublicKey, UnverifiedToken, key_pair};
use iam_core::time::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_millis(1_763_800_000_000);

static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
    [Algorithm::Es256, Algorithm::EdDsa]
        .into_iter()
        .map(|algorithm| key_pair(algorithm, &[42; 32]).expect("32 bytes make a key").1)
        .collect()
});

fuzz_target!(|text: &str| {
    let Ok(token) = UnverifiedToken::parse(text) else { return };
    let _ = token.check("cronos-auth", &["cronos-api".to_owned()], NOW);
    for key in KEYS.iter() {
        assert!(token.verify(key).is_err(), "nobody holds the private half");
    }
});

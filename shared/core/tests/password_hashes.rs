//! Hashes that other software made: each verifies its own password and no other.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use iam_core::secret::password::{PasswordCost, is_outdated, recognise, verify};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("data/password_hashes.json")).unwrap()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap()
}

#[test]
fn a_hash_of_other_software_is_recognised() {
    for vector in vectors() {
        assert_eq!(recognise(text(&vector, "hash")).unwrap().as_str(), text(&vector, "kind"), "{vector}");
    }
}

#[test]
fn a_hash_of_other_software_verifies_its_password_and_no_other() {
    let mut kinds = std::collections::BTreeSet::new();
    for vector in vectors() {
        let (stored, password) = (text(&vector, "hash"), text(&vector, "password"));
        assert_eq!(verify(password, stored), Ok(true), "{vector}");
        let changed_first = format!("X{}", password.get(1..).unwrap());
        for wrong in [&changed_first, "", "password", &password.to_uppercase(), &format!(" {password}")] {
            assert_eq!(verify(wrong, stored), Ok(false), "{wrong}: {vector}");
        }
        // bcrypt alone does not see what comes after 72 bytes.
        let is_longer_right = text(&vector, "kind") == "bcrypt" && password.len() >= 72;
        assert_eq!(verify(&format!("{password}x"), stored), Ok(is_longer_right), "{vector}");
        assert_eq!(verify(&format!("{password}\0"), stored), Ok(false), "{vector}");
        kinds.insert(text(&vector, "kind").to_owned());
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[test]
fn whatever_other_software_made_is_hashed_anew() {
    for vector in vectors() {
        let stored = text(&vector, "hash");
        assert!(is_outdated(stored, PasswordCost::default()), "{vector}");
        // At the same cost only Argon2id as we write it is left alone.
        let same = PasswordCost { memory_kib: 256, iterations: 2, parallelism: 2 };
        assert_eq!(
            is_outdated(stored, same),
            !stored.starts_with("$argon2id$v=19$m=256,t=2,p=2$"),
            "{vector}"
        );
    }
}

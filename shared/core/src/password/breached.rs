//! Passwords that everybody tries first: a Bloom filter over a list of those most often found in breaches.
//!
//! `data/breached.bin` is the filter's bits; `cargo xtask breached-list` makes it, and `data/README.md` says from
//! what. A password of the list is always found. Another is taken for one of them once in some hundred thousand
//! look-ups ([`FALSE_POSITIVES`]), and its owner chooses another.

use sha2::{Digest, Sha256};

/// The bits: positions are taken modulo their number.
static FILTER: &[u8] = include_bytes!("../../data/breached.bin");

/// How many bits one word sets.
const HASHES: u64 = 16;

/// How often a text that is not on the list is taken for one that is, at most: one in so many look-ups. A password
/// takes up to six.
pub const FALSE_POSITIVES: u32 = 50_000;

/// What may surround a common word without hiding it, in characters.
const MAX_SURROUNDINGS: usize = 8;

/// The shortest word that counts where something surrounds it, in characters.
const MIN_CORE: usize = 4;

/// Whether a password, or the word at its core, is on the list: without regard to case, without the digits and signs
/// around it, and with letters for the digits that stand for some (`P@ssw0rd123!`).
#[must_use]
pub fn is_breached(password: &str) -> bool {
    is_in(FILTER, password)
}

/// The same for a filter that [`build`] made.
#[must_use]
pub fn is_in(filter: &[u8], password: &str) -> bool {
    candidates(password).iter().any(|word| is_listed(filter, word))
}

/// The words that a password is looked up by.
fn candidates(password: &str) -> Vec<String> {
    let whole = password.to_lowercase();
    let core = whole.trim_matches(|character: char| !character.is_alphabetic());
    let without_end = whole.trim_end_matches(|character: char| !character.is_alphabetic());
    let mut words = vec![with_letters(&whole)];
    for part in [core, without_end] {
        let length = part.chars().count();
        let surroundings = whole.chars().count().saturating_sub(length);
        if length >= MIN_CORE && surroundings <= MAX_SURROUNDINGS {
            words.push(with_letters(part));
            words.push(part.to_owned());
        }
    }
    words.push(whole);
    words.sort_unstable();
    words.dedup();
    words
}

/// Puts letters where digits and signs are commonly put for them.
fn with_letters(text: &str) -> String {
    let letter = |character| match character {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(letter).collect()
}

/// A filter over these words, of so many bytes: words that are found without being in it themselves are left out.
#[must_use]
pub fn build<'a>(words: impl IntoIterator<Item = &'a str>, bytes: usize) -> Vec<u8> {
    let listed: std::collections::BTreeSet<String> = words.into_iter().map(str::to_lowercase).collect();
    let is_found_anyway = |word: &String| {
        let others = candidates(word).into_iter().filter(|other| other != word);
        others
            .into_iter()
            .any(|other| listed.contains(&other) && other.chars().count() < word.chars().count())
    };
    let mut filter = vec![0; bytes];
    for word in listed.iter().filter(|word| !is_found_anyway(word)) {
        for (byte, bit) in positions(bytes, word) {
            if let Some(byte) = filter.get_mut(byte) {
                *byte |= bit;
            }
        }
    }
    filter
}

fn is_listed(filter: &[u8], word: &str) -> bool {
    positions(filter.len(), word).all(|(byte, bit)| filter.get(byte).is_some_and(|byte| byte & bit != 0))
}

/// Where a word sets its bits: two hashes make as many as are needed (Kirsch and Mitzenmacher, 2006).
fn positions(bytes: usize, word: &str) -> impl Iterator<Item = (usize, u8)> {
    let digest = Sha256::digest(word.as_bytes());
    let number = |from: usize| {
        let bytes = digest.get(from..).and_then(|rest| rest.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    let (first, step) = (number(0), number(8) | 1);
    let bits = (bytes as u64).saturating_mul(8).max(1);
    (0..HASHES).map(move |index| {
        let position = first.wrapping_add(step.wrapping_mul(index)) % bits;
        (usize::try_from(position / 8).unwrap_or(usize::MAX), 1_u8 << (position % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_tries_first_is_found() {
        for password in [
            "password",
            "Password123!",
            "P@ssw0rd123!",
            "PASSWORD",
            "qwertyuiop",
            "Qwerty123456!",
            "letmein",
            "Sunshine2024!!",
            "$unshine2024",
            "iloveyou",
            "123456789",
            "1q2w3e4r5t",
            "!!Dragon!!",
            "trustno1",
        ] {
            assert!(is_breached(password), "{password}");
        }
    }

    #[test]
    fn what_nobody_tries_is_not() {
        for password in [
            "correct horse battery staple",
            "Zj4!kfQx9w-Lm",
            "Tr0ub4dor&3-but-longer",
            "plume-anvil-42-Quartz",
            "Love#8342!!9921-77",
            "пароль-который-длинный",
            "",
        ] {
            assert!(!is_breached(password), "{password}");
        }
    }

    /// A hundred thousand random texts: the rate is what it is said to be.
    #[test]
    fn false_positives_are_rare() {
        let random = |index: u32| crate::encoding::base62(&Sha256::digest(index.to_be_bytes()), 16);
        let found = (0..100_000).filter(|index| is_listed(FILTER, &random(*index))).count();
        assert!(found <= 100_000 / FALSE_POSITIVES as usize, "{found} in 100000");
        let refused = (0..100_000).filter(|index| is_breached(&random(*index))).count();
        assert!(refused <= 6 * 100_000 / FALSE_POSITIVES as usize, "{refused} in 100000");
    }

    #[test]
    fn every_word_of_a_list_is_found() {
        let words = ["password", "password1", "p4ssword", "monkey", "123456", "abc123"];
        let filter = build(words, 64);
        for word in words {
            assert!(candidates(word).iter().any(|word| is_listed(&filter, word)), "{word}");
        }
        assert!(!is_listed(&filter, "donkey"));
    }
}

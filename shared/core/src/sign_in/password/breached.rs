//! Passwords that everybody tries first: a Golomb-coded set of a list of those most often found in breaches.
//!
//! `data/breached.bin` holds the hashes of the words, sorted, as the differences between one and the next in
//! Golomb-Rice code; `cargo xtask breached-list` makes it, and `data/README.md` says from what. A word of the
//! list is always found. Another of up to [`MAX_WORD`] characters is taken for one of them once in
//! [`FALSE_POSITIVES`] look-ups, and its owner chooses another. (A Bloom filter as good as this would be half
//! as large again, and every function that sets passwords carries it.)

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// The number of words, four bytes, and then the code.
static FILTER: &[u8] = include_bytes!("../../../data/breached.bin");

/// How often a text that is not on the list is taken for one that is: one in so many look-ups. A password
/// takes up to six. The hashes are spread over this many times their number.
pub const FALSE_POSITIVES: u64 = 1 << REMAINDER_BITS;

/// How many bits of a difference are written as they are; the rest is counted.
const REMAINDER_BITS: u32 = 13;

/// The longest word that is looked up, in characters: a longer password is common only in its core.
pub const MAX_WORD: usize = 16;

/// What may surround a common word without hiding it, in characters.
const MAX_SURROUNDINGS: usize = 8;

/// The shortest word that counts where something surrounds it, in characters.
const MIN_CORE: usize = 4;

/// Whether a password, or the word at its core, is on the list: without regard to case, without the digits
/// and signs around it, and with letters for the digits that stand for some (`P@ssw0rd123!`).
#[must_use]
pub fn is_breached(password: &str) -> bool {
    is_in(FILTER, password)
}

/// The same for a filter that [`build`] made.
#[must_use]
pub fn is_in(filter: &[u8], password: &str) -> bool {
    contains_any(filter, &candidates(password))
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
    words.retain(|word| word.chars().count() <= MAX_WORD);
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

/// The set of these words: those that are found without being in it themselves are left out, and longer ones
/// than [`MAX_WORD`].
#[must_use]
pub fn build<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let listed: BTreeSet<String> = words.into_iter().map(str::to_lowercase).collect();
    let is_found_anyway = |word: &String| {
        let length = word.chars().count();
        candidates(word).iter().any(|other| other.chars().count() < length && listed.contains(other))
    };
    let kept: Vec<&String> =
        listed.iter().filter(|word| word.chars().count() <= MAX_WORD && !is_found_anyway(word)).collect();
    let number = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    let hashes: BTreeSet<u64> = kept.into_iter().map(|word| hash(word, number)).collect();
    let mut bits = Vec::new();
    let mut before = 0;
    for hash in &hashes {
        let difference = hash.saturating_sub(before);
        bits.extend((0..difference >> REMAINDER_BITS).map(|_| true));
        bits.push(false);
        bits.extend((0..REMAINDER_BITS).rev().map(|bit| difference >> bit & 1 == 1));
        before = *hash;
    }
    // Ones to the end: no further difference ever comes to its zero.
    bits.resize(bits.len().next_multiple_of(8), true);
    let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    let mut filter = Vec::from(number.to_be_bytes());
    filter.extend(bits.chunks(8).map(byte));
    filter
}

/// Whether one of the words is in the set: it is gone through once, some ten thousand differences.
fn contains_any(filter: &[u8], words: &[String]) -> bool {
    let Some((number, code)) = filter.split_first_chunk::<4>() else { return false };
    let number = u32::from_be_bytes(*number);
    let wanted: Vec<u64> = words.iter().map(|word| hash(word, number)).collect();
    let mut bits = code.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut hash = 0_u64;
    loop {
        let mut difference = 0_u64;
        loop {
            match bits.next() {
                Some(1) => difference = difference.saturating_add(1),
                Some(_) => break,
                None => return false,
            }
        }
        for _ in 0..REMAINDER_BITS {
            difference = difference << 1 | u64::from(bits.next().unwrap_or_default());
        }
        hash = hash.saturating_add(difference);
        if wanted.contains(&hash) {
            return true;
        }
    }
}

/// Where a word is among `number` words: SHA-256, brought into the range that they are spread over.
fn hash(word: &str, number: u32) -> u64 {
    let digest = Sha256::digest(word.as_bytes());
    let bits = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let range = u128::from(number) << REMAINDER_BITS;
    u64::try_from((u128::from(bits) * range) >> 64).unwrap_or_default()
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
        let random = |index: u32| crate::encoding::base62(&Sha256::digest(index.to_be_bytes()), 14);
        let words: Vec<String> = (0..100_000).map(random).collect();
        let number = u32::from_be_bytes(*FILTER.first_chunk().unwrap());
        // The set once, taken apart, instead of a hundred thousand times.
        let listed: BTreeSet<u64> = decoded(FILTER);
        let found = words.iter().filter(|word| listed.contains(&hash(word, number))).count() as u64;
        assert!(found <= 2 * 100_000 / FALSE_POSITIVES, "{found} in 100000");
        let refused = words.iter().take(200).filter(|word| is_breached(word)).count();
        assert!(refused <= 1, "{refused} in 200");
    }

    /// Every hash in a set, read by a decoder that was written apart.
    fn decoded(filter: &[u8]) -> BTreeSet<u64> {
        let text: String = filter[4..].iter().map(|byte| format!("{byte:08b}")).collect();
        let (mut rest, mut hash, mut hashes) = (text.as_str(), 0, BTreeSet::new());
        while let Some(ones) = rest.find('0') {
            let end = ones + 1 + REMAINDER_BITS as usize;
            hash += (ones as u64) << REMAINDER_BITS
                | u64::from_str_radix(rest.get(ones + 1..end).unwrap(), 2).unwrap();
            hashes.insert(hash);
            rest = rest.get(end..).unwrap();
        }
        hashes
    }

    #[test]
    fn the_list_is_whole() {
        let number = u32::from_be_bytes(*FILTER.first_chunk().unwrap()) as usize;
        assert!(number > 10_000);
        // Two words with one hash are one.
        assert!(decoded(FILTER).len() >= number - 10);
    }

    #[test]
    fn every_word_of_a_list_is_found() {
        let words = ["password", "password1", "p4ssword", "monkey", "123456", "abc123"];
        let filter = build(words);
        for word in words {
            assert!(is_in(&filter, word), "{word}");
        }
        assert!(!is_in(&filter, "donkey") && !is_in(&build([]), "donkey") && !is_in(&[], "donkey"));
    }

    proptest::proptest! {
        #[test]
        fn a_set_has_its_words(words in proptest::collection::btree_set("[a-z0-9!]{4,16}", 1..60)) {
            let filter = build(words.iter().map(String::as_str));
            for word in &words {
                proptest::prop_assert!(is_in(&filter, word), "{}", word);
            }
        }

        #[test]
        fn any_bytes_can_be_asked(filter: Vec<u8>, password in ".{0,40}") {
            let _ = is_in(&filter, &password);
        }
    }
}

//! What a new password must be. All rules that it violates are named at once.

use super::breached::is_breached;
use crate::config::PasswordConfiguration;
use crate::secret::password::{MAX_PASSWORD_BYTES, Verify};

/// The shortest part of a name that a password may not contain, in characters.
const MIN_NAME_PART: usize = 4;

/// How many characters must not follow from the ones before them.
const MIN_UNPREDICTABLE: usize = 4;

/// The longest unit whose mere repetition is refused, in characters.
const MAX_REPEATED_UNIT: usize = 4;

/// The names of whoever gets the password.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The user name.
    pub username: &'a str,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The name for people.
    pub display_name: Option<&'a str>,
}

/// A rule that a password violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It has fewer characters.
    TooShort(u32),
    /// It is longer than [`MAX_PASSWORD_BYTES`].
    TooLong,
    /// No upper-case letter is in it.
    NoUpper,
    /// No lower-case letter is in it.
    NoLower,
    /// No digit is in it.
    NoDigit,
    /// Letters and digits alone are in it.
    NoSpecial,
    /// It is one of those that everybody tries first, or one of them is at its core.
    Breached,
    /// It is a repetition or a sequence.
    Predictable,
    /// It resembles a name of its owner.
    LikeName,
    /// It is the current one, or one of the last so many before it.
    Reused(u32),
}

impl Violation {
    /// What is wrong, and what is allowed.
    #[must_use]
    pub fn detail(self) -> String {
        match self {
            Self::TooShort(least) => format!("at least {least} characters"),
            Self::TooLong => format!("at most {MAX_PASSWORD_BYTES} bytes"),
            Self::NoUpper => "at least one upper-case letter".to_owned(),
            Self::NoLower => "at least one lower-case letter".to_owned(),
            Self::NoDigit => "at least one digit".to_owned(),
            Self::NoSpecial => "at least one character that is neither letter nor digit".to_owned(),
            Self::Breached => "not a common password, nor one with digits and signs around it".to_owned(),
            Self::Predictable => "not a mere repetition or sequence".to_owned(),
            Self::LikeName => "not like the user name, the e-mail address or the display name".to_owned(),
            Self::Reused(0) => "not the current password".to_owned(),
            Self::Reused(history) => format!("neither the current password nor one of the last {history}"),
        }
    }
}

/// Every rule that a new password violates, but for [`Violation::Reused`]: see [`is_reused`], which costs.
#[must_use]
pub fn check(password: &str, names: &Names<'_>, configuration: &PasswordConfiguration) -> Vec<Violation> {
    if password.len() > MAX_PASSWORD_BYTES {
        return vec![Violation::TooLong];
    }
    let lacks = |required: bool, has: fn(char) -> bool| required && !password.chars().any(has);
    let is_short = password.chars().count() < usize::try_from(configuration.min_length).unwrap_or(usize::MAX);
    [
        (is_short, Violation::TooShort(configuration.min_length)),
        (lacks(configuration.require_upper, char::is_uppercase), Violation::NoUpper),
        (lacks(configuration.require_lower, char::is_lowercase), Violation::NoLower),
        (lacks(configuration.require_digits, |character| character.is_ascii_digit()), Violation::NoDigit),
        (
            lacks(configuration.require_special, |character| !is_letter_or_digit(character)),
            Violation::NoSpecial,
        ),
        (is_breached(password), Violation::Breached),
        (is_predictable(password), Violation::Predictable),
        (names.resemble(password), Violation::LikeName),
    ]
    .into_iter()
    .filter_map(|(is_violated, violation)| is_violated.then_some(violation))
    .collect()
}

/// Whether a password is one of those whose hashes these are. Each costs one verification, so this comes
/// after everything cheap. A hash that can't be verified any more is no password that can be used again.
#[must_use]
pub fn is_reused<'a>(password: &str, hashes: impl IntoIterator<Item = &'a str>, verify: Verify) -> bool {
    hashes.into_iter().any(|hash| verify(password, hash) == Ok(true))
}

/// Whether fewer than four of its characters are not told by the ones before: `aaaaaaaaaaaa`, `123456789012`,
/// `abcdefghijkl`; or it is a unit of up to four characters three times or more: `Ab1!Ab1!Ab1!`.
fn is_predictable(password: &str) -> bool {
    let characters: Vec<u32> = password.chars().flat_map(char::to_lowercase).map(u32::from).collect();
    let is_told = |pair: &[u32]| match pair {
        [before, after] => before.abs_diff(*after) <= 1,
        _ => false,
    };
    let told = characters.windows(2).filter(|pair| is_told(pair)).count();
    let is_repeated = |unit: usize| {
        let again = characters.iter().skip(unit);
        characters.len() >= unit.saturating_mul(3) && characters.iter().zip(again).all(|(a, b)| a == b)
    };
    characters.len().saturating_sub(told) < MIN_UNPREDICTABLE || (1..=MAX_REPEATED_UNIT).any(is_repeated)
}

impl Names<'_> {
    /// Whether a password resembles one of the names. Without regard to case and to what is neither letter
    /// nor digit, it must not contain a part of a name of four characters or more, nor a whole name, and must
    /// differ from each whole name in more than a quarter of the characters.
    fn resemble(&self, password: &str) -> bool {
        let password = folded(password);
        let local = self.email.map(|email| email.rsplit_once('@').map_or(email, |(local, _)| local));
        let wholes = [Some(self.username), self.email, local, self.display_name];
        wholes.into_iter().flatten().any(|name| {
            let mut parts = name.split(|character| !is_letter_or_digit(character)).map(folded);
            let whole = folded(name);
            is_contained(&whole, &password)
                || parts.any(|part| is_contained(&part, &password))
                || is_near(&whole, &password)
        })
    }
}

fn folded(text: &str) -> Vec<char> {
    text.chars().filter(|character| is_letter_or_digit(*character)).flat_map(char::to_lowercase).collect()
}

fn is_letter_or_digit(character: char) -> bool {
    character.is_alphabetic() || character.is_ascii_digit()
}

fn is_contained(part: &[char], password: &[char]) -> bool {
    part.len() >= MIN_NAME_PART && password.windows(part.len()).any(|window| window == part)
}

/// Whether at most a quarter of the longer one's characters have to change to make one the other
/// (Levenshtein).
fn is_near(name: &[char], password: &[char]) -> bool {
    let longer = name.len().max(password.len());
    let most = longer / 4;
    if name.len() < MIN_NAME_PART || name.len().abs_diff(password.len()) > most {
        return false;
    }
    let mut row: Vec<usize> = (0..=password.len()).collect();
    for (index, from) in name.iter().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), index.saturating_add(1));
        let mut left = index.saturating_add(1);
        for (cell, to) in row.iter_mut().skip(1).zip(password) {
            let kept = diagonal.saturating_add(usize::from(from != to));
            diagonal = *cell;
            *cell = kept.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            left = *cell;
        }
    }
    row.last().is_some_and(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "plume-Anvil-42-quartz";

    fn violations(password: &str) -> Vec<Violation> {
        let names = Names {
            username: "ada.lovelace@example.com",
            email: Some("countess@analytical.org"),
            display_name: Some("Ada King-Noel"),
        };
        check(password, &names, &PasswordConfiguration::default())
    }

    #[test]
    fn a_good_password_violates_nothing() {
        for password in [GOOD, "Zj4!kfQx9w-Lm", "Ünïcode-пароль-7", "日本語のパスワードa-A9"]
        {
            assert_eq!(violations(password), [], "{password}");
        }
    }

    #[test]
    fn every_violated_rule_is_named_at_once() {
        use Violation::*;
        assert_eq!(violations(""), [TooShort(12), NoUpper, NoLower, NoDigit, NoSpecial, Predictable]);
        assert_eq!(violations("PASSWORD"), [TooShort(12), NoLower, NoDigit, NoSpecial, Breached]);
        assert_eq!(violations("Password123!"), [Breached]);
        assert_eq!(violations("plume-anvil-quartz"), [NoUpper, NoDigit]);
        assert_eq!(violations(&"a".repeat(MAX_PASSWORD_BYTES + 1)), [TooLong]);
    }

    #[test]
    fn the_configuration_decides_what_is_asked() {
        let lenient = PasswordConfiguration {
            min_length: 8,
            require_upper: false,
            require_lower: false,
            require_digits: false,
            require_special: false,
            ..PasswordConfiguration::default()
        };
        assert_eq!(check("plumequartz", &Names::default(), &lenient), []);
    }

    #[test]
    fn repetitions_and_sequences_are_predictable() {
        for password in [
            "aaaaaaaaaaaa",
            "123456789012",
            "AbCdEfGhIjKl",
            "Ab1!Ab1!Ab1!",
            "zyxwvutsrqpo",
            "aA".repeat(9).as_str(),
        ] {
            assert!(is_predictable(password), "{password}");
        }
        assert!(!is_predictable(GOOD) && !is_predictable("Ab1!Ab1!x"));
    }

    #[test]
    fn what_resembles_a_name_is_refused() {
        for password in [
            "Lovelace-1815-x",
            "xX-LOVELACE-42",
            "Countess!2024-ok",
            "1-analytical-Xy",
            "King-of-99-Hearts",
            "Ada.King.N0el!",
            "ada-love1ace-Example-com",
            "Example-Plume-77",
        ] {
            assert!(violations(password).contains(&Violation::LikeName), "{password}");
        }
        // Short parts are everywhere.
        assert_eq!(violations("Canada-7-quartz-com"), []);
    }

    #[test]
    fn a_former_password_is_found_among_its_hashes() {
        let cost = crate::secret::password::PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 };
        let hash = |password| crate::secret::password::hash(password, &[7; 16], cost).unwrap();
        let hashes = [hash("first"), "unreadable".to_owned(), hash("second")];
        let among = |password| {
            is_reused(password, hashes.iter().map(String::as_str), crate::secret::password::verify)
        };
        assert!(among("first") && among("second") && !among("third"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(password in ".{0,60}", name in ".{0,30}") {
            let names = Names { username: &name, email: Some(&name), display_name: Some(&name) };
            let _ = check(&password, &names, &PasswordConfiguration::default());
        }

        #[test]
        fn a_name_with_anything_around_it_is_like_it(
            name in "[a-z]{5,20}",
            before in "[A-Z0-9!]{0,8}",
            after in "[0-9!]{0,8}",
        ) {
            let names = Names { username: &name, ..Names::default() };
            let password = format!("{before}{}{after}", name.to_uppercase());
            proptest::prop_assert!(names.resemble(&password));
        }
    }
}

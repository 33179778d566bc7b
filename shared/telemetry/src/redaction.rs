//! Keeping secrets out of telemetry.
//!
//! Two nets, one behind the other: a field whose name says that it holds a secret loses its value, and a text
//! that looks like one of our secrets is blotted out wherever it stands. When in doubt, too much is hidden.

use std::borrow::Cow;

use crate::attribute::{Attribute, MAX_TEXT_BYTES, Value, truncate};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Names of fields that hold secrets, in letters and digits alone: `api_key`, `API-Key` and `apiKey` are one.
const SENSITIVE_FIELDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "apikey",
    "secret",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "masterkey",
    "assertion",
    "mfacode",
    "backupcode",
    "codeverifier",
];

/// Last words that say that a field tells something about a secret, not the secret: `token_type`.
const ABOUT: [&str; 13] = [
    "id", "ids", "type", "kind", "count", "length", "bytes", "status", "result", "seconds", "ms", "at",
    "expiry",
];

/// How our credentials begin.
const SECRET_PREFIXES: [&str; 7] =
    ["cronos_sk_", "cronos_rt_", "cronos_st_", "cronos_pr_", "cronos_bg_", "cronos_cs_", "cronos_scim_"];

/// The longest field name looked at before a `=` or `:` in a text, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What is hidden.
#[derive(Clone, Debug)]
pub struct Redaction {
    fields: Words,
    prefixes: Words,
}

/// Words to find, and which bytes they begin with: most positions of a text are passed over at one glance.
#[derive(Clone, Debug)]
struct Words {
    words: Vec<Cow<'static, str>>,
    first_bytes: [u64; 4],
}

impl Words {
    fn new(words: impl IntoIterator<Item = &'static str>) -> Self {
        let mut all = Self { words: Vec::new(), first_bytes: [0; 4] };
        words.into_iter().for_each(|word| all.push(Cow::Borrowed(word)));
        all
    }

    /// Takes a word in; an empty one would be found everywhere.
    fn push(&mut self, word: Cow<'static, str>) {
        let Some(first) = word.bytes().next() else { return };
        if let Some(bits) = self.first_bytes.get_mut(usize::from(first >> 6)) {
            *bits |= 1 << (first & 63);
        }
        self.words.push(word);
    }

    /// Whether any word passes, asked only where one may begin.
    fn any(&self, first: u8, passes: impl Fn(&[u8]) -> bool) -> bool {
        let may_begin =
            self.first_bytes.get(usize::from(first >> 6)).is_some_and(|bits| bits >> (first & 63) & 1 == 1);
        may_begin
            && self.words.iter().any(|word| {
                let word = word.as_bytes();
                word.first() == Some(&first) && passes(word)
            })
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self { fields: Words::new(SENSITIVE_FIELDS), prefixes: Words::new(SECRET_PREFIXES) }
    }
}

impl Redaction {
    /// Hides these fields too, and whatever begins with one of these prefixes. The defaults stay: a
    /// configuration can hide more, never less.
    #[must_use]
    pub fn with<'a>(
        mut self,
        fields: impl IntoIterator<Item = &'a str>,
        prefixes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        fields.into_iter().for_each(|field| self.fields.push(Cow::Owned(squash(field))));
        prefixes.into_iter().for_each(|prefix| self.prefixes.push(Cow::Owned(prefix.to_owned())));
        self
    }

    /// Whether a field of this name holds a secret.
    ///
    /// ```
    /// let redaction = iam_telemetry::Redaction::default();
    /// assert!(redaction.is_sensitive("user.newPassword"));
    /// assert!(redaction.is_sensitive("X-API-Key"));
    /// assert!(!redaction.is_sensitive("api_key.id"));
    /// ```
    #[must_use]
    pub fn is_sensitive(&self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let sensitive = bytes.iter().enumerate().any(|(position, byte)| {
            let rest = bytes.get(position..).unwrap_or_default();
            self.fields.any(byte.to_ascii_lowercase(), |field| begins_with_word(rest, field))
        });
        sensitive && !tells_about(name)
    }

    /// The text with every secret in it blotted out, cut off after [`MAX_TEXT_BYTES`]: what a
    /// caller sends in must not cost much.
    ///
    /// ```
    /// let redaction = iam_telemetry::Redaction::default();
    /// assert_eq!(redaction.text("key cronos_sk_live_7Gk2 refused"), "key [redacted] refused");
    /// assert_eq!(redaction.text("login?user=ada&password=lovelace"), "login?user=ada&password=[redacted]");
    /// ```
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default();
        let secrets = self.secrets(text);
        if secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut clean = String::with_capacity(text.len());
        let mut position = 0;
        for (start, end) in secrets {
            clean.push_str(text.get(position..start).unwrap_or_default());
            clean.push_str(REDACTED);
            position = end;
        }
        clean.push_str(text.get(position..).unwrap_or_default());
        Cow::Owned(clean)
    }

    /// Hides and cuts off in place.
    pub(crate) fn apply_to_text(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
        truncate(text, MAX_TEXT_BYTES);
    }

    /// Hides what an attribute's name or value gives away.
    pub(crate) fn apply_to_attribute(&self, attribute: &mut Attribute) {
        if self.is_sensitive(&attribute.key) {
            attribute.value = REDACTED.into();
        } else {
            self.apply_to_value(&mut attribute.value, MAX_TEXT_BYTES);
        }
    }

    pub(crate) fn apply_to_value(&self, value: &mut Value<'static>, limit: usize) {
        let Value::Text(text) = value else { return };
        let clean = self.text(text);
        if clean.len() > limit || matches!(clean, Cow::Owned(_)) {
            let mut clean = clean.into_owned();
            truncate(&mut clean, limit);
            *text = Cow::Owned(clean);
        }
    }

    /// Where the secrets are, in order, without overlap. Every position is looked at, inside of a secret too:
    /// one that begins in another's end is hidden as it would be alone.
    fn secrets(&self, text: &str) -> Vec<(usize, usize)> {
        let bytes = text.as_bytes();
        let mut secrets: Vec<(usize, usize)> = Vec::new();
        for (position, byte) in bytes.iter().enumerate() {
            let found = match byte {
                b'=' | b':' => self.assigned(text, position),
                b'b' | b'B' => bearer(bytes, position),
                b'e' => json_web_token(bytes, position),
                _ => None,
            };
            let Some((start, end)) = found.or_else(|| self.prefixed(bytes, position)) else { continue };
            match secrets.last_mut() {
                Some(last) if start <= last.1 => *last = (last.0.min(start), last.1.max(end)),
                _ => secrets.push((start, end)),
            }
        }
        secrets
    }

    /// One of our credentials.
    fn prefixed(&self, bytes: &[u8], position: usize) -> Option<(usize, usize)> {
        let first = *bytes.get(position)?;
        let known = self.prefixes.any(first, |prefix| starts_with(bytes, position, prefix));
        known.then(|| (position, run(bytes, position, is_token)))
    }

    /// The value after the `=` or `:` of a field with a sensitive name, quoted or not.
    fn assigned(&self, text: &str, position: usize) -> Option<(usize, usize)> {
        let bytes = text.as_bytes();
        let before = text.get(..position)?.trim_end_matches(['"', '\'', ' ', '\\']);
        let name_start = before
            .bytes()
            .rev()
            .take(MAX_NAME_BYTES)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            .count();
        let name = before.get(before.len().checked_sub(name_start)?..)?;
        if name.is_empty() || !self.is_sensitive(name) {
            return None;
        }
        let start = run(bytes, position + 1, |byte| matches!(byte, b' ' | b'\\'));
        let (start, end) = match bytes.get(start)? {
            quote @ (b'"' | b'\'') => (start + 1, closing_quote(bytes, start + 1, *quote)),
            _ if is_header(name) => (start, run(bytes, start, |byte| !matches!(byte, b'\r' | b'\n'))),
            _ => (start, unquoted_value(text, start)),
        };
        (start < end).then_some((start, end))
    }
}

/// The letters and digits of a name, in lower case.
fn squash(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Whether the name goes on with this word, whatever its case and whatever separates its letters.
fn begins_with_word(name: &[u8], word: &[u8]) -> bool {
    let mut expected = word;
    for byte in name {
        let Some((next, rest)) = expected.split_first() else { return true };
        if byte.eq_ignore_ascii_case(next) {
            expected = rest;
        } else if byte.is_ascii_alphanumeric() {
            return false;
        }
    }
    expected.is_empty()
}

/// Whether the name's last word says that the field tells something about a secret.
fn tells_about(name: &str) -> bool {
    let last = name.rsplit(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or_default();
    last.len() < name.len() && ABOUT.iter().any(|about| last.eq_ignore_ascii_case(about))
}

/// Whether it is a header whose whole line is secret, whatever stands in it.
fn is_header(name: &str) -> bool {
    let squashed = squash(name);
    squashed.ends_with("cookie") || squashed.ends_with("authorization")
}

fn starts_with(bytes: &[u8], position: usize, prefix: &[u8]) -> bool {
    bytes.get(position..).is_some_and(|rest| rest.starts_with(prefix))
}

/// The end of the run of such bytes that begins here.
fn run(bytes: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| belongs(**byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// What RFC 6750 lets a bearer token consist of.
fn is_token(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

/// `eyJ….…`: how every signed or encrypted JWT begins.
fn json_web_token(bytes: &[u8], position: usize) -> Option<(usize, usize)> {
    if !starts_with(bytes, position, b"eyJ") {
        return None;
    }
    let header_end = run(bytes, position, is_base64url);
    let payload = bytes.get(header_end + 1).is_some_and(|byte| is_base64url(*byte));
    (bytes.get(header_end) == Some(&b'.') && payload).then(|| (position, run(bytes, position, is_token)))
}

/// What follows `Bearer `, in whatever case.
fn bearer(bytes: &[u8], position: usize) -> Option<(usize, usize)> {
    let word = bytes.get(position..position.checked_add(6)?)?;
    let start = run(bytes, position + 6, |byte| byte == b' ');
    if !word.eq_ignore_ascii_case(b"bearer") || start == position + 6 {
        return None;
    }
    let end = run(bytes, start, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''));
    (start < end).then_some((start, end))
}

fn closing_quote(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut position = start;
    while let Some(byte) = bytes.get(position) {
        match byte {
            b'\\' => position += 1,
            byte if *byte == quote => break,
            _ => {}
        }
        position += 1;
    }
    position.min(bytes.len())
}

/// The end of a value without quotes; of both words where the first is an authentication scheme.
fn unquoted_value(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let ends =
        |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'&' | b'"' | b'\'' | b'}');
    let end = run(bytes, start, |byte| !ends(byte));
    let word = text.get(start..end).unwrap_or_default();
    if ["basic", "bearer", "digest"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        let next = run(bytes, end, |byte| byte == b' ');
        return run(bytes, next, |byte| !ends(byte));
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_by_name() {
        let redaction = Redaction::default().with(["ssn"], []);
        for name in [
            "password",
            "user.password_hash",
            "Set-Cookie",
            "accessToken",
            "refresh_token",
            "client-secret",
            "http.request.header.authorization",
            "x_api_key",
            "SSN",
            "credentials",
        ] {
            assert!(redaction.is_sensitive(name), "{name}");
        }
        for name in ["api_key.id", "token_type", "token.count", "user.name", "http.route", "key_id", ""] {
            assert!(!redaction.is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn texts() {
        let redaction = Redaction::default().with([], ["acme_"]);
        for (text, expected) in [
            ("nothing to hide: user=ada", "nothing to hide: user=ada"),
            ("cronos_requests_total is a metric", "cronos_requests_total is a metric"),
            ("got eyJhbGciOi.eyJzdWIi.c2ln, sorry", "got [redacted], sorry"),
            ("eyJust a word", "eyJust a word"),
            ("authorization: Basic dXNlcjpwYXNz more\nnext", "authorization: [redacted]\nnext"),
            ("token: Basic dXNlcjpwYXNz more", "token: [redacted] more"),
            ("bearer  abc.def", "bearer  [redacted]"),
            (r#"{"password": "hunter 2 \" x","user":"ada"}"#, r#"{"password": "[redacted]","user":"ada"}"#),
            (r#"{\"token\":\"abc\"}"#, r#"{\"token\":\"[redacted]"#),
            ("Cookie: theme=dark; CRONOS_SESSION=abc", "Cookie: [redacted]"),
            ("acme_key_1", "[redacted]"),
            ("sübject=ü token=ü", "sübject=ü token=[redacted]"),
            ("password=", "password="),
        ] {
            assert_eq!(redaction.text(text), expected, "{text}");
        }
    }

    /// A secret of each shape, and the part of it that must not be seen.
    fn secret() -> impl Strategy<Value = (String, String)> {
        let base = "[0-9A-Za-z]{24,58}";
        prop_oneof![
            base.prop_map(|body| (format!("cronos_sk_live_{body}"), body)),
            base.prop_map(|body| (format!("cronos_rt_{body}"), body)),
            base.prop_map(|body| (format!("cronos_st_{body}"), body)),
            base.prop_map(|body| (format!("cronos_pr_{body}"), body)),
            base.prop_map(|body| (format!("cronos_bg_{body}"), body)),
            base.prop_map(|body| (format!("cronos_scim_{body}"), body)),
            base.prop_map(|body| (format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWI{body}.c2ln"), body)),
            base.prop_map(|body| (format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIi.{body}"), body)),
            base.prop_map(|body| (format!("Bearer {body}"), body)),
            base.prop_map(|body| (format!("BEARER {body}"), body)),
            base.prop_map(|body| (format!("password={body}"), body)),
            base.prop_map(|body| (format!(r#""client_secret":"{body}""#), body)),
        ]
    }

    const NOISE: &str =
        r#"[a-zA-Z0-9_=:.,;&"' {}/é-]{0,30}|(eyJ|Bearer |cronos_sk_|token=|"password":"|\\"){0,4}"#;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_secret_passes(before in NOISE, (secret, hidden) in secret(), after in NOISE) {
            // A name or scheme needs a boundary before it to be one; our prefixes and JWTs need none.
            let is_told = secret.starts_with("cronos") || secret.starts_with("eyJ");
            let before = if is_told { before } else { before + " " };
            let clean = Redaction::default().text(&format!("{before}{secret} {after}")).into_owned();
            prop_assert!(!clean.contains(&hidden), "{clean}");
        }

        #[test]
        fn what_is_not_hidden_stays(text in "[a-d0-9 ,.é]{0,60}") {
            prop_assert_eq!(Redaction::default().text(&text), text.as_str());
        }

        #[test]
        fn foreign_text_never_panics(text in "\\PC{0,80}") {
            let redaction = Redaction::default();
            let clean = redaction.text(&text).into_owned();
            let _ = redaction.text(&clean);
        }
    }

    #[test]
    fn a_long_text_is_cut_off_before_it_costs() {
        for pattern in ["eyJ", "token=", "Bearer ", "::::", "\"\\", "cronos_sk_ ", "ü"] {
            assert!(Redaction::default().text(&pattern.repeat(300_000)).len() <= 2 * MAX_TEXT_BYTES);
        }
    }
}

//! Fields that several bodies have.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};

use crate::request::error::ApiError;

/// A field that may be null and may be absent, told apart: `Some(None)` is null.
///
/// # Errors
/// When it is neither null nor such a value.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// A name for people: trimmed, 1 to `most` characters, none of them a control character or a noncharacter.
///
/// # Errors
/// 422 at `pointer` otherwise.
pub fn name<'a>(pointer: &str, text: &'a str, most: usize) -> Result<&'a str, ApiError> {
    plain(text, most).map_err(|allowed| ApiError::field(pointer, allowed))
}

/// The same as a parameter of a query.
///
/// # Errors
/// 400 that names the parameter otherwise.
pub fn query<'a>(parameter: &str, text: &'a str, most: usize) -> Result<&'a str, ApiError> {
    plain(text, most)
        .map_err(|allowed| ApiError::bad_request("invalid_query", format!("`{parameter}` is of {allowed}")))
}

fn plain(text: &str, most: usize) -> Result<&str, String> {
    let text = text.trim();
    let is_plain = |character: char| !character.is_control() && character != char::MAX;
    if text.is_empty() || text.chars().count() > most || !text.chars().all(is_plain) {
        return Err(format!("1 to {most} characters, no control characters"));
    }
    Ok(text)
}

/// A description: at most `most` characters.
///
/// # Errors
/// 422 at `pointer` otherwise.
pub fn description(pointer: &str, text: Option<&str>, most: usize) -> Result<(), ApiError> {
    if text.is_some_and(|text| text.chars().count() > most) {
        return Err(ApiError::field(pointer, format!("at most {most} characters")));
    }
    Ok(())
}

/// The same in order, each once. A set grown one by one, so that no sorting routine gets into the module.
#[must_use]
pub fn in_order<T: Ord>(items: Vec<T>) -> Vec<T> {
    let mut set = BTreeSet::new();
    for item in items {
        set.insert(item);
    }
    set.into_iter().collect()
}

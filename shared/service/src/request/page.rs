//! Pages.

use super::error::ApiError;

/// How many a page shall hold.
///
/// # Errors
/// 400 unless it is 1 to `most`.
pub fn page_limit(asked: Option<u32>, most: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(most),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::bad_request("invalid_query", format!("`limit` is 1 to {most}"))),
    }
}

/// Cuts the row off that only tells that there is another page; the cursor of that page.
#[must_use]
pub fn cut<T, C>(rows: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Option<C> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= wanted;
    rows.truncate(wanted);
    if is_last { None } else { rows.last().map(cursor) }
}

//! Paths with two parameters, and pages.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use iam_service::ApiError;

/// The two parameters of the path: what does not read as such a name or id is not found.
#[derive(Debug)]
pub(crate) struct Two<A, B>(pub(crate) A, pub(crate) B);

impl<A: std::str::FromStr, B: std::str::FromStr, S: Send + Sync> FromRequestParts<S> for Two<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let not_found = || ApiError::not_found("there is no such resource");
        let Path((first, second)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(|_| not_found())?;
        Ok(Self(first.parse().map_err(|_| not_found())?, second.parse().map_err(|_| not_found())?))
    }
}

/// How many a page shall hold.
///
/// # Errors
/// 400 unless it is 1 to `most`.
pub(crate) fn page_limit(asked: Option<u32>, most: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(most),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::bad_request("invalid_query", format!("`limit` is 1 to {most}"))),
    }
}

/// Cuts the row off that only tells that there is another page; the cursor of that page.
pub(crate) fn cut<T, C>(rows: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Option<C> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= wanted;
    rows.truncate(wanted);
    if is_last { None } else { rows.last().map(cursor) }
}

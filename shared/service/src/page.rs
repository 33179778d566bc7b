//! Paths with two parameters, pages, and pages of members.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use iam_core::directory::role::member::Member;
use iam_core::id::UserId;
use iam_core::sql::Rows;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// The two parameters of the path: what does not read as such a name or id is not found.
#[derive(Debug)]
pub struct Two<A, B>(pub A, pub B);

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

/// Which members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMembersQuery {
    /// How many at most, 1 to 200.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<UserId>,
}

/// A page of members.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListMembersResponse {
    /// The users.
    pub members: Vec<Member>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<UserId>,
}

impl ListMembersResponse {
    /// A page of the members that were asked for, one more than `limit` of them.
    #[must_use]
    pub fn of(mut members: Vec<Member>, limit: u32) -> Self {
        let next_cursor = cut(&mut members, limit, |member| member.user_id.clone());
        Self { members, next_cursor }
    }

    /// To be replaced.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn read(rows: &Rows, limit: u32) -> Result<Self, ApiError> {
        let mut members: Vec<Member> = rows.decode()?;
        let next_cursor = cut(&mut members, limit, |member| member.user_id.clone());
        Ok(Self { members, next_cursor })
    }
}

//! What a path and a query carry.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

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

/// The one parameter of the path, read as an id: what is no such id is not found.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: std::str::FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let not_found = || ApiError::not_found("there is no such resource");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| not_found())?;
        text.parse().map(Self).map_err(|_| not_found())
    }
}

/// The query's parameters, decoded.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| ApiError::bad_request("invalid_query", error.body_text()))
    }
}

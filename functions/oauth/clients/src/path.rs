//! Paths with more than one id.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use iam_core::id::{ClientId, ClientSecretId, UserId};
use iam_service::ApiError;

pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("there is no such resource")
}

/// A client of a service account.
pub(crate) struct ClientPath {
    pub(crate) user_id: UserId,
    pub(crate) client_id: ClientId,
}

/// A secret of a client of a service account.
pub(crate) struct SecretPath {
    pub(crate) client: ClientPath,
    pub(crate) secret_id: ClientSecretId,
}

impl ClientPath {
    fn parse(user_id: &str, client_id: &str) -> Result<Self, ApiError> {
        let client_id = client_id.parse().map_err(|_| not_found())?;
        Ok(Self { user_id: user_id.parse().map_err(|_| not_found())?, client_id })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((user_id, client_id)) = path.map_err(|_| not_found())?;
        Self::parse(&user_id, &client_id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SecretPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        let Path((user_id, client_id, secret_id)) = path.map_err(|_| not_found())?;
        let client = ClientPath::parse(&user_id, &client_id)?;
        Ok(Self { client, secret_id: secret_id.parse().map_err(|_| not_found())? })
    }
}

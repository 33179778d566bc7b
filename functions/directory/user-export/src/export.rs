//! `GET /api/v1/users/export`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use iam_core::directory::acts;
use iam_core::directory::transfer::{self, Exported, MAX_EXPORT_PAGE};
use iam_core::permission::{Permission, Scope};
use iam_core::sql::Batch;
use iam_service::page::{cut, page_limit};
use iam_service::{ApiError, Caller, Context, Query};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::MEDIA_TYPE;

/// The longest cursor, in bytes.
const MAX_CURSOR_BYTES: usize = 128;

/// Which page.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// How many users at most, 1 to 1000.
    limit: Option<u32>,
    /// The `Next-Cursor` of the page before.
    cursor: Option<String>,
    /// What else, beside what is there for everybody.
    include: Option<Include>,
}

/// What an export has only where it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Hashes of passwords: for another deployment of this product, and for nobody else.
    PasswordHash,
}

/// One round trip beside the caller's authentication. Each page is recorded.
pub(crate) async fn export(
    context: Context,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let invalid = |detail: String| ApiError::bad_request("invalid_query", detail);
    let limit = page_limit(query.limit, MAX_EXPORT_PAGE)?;
    let with_hashes = query.include == Some(Include::PasswordHash);
    let manage_all = Permission::new("users", "manage", Scope::All);
    if with_hashes && !caller.holds(&manage_all) {
        return Err(ApiError::forbidden(&manage_all));
    }
    let is_cut = query.cursor.as_ref().is_some_and(|cursor| cursor.len() > MAX_CURSOR_BYTES);
    let page = transfer::export(&caller.organization, query.cursor.as_deref(), limit).filter(|_| !is_cut);
    let page = page.ok_or_else(|| invalid("`cursor` is not one of ours".to_owned()))?;
    let event = context.audit_by(&caller, acts::USER_EXPORT)?.detail("with_password_hashes", with_hashes);
    let mut batch = Batch::new();
    let users = batch.ask(page);
    batch.then(event.record());
    let mut users = context.db(&caller.organization).batch(batch).await?.all(users)?;
    let next = cut(&mut users, limit, Exported::cursor);
    let mut body = Vec::new();
    for mut line in users.into_iter().filter_map(Exported::into_line) {
        if !with_hashes {
            line.password_hash = None;
        }
        serde_json::to_writer(&mut body, &line)?;
        body.push(b'\n');
    }
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response();
    if let Some(next) = next {
        let include = if with_hashes { "&include=password_hash" } else { "" };
        let link = format!("</api/v1/users/export?cursor={next}&limit={limit}{include}>; rel=\"next\"");
        // A cursor is base64url: both are headers.
        if let (Ok(cursor), Ok(link)) = (HeaderValue::from_str(&next), HeaderValue::from_str(&link)) {
            response.headers_mut().insert("next-cursor", cursor);
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

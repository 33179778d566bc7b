//! `GET /api/v1/auth/keys`: a user's API keys, without their secrets.

use iam_core::api_key::{ListedKey, MAX_PAGE};
use iam_core::id::{KeyId, UserId};
use iam_core::permission::{Permission, Scope};
use iam_service::page::page_limit;
use iam_service::{Access, ApiError, Caller, Context, Function, Json, Query, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read_own = Access::permission("api_keys", "read", Scope::Own);
    Function::new("key-list", "Lists API keys").uses_database().route(
        Route::get("/api/v1/auth/keys", read_own, list)
            .summary("Lists a user's API keys, oldest first")
            .takes_query::<ListKeysQuery>()
            .gives::<ListKeysResponse>(200, "A page of keys")
            .round_trips(2),
    )
}

/// Which keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListKeysQuery {
    /// Whose, where not the caller's own: needs `api_keys.read.organization`.
    pub owner_id: Option<UserId>,
    /// How many at most, 1 to 100.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<KeyId>,
}

/// A page of keys.
#[derive(Serialize, JsonSchema)]
pub struct ListKeysResponse {
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<KeyId>,
}

async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListKeysQuery>,
) -> Result<Json<ListKeysResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let owner = query.owner_id.as_ref().unwrap_or(&caller.user_id);
    let others = Permission::new("api_keys", "read", Scope::Organization);
    if *owner != caller.user_id && !caller.grants.allow(&others) {
        return Err(ApiError::forbidden(&others));
    }
    let page = ListedKey::page(&caller.organization, owner, query.cursor.as_ref(), limit);
    let rows = context.db(&caller.organization).run(page).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let keys = rows
        .iter()
        .take(wanted)
        .map(|row| ListedKey::read(row, context.now))
        .collect::<Result<Vec<_>, _>>()?;
    let next_cursor = if rows.len() > wanted { keys.last().map(|key| key.key_id.clone()) } else { None };
    Ok(Json(ListKeysResponse { keys, next_cursor }))
}

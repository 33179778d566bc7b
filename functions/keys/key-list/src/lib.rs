//! API keys as people see them, without their secrets: `GET /api/v1/auth/keys`, one of them, and how often it
//! was used.

mod usage;

use iam_core::id::{KeyId, UserId};
use iam_core::keys::{KeyFilter, KeyStatus, ListedKey, MAX_NAME_CHARACTERS, MAX_PAGE};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::page::{cut, page_limit};
use iam_service::{Access, ApiError, Caller, Context, Function, Id, Json, Query, Route, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read_own = || Access::permission("api_keys", "read", Scope::Own);
    Function::new("key-list", "Shows API keys and their use")
        .uses_database()
        .route(
            Route::get("/api/v1/auth/keys", read_own(), list)
                .summary("Lists API keys, oldest first")
                .description(
                    "All filters hold at once. A page of a filtered list may be short or empty and still \
                     have a `next_cursor`: it looks at 500 keys at most.",
                )
                .takes_query::<ListKeysQuery>()
                .gives::<ListKeysResponse>(200, "A page of keys")
                .round_trips(2),
        )
        .route(
            Route::get("/api/v1/auth/keys/{key_id}", read_own(), show)
                .summary("Shows an API key")
                .gives::<ListedKey>(200, "The key")
                .round_trips(2),
        )
        .route(
            Route::get("/api/v1/auth/keys/{key_id}/usage", read_own(), usage::usage)
                .summary("Shows how often an API key was used, by day")
                .description(
                    "Counts are written down every ten seconds and after the answer; an instance that is \
                     stopped loses what it had not written. Days without use are left out.",
                )
                .takes_query::<usage::UsageQuery>()
                .gives::<usage::UsageResponse>(200, "Days, oldest first")
                .round_trips(2),
        )
}

/// Which keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListKeysQuery {
    /// Whose, where not the caller's own: needs `api_keys.read.organization`.
    pub owner_id: Option<UserId>,
    /// Whether everybody's in the organization: needs `api_keys.read.organization`.
    pub all: Option<bool>,
    /// With which status.
    pub status: Option<KeyStatus>,
    /// With this in its name.
    pub name: Option<String>,
    /// That end before this.
    pub expires_before: Option<Timestamp>,
    /// Neither used nor created since.
    pub unused_since: Option<Timestamp>,
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
    let is_all = query.all == Some(true);
    if is_all && query.owner_id.is_some() {
        return Err(ApiError::bad_request("invalid_query", "`all` or `owner_id`, not both"));
    }
    let owner = query.owner_id.as_ref().unwrap_or(&caller.user_id);
    if is_all || *owner != caller.user_id {
        caller.check_wide("read", "api_keys")?;
    }
    let name =
        query.name.as_deref().map(|name| field::query("name", name, MAX_NAME_CHARACTERS)).transpose()?;
    let filter = KeyFilter {
        organization: &caller.organization,
        owner_id: (!is_all).then_some(owner),
        status: query.status,
        name,
        expires_before: query.expires_before,
        unused_since: query.unused_since,
        now: context.now,
    };
    let mut batch = Batch::new();
    let page = filter.page(query.cursor.as_ref(), limit, &mut batch);
    let answers = context.db(&caller.organization).batch(batch).await?;
    let (mut keys, end) = page.read(&answers)?;
    let next_cursor = cut(&mut keys, limit, |key| key.key_id.clone()).or(end);
    Ok(Json(ListKeysResponse { keys, next_cursor }))
}

fn no_such_key() -> ApiError {
    ApiError::not_found("there is no such API key")
}

async fn show(context: Context, caller: Caller, Id(key_id): Id<KeyId>) -> Result<Json<ListedKey>, ApiError> {
    let find = ListedKey::find(&caller.organization, &key_id, caller.decide("read", "api_keys"));
    let row = context.db(&caller.organization).one(find).await?.ok_or_else(no_such_key)?;
    Ok(Json(ListedKey::read(&row, context.now)?))
}

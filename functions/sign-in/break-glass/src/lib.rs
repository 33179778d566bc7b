//! `/api/v1/break-glass` and `/api/v1/auth/break-glass`: emergency credentials.

mod seal;
mod unseal;

use iam_core::permission::Scope;
use iam_core::sign_in::break_glass::ListedCredential;
use iam_service::{Access, Area, Function, Route};
use schemars::JsonSchema;
use serde::Serialize;

iam_service::deploy!(function);

const CREDENTIALS: &str = "/api/v1/break-glass";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let manage = || Access::permission("break_glass", "manage", Scope::Organization);
    Function::new("break-glass", "Lets administrators in when nothing else does")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .uses_notifications()
        .route(
            Route::post(CREDENTIALS, manage(), seal::seal)
                .summary("Makes an emergency credential")
                .description(
                    "It is in this answer and nowhere else: print it and seal it. It works once, as an \
                     administrator that signs in no other way.",
                )
                .takes::<seal::SealRequest>()
                .gives::<seal::SealResponse>(201, "Made")
                .round_trips(2),
        )
        .route(
            Route::get(CREDENTIALS, manage(), seal::list)
                .summary("Lists emergency credentials, oldest first")
                .takes_query::<seal::ListQuery>()
                .gives::<ListResponse>(200, "A page of credentials")
                .round_trips(2),
        )
        .route(
            Route::delete("/api/v1/break-glass/{credential_id}", manage(), seal::revoke)
                .summary("Revokes an emergency credential")
                .answers(204, "Revoked")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/auth/break-glass", Access::public(), unseal::unseal)
                .summary("Signs in with an emergency credential")
                .description(
                    "Once. The access token lasts as long as its session and can't be refreshed. Locks do \
                     not matter here; everybody who should know is told.",
                )
                .takes::<unseal::UnsealRequest>()
                .gives::<unseal::UnsealResponse>(200, "Signed in")
                .round_trips(3),
        )
}

/// A page of credentials.
#[derive(Serialize, JsonSchema)]
struct ListResponse {
    /// The credentials.
    credentials: Vec<ListedCredential>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

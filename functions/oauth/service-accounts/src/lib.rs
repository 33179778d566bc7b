//! `/api/v1/service-accounts`: users without a password that act through OAuth clients and API keys.

mod accounts;

use iam_core::directory::service_account::ServiceAccount;
use iam_core::permission::Scope;
use iam_service::{Access, Area, Function, Route};

iam_service::deploy!(function);

const ACCOUNTS: &str = "/api/v1/service-accounts";
const ACCOUNT: &str = "/api/v1/service-accounts/{user_id}";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("service-accounts", "Administers service accounts").area(Area::Admin);
    with_accounts(function.uses_database().uses_master_key())
}

fn read() -> Access {
    Access::permission("service_accounts", "read", Scope::Organization)
}

fn write() -> Access {
    Access::permission("service_accounts", "write", Scope::Organization)
}

fn delete() -> Access {
    Access::permission("service_accounts", "delete", Scope::Organization)
}

fn with_accounts(function: Function) -> Function {
    function
        .route(
            Route::post(ACCOUNTS, write(), accounts::create)
                .summary("Creates a service account")
                .description(
                    "Nobody gives away what they don't hold: the caller holds all that the roles grant. \
                     Takes an `Idempotency-Key`.",
                )
                .takes::<accounts::CreateRequest>()
                .gives::<ServiceAccount>(201, "Created")
                .round_trips(4),
        )
        .route(
            Route::get(ACCOUNTS, read(), accounts::list)
                .summary("Lists service accounts, oldest first")
                .takes_query::<accounts::ListQuery>()
                .gives::<accounts::ListResponse>(200, "A page of service accounts")
                .round_trips(2),
        )
        .route(
            Route::get(ACCOUNT, read(), accounts::show)
                .summary("Shows a service account")
                .gives::<ServiceAccount>(200, "The service account")
                .round_trips(2),
        )
        .route(
            Route::patch(ACCOUNT, write(), accounts::change)
                .summary("Changes a service account")
                .description("The caller holds all that the roles grant that it adds.")
                .takes::<accounts::ChangeRequest>()
                .gives::<ServiceAccount>(200, "The service account as it is now")
                .round_trips(3),
        )
        .route(
            Route::delete(ACCOUNT, delete(), accounts::delete)
                .summary("Deletes a service account")
                .description(
                    "Its clients are revoked, its sessions end, its API keys work no longer: at once.",
                )
                .answers(204, "Deleted")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/service-accounts/{user_id}/suspend", write(), accounts::suspend)
                .summary("Suspends a service account")
                .description("Its sessions end at once; none of its credentials works until it is activated.")
                .gives::<ServiceAccount>(200, "The service account as it is now")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/service-accounts/{user_id}/activate", write(), accounts::activate)
                .summary("Activates a suspended service account")
                .gives::<ServiceAccount>(200, "The service account as it is now")
                .round_trips(2),
        )
}

//! `/api/v1/service-accounts/{user_id}/clients`: the OAuth clients of service accounts, and the clients'
//! secrets.

mod clients;
mod path;
mod secrets;

use iam_core::oauth::client::ListedClient;
use iam_core::permission::Scope;
use iam_service::{Access, Area, Function, Route};

iam_service::deploy!(function);

const CLIENTS: &str = "/api/v1/service-accounts/{user_id}/clients";
const CLIENT: &str = "/api/v1/service-accounts/{user_id}/clients/{client_id}";
const SECRETS: &str = "/api/v1/service-accounts/{user_id}/clients/{client_id}/secrets";
const SECRET: &str = "/api/v1/service-accounts/{user_id}/clients/{client_id}/secrets/{secret_id}";

fn read() -> Access {
    Access::permission("service_accounts", "read", Scope::Organization)
}

fn write() -> Access {
    Access::permission("service_accounts", "write", Scope::Organization)
}

fn delete() -> Access {
    Access::permission("service_accounts", "delete", Scope::Organization)
}

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("clients", "Administers the OAuth clients of service accounts")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .route(
            Route::post(CLIENTS, write(), clients::create)
                .summary("Creates an OAuth client for a service account")
                .description(
                    "With `client_secret` its first secret is in this answer and nowhere else. Whoever \
                     creates one can act as the service account, so the caller holds all that its roles \
                     grant. Takes an `Idempotency-Key`.",
                )
                .takes::<clients::CreateRequest>()
                .gives::<clients::CreatedClient>(201, "Created")
                .round_trips(4),
        )
        .route(
            Route::get(CLIENTS, read(), clients::list)
                .summary("Lists a service account's OAuth clients, oldest first")
                .description("All of them: a service account has 20 at most.")
                .gives::<clients::ListResponse>(200, "The clients")
                .round_trips(2),
        )
        .route(
            Route::get(CLIENT, read(), clients::show)
                .summary("Shows an OAuth client")
                .gives::<ListedClient>(200, "The client")
                .round_trips(2),
        )
        .route(
            Route::delete(CLIENT, delete(), clients::revoke)
                .summary("Revokes an OAuth client")
                .description("Its secrets and its access tokens work no longer: at once.")
                .answers(204, "Revoked")
                .round_trips(2),
        )
        .route(
            Route::post(SECRETS, write(), secrets::create)
                .summary("Creates a second secret for an OAuth client")
                .description(
                    "To rotate a secret: create the second, use it, revoke the first. A client has two valid \
                     ones at most. The secret is in this answer and nowhere else. Takes an \
                     `Idempotency-Key`.",
                )
                .takes::<secrets::CreateRequest>()
                .gives::<secrets::CreatedSecret>(201, "Created")
                .round_trips(4),
        )
        .route(
            Route::delete(SECRET, delete(), secrets::revoke)
                .summary("Revokes a secret of an OAuth client")
                .description(
                    "Access tokens that were issued for it live on until their end. The last valid secret is \
                     not revoked: create another first, or revoke the client, which ends its tokens too.",
                )
                .answers(204, "Revoked")
                .round_trips(2),
        )
}

//! `/api/v1/scim/clients`: who provisions over SCIM, and with which tokens. And the scheduled job
//! `scim-roles`, which holds the roles that groups give against the configuration.

mod clients;
mod roles;
mod tokens;

use iam_core::permission::Scope;
use iam_core::provisioning::client::ListedScimClient;
use iam_service::{Access, Area, Function, Route};

iam_service::deploy!(function);

const CLIENTS: &str = "/api/v1/scim/clients";
const CLIENT: &str = "/api/v1/scim/clients/{client_id}";
const TOKENS: &str = "/api/v1/scim/clients/{client_id}/tokens";
const TOKEN: &str = "/api/v1/scim/clients/{client_id}/tokens/{token_id}";

fn read() -> Access {
    Access::permission("scim_clients", "read", Scope::Organization)
}

fn manage() -> Access {
    Access::permission("scim_clients", "manage", Scope::Organization)
}

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("scim-clients", "Administers SCIM clients").area(Area::Admin);
    let function = with_clients(function.uses_database().uses_master_key());
    with_tokens(function).jobs([roles::job()])
}

fn with_clients(function: Function) -> Function {
    function
        .route(
            Route::post(CLIENTS, manage(), clients::create)
                .summary("Creates a SCIM client")
                .description(
                    "Its first token is in this answer and nowhere else. Whoever has it may see, create, \
                     change and delete all users and groups of the organization, its administrators \
                     included. Takes an `Idempotency-Key`.",
                )
                .takes::<clients::CreateRequest>()
                .gives::<clients::CreatedClient>(201, "Created")
                .round_trips(3),
        )
        .route(
            Route::get(CLIENTS, read(), clients::list)
                .summary("Lists SCIM clients, oldest first")
                .takes_query::<clients::ListQuery>()
                .gives::<clients::ListResponse>(200, "A page of SCIM clients")
                .round_trips(2),
        )
        .route(
            Route::get(CLIENT, read(), clients::show)
                .summary("Shows a SCIM client")
                .gives::<ListedScimClient>(200, "The client")
                .round_trips(2),
        )
        .route(
            Route::patch(CLIENT, manage(), clients::change)
                .summary("Changes a SCIM client")
                .description("What is absent stays.")
                .takes::<clients::ChangeRequest>()
                .gives::<ListedScimClient>(200, "The client as it is now")
                .round_trips(2),
        )
        .route(
            Route::delete(CLIENT, manage(), clients::revoke)
                .summary("Revokes a SCIM client")
                .description("Its tokens work no longer: at once. What it made stays.")
                .answers(204, "Revoked")
                .round_trips(2),
        )
}

fn with_tokens(function: Function) -> Function {
    function
        .route(
            Route::post(TOKENS, manage(), tokens::create)
                .summary("Creates a second token for a SCIM client")
                .description(
                    "To rotate a token: create the second, use it, revoke the first. A client has two valid \
                     ones at most. The token is in this answer and nowhere else. Takes an `Idempotency-Key`.",
                )
                .takes::<tokens::CreateRequest>()
                .gives::<tokens::CreatedToken>(201, "Created")
                .round_trips(3),
        )
        .route(
            Route::delete(TOKEN, manage(), tokens::revoke)
                .summary("Revokes a token of a SCIM client")
                .description(
                    "At once. The last valid token is not revoked: create another first, or revoke the \
                     client.",
                )
                .answers(204, "Revoked")
                .round_trips(2),
        )
}

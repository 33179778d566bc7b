//! Secrets in a Vault. This function alone speaks to one: others ask it (`Context::secret`), and it holds
//! what they must not have, the credential to log in with. For administrators: which secrets are known, where
//! each comes from, how the stores do, never a value.

mod admin;
mod answer;
mod certificate;
mod internal;
mod rotation;
mod text;
mod vault;

use std::sync::Arc;

use iam_core::permission::Scope;
use iam_service::{
    Access, Area, Context, Function, Json, MASTER_KEY, MASTER_KEY_PREVIOUS, NOTIFICATION_TOKEN, Route,
    WEBHOOK_SECRETS,
};

use vault::Vault;

iam_service::deploy!(function);

/// The token to log in with (`auth` `token`).
pub const VAULT_TOKEN: &str = "IAM_VAULT_TOKEN";

/// The secret id to log in with (`auth` `approle`).
pub const VAULT_SECRET_ID: &str = "IAM_VAULT_SECRET_ID";

/// The service account's token to log in with (`auth` `kubernetes`).
pub const VAULT_JWT: &str = "IAM_VAULT_JWT";

/// What functions ask for by name.
const KNOWN: [&str; 4] = [MASTER_KEY, MASTER_KEY_PREVIOUS, NOTIFICATION_TOKEN, WEBHOOK_SECRETS];

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function =
        Function::new("secrets", "Reads and writes secrets in a Vault, and shows where secrets come from")
            .area(Area::Admin)
            .uses_database()
            .connects_to(&["http://*:*", "https://*:*"]);
    let function = [VAULT_TOKEN, VAULT_SECRET_ID, VAULT_JWT]
        .into_iter()
        .chain(KNOWN)
        .fold(function, Function::uses_host_secret);
    let vault: Arc<Vault> = Arc::default();
    let function = with_internal(function, &vault);
    with_admin(function, &vault)
}

fn with_internal(function: Function, vault: &Arc<Vault>) -> Function {
    let (read, write, decrypt) = (Arc::clone(vault), Arc::clone(vault), Arc::clone(vault));
    function
        .route(
            Route::post(
                "/internal/secrets/read",
                Access::internal(),
                move |context: Context, Json(request)| internal::read(Arc::clone(&read), context, request),
            )
            .summary("Gives the secrets of these names that the Vault has")
            .takes::<internal::ReadRequest>()
            .gives::<internal::ReadAnswer>(200, "Those it has")
            .internal_only(),
        )
        .route(
            Route::post(
                "/internal/secrets/write",
                Access::internal(),
                move |context: Context, Json(request)| internal::write(Arc::clone(&write), context, request),
            )
            .summary("Writes a new version of a secret of somebody's")
            .takes::<internal::WriteRequest>()
            .gives::<internal::WriteAnswer>(200, "Written")
            .internal_only(),
        )
        .route(
            Route::post(
                "/internal/secrets/decrypt",
                Access::internal(),
                move |context: Context, Json(request)| {
                    internal::decrypt(Arc::clone(&decrypt), context, request)
                },
            )
            .summary("Opens what the Vault's transit engine sealed")
            .takes::<internal::DecryptRequest>()
            .gives::<internal::DecryptAnswer>(200, "The plain text")
            .internal_only(),
        )
}

fn with_admin(function: Function, vault: &Arc<Vault>) -> Function {
    let all = |action| Access::permission("secrets", action, Scope::All);
    let (list, rewrap, rotate) = (Arc::clone(vault), Arc::clone(vault), Arc::clone(vault));
    let issue = Arc::clone(vault);
    function
        .route(
            Route::get("/api/v1/admin/secrets", all("read"), move |context: Context, caller| {
                admin::list(Arc::clone(&list), context, caller)
            })
            .summary("Lists the secrets by name: where each comes from, its version, and how the stores do")
            .description(
                "For members of the deployment's own organization. Never a value. On Workers each function \
                 has host secrets of its own; these are those of the function that answers.",
            )
            .gives::<admin::SecretsAnswer>(200, "Secrets and stores")
            .round_trips(2),
        )
        .route(
            Route::post(
                "/api/v1/admin/secrets/{name}/rewrap",
                all("manage"),
                move |context: Context, caller, name| {
                    admin::rewrap(Arc::clone(&rewrap), context, caller, name)
                },
            )
            .summary("Seals a secret anew under the newest version of the Vault's transit key")
            .description(
                "For members of the deployment's own organization, and secrets that are kept as \
                 `vault:v1:…`. In the Vault the new text takes the place of the old one; where the host \
                 keeps it, set it there: it is in the answer, and is worth nothing without the Vault.",
            )
            .gives::<admin::RewrapAnswer>(200, "Sealed anew")
            .round_trips(2),
        )
        .route(
            Route::post(
                "/api/v1/admin/secrets/master-key/rotate",
                all("manage"),
                move |context: Context, caller, Json(request)| {
                    rotation::rotate(Arc::clone(&rotate), context, caller, request)
                },
            )
            .summary("Rotates the master key that is kept in the Vault, one step of three")
            .description(
                "For members of the deployment's own organization. `announce`, `switch`, `finish`; each is \
                 refused until every instance has seen the one before, and `finish` while anything stored \
                 needs the old key.",
            )
            .takes::<rotation::MasterKeyRotationRequest>()
            .gives::<rotation::MasterKeyRotationAnswer>(200, "Done")
            .round_trips(3),
        )
        .route(
            Route::post(
                "/api/v1/admin/secrets/certificates",
                all("manage"),
                move |context: Context, caller, Json(request)| {
                    certificate::issue(Arc::clone(&issue), context, caller, request)
                },
            )
            .summary("Issues a certificate of the Vault's PKI engine")
            .description(
                "For members of the deployment's own organization, by the role `secrets.vault.pki_role`. The \
                 private key is in this answer and nowhere else.",
            )
            .takes::<certificate::CertificateRequest>()
            .gives::<certificate::CertificateAnswer>(200, "The certificate and its private key")
            .round_trips(2),
        )
}

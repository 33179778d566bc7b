//! `/api/v1/users/import` and `/api/v1/users/export`: many users at once, as NDJSON.

mod export;
mod import;

use iam_core::directory::import::ImportLine;
use iam_core::permission::Scope;
use iam_service::{Access, Function, Route};

use export::ExportQuery;
use import::ImportReport;

iam_service::deploy!(function);

/// One JSON object a line.
const MEDIA_TYPE: &str = "application/x-ndjson";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let may = |action| Access::permission("users", action, Scope::Organization);
    Function::new("user-transfer", "Carries users in and out")
        .uses_database()
        .route(
            Route::post("/api/v1/users/import", may("manage"), import::import)
                .summary("Imports users")
                .description(
                    "One user a line, 1,000 lines at most. Who is there already stays as it is, so the same lines can be \
                     sent again. A line that is refused does not stop the others. Password hashes are taken as they are: \
                     argon2i, argon2id, bcrypt, scrypt, PBKDF2.",
                )
                .takes_as::<ImportLine>(MEDIA_TYPE)
                .gives::<ImportReport>(200, "What became of each line")
                .round_trips(3),
        )
        .route(
            Route::get("/api/v1/users/export", may("read"), export::export)
                .summary("Exports users, oldest first")
                .description(
                    "In pages of 1,000 at most; the header `Next-Cursor` (and `Link`) leads to the next one and is absent \
                     on the last. An import takes the lines as they are. Hashes of passwords are in it where \
                     `include=password_hash` asks for them and the caller holds `users.manage.all`.",
                )
                .takes_query::<ExportQuery>()
                .gives_as::<ImportLine>(200, MEDIA_TYPE, "A user a line")
                .round_trips(2),
        )
}

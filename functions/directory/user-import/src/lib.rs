//! `POST /api/v1/users/import`: many users at once, as NDJSON.

mod import;

use iam_core::directory::import::ImportLine;
use iam_core::permission::Scope;
use iam_service::{Access, Area, Function, Route};

use import::ImportReport;

iam_service::deploy!(function);

/// One JSON object a line.
const MEDIA_TYPE: &str = "application/x-ndjson";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let may = Access::permission("users", "manage", Scope::Organization);
    Function::new("user-import", "Imports users").area(Area::Admin).uses_database().route(
        Route::post("/api/v1/users/import", may, import::import)
            .summary("Imports users")
            .description(
                "One user a line, 1,000 lines at most. Who is there already stays as it is, so the same \
                     lines can be sent again. A line that is refused does not stop the others. Password \
                     hashes are taken as they are: argon2i, argon2id, bcrypt, scrypt, PBKDF2.",
            )
            .takes_as::<ImportLine>(MEDIA_TYPE)
            .gives::<ImportReport>(200, "What became of each line")
            .round_trips(3),
    )
}

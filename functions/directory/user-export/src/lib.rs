//! `GET /api/v1/users/export`: the whole directory, as NDJSON.

mod export;

use iam_core::directory::import::ImportLine;
use iam_core::permission::Scope;
use iam_service::{Access, Area, Function, Route};

use export::ExportQuery;

iam_service::deploy!(function);

/// One JSON object a line.
const MEDIA_TYPE: &str = "application/x-ndjson";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let may = Access::permission("users", "read", Scope::Organization);
    Function::new("user-export", "Exports users").area(Area::Admin).uses_database().route(
        Route::get("/api/v1/users/export", may, export::export)
            .summary("Exports users, oldest first")
            .description(
                "In pages of 1,000 at most; the header `Next-Cursor` (and `Link`) leads to the next one \
                     and is absent on the last. An import takes the lines as they are. Hashes of passwords \
                     are in it where `include=password_hash` asks for them and the caller holds \
                     `users.manage.all`.",
            )
            .takes_query::<ExportQuery>()
            .gives_as::<ImportLine>(200, MEDIA_TYPE, "A user a line")
            .round_trips(2),
    )
}

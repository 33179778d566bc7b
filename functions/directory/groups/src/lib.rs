//! `/api/v1/groups`: users taken together.

mod groups;
mod members;

use iam_service::{Area, Function};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function =
        Function::new("groups", "Administers groups").area(Area::Admin).uses_database().uses_master_key();
    [groups::routes(), members::routes()].into_iter().flatten().fold(function, Function::route)
}

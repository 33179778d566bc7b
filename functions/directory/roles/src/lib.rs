//! `/api/v1/roles`: what users may do, and who has which role.

mod members;
mod roles;

use iam_service::{Area, Function};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function =
        Function::new("roles", "Administers roles").area(Area::Admin).uses_database().uses_master_key();
    [roles::routes(), members::routes()].into_iter().flatten().fold(function, Function::route)
}

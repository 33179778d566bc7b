//! `/api/v1/organizations` and `/api/v1/organization`: tenants.

mod organizations;

use iam_service::{Area, Function};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("organizations", "Administers organizations")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key();
    organizations::routes().into_iter().fold(function, Function::route)
}

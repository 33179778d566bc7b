//! `/api/v1/roles`, `/api/v1/groups` and `/api/v1/organizations`: what users belong to.

mod field;
mod group_members;
mod groups;
mod organizations;
mod path;
mod role_members;
mod roles;

use iam_service::Function;

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function =
        Function::new("directory", "Groups, roles and organizations").uses_database().uses_master_key();
    [
        roles::routes(),
        role_members::routes(),
        groups::routes(),
        group_members::routes(),
        organizations::routes(),
    ]
    .into_iter()
    .flatten()
    .fold(function, Function::route)
}

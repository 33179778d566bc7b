//! People, roles, groups, organizations.

pub mod groups;
pub mod organizations;
pub mod roles;
pub mod users;

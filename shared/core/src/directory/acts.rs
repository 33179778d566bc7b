//! What is recorded of the directory.

crate::acts! {
    /// An organization was made, with its first administrator.
    pub ORGANIZATION_CREATE = "organization.create" on "organization", Notable, None;
}

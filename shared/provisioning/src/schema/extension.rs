//! Extensions: schemas that add attributes to a kind of resource, from the configuration.

use super::{Attribute, ResourceKind, Schema};

/// An extension of a kind of resource.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Of which kind.
    pub kind: ResourceKind,
    /// Its schema.
    pub schema: &'static Schema,
    /// It as a complex attribute, named by its URN.
    pub attribute: &'static Attribute,
    /// Whether a resource without it is refused.
    pub is_required: bool,
}

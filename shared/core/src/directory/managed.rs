//! What a SCIM client manages, and what administrators and people may change of it all the same: the fields
//! of `scim.locally_editable`. Who is in a group that gives roles nobody but the SCIM client decides,
//! whatever is configured: otherwise whoever may put users into groups could give itself those roles.

use serde_json::{Value as Json, json};

use crate::config::ScimConfiguration;
use crate::directory::ManagedBy;
use crate::directory::role_mapping::{RoleMapping, RoleMappingError};

/// The word for the groups of a user and the members of a group in `scim.locally_editable`.
pub const GROUPS: &str = "groups";

/// The word for the password.
pub const PASSWORD: &str = "password";

/// What may be changed of what SCIM manages.
#[derive(Debug)]
pub struct LocalEdits<'a> {
    editable: &'a [String],
    mapping: RoleMapping,
}

impl<'a> LocalEdits<'a> {
    /// As the configuration says.
    ///
    /// # Errors
    /// When the mapping of groups to roles can't be read.
    pub fn new(configuration: &'a ScimConfiguration) -> Result<Self, RoleMappingError> {
        let mapping = RoleMapping::read(&configuration.role_mappings)?;
        Ok(Self { editable: &configuration.locally_editable, mapping })
    }

    /// Whether this field of a user may be changed.
    #[must_use]
    pub fn allow(&self, managed_by: ManagedBy, field: &str) -> bool {
        managed_by == ManagedBy::Manual || may_edit(self.editable, field)
    }

    /// What statements ask for groups: the JSON object that [`kept_by_scim`] reads.
    #[must_use]
    pub fn condition(&self) -> Json {
        json!({"groups": may_edit(self.editable, GROUPS), "mapped": self.mapping.names()})
    }
}

fn may_edit(editable: &[String], field: &str) -> bool {
    editable.iter().any(|allowed| allowed == field)
}

/// Whether the password of a user that SCIM manages may be changed here.
#[must_use]
pub fn passwords_are_editable(configuration: &ScimConfiguration) -> bool {
    may_edit(&configuration.locally_editable, PASSWORD)
}

/// SCIM alone decides who is in the group in `$group`: it gives roles, or SCIM manages it and administrators
/// may not, or its name gives roles as soon as there are any of that name. `$edits` is what
/// [`LocalEdits::condition`] gives.
macro_rules! kept_by_scim {
    ($group:literal, $edits:expr) => {
        concat!(
            "(EXISTS (SELECT 1 FROM group_roles WHERE group_roles.org_id = ",
            $group,
            ".org_id AND group_roles.group_id = ",
            $group,
            ".group_id) OR (",
            $group,
            ".managed_by = 'scim' AND (NOT ",
            $edits,
            " ->> 'groups' OR ",
            $crate::directory::role_mapping::name_mapped!(
                concat!($group, ".display_name_key"),
                concat!($edits, " -> 'mapped'")
            ),
            ")))"
        )
    };
}
pub(crate) use kept_by_scim;

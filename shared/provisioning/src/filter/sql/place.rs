//! Where the database has what an attribute says.

use crate::schema::{Attribute, AttributeRef, Kind, ResourceKind};

/// Where the database has what an attribute says.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In a column that every resource has something in.
    Id(&'static Column),
    /// In a column of text.
    Text(&'static Column),
    /// In a column of milliseconds.
    Moment(&'static Column),
    /// In the user's status.
    Active,
    /// In rows between users and groups.
    Members(&'static Members),
    /// In the table `scim_values`.
    Values,
}

/// A column.
pub(super) struct Column {
    /// The expression.
    pub(super) sql: &'static str,
    /// Whether it may be NULL.
    pub(super) is_nullable: bool,
    /// The beginning of a query for ids by it, up to its own condition, where it has an index.
    pub(super) seek: Option<&'static str>,
}

/// Rows between users and groups, seen from one of them.
pub(super) struct Members {
    /// A query for those of the row in question, up to further conditions. It calls them `member`.
    pub(super) rows: &'static str,
    /// The other side's id.
    pub(super) value: &'static str,
    /// The other side's name.
    pub(super) display: Column,
    /// What the other side is, always the same, in small letters.
    pub(super) kind: &'static str,
    /// The beginning of a query for ids by the other side's, up to the value.
    pub(super) seek: &'static str,
    /// One by the other side's key of its name, up to the value.
    pub(super) seek_by_name: Option<&'static str>,
}

static USER_ID: Column = Column {
    sql: "users.user_id",
    is_nullable: false,
    seek: Some("SELECT users.user_id AS id FROM users WHERE users.org_id = ?1 AND "),
};

static USERNAME: Column = Column {
    sql: "users.username_key",
    is_nullable: false,
    seek: Some(
        "SELECT users.user_id AS id FROM users INDEXED BY users_by_username WHERE users.org_id = ?1 AND \
         users.deleted_at IS NULL AND ",
    ),
};

static USER_EXTERNAL_ID: Column = Column {
    sql: "users.external_id",
    is_nullable: true,
    seek: Some(
        "SELECT users.user_id AS id FROM users INDEXED BY users_by_external_id WHERE users.org_id = ?1 AND \
         users.deleted_at IS NULL AND users.external_id IS NOT NULL AND ",
    ),
};

static USER_CREATED: Column = Column {
    sql: "users.created_at",
    is_nullable: false,
    seek: Some(
        "SELECT users.user_id AS id FROM users INDEXED BY users_by_creation WHERE users.org_id = ?1 AND \
         users.number IS NOT NULL AND users.deleted_at IS NULL AND ",
    ),
};

static USER_UPDATED: Column = Column {
    sql: "users.updated_at",
    is_nullable: false,
    seek: Some(
        "SELECT users.user_id AS id FROM users INDEXED BY users_by_update WHERE users.org_id = ?1 AND \
         users.number IS NOT NULL AND users.deleted_at IS NULL AND ",
    ),
};

/// The users that are not active.
pub(super) const SUSPENDED: &str = "SELECT users.user_id AS id FROM users INDEXED BY users_suspended WHERE \
    users.org_id = ?1 AND users.status = 'suspended' AND users.deleted_at IS NULL AND ?2 IS NOT NULL";

/// Whether a user is active.
pub(super) const ACTIVE: &str = "(users.status <> 'suspended')";

static USER_GROUPS: Members = Members {
    rows: "SELECT 1 FROM group_members AS member CROSS JOIN groups AS other ON other.org_id = member.org_id \
           AND other.group_id = member.group_id WHERE member.org_id = ?1 AND member.user_id = users.user_id",
    value: "member.group_id",
    display: Column { sql: "lower(other.display_name)", is_nullable: false, seek: None },
    kind: "'direct'",
    seek: "SELECT member.user_id AS id FROM group_members AS member INDEXED BY group_members_by_group WHERE \
           member.org_id = ?1 AND member.group_id = ",
    seek_by_name: Some(
        "SELECT member.user_id AS id FROM groups AS other INDEXED BY groups_by_display_name CROSS JOIN \
         group_members AS member INDEXED BY group_members_by_group ON member.org_id = other.org_id AND \
         member.group_id = other.group_id WHERE other.org_id = ?1 AND other.display_name_key = ",
    ),
};

static GROUP_ID: Column = Column {
    sql: "groups.group_id",
    is_nullable: false,
    seek: Some("SELECT groups.group_id AS id FROM groups WHERE groups.org_id = ?1 AND "),
};

static GROUP_NAME: Column = Column {
    sql: "groups.display_name_key",
    is_nullable: false,
    seek: Some(
        "SELECT groups.group_id AS id FROM groups INDEXED BY groups_by_display_name WHERE groups.org_id = ?1 \
         AND ",
    ),
};

static GROUP_EXTERNAL_ID: Column = Column {
    sql: "groups.external_id",
    is_nullable: true,
    seek: Some(
        "SELECT groups.group_id AS id FROM groups INDEXED BY groups_by_external_id WHERE groups.org_id = ?1 \
         AND groups.external_id IS NOT NULL AND ",
    ),
};

static GROUP_CREATED: Column = Column { sql: "groups.created_at", is_nullable: false, seek: None };

static GROUP_UPDATED: Column =
    Column { sql: "max(groups.updated_at, groups.members_changed_at)", is_nullable: false, seek: None };

static GROUP_MEMBERS: Members = Members {
    rows: "SELECT 1 FROM group_members AS member CROSS JOIN users AS other ON other.org_id = member.org_id \
           AND other.user_id = member.user_id AND other.deleted_at IS NULL WHERE member.org_id = ?1 AND \
           member.group_id = groups.group_id",
    value: "member.user_id",
    display: Column { sql: "lower(other.display_name)", is_nullable: true, seek: None },
    kind: "'user'",
    seek: "SELECT member.group_id AS id FROM group_members AS member WHERE member.org_id = ?1 AND \
           member.user_id = ",
    seek_by_name: None,
};

impl Place {
    /// Where an attribute of a kind of resources is.
    pub(super) fn of(kind: ResourceKind, at: AttributeRef) -> Self {
        if at.extension.is_some() {
            return Self::Values;
        }
        let part = at.sub_attribute.map(|part| part.name);
        match (kind, at.attribute.name, part) {
            (ResourceKind::User, "id", _) => Self::Id(&USER_ID),
            (ResourceKind::User, "userName", _) => Self::Text(&USERNAME),
            (ResourceKind::User, "externalId", _) => Self::Text(&USER_EXTERNAL_ID),
            (ResourceKind::User, "active", _) => Self::Active,
            (ResourceKind::User, "meta", Some("created")) => Self::Moment(&USER_CREATED),
            (ResourceKind::User, "meta", Some("lastModified")) => Self::Moment(&USER_UPDATED),
            (ResourceKind::User, "groups", _) => Self::Members(&USER_GROUPS),
            (ResourceKind::Group, "id", _) => Self::Id(&GROUP_ID),
            (ResourceKind::Group, "displayName", _) => Self::Text(&GROUP_NAME),
            (ResourceKind::Group, "externalId", _) => Self::Text(&GROUP_EXTERNAL_ID),
            (ResourceKind::Group, "meta", Some("created")) => Self::Moment(&GROUP_CREATED),
            (ResourceKind::Group, "meta", Some("lastModified")) => Self::Moment(&GROUP_UPDATED),
            (ResourceKind::Group, "members", _) => Self::Members(&GROUP_MEMBERS),
            _ => Self::Values,
        }
    }
}

/// The row in question: the name of its id.
pub(super) fn id_of(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::User => "users.user_id",
        ResourceKind::Group => "groups.group_id",
    }
}

/// The keys in `scim_values` that an attribute's values are under: its own, or those of all its parts.
pub(super) fn keys(at: AttributeRef) -> Vec<String> {
    fn below(at: AttributeRef, of: &'static [Attribute]) -> Vec<String> {
        of.iter()
            .flat_map(|part| {
                keys(if at.attribute.is_extension() {
                    AttributeRef { extension: Some(at.attribute), attribute: part, sub_attribute: None }
                } else {
                    AttributeRef { sub_attribute: Some(part), ..at }
                })
            })
            .collect()
    }
    match (at.sub_attribute, at.attribute.kind) {
        (None, Kind::Complex(of)) => below(at, of),
        _ => vec![at.key()],
    }
}

/// What a part in brackets is from the top; of an attribute with simple values, the attribute.
pub(super) fn of_part(parent: AttributeRef, part: &'static Attribute) -> AttributeRef {
    match parent.attribute.kind {
        Kind::Complex(_) => AttributeRef { sub_attribute: Some(part), ..parent },
        _ => parent,
    }
}

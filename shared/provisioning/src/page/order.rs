//! The order of a list (RFC 7644 section 3.4.2.3).

use serde_json::{Value as Json, json};

use crate::ScimError;
use crate::schema::{AttributeRef, Kind, ResourceKind, ResourceSchema, find};

/// By what a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Order {
    by: Option<AttributeRef>,
    is_descending: bool,
}

/// An order as SQL.
pub(super) struct Sql {
    /// What a row is ordered by: an integer or a text, or NULL where it has no such value.
    pub(super) key: String,
    /// The row's id, which decides between equals.
    pub(super) id: &'static str,
    /// All of `ORDER BY`.
    pub(super) by: String,
}

impl Order {
    /// Reads `sortBy` and `sortOrder`.
    ///
    /// # Errors
    /// `invalidPath` where it names no attribute, `invalidValue` where that can't be compared or the order is
    /// none.
    pub fn parse(
        schema: ResourceSchema<'_>,
        sort_by: Option<&str>,
        sort_order: Option<&str>,
    ) -> Result<Self, ScimError> {
        let is_descending = match sort_order {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(ScimError::value("`sortOrder` must be `ascending` or `descending`")),
        };
        let by = match sort_by {
            None => None,
            Some(text) => {
                let attribute = schema.attribute(text.trim())?;
                let compared = attribute.compared().filter(|it| is_sortable(schema.kind, it));
                Some(
                    compared
                        .ok_or_else(|| ScimError::value(format!("`{}` has no order", attribute.key())))?,
                )
            }
        };
        // `sortOrder` alone means nothing (RFC 7644 section 3.4.2.3).
        Ok(Self { is_descending: is_descending && by.is_some(), by })
    }

    /// Whether the largest comes first.
    #[must_use]
    pub fn is_descending(self) -> bool {
        self.is_descending
    }

    /// Whether it is the order in which resources were created.
    #[must_use]
    pub fn is_natural(self) -> bool {
        self.by.is_none()
    }

    /// Its SQL; what it compares with goes to the arguments.
    pub(super) fn sql(self, kind: ResourceKind, arguments: &mut Vec<Json>) -> Sql {
        let id = match kind {
            ResourceKind::User => "users.user_id",
            ResourceKind::Group => "groups.group_id",
        };
        let (key, is_nullable) = match (self.by, kind) {
            (None, ResourceKind::User) => ("users.number".to_owned(), false),
            (None, ResourceKind::Group) => ("groups.group_id".to_owned(), false),
            (Some(by), _) => key(kind, by, arguments),
        };
        let direction = if self.is_descending { " DESC" } else { "" };
        let by = if is_nullable {
            format!("({key}) IS NULL{direction}, {key}{direction}, {id}")
        } else {
            format!("{key}{direction}, {id}")
        };
        Sql { key, id, by }
    }
}

fn is_sortable(kind: ResourceKind, by: &AttributeRef) -> bool {
    let leaf = by.leaf();
    let is_elsewhere = match kind {
        ResourceKind::User => by.attribute.name == "groups",
        ResourceKind::Group => by.attribute.name == "members",
    };
    !is_elsewhere
        && !matches!(leaf.kind, Kind::Complex(_) | Kind::Binary)
        && by.attribute.name != "schemas"
        && by.attribute.name != "password"
        && (by.attribute.name != "meta" || matches!(leaf.name, "created" | "lastModified"))
}

/// The column, or the look-up, and whether there may be none.
fn key(kind: ResourceKind, by: AttributeRef, arguments: &mut Vec<Json>) -> (String, bool) {
    let name = by.key();
    let column = match (kind, name.as_str()) {
        (ResourceKind::User, "id") => Some(("users.user_id", false)),
        (ResourceKind::User, "userName") => Some(("users.username_key", false)),
        (ResourceKind::User, "externalId") => Some(("users.external_id", true)),
        (ResourceKind::User, "active") => Some(("(users.status <> 'suspended')", false)),
        (ResourceKind::User, "meta.created") => Some(("users.created_at", false)),
        (ResourceKind::User, "meta.lastModified") => Some(("users.updated_at", false)),
        (ResourceKind::Group, "id") => Some(("groups.group_id", false)),
        (ResourceKind::Group, "displayName") => Some(("groups.display_name_key", false)),
        (ResourceKind::Group, "externalId") => Some(("groups.external_id", true)),
        (ResourceKind::Group, "meta.created") => Some(("groups.created_at", false)),
        (ResourceKind::Group, "meta.lastModified") => {
            Some(("MAX(groups.updated_at, groups.members_changed_at)", false))
        }
        _ => None,
    };
    match column {
        Some((column, is_nullable)) => (column.to_owned(), is_nullable),
        None => (look_up(kind, by, arguments), true),
    }
}

/// Of a list the primary value counts, or else the first (RFC 7644 section 3.4.2.3).
fn look_up(kind: ResourceKind, by: AttributeRef, arguments: &mut Vec<Json>) -> String {
    let id = match kind {
        ResourceKind::User => "users.user_id",
        ResourceKind::Group => "groups.group_id",
    };
    let attribute = arguments.len();
    arguments.push(json!(by.key()));
    let leaf = by.leaf();
    let value = match leaf.kind {
        Kind::Integer => "CAST(sorted.value AS INTEGER)",
        Kind::Decimal => "CAST(CAST(sorted.value AS REAL) * 1000000 AS INTEGER)",
        _ if leaf.is_case_exact => "sorted.exact",
        _ => "sorted.value",
    };
    let has_primary = find(by.attribute.sub_attributes(), "primary").is_some();
    let first = if by.attribute.is_multi_valued && has_primary {
        let primary = arguments.len();
        arguments.push(json!(
            AttributeRef { sub_attribute: find(by.attribute.sub_attributes(), "primary"), ..by }.key()
        ));
        format!(
            "EXISTS (SELECT 1 FROM scim_values AS preferred WHERE preferred.org_id = ?1 AND preferred.kind = \
             '{kind}' AND preferred.id = {id} AND preferred.attribute = ?2 ->> '$[{primary}]' AND \
             preferred.element = sorted.element AND preferred.value = 'true') DESC, "
        )
    } else {
        String::new()
    };
    format!(
        "(SELECT {value} FROM scim_values AS sorted WHERE sorted.org_id = ?1 AND sorted.kind = '{kind}' AND \
         sorted.id = {id} AND sorted.attribute = ?2 ->> '$[{attribute}]' ORDER BY {first}sorted.element \
         LIMIT 1)"
    )
}

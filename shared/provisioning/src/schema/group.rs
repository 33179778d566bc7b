//! Groups (RFC 7643 section 4.2).

use super::{Attribute, GROUP_URN, Returned, Schema};

pub(super) static SCHEMA: Schema =
    Schema { id: GROUP_URN, name: "Group", description: "Group", attributes: GROUP };

const MEMBER: &[Attribute] = &[
    Attribute::text("value", "The member's id").case_exact().immutable(),
    Attribute::reference("$ref", &["User"], "The member's address").immutable(),
    // RFC 7643 section 8.7.1 has none; it costs a look at each member.
    Attribute { returned: Returned::Request, ..Attribute::text("display", "The member's name").read_only() },
    Attribute::text("type", "What the member is").one_of(&["User"]).immutable(),
];

const GROUP: &[Attribute] = &[
    Attribute { is_unique: true, ..Attribute::text("displayName", "The group's name").required() },
    Attribute::list("members", MEMBER, "The users in the group"),
];

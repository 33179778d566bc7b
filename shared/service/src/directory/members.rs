//! Members of groups and roles, in pages.

use iam_core::directory::role::member::Member;
use iam_core::id::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::page::cut;

/// Which members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMembersQuery {
    /// How many at most, 1 to 200.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<UserId>,
}

/// A page of members.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListMembersResponse {
    /// The users.
    pub members: Vec<Member>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<UserId>,
}

impl ListMembersResponse {
    /// A page of the members that were asked for, one more than `limit` of them.
    #[must_use]
    pub fn of(mut members: Vec<Member>, limit: u32) -> Self {
        let next_cursor = cut(&mut members, limit, |member| member.user_id.clone());
        Self { members, next_cursor }
    }
}

//! A user or a group: what a request of its own and an operation of a bulk request ask of either.

use std::fmt;

use iam_core::id::{GroupId, UserId};
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceKind;
use iam_service::ApiError;
use serde_json::Value as Json;

use crate::message::Done;
use crate::work::{Change, Conditions, Work};
use crate::{groups, users};

/// Which one.
#[derive(Clone, Debug)]
pub(crate) enum ResourceId {
    User(UserId),
    Group(GroupId),
}

impl ResourceId {
    /// One that nobody has yet.
    pub(crate) fn new(work: &Work, kind: ResourceKind) -> Result<Self, ApiError> {
        match kind {
            ResourceKind::User => work.context.new_id(UserId::new).map(Self::User),
            ResourceKind::Group => work.context.new_id(GroupId::new).map(Self::Group),
        }
    }

    /// Reads one; what can't be one is not found.
    pub(crate) fn parse(kind: ResourceKind, text: &str) -> Result<Self, ApiError> {
        let id = match kind {
            ResourceKind::User => text.parse().ok().map(Self::User),
            ResourceKind::Group => text.parse().ok().map(Self::Group),
        };
        id.ok_or_else(|| ApiError::not_found("there is no such resource"))
    }

    pub(crate) fn kind(&self) -> ResourceKind {
        match self {
            Self::User(_) => ResourceKind::User,
            Self::Group(_) => ResourceKind::Group,
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(formatter),
            Self::Group(id) => id.fmt(formatter),
        }
    }
}

impl From<UserId> for ResourceId {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<GroupId> for ResourceId {
    fn from(id: GroupId) -> Self {
        Self::Group(id)
    }
}

pub(crate) async fn create(
    work: &Work,
    id: ResourceId,
    body: Json,
    projection: &Projection,
) -> Result<Done, ApiError> {
    match id {
        ResourceId::User(id) => users::create(work, id, body, projection).await,
        ResourceId::Group(id) => groups::create(work, id, body, projection).await,
    }
}

pub(crate) async fn get(
    work: &Work,
    id: &ResourceId,
    conditions: &Conditions,
    projection: &Projection,
) -> Result<Done, ApiError> {
    match id {
        ResourceId::User(id) => users::get(work, id, conditions, projection).await,
        ResourceId::Group(id) => groups::get(work, id, conditions, projection).await,
    }
}

/// A group, which may have very many members, is shown only where `is_asked` says so (RFC 7644 section 3.5.2
/// allows either).
pub(crate) async fn change(
    work: &Work,
    id: &ResourceId,
    change: Change,
    conditions: &Conditions,
    projection: &Projection,
    is_asked: bool,
) -> Result<Done, ApiError> {
    match id {
        ResourceId::User(id) => users::change(work, id, change, conditions, projection).await,
        ResourceId::Group(id) => {
            groups::change(work, id, change, conditions, is_asked.then_some(projection)).await
        }
    }
}

pub(crate) async fn delete(work: &Work, id: &ResourceId, conditions: &Conditions) -> Result<Done, ApiError> {
    match id {
        ResourceId::User(id) => users::delete(work, id, conditions).await,
        ResourceId::Group(id) => groups::delete(work, id, conditions).await,
    }
}

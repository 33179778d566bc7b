//! Groups: created, shown, replaced, changed, deleted. Each is one function, which a request of its own and
//! an operation of a bulk request share. Members are read only where they are shown.

use http::StatusCode;
use iam_core::id::GroupId;
use iam_core::provisioning::acts;
use iam_core::record::audit::AuditEvent;
use iam_core::sql::{Answers, Batch, Row, Ticket};
use iam_edge::DbError;
use iam_provisioning::group::{
    Attributes, Creation, Deletion, MAX_MEMBERS, Member, Outcome, ScimGroup, Update, by_id, members,
};
use iam_provisioning::membership::{self, Net};
use iam_provisioning::patch::{self, Operation};
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceKind;
use iam_provisioning::{Deleted, ScimError, ScimErrorKind};
use iam_service::ApiError;
use serde_json::{Value as Json, json};

use crate::guard::Guard;
use crate::message::{Done, refused};
use crate::work::{CHANGE_TRIES, Change, Conditions, Work, precondition_failed};

/// How many members one audit record names; it counts the others.
const MAX_MEMBERS_RECORDED: usize = 100;

pub(crate) async fn create(
    work: &Work,
    group_id: GroupId,
    body: Json,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let schema = work.schema(ResourceKind::Group);
    let (attributes, joining) = Attributes::parse(schema, body).map_err(refused)?;
    let roles = work.rules.roles.roles_of(attributes.display_name());
    let creation = Creation {
        organization: work.organization(),
        group_id: &group_id,
        attributes: &attributes,
        members: &joining,
        mapping: &work.rules.roles,
        now: work.context.now,
    };
    let event =
        work.event(acts::GROUP_CREATE, group_id.as_str())?.detail("changes", attributes.as_changes(schema));
    let event = with_roles(with_members(event, &joining), &roles);
    let mut batch = Batch::new();
    let outcome = creation.create(event, &mut batch);
    let answers = work.db().batch(batch).await.map_err(|error| not_stored(error, &attributes))?;
    match Outcome::read(&row(&answers, outcome)?, None)? {
        Outcome::Done => {}
        outcome => return Err(not_changed(outcome, &attributes)),
    }
    show(work, StatusCode::CREATED, &creation.created(), projection).await
}

pub(crate) async fn get(
    work: &Work,
    group_id: &GroupId,
    conditions: &Conditions,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let mut batch = Batch::new();
    let group = batch.ask(by_id(work.organization(), group_id));
    let members = projection.wants("members").then(|| batch.ask(members(work.organization(), group_id)));
    let answers = work.db().batch(batch).await?;
    let group = answers.one(group)?.ok_or_else(not_found)?;
    conditions.check(&group.entity_tag())?;
    let status =
        if conditions.is_known(&group.entity_tag()) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let members = members.map_or(Ok(Vec::new()), |members| answers.all(members))?;
    Ok(shown(work, status, &group, &members, projection))
}

/// One round trip reads the group without its members, one changes it; one more shows it, where the client
/// asks for that.
pub(crate) async fn change(
    work: &Work,
    group_id: &GroupId,
    change: Change,
    conditions: &Conditions,
    projection: Option<&Projection>,
) -> Result<Done, ApiError> {
    let guard = Guard::of(work, ResourceKind::Group, group_id.as_str(), change.body());
    let wanted = Wanted::read(work, change)?;
    for _ in 0..CHANGE_TRIES {
        let before = read(work, group_id, guard.as_ref()).await?;
        conditions.check(&before.entity_tag())?;
        let (after, members) = wanted.applied(work, &before)?;
        let update = Update {
            organization: work.organization(),
            before: &before,
            after: &after,
            members: &members,
            mapping: &work.rules.roles,
            is_exact: conditions.matches.is_some(),
            now: work.context.now,
        };
        match write(work, &update, guard.as_ref()).await? {
            Outcome::Done | Outcome::Unchanged => return answer(work, group_id, projection).await,
            Outcome::Conflict if conditions.matches.is_some() => return Err(precondition_failed()),
            Outcome::Conflict => {}
            outcome => return Err(not_changed(outcome, &after)),
        }
    }
    let detail = "the group is being changed by somebody else: send the change again";
    Err(ApiError::conflict("version_conflict", detail))
}

async fn write(work: &Work, update: &Update<'_>, guard: Option<&Guard>) -> Result<Outcome, ApiError> {
    let schema = work.schema(ResourceKind::Group);
    let changes = update.before.attributes.changes(schema, update.after);
    if changes.is_empty() && update.members.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    let is_renamed = !changes.is_empty();
    let event = work.event(acts::GROUP_UPDATE, update.before.group_id.as_str())?;
    let event = with_members(event.detail("changes", changes), update.members);
    let event = if is_renamed {
        with_roles(event, &work.rules.roles.roles_of(update.after.display_name()))
    } else {
        event
    };
    let mut batch = Batch::new();
    batch.extend(guard.map(|guard| guard.count(work)));
    let outcome = update.apply(event, &mut batch);
    let answers = work.db().batch(batch).await.map_err(|error| not_stored(error, update.after))?;
    Ok(Outcome::read(&row(&answers, outcome)?, Some(update))?)
}

/// A change whose message was read.
enum Wanted {
    Replace(Json),
    Patch(Vec<Operation>, Net),
}

impl Wanted {
    fn read(work: &Work, change: Change) -> Result<Self, ApiError> {
        Ok(match change {
            Change::Replace(body) => Self::Replace(body),
            Change::Patch(body) => {
                let schema = work.schema(ResourceKind::Group);
                let operations = patch::parse(schema, body).map_err(refused)?;
                let (operations, members) = membership::split(operations).map_err(refused)?;
                Self::Patch(operations, members)
            }
        })
    }

    fn applied(&self, work: &Work, before: &ScimGroup) -> Result<(Attributes, Net), ApiError> {
        let schema = work.schema(ResourceKind::Group);
        match self {
            Self::Replace(body) => before.attributes.replaced(schema, body.clone()),
            Self::Patch(operations, members) => {
                let after = before.attributes.patched(schema, operations.clone());
                after.map(|after| (after, members.clone()))
            }
        }
        .map_err(refused)
    }
}

pub(crate) async fn delete(
    work: &Work,
    group_id: &GroupId,
    conditions: &Conditions,
) -> Result<Done, ApiError> {
    let event = work.event(acts::GROUP_DELETE, group_id.as_str())?;
    let version = match &conditions.matches {
        None => None,
        Some(tags) if tags.iter().any(|tag| tag == "*") => None,
        // A tag of another form is no version's.
        Some(tags) => Some(tags.first().and_then(|tag| read_tag(tag)).unwrap_or((-1, -1))),
    };
    let deletion = Deletion { organization: work.organization(), group_id, version };
    let mut batch = Batch::new();
    let deleted = deletion.delete(event, &mut batch);
    match work.db().batch(batch).await?.one(deleted)? {
        Some(Deleted::Done) => Ok(nothing(work, group_id)),
        Some(Deleted::OtherVersion) => Err(precondition_failed()),
        Some(Deleted::Unknown) | None => Err(not_found()),
    }
}

fn read_tag(tag: &str) -> Option<(i64, i64)> {
    let (version, members_version) = tag.split_once('.')?;
    Some((version.parse().ok()?, members_version.parse().ok()?))
}

async fn read(work: &Work, group_id: &GroupId, guard: Option<&Guard>) -> Result<ScimGroup, ApiError> {
    let mut batch = Batch::new();
    let group = batch.ask(by_id(work.organization(), group_id));
    let repeated = guard.map(|guard| (guard, batch.ask(guard.look(work))));
    let answers = work.db().batch(batch).await?;
    let group = answers.one(group)?.ok_or_else(not_found)?;
    if let Some((guard, repeated)) = repeated {
        guard.check(work, answers.one(repeated)?)?;
    }
    Ok(group)
}

/// The group as it is now, where the client wants to see it: with a great many members that is a great deal.
async fn answer(work: &Work, group_id: &GroupId, projection: Option<&Projection>) -> Result<Done, ApiError> {
    match projection {
        None => Ok(nothing(work, group_id)),
        Some(projection) => get(work, group_id, &Conditions::default(), projection).await,
    }
}

fn nothing(work: &Work, group_id: &GroupId) -> Done {
    let location = format!("{}/Groups/{group_id}", work.base);
    Done { status: StatusCode::NO_CONTENT, location, version: None, resource: None }
}

/// A group that was just created; its members are read where they are shown.
async fn show(
    work: &Work,
    status: StatusCode,
    group: &ScimGroup,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let has_members = group.version.1 > 0 && projection.wants("members");
    let members = match has_members {
        true => work.db().all(members(work.organization(), &group.group_id)).await?,
        false => Vec::new(),
    };
    Ok(shown(work, status, group, &members, projection))
}

fn shown(
    work: &Work,
    status: StatusCode,
    group: &ScimGroup,
    members: &[Member],
    projection: &Projection,
) -> Done {
    let mut resource = group.to_resource(&work.base, members);
    projection.apply(&mut resource);
    let location = format!("{}/Groups/{}", work.base, group.group_id);
    Done { status, location, version: Some(group.entity_tag()), resource: Some(resource) }
}

/// Who comes and who goes, as far as a record holds it.
fn with_members(event: AuditEvent, members: &Net) -> AuditEvent {
    let some = |ids: &std::collections::BTreeSet<String>| {
        let first: Vec<_> = ids.iter().take(MAX_MEMBERS_RECORDED).collect();
        json!({"count": ids.len(), "users": first})
    };
    let event = if members.add.is_empty() { event } else { event.detail("added", some(&members.add)) };
    let event =
        if members.remove.is_empty() { event } else { event.detail("removed", some(&members.remove)) };
    if members.replaces { event.detail("replaces_members", true) } else { event }
}

fn with_roles(event: AuditEvent, roles: &[String]) -> AuditEvent {
    if roles.is_empty() { event } else { event.detail("mapped_roles", roles.to_vec()) }
}

/// What became of a batch: a row that is always there.
fn row(answers: &Answers, outcome: Ticket<Row>) -> Result<Row, ApiError> {
    answers.one(outcome)?.ok_or_else(|| ApiError::internal("a batch answered too little"))
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such group")
}

fn name_taken(attributes: &Attributes) -> ApiError {
    let detail = format!("the group name `{}` is taken", attributes.display_name());
    refused(ScimError::new(ScimErrorKind::Uniqueness, detail))
}

fn not_changed(outcome: Outcome, attributes: &Attributes) -> ApiError {
    match outcome {
        Outcome::NameTaken => name_taken(attributes),
        Outcome::UnknownMembers(unknown) => {
            let detail = format!("`members`: there are no such users: {}", unknown.join(", "));
            refused(ScimError::value(detail))
        }
        Outcome::TooManyMembers => {
            refused(ScimError::value(format!("`members`: a group may have {MAX_MEMBERS} members")))
        }
        Outcome::Gone => not_found(),
        Outcome::Done | Outcome::Unchanged | Outcome::Conflict => {
            ApiError::conflict("version_conflict", "the group changed at the same moment: send it again")
        }
    }
}

/// The one constraint that a client can violate is the unique index on names.
fn not_stored(error: DbError, attributes: &Attributes) -> ApiError {
    match error {
        DbError::Constraint(message) if message.contains("display_name_key") => {
            name_taken(attributes).cause(message)
        }
        error => error.into(),
    }
}

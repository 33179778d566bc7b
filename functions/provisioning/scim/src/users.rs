//! Users: created, shown, replaced, changed, deleted. Each is one function, which a request of its own and an
//! operation of a bulk request share.

use http::StatusCode;
use iam_core::id::UserId;
use iam_core::provisioning::acts;
use iam_core::secret::password;
use iam_core::sign_in::password::change::PasswordOwner;
use iam_core::sign_in::password::policy::{self, Violation};
use iam_core::sql::Batch;
use iam_edge::DbError;
use iam_provisioning::patch::{self, Operation};
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceKind;
use iam_provisioning::user::{Attributes, Creation, Deletion, NewPassword, ScimUser, Update, by_id};
use iam_provisioning::value::Object;
use iam_provisioning::{Deleted, ScimError, ScimErrorKind};
use iam_service::ApiError;
use serde_json::Value as Json;

use crate::guard::Guard;
use crate::message::{Done, refused};
use crate::work::{CHANGE_TRIES, Change, Conditions, Work, precondition_failed};

pub(crate) async fn create(
    work: &Work,
    user_id: UserId,
    body: Json,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let schema = work.schema(ResourceKind::User);
    let (attributes, password) = Attributes::parse(schema, body).map_err(refused)?;
    let password_hash = hash(work, password.as_ref(), &attributes, None)?;
    let configuration = work.context.configuration();
    let creation = Creation {
        organization: work.organization(),
        user_id: &user_id,
        attributes: &attributes,
        password_hash: password_hash.as_deref(),
        deleted_since: work.context.now.before(configuration.directory.deletion_grace),
        now: work.context.now,
    };
    let changes = with_password(attributes.as_changes(schema), password.as_ref());
    let created = work.event(acts::USER_CREATE, user_id.as_str())?.of_user(&user_id);
    let restored = work.event(acts::USER_RESTORE, user_id.as_str())?;
    let events = [created, restored].map(|event| event.detail("changes", changes.clone()));
    let [created, restored] = events;
    let mut batch = Batch::new();
    let user = creation.create(created, restored, &mut batch);
    let answers = work.db().batch(batch).await.map_err(|error| not_stored(error, &attributes))?;
    let user = answers.one(user)?;
    let user = user.ok_or_else(|| ApiError::internal("a user was created and is not there"))?;
    Ok(shown(work, StatusCode::CREATED, &user, projection))
}

pub(crate) async fn get(
    work: &Work,
    user_id: &UserId,
    conditions: &Conditions,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let user = work.db().one(by_id(work.organization(), user_id)).await?.ok_or_else(not_found)?;
    conditions.check(&user.entity_tag())?;
    let status =
        if conditions.is_known(&user.entity_tag()) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    Ok(shown(work, status, &user, projection))
}

/// One round trip reads the user, one changes it if it is still as it was read. A change that changes nothing
/// writes nothing.
pub(crate) async fn change(
    work: &Work,
    user_id: &UserId,
    change: Change,
    conditions: &Conditions,
    projection: &Projection,
) -> Result<Done, ApiError> {
    let guard = Guard::of(work, ResourceKind::User, user_id.as_str(), change.body());
    let wanted = Wanted::read(work, change)?;
    for _ in 0..CHANGE_TRIES {
        let (before, owner) = read(work, user_id, guard.as_ref()).await?;
        conditions.check(&before.entity_tag())?;
        let (after, password) = wanted.applied(work, &before)?;
        let changes = before.attributes.changes(work.schema(ResourceKind::User), &after);
        let changes = with_password(changes, password.as_ref());
        if changes.is_empty() {
            return Ok(shown(work, StatusCode::OK, &before, projection));
        }
        let password_hash = hash(work, password.as_ref(), &after, owner.as_ref())?;
        let update = Update {
            organization: work.organization(),
            before: &before,
            after: &after,
            password_hash: password_hash.as_deref(),
            history_size: work.context.configuration().password.history_size,
            now: work.context.now,
        };
        let act = if update.is_deactivation() { acts::USER_DEACTIVATE } else { acts::USER_UPDATE };
        let event = work.event(act, user_id.as_str())?.of_user(user_id).detail("changes", changes);
        let mut batch = Batch::new();
        batch.extend(guard.as_ref().map(|guard| guard.count(work)));
        let changed = update.apply(event, &mut batch);
        let answers = work.db().batch(batch).await.map_err(|error| not_stored(error, &after))?;
        if answers.did(changed)? {
            return Ok(shown(work, StatusCode::OK, &update.changed(), projection));
        }
        if conditions.matches.is_some() {
            return Err(precondition_failed());
        }
    }
    let detail = "the user is being changed by somebody else: send the change again";
    Err(ApiError::conflict("version_conflict", detail))
}

/// A change whose message was read; what can't be seen from the message alone comes when it is applied.
enum Wanted {
    Replace(Json),
    Patch(Vec<Operation>),
}

impl Wanted {
    fn read(work: &Work, change: Change) -> Result<Self, ApiError> {
        Ok(match change {
            Change::Replace(body) => Self::Replace(body),
            Change::Patch(body) => {
                Self::Patch(patch::parse(work.schema(ResourceKind::User), body).map_err(refused)?)
            }
        })
    }

    fn applied(&self, work: &Work, before: &ScimUser) -> Result<(Attributes, Option<NewPassword>), ApiError> {
        let schema = work.schema(ResourceKind::User);
        match self {
            Self::Replace(body) => before.attributes.replaced(schema, body.clone()),
            Self::Patch(operations) => before.attributes.patched(schema, operations.clone()),
        }
        .map_err(refused)
    }
}

pub(crate) async fn delete(work: &Work, user_id: &UserId, conditions: &Conditions) -> Result<Done, ApiError> {
    let event = work.event(acts::USER_DELETE, user_id.as_str())?.of_user(user_id);
    let version = match &conditions.matches {
        None => None,
        Some(tags) if tags.iter().any(|tag| tag == "*") => None,
        // A tag that is no number is no version's.
        Some(tags) => Some(tags.first().and_then(|tag| tag.parse().ok()).unwrap_or(-1)),
    };
    let deletion = Deletion { organization: work.organization(), user_id, version, now: work.context.now };
    let mut batch = Batch::new();
    let deleted = deletion.delete(event, &mut batch);
    match work.db().batch(batch).await?.one(deleted)? {
        Some(Deleted::Done) => {
            let location = format!("{}/Users/{user_id}", work.base);
            Ok(Done { status: StatusCode::NO_CONTENT, location, version: None, resource: None })
        }
        Some(Deleted::OtherVersion) => Err(precondition_failed()),
        Some(Deleted::Unknown) | None => Err(not_found()),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such user")
}

/// The user, and the passwords it had.
async fn read(
    work: &Work,
    user_id: &UserId,
    guard: Option<&Guard>,
) -> Result<(ScimUser, Option<PasswordOwner>), ApiError> {
    let organization = work.organization();
    let history_size = work.context.configuration().password.history_size;
    let mut batch = Batch::new();
    let user = batch.ask(by_id(organization, user_id));
    let owner = batch.ask(PasswordOwner::by_id(organization, user_id, history_size));
    let repeated = guard.map(|guard| (guard, batch.ask(guard.look(work))));
    let answers = work.db().batch(batch).await?;
    let user = answers.one(user)?.ok_or_else(not_found)?;
    if let Some((guard, repeated)) = repeated {
        guard.check(work, answers.one(repeated)?)?;
    }
    Ok((user, answers.one(owner)?))
}

/// Holds a new password to the policy, with the names the user will have, and hashes it.
fn hash(
    work: &Work,
    password: Option<&NewPassword>,
    attributes: &Attributes,
    owner: Option<&PasswordOwner>,
) -> Result<Option<String>, ApiError> {
    let Some(new) = password else { return Ok(None) };
    let configuration = &work.context.configuration().password;
    let mut violations = policy::check(new, &attributes.password_names(), configuration);
    let former = owner.into_iter().flat_map(PasswordOwner::hashes);
    if violations.is_empty() && policy::is_reused(new, former, password::verify) {
        violations.push(Violation::Reused(configuration.history_size));
    }
    if !violations.is_empty() {
        let rules: Vec<_> = violations.into_iter().map(Violation::detail).collect();
        let detail = format!("`password` must be: {}", rules.join("; "));
        return Err(refused(ScimError::value(detail)));
    }
    Ok(Some(password::hash(new, &work.context.entropy()?, configuration.argon2)?))
}

/// A password is told by its name alone.
fn with_password(mut changes: Object, password: Option<&NewPassword>) -> Object {
    if password.is_some() {
        changes.insert("password".to_owned(), Json::Null);
    }
    changes
}

/// The one constraint that a client can violate is the unique index on user names.
fn not_stored(error: DbError, attributes: &Attributes) -> ApiError {
    match error {
        DbError::Constraint(message) => {
            let detail = format!("the user name `{}` is taken", attributes.username());
            refused(ScimError::new(ScimErrorKind::Uniqueness, detail)).cause(message)
        }
        error => error.into(),
    }
}

fn shown(work: &Work, status: StatusCode, user: &ScimUser, projection: &Projection) -> Done {
    let mut resource = user.to_resource(&work.base);
    projection.apply(&mut resource);
    let location = format!("{}/Users/{}", work.base, user.user_id);
    Done { status, location, version: Some(user.entity_tag()), resource: Some(resource) }
}

//! `/Me`: the signed-in user as a SCIM resource (RFC 7644 section 3.11). It is for people and services with a
//! credential of their own; a SCIM client is no user.

use std::collections::BTreeSet;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use iam_core::permission::{Permission, Scope};
use iam_core::provisioning::acts;
use iam_core::secret::credential::SCIM_TOKEN_PREFIX;
use iam_core::sql::Batch;
use iam_provisioning::patch;
use iam_provisioning::schema::ResourceKind;
use iam_provisioning::user::{Attributes, ScimUser, Update, by_id};
use iam_service::{ApiError, Caller, Context};

use crate::message::{BaseUrl, Done, ScimBody, ScimQuery, Shown, refused};
use crate::work::{Conditions, Rules, precondition_failed};

/// The signed-in user's request.
struct Me {
    context: Context,
    caller: Caller,
    rules: std::sync::Arc<Rules>,
    base: String,
}

impl Me {
    async fn of(
        context: Context,
        headers: &HeaderMap,
        BaseUrl(base): BaseUrl,
        action: &'static str,
    ) -> Result<Self, ApiError> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if bearer.is_some_and(|bearer| bearer.contains(SCIM_TOKEN_PREFIX)) {
            return Err(not_a_user());
        }
        let caller = iam_service::authenticate(&context, headers).await?;
        if !caller.decide(action, "profile").includes(&caller.user_id) {
            return Err(ApiError::forbidden(&Permission::new("profile", action, Scope::Own)));
        }
        let rules = Rules::of(&context)?;
        Ok(Self { context, caller, rules, base })
    }

    async fn read(&self) -> Result<ScimUser, ApiError> {
        let organization = &self.caller.organization;
        let user = self.context.db(organization).one(by_id(organization, &self.caller.user_id)).await?;
        user.ok_or_else(not_a_user)
    }

    fn shown(&self, user: &ScimUser, shown: &Shown, status: StatusCode) -> Result<Response, ApiError> {
        let mut resource = user.to_resource(&self.base);
        shown.projection(self.rules.registry.of(ResourceKind::User))?.apply(&mut resource);
        let location = format!("{}/Users/{}", self.base, user.user_id);
        let version = Some(user.entity_tag());
        Ok(Done { status, location, version, resource: Some(resource) }.into_response())
    }

    /// Changes what the configuration lets people change of themselves, and nothing else.
    async fn change(
        &self,
        before: &ScimUser,
        after: &Attributes,
        has_password: bool,
    ) -> Result<Option<ScimUser>, ApiError> {
        let changes = before.attributes.changes(self.rules.registry.of(ResourceKind::User), after);
        let allowed = &self.context.configuration().scim.self_editable;
        let is_allowed = |name: &str| allowed.iter().any(|it| it.eq_ignore_ascii_case(name));
        let refused: BTreeSet<&str> =
            changes.keys().map(String::as_str).filter(|name| !is_allowed(name)).collect();
        let names: Vec<&str> = refused.into_iter().chain(has_password.then_some("password")).collect();
        if !names.is_empty() {
            let detail = format!("people can't change of themselves here: `{}`", names.join("`, `"));
            return Err(ApiError::new(StatusCode::FORBIDDEN, "attribute_not_editable", detail)
                .scim_type("mutability"));
        }
        if changes.is_empty() {
            return Ok(Some(before.clone()));
        }
        let update = Update {
            organization: &self.caller.organization,
            before,
            after,
            password_hash: None,
            history_size: 0,
            now: self.context.now,
        };
        let event = self.context.audit_by(&self.caller, acts::ME_UPDATE)?;
        let event = event.on(before.user_id.as_str()).detail("changes", changes);
        let mut batch = Batch::new();
        let changed = update.apply(event, &mut batch);
        let answers = self.context.db(&self.caller.organization).batch(batch).await?;
        Ok(answers.did(changed)?.then(|| update.changed()))
    }
}

fn not_a_user() -> ApiError {
    ApiError::not_found("`/Me` is the signed-in user, and this credential is no user's")
}

pub(crate) async fn get(
    context: Context,
    base: BaseUrl,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let me = Me::of(context, &headers, base, "read").await?;
    let user = me.read().await?;
    let is_known = conditions.is_known(&user.entity_tag());
    me.shown(&user, &shown, if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
}

pub(crate) async fn patch(
    context: Context,
    base: BaseUrl,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    headers: HeaderMap,
    ScimBody(body): ScimBody,
) -> Result<Response, ApiError> {
    let me = Me::of(context, &headers, base, "write").await?;
    let before = me.read().await?;
    let schema = me.rules.registry.of(ResourceKind::User);
    let operations = patch::parse(schema, body).map_err(refused)?;
    let changed = before.attributes.patched(schema, operations).map_err(refused)?;
    answer(&me, &before, changed, &conditions, &shown).await
}

pub(crate) async fn put(
    context: Context,
    base: BaseUrl,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    headers: HeaderMap,
    ScimBody(body): ScimBody,
) -> Result<Response, ApiError> {
    let me = Me::of(context, &headers, base, "write").await?;
    let before = me.read().await?;
    let changed = before.attributes.replaced(me.rules.registry.of(ResourceKind::User), body);
    answer(&me, &before, changed.map_err(refused)?, &conditions, &shown).await
}

async fn answer<P>(
    me: &Me,
    before: &ScimUser,
    (after, password): (Attributes, Option<P>),
    conditions: &Conditions,
    shown: &Shown,
) -> Result<Response, ApiError> {
    conditions.check(&before.entity_tag())?;
    match me.change(before, &after, password.is_some()).await? {
        Some(user) => me.shown(&user, shown, StatusCode::OK),
        None if conditions.matches.is_some() => Err(precondition_failed()),
        None => Err(ApiError::conflict("version_conflict", "you changed at the same moment: send it again")),
    }
}

/// Nobody makes or deletes itself (RFC 7644 section 3.11: 501 for what is not offered).
pub(crate) async fn not_offered() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "not_offered",
        "`/Me` can be read and changed, not made or deleted",
    )
}

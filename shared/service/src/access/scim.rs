//! A SCIM client, with one of its bearer tokens.

use std::sync::Arc;

use axum::extract::Request;
use http::HeaderMap;
use iam_core::id::{OrganizationId, ScimClientId, ScimTokenId};
use iam_core::limit::Bearer;
use iam_core::provisioning::client::PresentedScimToken;
use iam_core::secret::credential::SCIM_TOKEN_PREFIX;
use iam_core::sql::Batch;

use super::bearer::bearer;
use super::charge::{Charge, RateLimits};
use super::rule::{Access, Admission, Rule, admitted};
use crate::context::Context;
use crate::request::error::{ApiError, parse_credential};

impl Access {
    /// A SCIM client may call, with its bearer token.
    #[must_use]
    pub fn scim() -> Self {
        Self { rule: Rule::Scim, admit: admit_scim_client }
    }
}

/// The SCIM client that calls.
#[derive(Clone, Debug)]
pub struct ScimClient {
    /// In which organization.
    pub organization: OrganizationId,
    /// Which one.
    pub client_id: ScimClientId,
    /// With which of its tokens.
    pub token_id: ScimTokenId,
    /// What people call it.
    pub name: String,
}

admitted!(ScimClient, "the handler takes a SCIM client, but its route admits anybody");

fn admit_scim_client<'a>(_: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let (client, limits) = authenticate_scim(context, request.headers()).await?;
        request.extensions_mut().insert(Arc::new(client));
        request.extensions_mut().insert(limits);
        Ok(())
    })
}

/// Tells which SCIM client calls, and whether it is within the limits of its token and its organization. One
/// round trip.
async fn authenticate_scim(
    context: &Context,
    headers: &HeaderMap,
) -> Result<(ScimClient, RateLimits), ApiError> {
    let missing = || ApiError::unauthorized("credential_missing", "send the SCIM client's bearer token");
    let credential = parse_credential(SCIM_TOKEN_PREFIX, bearer(headers)?.ok_or_else(missing)?)?;
    let (organization, hash) = (credential.organization(), credential.hash());
    let default_limit = context.configuration().scim.rate_limit_per_minute;
    let charge = Charge::plan(context, organization, Some(Bearer::ScimToken { hash: &hash, default_limit }));
    let mut batch = Batch::new();
    let found = batch.ask(PresentedScimToken::find(organization, &hash));
    let leases = charge.ask(&mut batch);
    let answers = context.db(organization).batch(batch).await?;
    let token = working_token(context, answers.one(found)?).inspect_err(|_| charge.give_back_unsettled())?;
    let limits = charge.settle(token.rate_limit.unwrap_or(default_limit), &leases, &answers)??;
    if token.is_use_due(context.now) {
        let note = PresentedScimToken::note_use(organization, &token.token_id, context.now);
        context.defer_statement(organization, note);
    }
    let PresentedScimToken { client_id, token_id, name, .. } = token;
    Ok((ScimClient { organization: organization.clone(), client_id, token_id, name }, limits))
}

/// The token, if it works.
fn working_token(
    context: &Context,
    token: Option<PresentedScimToken>,
) -> Result<PresentedScimToken, ApiError> {
    let token = token.ok_or_else(|| ApiError::invalid_token("unknown SCIM token"))?;
    if !token.is_valid(context.now) {
        return Err(ApiError::invalid_token("SCIM token expired or revoked"));
    }
    Ok(token)
}

//! Bulk requests (RFC 7644 section 3.7).
//!
//! Ids of what is created are made before anything runs, so a reference to a `bulkId` is one to an id,
//! forward and in circles too. An operation runs after those that it refers to, as far as they don't go
//! round; answers come in the order of the request.

mod operation;
mod order;

use std::collections::HashMap;

use axum::response::Response;
use http::StatusCode;
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceKind;
use iam_provisioning::{ScimError, ScimErrorKind};
use iam_service::ApiError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::message::{Done, MEDIA_TYPE, ScimBody, refused};
use crate::resource::{self, ResourceId};
use crate::work::{Change, Conditions, Work};

use operation::{Method, Operation, Target};

/// How many operations one request may have. Each takes up to four round trips.
pub(crate) const MAX_OPERATIONS: usize = 100;

const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// Many changes at once. They are not one transaction: each happens or not by itself.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkRequest {
    schemas: Vec<String>,
    /// After so many failures nothing more is done; without it everything is tried.
    fail_on_errors: Option<u32>,
    /// `method`, `path`, `bulkId`, `data` and `version` each.
    #[serde(rename = "Operations")]
    operations: Vec<Json>,
}

/// What became of each operation that was tried.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BulkResponse {
    schemas: [&'static str; 1],
    #[serde(rename = "Operations")]
    operations: Vec<BulkAnswer>,
}

/// What became of one operation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkAnswer {
    /// POST, PUT, PATCH or DELETE.
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// The HTTP status, as text.
    status: String,
    /// The error, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Json>,
}

pub(crate) async fn bulk(work: Work, ScimBody(body): ScimBody) -> Result<Response, ApiError> {
    let request: BulkRequest = serde_json::from_value(body)
        .map_err(|error| refused(ScimError::syntax(format!("the bulk request is malformed: {error}"))))?;
    if !request.schemas.iter().any(|schema| schema.eq_ignore_ascii_case(REQUEST_URN)) {
        return Err(refused(ScimError::syntax(format!("`schemas` must name `{REQUEST_URN}`"))));
    }
    if request.operations.len() > MAX_OPERATIONS {
        let detail = format!("a bulk request may have {MAX_OPERATIONS} operations");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_operations", detail));
    }
    let operations: Vec<Result<Operation, ScimError>> =
        request.operations.into_iter().map(Operation::read).collect();
    let operations = Run::new(&work, operations)?.all(request.fail_on_errors).await;
    Ok(iam_service::body(&BulkResponse { schemas: [RESPONSE_URN], operations }, MEDIA_TYPE))
}

/// The operations of one request, on their way.
struct Run<'a> {
    work: &'a Work,
    operations: Vec<Result<Operation, ScimError>>,
    /// The id of what each `bulkId` creates.
    ids: HashMap<String, String>,
    /// The `bulkId`s whose creation failed.
    failed: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(work: &'a Work, operations: Vec<Result<Operation, ScimError>>) -> Result<Self, ApiError> {
        let mut ids = HashMap::new();
        for operation in operations.iter().flatten() {
            if let (Method::Post, Some(bulk_id)) = (operation.method, &operation.bulk_id) {
                let id = ResourceId::new(work, operation.target.kind())?.to_string();
                if ids.insert(bulk_id.clone(), id).is_some() {
                    let detail = "each `bulkId` of a request must be its own";
                    return Err(refused(ScimError::value(detail)));
                }
            }
        }
        Ok(Self { work, operations, ids, failed: Vec::new() })
    }

    /// Runs them until too many failed. Answers stand where their operations stand.
    async fn all(mut self, fail_on_errors: Option<u32>) -> Vec<BulkAnswer> {
        let mut answers: Vec<Option<BulkAnswer>> = self.operations.iter().map(|_| None).collect();
        let mut failures = 0;
        for index in order::of(&self.operations) {
            let answer = self.one(index).await;
            let is_failure = answer.response.is_some();
            if let Some(place) = answers.get_mut(index) {
                *place = Some(answer);
            }
            failures += u32::from(is_failure);
            if is_failure && fail_on_errors.is_some_and(|most| failures >= most.max(1)) {
                break;
            }
        }
        answers.into_iter().flatten().collect()
    }

    async fn one(&mut self, index: usize) -> BulkAnswer {
        let operation = match self.operations.get(index) {
            Some(Ok(operation)) => operation.clone(),
            Some(Err(error)) => return BulkAnswer::failed(None, &refused(error.clone())),
            None => return BulkAnswer::failed(None, &ApiError::internal("an operation is missing")),
        };
        match self.run(&operation).await {
            Ok(done) => {
                if let (Some(bulk_id), Some(id)) = (&operation.bulk_id, done.location.rsplit('/').next())
                    && operation.method == Method::Post
                {
                    self.ids.insert(bulk_id.clone(), id.to_owned());
                }
                BulkAnswer::done(&operation, done)
            }
            Err(error) => {
                self.failed.extend(operation.bulk_id.clone());
                BulkAnswer::failed(Some(&operation), &error)
            }
        }
    }

    async fn run(&self, operation: &Operation) -> Result<Done, ApiError> {
        let resolved = operation.resolved(&self.ids, &self.failed).map_err(refused)?;
        let conditions = Conditions::of_version(resolved.version.as_deref());
        let data = resolved.data.unwrap_or(Json::Null);
        let projection = self.projection(resolved.target.kind())?;
        match (resolved.method, resolved.target) {
            (Method::Post, Target::Endpoint(kind)) => {
                let id = resolved.bulk_id.as_ref().and_then(|bulk_id| self.ids.get(bulk_id));
                let id = id.ok_or_else(|| ApiError::internal("a creation without an id"))?;
                let id = ResourceId::parse(kind, id)?;
                resource::create(self.work, id, data, &projection).await
            }
            (method, Target::Resource(kind, id)) => {
                let id = ResourceId::parse(kind, &id)?;
                let change = match method {
                    Method::Put => Change::Replace(data),
                    Method::Patch => Change::Patch(data),
                    Method::Delete => return resource::delete(self.work, &id, &conditions).await,
                    Method::Post => return Err(misplaced(method)),
                };
                resource::change(self.work, &id, change, &conditions, &projection, false).await
            }
            (method, Target::Endpoint(_)) => Err(misplaced(method)),
        }
    }

    /// What is read of a resource to tell its address and its version: of a group no members.
    fn projection(&self, kind: ResourceKind) -> Result<Projection, ApiError> {
        let attributes = match kind {
            ResourceKind::User => None,
            ResourceKind::Group => Some("id"),
        };
        Projection::parse(self.work.schema(kind), attributes, None).map_err(refused)
    }
}

fn misplaced(method: Method) -> ApiError {
    let detail = format!("{} does not go with this `path`", method.as_str());
    refused(ScimError::new(ScimErrorKind::InvalidSyntax, detail))
}

impl BulkAnswer {
    fn done(operation: &Operation, done: Done) -> Self {
        Self {
            method: operation.method.as_str().to_owned(),
            bulk_id: operation.bulk_id.clone(),
            version: done.version,
            location: Some(done.location),
            status: done.status.as_u16().to_string(),
            response: None,
        }
    }

    fn failed(operation: Option<&Operation>, error: &ApiError) -> Self {
        Self {
            method: operation.map_or("", |operation| operation.method.as_str()).to_owned(),
            bulk_id: operation.and_then(|operation| operation.bulk_id.clone()),
            version: None,
            location: None,
            status: error.status().as_u16().to_string(),
            response: Some(json!(error.to_scim())),
        }
    }
}

//! Lists by GET and by `POST …/.search` (RFC 7644 sections 3.4.2 and 3.4.3).

use axum::response::Response;
use iam_core::sql::{Batch, FromRow as _, Row};
use iam_provisioning::ScimErrorKind;
use iam_provisioning::filter::parse;
use iam_provisioning::group::{ListedMember, Member, ScimGroup};
use iam_provisioning::page::{Cursor, FoundPage, Order, Page, PageError, Position, question};
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::ResourceKind;
use iam_provisioning::user::ScimUser;
use iam_provisioning::value::Object;
use iam_service::ApiError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::HashMap;

use crate::message::{ListResponse, ScimBody, ScimQuery, refused};
use crate::work::Work;

/// Which resources, in which order, and what of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListQuery {
    /// Which (RFC 7644 section 3.4.2.2).
    filter: Option<String>,
    /// By which attribute they are ordered; by when they were created without it.
    sort_by: Option<String>,
    /// `ascending` or `descending`.
    sort_order: Option<String>,
    /// The number of the first one, from 1.
    start_index: Option<i64>,
    /// How many at most: 100 without it, never more than 200.
    count: Option<i64>,
    /// Empty for the first page of a list with cursors (RFC 9865), then the `nextCursor` of the page before.
    cursor: Option<String>,
    /// These attributes alone, separated by commas.
    attributes: Option<String>,
    /// All attributes but these, separated by commas.
    excluded_attributes: Option<String>,
}

/// The body of `POST …/.search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchRequest {
    schemas: Vec<String>,
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    cursor: Option<String>,
    attributes: Option<Vec<String>>,
    excluded_attributes: Option<Vec<String>>,
}

const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

impl SearchRequest {
    pub(crate) fn read(body: Json) -> Result<ListQuery, ApiError> {
        let request: Self = serde_json::from_value(body).map_err(|error| {
            let kind = ScimErrorKind::InvalidSyntax.as_str();
            ApiError::bad_request(kind, format!("the search request is malformed: {error}")).scim_type(kind)
        })?;
        if !request.schemas.iter().any(|schema| schema.eq_ignore_ascii_case(SEARCH_URN)) {
            let detail = format!("`schemas` must name `{SEARCH_URN}`");
            return Err(refused(iam_provisioning::ScimError::syntax(detail)));
        }
        let joined = |names: Option<Vec<String>>| names.map(|names| names.join(","));
        Ok(ListQuery {
            filter: request.filter,
            sort_by: request.sort_by,
            sort_order: request.sort_order,
            start_index: request.start_index,
            count: request.count,
            cursor: request.cursor,
            attributes: joined(request.attributes),
            excluded_attributes: joined(request.excluded_attributes),
        })
    }
}

/// A list of one kind.
pub(crate) async fn list(work: Work, kind: ResourceKind, query: ListQuery) -> Result<Response, ApiError> {
    let asked = Asked::new(&work, kind, &query)?;
    let found = asked.find(&work).await?;
    let start_index = match asked.page.position {
        Position::Index(start_index) => Some(start_index),
        Position::Beginning | Position::After(_) => None,
    };
    let list = ListResponse::new(found.total, start_index, found.resources);
    Ok(list.followed_by(found.next_cursor).into_response())
}

/// The same, by a question in the body.
pub(crate) async fn search(work: Work, kind: ResourceKind, body: Json) -> Result<Response, ApiError> {
    list(work, kind, SearchRequest::read(body)?).await
}

/// Users, and behind them groups.
pub(crate) async fn list_all(
    work: Work,
    ScimQuery(query): ScimQuery<ListQuery>,
) -> Result<Response, ApiError> {
    everything(&work, query).await
}

/// The same, by a question in the body.
pub(crate) async fn search_all(work: Work, ScimBody(body): ScimBody) -> Result<Response, ApiError> {
    everything(&work, SearchRequest::read(body)?).await
}

/// A question for one kind of resource.
struct Asked {
    page: Page,
    projection: Projection,
    question: String,
}

/// What it found.
struct Found {
    total: i64,
    resources: Vec<Object>,
    next_cursor: Option<String>,
}

impl Asked {
    fn new(work: &Work, kind: ResourceKind, query: &ListQuery) -> Result<Self, ApiError> {
        let schema = work.schema(kind);
        let projection =
            Projection::parse(schema, query.attributes.as_deref(), query.excluded_attributes.as_deref())
                .map_err(refused)?;
        let filter = query.filter.as_deref().map(|text| parse::parse(schema, text)).transpose();
        let filter = filter.map_err(refused)?;
        let order =
            Order::parse(schema, query.sort_by.as_deref(), query.sort_order.as_deref()).map_err(refused)?;
        let question =
            question(kind, query.filter.as_deref(), query.sort_by.as_deref(), order.is_descending());
        let position = match query.cursor.as_deref() {
            None => Position::Index(Page::bounded_start(query.start_index)),
            Some("") => Position::Beginning,
            Some(cursor) => Position::After(Cursor::parse(cursor, &question).map_err(refused)?),
        };
        let page = Page {
            kind,
            filter,
            order,
            position,
            count: Page::bounded_count(query.count),
            has_members: projection.wants(match kind {
                ResourceKind::User => "groups",
                ResourceKind::Group => "members",
            }),
            max_scanned: work.context.configuration().scim.max_scanned,
        };
        Ok(Self { page, projection, question })
    }

    /// One round trip.
    async fn find(&self, work: &Work) -> Result<Found, ApiError> {
        let mut batch = Batch::new();
        let asked = self.page.ask(work.organization(), &mut batch);
        let answers = work.db().batch(batch).await?;
        let FoundPage { total, rows, members } = asked.read(&answers).map_err(|error| match error {
            PageError::Refused(error) => refused(error),
            PageError::Row(error) => error.into(),
        })?;
        let mut resources = match self.page.kind {
            ResourceKind::User => rows
                .iter()
                .map(|row| Ok(ScimUser::from_row(row)?.to_resource(&work.base)))
                .collect::<Result<Vec<_>, ApiError>>()?,
            ResourceKind::Group => with_members(work, &rows, members)?,
        };
        for resource in &mut resources {
            self.projection.apply(resource);
        }
        let next_cursor = self.next_cursor(rows.last(), rows.len())?;
        Ok(Found { total, resources, next_cursor })
    }

    /// A page that is not full is the last one, unless it ended for its groups' members.
    fn next_cursor(&self, last: Option<&Row>, shown: usize) -> Result<Option<String>, ApiError> {
        let is_full = u32::try_from(shown).unwrap_or(u32::MAX) >= self.page.count;
        let is_cut = self.page.kind == ResourceKind::Group && self.page.has_members;
        match (&self.page.position, last) {
            (Position::Beginning | Position::After(_), Some(last)) if is_full || is_cut => {
                let id = match self.page.kind {
                    ResourceKind::User => "user_id",
                    ResourceKind::Group => "group_id",
                };
                Ok(Some(Cursor::after(last, id, &self.question)?))
            }
            _ => Ok(None),
        }
    }
}

/// Groups, each with those of the members that are its own.
fn with_members(work: &Work, rows: &[Row], members: Vec<ListedMember>) -> Result<Vec<Object>, ApiError> {
    let mut by_group: HashMap<String, Vec<Member>> = HashMap::new();
    for ListedMember { group_id, member } in members {
        by_group.entry(group_id).or_default().push(member);
    }
    let with_its_own = |row: &Row| {
        let group = ScimGroup::from_row(row)?;
        let members = by_group.remove(group.group_id.as_str()).unwrap_or_default();
        Ok(group.to_resource(&work.base, &members))
    };
    rows.iter().map(with_its_own).collect()
}

/// Two round trips: how many users there are tells where the groups begin.
async fn everything(work: &Work, query: ListQuery) -> Result<Response, ApiError> {
    if query.cursor.is_some() {
        let kind = ScimErrorKind::InvalidCursor.as_str();
        let detail = "cursors go with `/Users` and `/Groups`, not with both together";
        return Err(ApiError::bad_request(kind, detail).scim_type(kind));
    }
    let start_index = Page::bounded_start(query.start_index);
    let count = i64::from(Page::bounded_count(query.count));
    let users = Asked::new(work, ResourceKind::User, &query);
    let groups = Asked::new(work, ResourceKind::Group, &query);
    let (mut total, mut resources) = (0, Vec::new());
    // What one kind has no attribute for, none of it matches.
    match (users, groups) {
        (Err(error), Err(_)) => return Err(error),
        (users, groups) => {
            if let Ok(users) = users {
                let found = users.find(work).await?;
                total = found.total;
                resources = found.resources;
            }
            if let Ok(mut groups) = groups {
                let shown = i64::try_from(resources.len()).unwrap_or(i64::MAX);
                groups.page.position = Position::Index(start_index.saturating_sub(total).max(1));
                groups.page.count = u32::try_from(count.saturating_sub(shown)).unwrap_or_default();
                let found = groups.find(work).await?;
                total = total.saturating_add(found.total);
                resources.extend(found.resources);
            }
        }
    }
    Ok(ListResponse::new(total, Some(start_index), resources).into_response())
}

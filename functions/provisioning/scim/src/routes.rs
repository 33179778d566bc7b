//! The routes of users and of groups: the same ones, in other words.

use std::str::FromStr;

use axum::response::{IntoResponse as _, Response};
use iam_core::id::{GroupId, UserId};
use iam_provisioning::schema::ResourceKind;
use iam_service::{Access, ApiError, Function, Id, Route};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::document::{GroupResource, PatchRequest, UserResource};
use crate::message::{ListResponse, MEDIA_TYPE, ScimBody, ScimQuery, Shown};
use crate::resource::{self, ResourceId};
use crate::search::{self, ListQuery, SearchRequest};
use crate::work::{CHANGE_ROUND_TRIPS, Change, Conditions, Work};

/// A kind of resource, as its routes tell of it.
pub(crate) trait Resource: JsonSchema + Serialize {
    /// Which.
    const KIND: ResourceKind;
    /// How its routes are described.
    const WORDS: Words;
    /// What tells one from others.
    type Id: FromStr + Into<ResourceId> + Send + 'static;
}

/// How the routes of one kind are described. Where there are two texts, the second is what the first does not
/// say.
pub(crate) struct Words {
    all: &'static str,
    one: &'static str,
    searched: &'static str,
    create: (&'static str, Option<&'static str>),
    list: (&'static str, Option<&'static str>),
    search: &'static str,
    page: &'static str,
    show: &'static str,
    it: &'static str,
    replace: (&'static str, Option<&'static str>),
    now: &'static str,
    patch: (&'static str, &'static str),
    delete: (&'static str, Option<&'static str>),
    /// How many round trips it takes to show one that was just written.
    showing: u32,
}

impl Resource for UserResource {
    const KIND: ResourceKind = ResourceKind::User;
    const WORDS: Words = Words {
        all: "/api/scim/v2/Users",
        one: "/api/scim/v2/Users/{id}",
        searched: "/api/scim/v2/Users/.search",
        create: (
            "Creates a user",
            Some(
                "A user that was deleted lately and had the same `externalId` comes back under its former \
                 id, with nothing else of what it had.",
            ),
        ),
        list: ("Lists users", None),
        search: "Lists users, by a question in the body",
        page: "A page of users",
        show: "Shows a user",
        it: "The user",
        replace: ("Replaces a user", Some("What is absent goes, but for `active` and the password.")),
        now: "The user as it is now",
        patch: (
            "Changes a user",
            "All operations or none. Who is deactivated or gets a new password is signed out everywhere.",
        ),
        delete: (
            "Deletes a user",
            Some("It is signed out everywhere, its keys end, and its user name is free again."),
        ),
        showing: 0,
    };
    type Id = UserId;
}

impl Resource for GroupResource {
    const KIND: ResourceKind = ResourceKind::Group;
    const WORDS: Words = Words {
        all: "/api/scim/v2/Groups",
        one: "/api/scim/v2/Groups/{id}",
        searched: "/api/scim/v2/Groups/.search",
        create: ("Creates a group", None),
        list: (
            "Lists groups",
            Some(
                "A page ends early where its groups have very many members. `excludedAttributes=members` \
                 spares them.",
            ),
        ),
        search: "Lists groups, by a question in the body",
        page: "A page of groups",
        show: "Shows a group",
        it: "The group",
        replace: ("Replaces a group and who is in it", None),
        now: "The group as it is now",
        patch: (
            "Changes a group, or who is in it",
            "All operations or none. Shows the group where `attributes` or `excludedAttributes` is given.",
        ),
        delete: ("Deletes a group", None),
        showing: 1,
    };
    type Id = GroupId;
}

/// Adds the routes of one kind of resource.
pub(crate) fn of<R: Resource>(function: Function) -> Function {
    let Words { all, one, searched, .. } = R::WORDS;
    let routes = [
        creating::<R>(all),
        listing::<R>(all),
        searching::<R>(searched),
        showing::<R>(one),
        replacing::<R>(one),
        patching::<R>(one),
        deleting::<R>(one),
    ];
    routes.into_iter().fold(function, |function, route| function.route(route.scim_errors()))
}

fn described(route: Route, (summary, description): (&'static str, Option<&'static str>)) -> Route {
    let route = route.summary(summary);
    match description {
        Some(description) => route.description(description),
        None => route,
    }
}

fn creating<R: Resource>(path: &'static str) -> Route {
    let handler = |work: Work, ScimQuery(shown): ScimQuery<Shown>, ScimBody(body): ScimBody| {
        create(work, R::KIND, shown, body)
    };
    described(Route::post(path, Access::scim(), handler), R::WORDS.create)
        .takes_as::<R>(MEDIA_TYPE)
        .takes_query::<Shown>()
        .gives_as::<R>(201, MEDIA_TYPE, "Created")
        .round_trips(2 + R::WORDS.showing)
}

fn listing<R: Resource>(path: &'static str) -> Route {
    let handler = |work: Work, ScimQuery(query): ScimQuery<ListQuery>| search::list(work, R::KIND, query);
    described(Route::get(path, Access::scim(), handler), R::WORDS.list)
        .takes_query::<ListQuery>()
        .gives_as::<ListResponse<R>>(200, MEDIA_TYPE, R::WORDS.page)
        .round_trips(2)
}

fn searching<R: Resource>(path: &'static str) -> Route {
    let handler = |work: Work, ScimBody(body): ScimBody| search::search(work, R::KIND, body);
    Route::post(path, Access::scim(), handler)
        .summary(R::WORDS.search)
        .takes_as::<SearchRequest>(MEDIA_TYPE)
        .gives_as::<ListResponse<R>>(200, MEDIA_TYPE, R::WORDS.page)
        .round_trips(2)
}

fn showing<R: Resource>(path: &'static str) -> Route {
    let handler = |work: Work,
                   conditions: Conditions,
                   ScimQuery(shown): ScimQuery<Shown>,
                   Id(id): Id<R::Id>| get(work, conditions, shown, id.into());
    Route::get(path, Access::scim(), handler)
        .summary(R::WORDS.show)
        .takes_query::<Shown>()
        .gives_as::<R>(200, MEDIA_TYPE, R::WORDS.it)
        .answers(304, "It is in a version of `If-None-Match`")
        .round_trips(2)
}

fn replacing<R: Resource>(path: &'static str) -> Route {
    let handler =
        |work: Work,
         conditions: Conditions,
         ScimQuery(shown): ScimQuery<Shown>,
         Id(id): Id<R::Id>,
         ScimBody(body): ScimBody| change(work, conditions, shown, id.into(), Change::Replace(body));
    described(Route::put(path, Access::scim(), handler), R::WORDS.replace)
        .takes_as::<R>(MEDIA_TYPE)
        .takes_query::<Shown>()
        .gives_as::<R>(200, MEDIA_TYPE, R::WORDS.now)
        .round_trips(1 + CHANGE_ROUND_TRIPS + R::WORDS.showing)
}

fn patching<R: Resource>(path: &'static str) -> Route {
    let handler =
        |work: Work,
         conditions: Conditions,
         ScimQuery(shown): ScimQuery<Shown>,
         Id(id): Id<R::Id>,
         ScimBody(body): ScimBody| change(work, conditions, shown, id.into(), Change::Patch(body));
    let (summary, description) = R::WORDS.patch;
    let route = described(Route::patch(path, Access::scim(), handler), (summary, Some(description)))
        .takes_as::<PatchRequest>(MEDIA_TYPE)
        .takes_query::<Shown>()
        .gives_as::<R>(200, MEDIA_TYPE, R::WORDS.now)
        .round_trips(1 + CHANGE_ROUND_TRIPS + R::WORDS.showing);
    match R::KIND {
        ResourceKind::User => route,
        ResourceKind::Group => route.answers(204, "Changed"),
    }
}

fn deleting<R: Resource>(path: &'static str) -> Route {
    let handler = |work: Work, conditions: Conditions, Id(id): Id<R::Id>| delete(work, conditions, id.into());
    described(Route::delete(path, Access::scim(), handler), R::WORDS.delete)
        .answers(204, "Deleted")
        .round_trips(2)
}

type Answer = Result<Response, ApiError>;

async fn create(work: Work, kind: ResourceKind, shown: Shown, body: Json) -> Answer {
    let projection = shown.projection(work.schema(kind))?;
    let id = ResourceId::new(&work, kind)?;
    Ok(resource::create(&work, id, body, &projection).await?.into_response())
}

async fn get(work: Work, conditions: Conditions, shown: Shown, id: ResourceId) -> Answer {
    let projection = shown.projection(work.schema(id.kind()))?;
    Ok(resource::get(&work, &id, &conditions, &projection).await?.into_response())
}

async fn change(work: Work, conditions: Conditions, shown: Shown, id: ResourceId, change: Change) -> Answer {
    let projection = shown.projection(work.schema(id.kind()))?;
    let is_asked = shown.is_asked() || matches!(change, Change::Replace(_));
    let done = resource::change(&work, &id, change, &conditions, &projection, is_asked).await?;
    Ok(done.into_response())
}

async fn delete(work: Work, conditions: Conditions, id: ResourceId) -> Answer {
    Ok(resource::delete(&work, &id, &conditions).await?.into_response())
}

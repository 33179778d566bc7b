//! What a function is: its routes, each declared once with who may call it, what it costs and what it takes
//! and gives. Routing, access control, the deployment manifests and the OpenAPI document all follow from
//! this.

#[cfg(not(target_family = "wasm"))]
pub mod catalogue;
#[cfg(not(target_family = "wasm"))]
mod documentation;
mod job;
#[cfg(not(target_family = "wasm"))]
mod reference;
mod route;
mod route_documentation;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use iam_core::config::Area;

pub use job::{Budget, Job, Progress, Schedule, Step};
use job::{Scheduled, no_such_job};
pub(crate) use route::Declaration;
pub use route::Route;

use crate::access::{Access, RateLimits, Rule};
use crate::context::Context;
use crate::instance::flags::Opening;
use crate::instance::{INTERNAL_TOKEN, MASTER_KEY, MASTER_KEY_PREVIOUS};
use crate::operation::notification::NOTIFICATION_TOKEN;
use crate::request::error::ApiError;
use crate::request::query::Id;

/// One deployable module: a family of routes, and jobs.
pub struct Function {
    /// Its name: the folder under `functions/`, the Worker, the Spin component.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    pub(crate) routes: Vec<Arc<Declaration>>,
    pub(crate) jobs: Arc<[Job]>,
    pub(crate) schedules: Vec<Scheduled>,
    pub(crate) uses: Uses,
    pub(crate) router: Router,
    opening: Opening,
}

/// What a function needs of its host, for the manifests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) database: bool,
    pub(crate) key_value: bool,
    /// Whether it seals or opens: an instance looks the master keys up then.
    pub(crate) master_key: bool,
    pub(crate) secrets: Vec<&'static str>,
    pub(crate) outbound: Vec<&'static str>,
    pub(crate) calls: Vec<&'static str>,
}

impl Function {
    /// A function without routes yet. Every function hands its telemetry to `metrics-push`.
    #[must_use]
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        let uses = Uses { calls: vec!["metrics-push"], secrets: vec![INTERNAL_TOKEN], ..Uses::default() };
        Self {
            name,
            summary,
            routes: Vec::new(),
            jobs: Arc::default(),
            schedules: Vec::new(),
            uses,
            router: Router::new(),
            opening: Opening::Never,
        }
    }

    /// Its routes, those that follow, belong to a part of the product that maintenance may leave open
    /// (`operational.maintenance_serves`). Others are closed then, internal ones excepted.
    #[must_use]
    pub fn area(mut self, area: Area) -> Self {
        self.opening = Opening::Of(area);
        self
    }

    /// Its routes, those that follow, are served during maintenance too.
    #[must_use]
    pub fn always_open(mut self) -> Self {
        self.opening = Opening::Always;
        self
    }

    /// It uses the database.
    #[must_use]
    pub fn uses_database(mut self) -> Self {
        self.uses.database = true;
        self
    }

    /// It uses the key-value cache.
    #[must_use]
    pub fn uses_key_value(mut self) -> Self {
        self.uses.key_value = true;
        self
    }

    /// It seals or opens what is sealed: it needs the master key, and while that is rotated the
    /// previous one.
    #[must_use]
    pub fn uses_master_key(mut self) -> Self {
        self.uses.master_key = true;
        self.uses_secret(MASTER_KEY).uses_secret(MASTER_KEY_PREVIOUS)
    }

    /// It needs a secret by this name ([`Context::secret`]), from whichever store has it: the host, or a
    /// Vault through the function `secrets`.
    #[must_use]
    pub fn uses_secret(self, name: &'static str) -> Self {
        self.uses_host_secret(name).calls("secrets")
    }

    /// It needs a secret by this name, and of the host alone.
    #[must_use]
    pub fn uses_host_secret(mut self, name: &'static str) -> Self {
        self.uses.secrets.push(name);
        self
    }

    /// It calls another function over the host's internal call, beside those it calls anyway.
    fn calls(mut self, function: &'static str) -> Self {
        if !self.uses.calls.contains(&function) {
            self.uses.calls.push(function);
        }
        self
    }

    /// It sends messages to people.
    #[must_use]
    pub fn uses_notifications(self) -> Self {
        self.uses_secret(NOTIFICATION_TOKEN).connects_to(&["http://*:*", "https://*:*"])
    }

    /// It reads neither configuration nor secrets: it only passes requests on.
    #[must_use]
    pub fn uses_no_secrets(mut self) -> Self {
        self.uses.secrets.clear();
        self
    }

    /// It connects to these hosts, as Spin's `allowed_outbound_hosts` writes them.
    #[must_use]
    pub fn connects_to(mut self, hosts: &[&'static str]) -> Self {
        self.uses.outbound.extend(hosts);
        self
    }

    /// It calls other functions over the host's internal call, and no others than these.
    #[must_use]
    pub fn calls_only(mut self, functions: &[&'static str]) -> Self {
        self.uses.calls = functions.to_vec();
        self
    }

    /// Adds a route, its access check in front of its handler.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        let mut declaration = route.declaration;
        declaration.opening = match declaration.access.rule {
            Rule::Internal => Opening::Always,
            _ => self.opening,
        };
        let declaration = Arc::new(declaration);
        let guarded = route.handler.layer(middleware::from_fn_with_state(Arc::clone(&declaration), guard));
        self.router = self.router.route(declaration.path, guarded);
        self.routes.push(declaration);
        self
    }

    /// Its jobs. The clock has them run over the host's internal call.
    #[must_use]
    pub fn jobs(mut self, jobs: impl IntoIterator<Item = Job>) -> Self {
        self.jobs = jobs.into_iter().collect();
        let jobs = Arc::clone(&self.jobs);
        let most = jobs.iter().map(|job| job.round_trips).max().unwrap_or_default();
        let run = move |context: Context, Id(name): Id<String>| {
            let jobs = Arc::clone(&jobs);
            async move {
                let job = jobs.iter().find(|job| job.name == name).ok_or_else(no_such_job)?;
                job.run(&context).await.map(|()| StatusCode::NO_CONTENT)
            }
        };
        self.route(
            Route::post("/internal/jobs/{job}", Access::internal(), run)
                .summary("Runs a job of this function")
                .answers(204, "The job ran")
                .round_trips(most)
                .internal_only(),
        )
    }

    /// The jobs of all functions, and when each runs: by cron on Workers, on any host whenever somebody with
    /// the internal token calls `POST /internal/scheduled/{job}`.
    #[must_use]
    pub fn schedules(mut self, schedules: &'static [Schedule]) -> Self {
        for schedule in schedules {
            self = self.calls(schedule.function);
            self.schedules.push(Scheduled::new(schedule));
        }
        let run = move |context: Context, Id(name): Id<String>| async move {
            let schedule = schedules.iter().find(|schedule| schedule.job == name).ok_or_else(no_such_job)?;
            schedule.start(context).await.map(|()| StatusCode::NO_CONTENT)
        };
        self.route(
            Route::post("/internal/scheduled/{job}", Access::internal(), run)
                .summary("Runs a scheduled job now")
                .description(
                    "For hosts without cron, and for schedulers of your own. Running it twice does no harm.",
                )
                .answers(204, "The job ran"),
        )
    }
}

/// Admits the caller or not, and notes on the answer which route it came from and which limits it counts
/// towards.
async fn guard(State(declaration): State<Arc<Declaration>>, request: Request, next: Next) -> Response {
    let answer = admitted(&declaration, request, next).await;
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(declaration);
    response
}

async fn admitted(declaration: &Declaration, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let missing = || ApiError::internal("request without a context");
    let context = request.extensions().get::<Context>().cloned().ok_or_else(missing)?;
    // Flags come with an answer of the database. So they are looked at before the caller is, once that was
    // looked up, and once more where the handler's own question was the first.
    context.check_maintenance_first(declaration.opening).await?;
    (declaration.access.admit)(declaration.access.rule, &context, &mut request).await?;
    context.check_maintenance(declaration.opening)?;
    let limits = request.extensions_mut().remove::<RateLimits>();
    let mut response = next.run(request).await;
    context.check_maintenance(declaration.opening)?;
    if let Some(limits) = limits {
        limits.write(response.headers_mut());
    }
    Ok(response)
}

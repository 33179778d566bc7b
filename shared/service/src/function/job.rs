//! Jobs: what a function does by itself when the clock says so.
//!
//! A job is a list of steps, and a step is a function of a context *and one organization*. Who is due is
//! asked in one place, of the deployment's database; everything else is the organization's own. One runner
//! runs all jobs: each step gets its share of a run's round trips, each organization that is due is served in
//! its turn, what fails is reported and keeps neither the other organizations nor the steps behind it from
//! their work, and what a run leaves over, the next one takes. So a step must bear being run twice, and twice
//! at once.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use iam_core::due::{DUE_ROWS, Due, SWEEP_BATCH, Sweep};
use iam_core::id::OrganizationId;
use iam_core::sql::{Batch, Query, Value};
use iam_core::time::{Duration, Timestamp};
use iam_edge::FetchLimits;

use crate::context::Context;
use crate::request::error::ApiError;

/// How many round trips one run takes at most, where its job says nothing else. Nobody waits for a job, but
/// it must end.
const MAX_JOB_ROUND_TRIPS: u32 = 64;

/// For how long a run takes up new work: with a peer that hangs it ends before whoever started it gives up.
const RUN_TIME: Duration = Duration::from_seconds(15);

/// How long the clock waits for a run.
const RUN_LIMITS: FetchLimits = FetchLimits { timeout_ms: 29_000, max_response_bytes: 64 * 1024 };

type FindDue = Box<dyn Fn(&Context, &[OrganizationId]) -> Result<Vec<Query<Due>>, ApiError> + Send + Sync>;
type Work = Box<dyn Fn(Context, OrganizationId, Piece) -> Working + Send + Sync>;
type Working = Pin<Box<dyn Future<Output = Result<Progress, ApiError>> + Send>>;

/// Steps that the clock has run together.
pub struct Job {
    pub(crate) name: &'static str,
    pub(crate) round_trips: u32,
    pub(crate) steps: Vec<Step>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) summary: &'static str,
}

/// One step of a job.
pub struct Step {
    pub(crate) name: &'static str,
    pub(crate) round_trips: u32,
    due: FindDue,
    work: Work,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) summary: &'static str,
}

/// How far a step came with an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing more to do in this run.
    Done,
    /// There may be more of the same.
    More,
    /// There may be more, behind this place.
    Behind(String),
}

impl Progress {
    /// More where a statement did as much as it does at once.
    #[must_use]
    pub fn if_full(done: usize, at_once: u32) -> Self {
        if u32::try_from(done).is_ok_and(|done| done < at_once) { Self::Done } else { Self::More }
    }
}

/// What of a step's work is asked for.
struct Piece {
    after: String,
    budget: Budget,
}

impl Step {
    /// A step that does some of what an organization has due, and is asked again while there may be more.
    /// `due` finds organizations, those left out that it is told.
    #[must_use]
    pub fn new<D, W, Fut>(name: &'static str, round_trips: u32, due: D, work: W) -> Self
    where
        D: Fn(&Context, &[OrganizationId]) -> Result<Vec<Query<Due>>, ApiError> + Send + Sync + 'static,
        W: Fn(Context, OrganizationId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Progress, ApiError>> + Send + 'static,
    {
        Self::made(name, round_trips, due, move |context, organization, _| work(context, organization))
    }

    /// A step that goes through an organization's rows, whatever it does to them: it is told behind which
    /// place to go on, the empty text at first.
    #[must_use]
    pub fn walk<D, W, Fut>(name: &'static str, round_trips: u32, due: D, work: W) -> Self
    where
        D: Fn(&Context, &[OrganizationId]) -> Result<Vec<Query<Due>>, ApiError> + Send + Sync + 'static,
        W: Fn(Context, OrganizationId, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Progress, ApiError>> + Send + 'static,
    {
        Self::made(name, round_trips, due, move |context, organization, piece: Piece| {
            work(context, organization, piece.after)
        })
    }

    /// A step that shares out among several pieces of work at once what a run may take.
    #[must_use]
    pub fn within<D, W, Fut>(name: &'static str, round_trips: u32, due: D, work: W) -> Self
    where
        D: Fn(&Context, &[OrganizationId]) -> Result<Vec<Query<Due>>, ApiError> + Send + Sync + 'static,
        W: Fn(Context, OrganizationId, Budget) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Progress, ApiError>> + Send + 'static,
    {
        Self::made(name, round_trips, due, move |context, organization, piece: Piece| {
            work(context, organization, piece.budget)
        })
    }

    /// A step that forgets rows whose moment is not after what `until` says.
    #[must_use]
    pub fn sweep<V: Into<Value> + 'static>(
        name: &'static str,
        sweep: &'static Sweep,
        until: fn(&Context) -> V,
    ) -> Self {
        let due =
            move |context: &Context, known: &[OrganizationId]| Ok(vec![sweep.due(until(context), known)]);
        Self::new(name, 1, due, move |context, organization| async move {
            let forget = sweep.forget(&organization, until(&context));
            let forgotten = context.db(&organization).all(forget).await?;
            Ok(Progress::if_full(forgotten.len(), SWEEP_BATCH))
        })
    }

    /// One line for people: what it does.
    #[must_use]
    pub fn summary(self, summary: &'static str) -> Self {
        #[cfg(not(target_family = "wasm"))]
        return Self { summary, ..self };
        #[cfg(target_family = "wasm")]
        {
            let _ = summary;
            self
        }
    }

    fn made<D, W, Fut>(name: &'static str, round_trips: u32, due: D, work: W) -> Self
    where
        D: Fn(&Context, &[OrganizationId]) -> Result<Vec<Query<Due>>, ApiError> + Send + Sync + 'static,
        W: Fn(Context, OrganizationId, Piece) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Progress, ApiError>> + Send + 'static,
    {
        Self {
            name,
            round_trips,
            due: Box::new(due),
            work: Box::new(move |context, organization, piece| Box::pin(work(context, organization, piece))),
            #[cfg(not(target_family = "wasm"))]
            summary: "",
        }
    }
}

impl Job {
    /// A job by its name, with its steps in order.
    #[must_use]
    pub fn new(name: &'static str, summary: &'static str, steps: impl IntoIterator<Item = Step>) -> Self {
        #[cfg(target_family = "wasm")]
        let _ = summary;
        Self {
            name,
            round_trips: MAX_JOB_ROUND_TRIPS,
            steps: steps.into_iter().collect(),
            #[cfg(not(target_family = "wasm"))]
            summary,
        }
    }

    /// One run takes this many round trips at most.
    #[must_use]
    pub fn round_trips(mut self, most: u32) -> Self {
        self.round_trips = most;
        self
    }

    /// Runs all steps. Each has an equal share of the round trips that are left to it and those behind it.
    ///
    /// # Errors
    /// The first failure; all of them are logged.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), ApiError> {
        let until = iam_edge::now().after(RUN_TIME);
        let (mut first, mut behind) = (Ok(()), self.steps.len());
        for step in &self.steps {
            let used = context.host.round_trips();
            let steps = u32::try_from(behind).unwrap_or(1).max(1);
            let budget = Budget { most: used + self.round_trips.saturating_sub(used) / steps, until };
            first = first.and(StepRun { context, job: self.name, step, budget }.run().await);
            behind -= 1;
        }
        first
    }
}

/// What a step may take in a run.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    most: u32,
    until: Timestamp,
}

impl Budget {
    /// Whether there is time, and room for so many round trips.
    #[must_use]
    pub fn has_left(&self, context: &Context, round_trips: u32) -> bool {
        let used = context.host.round_trips();
        used.saturating_add(round_trips) <= self.most && iam_edge::now() < self.until
    }
}

/// One run of a step.
struct StepRun<'a> {
    context: &'a Context,
    job: &'static str,
    step: &'a Step,
    budget: Budget,
}

impl StepRun<'_> {
    /// Serves organizations in turns, so that one with much to do keeps nobody waiting, and none again that
    /// failed or was done.
    async fn run(&self) -> Result<(), ApiError> {
        let mut first = Ok(());
        let (mut known, mut queue) = (Vec::new(), VecDeque::new());
        let mut may_be_others = true;
        loop {
            if may_be_others {
                if !self.budget.has_left(self.context, 1) {
                    self.tell_what_is_left();
                    return first;
                }
                let tell = |error: &ApiError| self.report("who is due is not known", error);
                let found = self.due(&known).await.inspect_err(tell)?;
                may_be_others = found.may_be_others;
                for organization in found.organizations.into_iter().rev() {
                    known.push(organization.clone());
                    queue.push_front((organization, String::new()));
                }
            }
            if queue.is_empty() {
                return first;
            }
            for _ in 0..queue.len() {
                if !self.budget.has_left(self.context, self.step.round_trips) {
                    self.tell_what_is_left();
                    return first;
                }
                let Some((organization, after)) = queue.pop_front() else { break };
                let piece = Piece { after, budget: self.budget };
                match (self.step.work)(self.context.clone(), organization.clone(), piece).await {
                    Ok(Progress::Done) => {}
                    Ok(Progress::More) => queue.push_back((organization, String::new())),
                    Ok(Progress::Behind(place)) => queue.push_back((organization, place)),
                    Err(error) => {
                        self.report(organization.as_str(), &error);
                        first = first.and(Err(error));
                    }
                }
            }
        }
    }

    /// Who is due beside those that are known.
    async fn due(&self, known: &[OrganizationId]) -> Result<FoundDue, ApiError> {
        let mut batch = Batch::new();
        let questions: Vec<_> =
            (self.step.due)(self.context, known)?.into_iter().map(|query| batch.ask(query)).collect();
        let mut found = FoundDue { organizations: Vec::new(), may_be_others: false };
        if batch.is_empty() {
            return Ok(found);
        }
        let answers = self.context.db_of_deployment().batch(batch).await?;
        for question in questions {
            let rows = answers.all(question)?;
            found.may_be_others |= u32::try_from(rows.len()).is_ok_and(|rows| rows >= DUE_ROWS);
            for Due(organization) in rows {
                if !found.organizations.contains(&organization) {
                    found.organizations.push(organization);
                }
            }
        }
        Ok(found)
    }

    /// Nothing is wrong where a run says so now and then; where every run does, work comes in faster than it
    /// is done.
    fn tell_what_is_left(&self) {
        let message = format!("job {}: step {} leaves work to the next run", self.job, self.step.name);
        self.context.log_warning(&message);
    }

    fn report(&self, organization: &str, error: &ApiError) {
        let message = format!("job {}: step {} failed: {organization}", self.job, self.step.name);
        let cause = error.log_cause().unwrap_or_else(|| error.code());
        self.context.log_failure(&message, cause);
    }
}

struct FoundDue {
    organizations: Vec<OrganizationId>,
    /// As many rows came as may come.
    may_be_others: bool,
}

/// When a job runs, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The job's name.
    pub job: &'static str,
    /// When, as cron writes it.
    pub cron: &'static str,
    /// The function that has the job.
    pub function: &'static str,
}

/// A job that the host's clock starts.
pub(crate) struct Scheduled {
    pub(crate) job: &'static str,
    pub(crate) cron: &'static str,
    pub(crate) run: Box<dyn Fn(Context) -> Started + Send + Sync>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) function: &'static str,
}

type Started = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;

impl Scheduled {
    pub(super) fn new(schedule: &'static Schedule) -> Self {
        Self {
            job: schedule.job,
            cron: schedule.cron,
            run: Box::new(|context| Box::pin(schedule.start(context))),
            #[cfg(not(target_family = "wasm"))]
            function: schedule.function,
        }
    }
}

impl Schedule {
    /// Has the function run the job, and waits for it.
    pub(super) async fn start(self, context: Context) -> Result<(), ApiError> {
        let (function, path) = (self.function, format!("/internal/jobs/{}", self.job));
        match context.call_within(function, &path, &serde_json::json!({}), RUN_LIMITS).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("{function} answered {}", answer.status().as_u16())),
            Err(cause) => Err(format!("{function} was not reached: {cause}")),
        }
        .map_err(|cause| ApiError::internal(format!("job {}: {cause}", self.job)))
    }
}

pub(super) fn no_such_job() -> ApiError {
    ApiError::not_found("there is no such job")
}

//! What a request pays towards limits, and what its answer says of them.
//!
//! Whether a request is within its limits is known in the round trip that authenticates it: a lease, where
//! one is needed, rides along.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use iam_core::id::OrganizationId;
use iam_core::limit::{Bearer, Lease, ORGANIZATION, Presented, SessionClaim, Usage, WINDOW_SECONDS};
use iam_core::sql::{Answers, Batch, RowError, Ticket};
use iam_core::time::Timestamp;

use crate::context::Context;
use crate::instance::leases::{Plan, Told};
use crate::request::error::ApiError;

/// The limits that a request counts towards, for its answer's headers.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    told: Vec<Told>,
    paid: Paid,
}

/// Until when what a request paid with holds, where it paid: towards the limit of its key or token, and its
/// organization's.
#[derive(Clone, Copy, Debug, Default)]
struct Paid {
    own: Option<Timestamp>,
    whole: Option<Timestamp>,
}

/// A request that is over a limit.
#[derive(Debug)]
pub struct RateLimited(pub RateLimits);

/// What one request has to pay: towards the limit of its key or token, and its organization's.
pub(crate) struct Charge<'a> {
    context: &'a Context,
    organization: &'a OrganizationId,
    bearer: Option<(Bearer<'a>, Plan)>,
    /// The session of what came instead, which has no limit of its own.
    session: Option<SessionClaim<'a>>,
    whole: Option<(u32, Plan)>,
    /// Whether it is to be paid for at all.
    is_due: bool,
}

impl<'a> Charge<'a> {
    /// Takes what it can from this instance's leases.
    pub(crate) fn plan(
        context: &'a Context,
        organization: &'a OrganizationId,
        bearer: Option<Bearer<'a>>,
    ) -> Self {
        let flags = context.instance.flags.current();
        let limiter = &context.instance.limiter;
        // An instance that never read the flags learns in the same round trip whether limits are enforced at
        // all.
        let is_enforced = flags.rate_limiting_enabled || !context.instance.flags.are_read();
        let bearer = bearer.filter(|_| is_enforced);
        let limit = flags.rate_limit_per_minute.filter(|_| is_enforced);
        let mut bearer = bearer.map(|bearer| (bearer, limiter.plan(bearer.hash().as_str(), context.now)));
        // What is over one limit takes nothing of the other.
        let whole = limit.map(|limit| match bearer {
            Some((_, Plan::Refused)) => (limit, Plan::Waived),
            _ => (limit, limiter.plan(organization.as_str(), context.now)),
        });
        if let (Some((bearer, plan)), Some((_, Plan::Refused))) = (&mut bearer, whole) {
            limiter.cancel(bearer.hash().as_str(), std::mem::replace(plan, Plan::Waived));
        }
        Self { context, organization, bearer, session: None, whole, is_due: true }
    }

    /// For whoever presents what belongs to a session: only one that holds takes from the organization's
    /// limit.
    pub(crate) fn of_session(
        context: &'a Context,
        organization: &'a OrganizationId,
        session: SessionClaim<'a>,
    ) -> Self {
        Self { session: Some(session), ..Self::plan(context, organization, None) }
    }

    /// Nothing to pay.
    pub(crate) fn none(context: &'a Context, organization: &'a OrganizationId) -> Self {
        Self { context, organization, bearer: None, session: None, whole: None, is_due: false }
    }

    /// Asks for the leases that are needed; what comes of them goes to [`Charge::settle`].
    pub(crate) fn ask(&self, batch: &mut Batch) -> Leases {
        let (organization, now) = (self.organization, self.context.now);
        let mut leases = Leases::default();
        // The organization's first: whether the key has something left is asked before the last of it is
        // taken.
        if let Some((limit, plan)) = self.whole
            && let Some(wanted) = plan.wanted()
        {
            let leasing =
                |(bearer, plan): (_, Plan)| Presented::Bearer { bearer, leases: plan.wanted().is_some() };
            let presented = self.bearer.map(leasing).or(self.session.map(Presented::Session));
            let lease = Lease::of_subject(organization, ORGANIZATION, limit, wanted, presented, now);
            let usage = Usage::of_subject(organization, ORGANIZATION, now);
            leases.whole = Some((batch.ask(lease.into()), batch.ask(usage.into())));
        }
        if let Some((bearer, plan)) = self.bearer
            && let Some(wanted) = plan.wanted()
        {
            let lease = Lease::of_bearer(organization, bearer, wanted, now);
            let usage = Usage::of_bearer(organization, bearer, now);
            leases.own = Some((batch.ask(lease.into()), batch.ask(usage.into())));
        }
        leases
    }

    /// Whether nothing has to be leased: this instance has what the request pays with.
    pub(crate) fn asks_nothing(&self) -> bool {
        let asks = |plan: Plan| plan.wanted().is_some();
        !self.whole.is_some_and(|(_, plan)| asks(plan)) && !self.bearer.is_some_and(|(_, plan)| asks(plan))
    }

    /// Takes in what [`Charge::ask`] asked for and says whether the request is within its limits, of which
    /// that of its key or token is `own_limit`.
    pub(crate) fn settle(
        &self,
        own_limit: u32,
        leases: &Leases,
        answers: &Answers,
    ) -> Result<Result<RateLimits, RateLimited>, RowError> {
        let flags = self.context.instance.flags.current();
        if !flags.rate_limiting_enabled {
            return Ok(Ok(RateLimits::default()));
        }
        let in_force = flags.rate_limit_per_minute;
        let (now, limiter) = (self.context.now, &self.context.instance.limiter);
        // As they were asked for. Where the organization's limit turned out to be another one, what came of
        // it is left alone.
        let (whole_given, own_given) = (given(leases.whole, answers)?, given(leases.own, answers)?);
        let whole = self.whole.filter(|(limit, _)| in_force == Some(*limit));
        let (mut paid, mut refused_by) = (Paid::default(), None);
        if let Some((bearer, plan)) = self.bearer {
            paid.own = limiter.pay(bearer.hash().as_str(), own_limit, plan, own_given, now);
            refused_by = paid.own.is_none().then_some(policy(bearer));
        }
        match whole {
            // A key without anything left was given nothing of its organization's limit, which says nothing
            // about that one.
            Some((_, plan)) if refused_by.is_some() && plan != Plan::Refused => {
                limiter.cancel(self.organization.as_str(), plan);
            }
            Some((limit, plan)) => {
                paid.whole = limiter.pay(self.organization.as_str(), limit, plan, whole_given, now);
                refused_by = paid.whole.is_none().then_some(ORGANIZATION);
            }
            None => {}
        }
        match refused_by {
            Some(_) => self.give_back_paid(paid),
            None => self.count_unplanned(in_force),
        }
        let told = [
            self.bearer.and_then(|(bearer, _)| limiter.told(bearer.hash().as_str(), policy(bearer), now)),
            whole.and_then(|_| limiter.told(self.organization.as_str(), ORGANIZATION, now)),
        ];
        // Another request may have leased since: what this one was refused for stays what it is told.
        let as_refused =
            |told: Told| if refused_by == Some(told.policy) { Told { remaining: 0, ..told } } else { told };
        let limits = RateLimits { told: told.into_iter().flatten().map(as_refused).collect(), paid };
        Ok(if refused_by.is_none() { Ok(limits) } else { Err(RateLimited(limits)) })
    }

    /// Counts a request towards an organization's limit that was heard of in this very round trip: it is let
    /// in, and counts for those that follow.
    fn count_unplanned(&self, in_force: Option<u32>) {
        if let (true, None, Some(limit)) = (self.is_due, self.whole, in_force) {
            let (organization, now) = (self.organization, self.context.now);
            let lease = Lease::of_subject(organization, ORGANIZATION, limit, 1, None, now);
            self.context.defer_statement(organization, lease);
        }
    }

    /// Gives back what was taken before the database was asked: no such credential works.
    pub(crate) fn give_back_unsettled(&self) {
        let limiter = &self.context.instance.limiter;
        if let Some((bearer, plan)) = self.bearer {
            limiter.cancel(bearer.hash().as_str(), plan);
        }
        if let Some((_, plan)) = self.whole {
            limiter.cancel(self.organization.as_str(), plan);
        }
    }

    /// Gives back what a request within its limits paid, since it came to nothing.
    pub(crate) fn give_back(&self, limits: &RateLimits) {
        self.give_back_paid(limits.paid);
    }

    fn give_back_paid(&self, paid: Paid) {
        let limiter = &self.context.instance.limiter;
        if let (Some((bearer, _)), Some(until)) = (self.bearer, paid.own) {
            limiter.give_back(bearer.hash().as_str(), until);
        }
        if let Some(until) = paid.whole {
            limiter.give_back(self.organization.as_str(), until);
        }
    }
}

/// What the limit of a credential is called in headers.
fn policy(bearer: Bearer<'_>) -> &'static str {
    match bearer {
        Bearer::ApiKey(_) => "key",
        Bearer::ScimToken { .. } => "token",
    }
}

/// Where the leases that were asked for are found in the answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leases {
    own: Option<Asked>,
    whole: Option<Asked>,
}

type Asked = (Ticket<Lease>, Ticket<Usage>);

/// What the database gave, where it was asked.
fn given(asked: Option<Asked>, answers: &Answers) -> Result<Option<(Option<Lease>, Usage)>, RowError> {
    let Some((lease, usage)) = asked else { return Ok(None) };
    let usage = answers.one(usage)?.ok_or_else(|| RowError::unreadable("taken"))?;
    Ok(Some((answers.one(lease)?, usage)))
}

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit");

impl RateLimits {
    /// Tells of them in an answer's headers: `RateLimit-Policy` and `RateLimit`.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.told.is_empty() {
            return;
        }
        let policies: Vec<String> = self
            .told
            .iter()
            .map(|told| format!("\"{}\";q={};w={WINDOW_SECONDS}", told.policy, told.limit))
            .collect();
        let limits: Vec<String> = self
            .told
            .iter()
            .map(|told| format!("\"{}\";r={};t={}", told.policy, told.remaining.min(told.limit), told.reset))
            .collect();
        for (name, value) in [(&POLICY, policies.join(", ")), (&LIMIT, limits.join(", "))] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

impl RateLimited {
    /// When to come back, in seconds.
    #[must_use]
    pub fn retry_after(&self) -> i64 {
        let used_up = self.0.told.iter().filter(|told| told.remaining == 0);
        used_up.map(|told| told.reset).max().unwrap_or(1)
    }
}

impl From<RateLimited> for ApiError {
    fn from(limited: RateLimited) -> Self {
        let retry_after = HeaderValue::from(limited.retry_after());
        let detail = "too many requests in this minute";
        let mut headers = HeaderMap::new();
        limited.0.write(&mut headers);
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .header(header::RETRY_AFTER, retry_after);
        headers.into_iter().fold(error, |error, (name, value)| match name {
            Some(name) => error.header(name, value),
            None => error,
        })
    }
}

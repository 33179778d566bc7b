//! Limits as an instance keeps to them: it leases slices of a budget that all instances share, and spends them by itself.
//!
//! Whether a request is within its limits is known in the round trip that authenticates it: a lease, where one is
//! needed, rides along. How leases add up to an exact bound: [`iam_core::limit`].

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use iam_core::id::OrganizationId;
use iam_core::limit::{
    Bearer, LEASE_LIFE, Lease, ORGANIZATION, Presented, SessionClaim, Usage, WINDOW_SECONDS,
};
use iam_core::sql::{RowError, Rows, Statement};
use iam_core::time::{Duration, Timestamp};

use crate::context::Context;
use crate::error::ApiError;
use crate::instance::lock;

/// How many subjects an instance remembers at most. One that is forgotten leases anew.
const MAX_SUBJECTS: usize = 4096;

/// A lease is meant to last this long, in milliseconds: well within its life, so that little of it is left then.
const MEANT_TO_LAST_MS: i64 = 300;

/// After a refusal the database is asked again this much later, in case the limit was raised.
const REFUSED_FOR: Duration = Duration::from_seconds(2);

/// What an instance leased, by subject.
#[derive(Default)]
pub(crate) struct RateLimiter(Mutex<HashMap<String, Budget>>);

/// One subject's.
#[derive(Debug)]
struct Budget {
    /// What is left of each lease, and until when.
    leases: VecDeque<(u32, Timestamp)>,
    /// How much the last slice gave, when, and what was spent since.
    granted: u32,
    leased_at: Timestamp,
    spent: u32,
    /// A slice is on its way; by then it is given up.
    awaited_until: Option<Timestamp>,
    refused_until: Option<Timestamp>,
    limit: u32,
    usage: Option<Usage>,
}

/// How to go on with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It was paid for out of a lease, which holds until then.
    Spent(Timestamp),
    /// Nothing is left, as far as this instance knows.
    Refused,
    /// A slice of so much has to be leased.
    Slice(u32),
    /// A slice is on its way, for which this request needn't wait: it leases for itself alone. If each of the requests
    /// that are in flight leased a slice, most of them would never be spent.
    Single,
    /// It is over another limit, so that nothing is taken of this one.
    Waived,
}

impl Plan {
    /// How much has to be leased.
    fn wanted(self) -> Option<u32> {
        match self {
            Self::Spent(_) | Self::Refused | Self::Waived => None,
            Self::Slice(wanted) => Some(wanted),
            Self::Single => Some(1),
        }
    }
}

/// One limit as callers are told of it (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    policy: &'static str,
    limit: u32,
    remaining: u32,
    /// Seconds until something becomes free again.
    reset: i64,
}

/// The limits that a request counts towards, for its answer's headers.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    told: Vec<Told>,
    paid: Paid,
}

/// Until when what a request paid with holds, where it paid: towards the limit of its key or token, and its organization's.
#[derive(Clone, Copy, Debug, Default)]
struct Paid {
    own: Option<Timestamp>,
    whole: Option<Timestamp>,
}

/// A request that is over a limit.
#[derive(Debug)]
pub struct RateLimited(pub RateLimits);

impl Budget {
    fn plan(&mut self, now: Timestamp) -> Plan {
        while self.leases.front().is_some_and(|(left, until)| *left == 0 || now >= *until) {
            self.leases.pop_front();
        }
        if let Some((left, until)) = self.leases.front_mut() {
            *left -= 1;
            self.spent = self.spent.saturating_add(1);
            return Plan::Spent(*until);
        }
        if self.refused_until.is_some_and(|until| now < until) {
            return Plan::Refused;
        }
        if self.awaited_until.is_some_and(|until| now < until) {
            return Plan::Single;
        }
        self.awaited_until = Some(now.after(LEASE_LIFE));
        Plan::Slice(self.next_size(now))
    }

    /// As much as will be spent while a lease is meant to last, if requests go on coming as they did; growing
    /// step by step.
    fn next_size(&self, now: Timestamp) -> u32 {
        let elapsed = now.as_millis().saturating_sub(self.leased_at.as_millis()).max(1);
        let expected = i64::from(self.spent).saturating_mul(MEANT_TO_LAST_MS) / elapsed;
        let most = self.granted.saturating_mul(2).max(1);
        u32::try_from(expected).unwrap_or(u32::MAX).clamp(1, most)
    }

    fn told(&self, policy: &'static str, now: Timestamp) -> Told {
        let at_hand = self.leases.iter().fold(0_u32, |sum, (left, _)| sum.saturating_add(*left));
        let taken = self.usage.map_or(0, |usage| usage.taken);
        let frees_at = self.usage.map_or(now, |usage| usage.frees_at());
        let reset = frees_at.as_seconds().saturating_sub(now.as_seconds());
        Told {
            policy,
            limit: self.limit,
            remaining: self.limit.saturating_sub(taken).saturating_add(at_hand),
            reset: reset.clamp(1, WINDOW_SECONDS + 3),
        }
    }
}

impl RateLimiter {
    fn plan(&self, subject: &str, now: Timestamp) -> Plan {
        match lock(&self.0).get_mut(subject) {
            Some(budget) => budget.plan(now),
            None => Plan::Slice(1),
        }
    }

    /// Pays for one request by its plan, with what the database gave for it. Until when what was paid with holds; `None` where
    /// nothing was left.
    fn pay(
        &self,
        subject: &str,
        limit: u32,
        plan: Plan,
        given: Option<(Option<Lease>, Usage)>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        match plan {
            Plan::Spent(until) => Some(until),
            Plan::Refused | Plan::Waived => None,
            Plan::Slice(_) | Plan::Single => self.receive(subject, limit, plan, given?, now),
        }
    }

    /// Takes in what the database gave for a plan, and pays for one request out of it.
    fn receive(
        &self,
        subject: &str,
        limit: u32,
        plan: Plan,
        given: (Option<Lease>, Usage),
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (lease, usage) = given;
        let mut budgets = lock(&self.0);
        if budgets.len() >= MAX_SUBJECTS && !budgets.contains_key(subject) {
            let holds = |budget: &Budget| budget.leases.iter().any(|(left, until)| *left > 0 && now < *until);
            budgets.retain(|_, budget| holds(budget));
            if budgets.len() >= MAX_SUBJECTS {
                budgets.clear();
            }
        }
        let budget = budgets.entry(subject.to_owned()).or_insert_with(|| Budget {
            leases: VecDeque::new(),
            granted: 1,
            leased_at: now,
            spent: 0,
            awaited_until: None,
            refused_until: None,
            limit,
            usage: None,
        });
        budget.limit = limit;
        budget.usage = Some(usage);
        let is_slice = matches!(plan, Plan::Slice(_));
        if is_slice {
            budget.awaited_until = None;
        }
        if let Some(Lease(granted)) = lease.filter(|Lease(granted)| *granted > 0) {
            let until = now.after(LEASE_LIFE);
            budget.refused_until = None;
            if is_slice {
                budget.granted = granted;
                budget.leased_at = now;
                budget.spent = 0;
                budget.leases.push_back((granted - 1, until));
            }
            budget.spent = budget.spent.saturating_add(1);
            return Some(until);
        }
        // Another request may have leased meanwhile.
        if let Plan::Spent(until) = budget.plan(now) {
            return Some(until);
        }
        budget.refused_until = Some(usage.frees_at().min(now.after(REFUSED_FOR)));
        None
    }

    /// Gives back what was paid for a request that came to nothing: whoever comes next may pay with it, as long as it holds.
    fn give_back(&self, subject: &str, until: Timestamp) {
        if let Some(budget) = lock(&self.0).get_mut(subject) {
            budget.spent = budget.spent.saturating_sub(1);
            match budget.leases.front_mut() {
                Some((left, same)) if *same == until => *left = left.saturating_add(1),
                _ => budget.leases.push_front((1, until)),
            }
        }
    }

    /// Goes back on a plan that nothing came of.
    fn cancel(&self, subject: &str, plan: Plan) {
        match plan {
            Plan::Spent(until) => self.give_back(subject, until),
            // No slice is on its way: the next request may lease one.
            Plan::Slice(_) => {
                if let Some(budget) = lock(&self.0).get_mut(subject) {
                    budget.awaited_until = None;
                }
            }
            Plan::Refused | Plan::Single | Plan::Waived => {}
        }
    }

    fn told(&self, subject: &str, policy: &'static str, now: Timestamp) -> Option<Told> {
        lock(&self.0).get(subject).map(|budget| budget.told(policy, now))
    }
}

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
        // An instance that never read the flags learns in the same round trip whether limits are enforced at all.
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

    /// For whoever presents what belongs to a session: only one that holds takes from the organization's limit.
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

    /// The leases to ask for; their rows go to [`Charge::settle`].
    pub(crate) fn statements(&self) -> Vec<Statement> {
        let (organization, now) = (self.organization, self.context.now);
        let mut statements = Vec::new();
        // The organization's first: whether the key has something left is asked before the last of it is taken.
        if let Some((limit, plan)) = self.whole
            && let Some(wanted) = plan.wanted()
        {
            let leasing =
                |(bearer, plan): (_, Plan)| Presented::Bearer { bearer, leases: plan.wanted().is_some() };
            let presented = self.bearer.map(leasing).or(self.session.map(Presented::Session));
            statements.push(Lease::of_subject(organization, ORGANIZATION, limit, wanted, presented, now));
            statements.push(Usage::of_subject(organization, ORGANIZATION, now));
        }
        if let Some((bearer, plan)) = self.bearer
            && let Some(wanted) = plan.wanted()
        {
            statements.push(Lease::of_bearer(organization, bearer, wanted, now));
            statements.push(Usage::of_bearer(organization, bearer, now));
        }
        statements
    }

    /// Takes in the rows of [`Charge::statements`] and says whether the request is within its limits, of which that of its
    /// key or token is `own_limit`.
    pub(crate) fn settle(
        &self,
        own_limit: u32,
        rows: impl IntoIterator<Item = Rows>,
    ) -> Result<Result<RateLimits, RateLimited>, RowError> {
        let flags = self.context.instance.flags.current();
        if !flags.rate_limiting_enabled {
            return Ok(Ok(RateLimits::default()));
        }
        let in_force = flags.rate_limit_per_minute;
        let (now, limiter) = (self.context.now, &self.context.instance.limiter);
        let mut rows = rows.into_iter();
        // As they were asked for. Where the organization's limit turned out to be another one, what came of it is left alone.
        let whole_given = self.whole.map_or(Ok(None), |(_, plan)| given(plan, &mut rows))?;
        let own_given = self.bearer.map_or(Ok(None), |(_, plan)| given(plan, &mut rows))?;
        let whole = self.whole.filter(|(limit, _)| in_force == Some(*limit));
        let (mut paid, mut refused_by) = (Paid::default(), None);
        if let Some((bearer, plan)) = self.bearer {
            paid.own = limiter.pay(bearer.hash().as_str(), own_limit, plan, own_given, now);
            refused_by = paid.own.is_none().then_some(policy(bearer));
        }
        match whole {
            // A key without anything left was given nothing of its organization's limit, which says nothing about that one.
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

    /// Counts a request towards an organization's limit that was heard of in this very round trip: it is let in, and counts
    /// for those that follow.
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

/// What the database gave for a plan, where it was asked.
fn given(
    plan: Plan,
    rows: &mut impl Iterator<Item = Rows>,
) -> Result<Option<(Option<Lease>, Usage)>, RowError> {
    if plan.wanted().is_none() {
        return Ok(None);
    }
    let lease = rows.next().unwrap_or_default().decode_first()?;
    let usage = rows.next().unwrap_or_default().decode_first()?;
    Ok(Some((lease, usage.ok_or_else(|| RowError::unreadable("taken"))?)))
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

#[cfg(test)]
mod tests;

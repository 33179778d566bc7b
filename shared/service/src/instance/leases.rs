//! What an instance leased of limits: slices of a budget that all instances share, which it spends by itself.
//! How leases add up to an exact bound: [`iam_core::limit`].

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use iam_core::limit::{LEASE_LIFE, Lease, Usage, WINDOW_SECONDS};
use iam_core::time::{Duration, Timestamp};

use super::lock;

/// How many subjects an instance remembers at most. One that is forgotten leases anew.
const MAX_SUBJECTS: usize = 4096;

/// A lease is meant to last this long, in milliseconds: well within its life, so that little of it is left
/// then.
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
pub(crate) enum Plan {
    /// It was paid for out of a lease, which holds until then.
    Spent(Timestamp),
    /// Nothing is left, as far as this instance knows.
    Refused,
    /// A slice of so much has to be leased.
    Slice(u32),
    /// A slice is on its way, for which this request needn't wait: it leases for itself alone. If each of the
    /// requests that are in flight leased a slice, most of them would never be spent.
    Single,
    /// It is over another limit, so that nothing is taken of this one.
    Waived,
}

impl Plan {
    /// How much has to be leased.
    pub(crate) fn wanted(self) -> Option<u32> {
        match self {
            Self::Spent(_) | Self::Refused | Self::Waived => None,
            Self::Slice(wanted) => Some(wanted),
            Self::Single => Some(1),
        }
    }
}

/// One limit as callers are told of it (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) policy: &'static str,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Seconds until something becomes free again.
    pub(crate) reset: i64,
}

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
    pub(crate) fn plan(&self, subject: &str, now: Timestamp) -> Plan {
        match lock(&self.0).get_mut(subject) {
            Some(budget) => budget.plan(now),
            None => Plan::Slice(1),
        }
    }

    /// Pays for one request by its plan, with what the database gave for it. Until when what was paid with
    /// holds; `None` where nothing was left.
    pub(crate) fn pay(
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

    /// Gives back what was paid for a request that came to nothing: whoever comes next may pay with it, as
    /// long as it holds.
    pub(crate) fn give_back(&self, subject: &str, until: Timestamp) {
        if let Some(budget) = lock(&self.0).get_mut(subject) {
            budget.spent = budget.spent.saturating_sub(1);
            match budget.leases.front_mut() {
                Some((left, same)) if *same == until => *left = left.saturating_add(1),
                _ => budget.leases.push_front((1, until)),
            }
        }
    }

    /// Goes back on a plan that nothing came of.
    pub(crate) fn cancel(&self, subject: &str, plan: Plan) {
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

    pub(crate) fn told(&self, subject: &str, policy: &'static str, now: Timestamp) -> Option<Told> {
        lock(&self.0).get(subject).map(|budget| budget.told(policy, now))
    }
}

#[cfg(test)]
mod tests;

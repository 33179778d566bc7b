//! Clients that go round in circles: the very same change, made again and again, is answered without work
//! from some point on, and the audit tells of it once. Only changes that change something count.

use http::{HeaderValue, StatusCode, header};
use iam_core::provisioning::acts;
use iam_core::provisioning::repeated_change::{Repeated, Repeats, change_hash};
use iam_core::sql::{Query, Statement};
use iam_provisioning::schema::ResourceKind;
use iam_service::ApiError;
use serde_json::Value as Json;

use crate::work::Work;

/// One change, as far as it can be told from others.
pub(crate) struct Guard(String);

impl Guard {
    /// `None` for a change with a password, which is not remembered in any form.
    pub(crate) fn of(work: &Work, kind: ResourceKind, id: &str, body: &Json) -> Option<Self> {
        // Without a bound there is nothing to hold it to.
        if work.context.configuration().scim.loop_bound == 0 {
            return None;
        }
        change_hash("change", &format!("{kind}/{id}"), body.to_string().as_bytes()).map(Self)
    }

    fn repeats<'a>(&'a self, work: &'a Work) -> Repeats<'a> {
        Repeats {
            organization: &work.client.organization,
            client_id: &work.client.client_id,
            change_hash: &self.0,
            now: work.context.now,
        }
    }

    /// Asks how often it came lately; the answer goes to [`Guard::check`].
    pub(crate) fn look(&self, work: &Work) -> Query<Repeated> {
        self.repeats(work).read()
    }

    /// Counts it, in the transaction that makes it.
    pub(crate) fn count(&self, work: &Work) -> Statement {
        self.repeats(work).count(work.context.configuration().scim.loop_window)
    }

    /// Refuses what came too often, and reports it after the answer.
    pub(crate) fn check(&self, work: &Work, repeated: Option<Repeated>) -> Result<(), ApiError> {
        let repeated = repeated.unwrap_or_default();
        let scim = &work.context.configuration().scim;
        if !repeated.is_loop(scim.loop_bound) {
            return Ok(());
        }
        if !repeated.is_reported {
            let event = work.event(acts::LOOP, work.client.client_id.as_str())?;
            let report = self.repeats(work).report(scim.loop_bound, event);
            work.context.defer_batch(&work.client.organization, report);
        }
        let detail = "this very change was made too often lately: somebody else undoes it each time";
        let retry_after = HeaderValue::from(scim.loop_window.as_seconds());
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "change_loop", detail)
            .header(header::RETRY_AFTER, retry_after))
    }
}

//! Refusals: recorded with their reason, but so that a stranger grows neither the audit nor the load.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, StatusCode, header};
use iam_core::id::LogId;
use iam_core::record::audit::Outcome;
use iam_core::time::Timestamp;
use iam_core::webhooks::{RECORDED_A_MINUTE, Refusal, WORTH_A_RECORD, acts, count_refusal};
use iam_service::{ApiError, Context};

/// What an instance refused in the current minute, by service and reason: both come from the configuration
/// and the code, so it is bounded.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<(String, Refusal), Tally>>);

#[derive(Default)]
struct Tally {
    minute: i64,
    told: u32,
    untold: u32,
}

impl Refusals {
    /// Counts one. Returns how many the database was not told of yet, or `None` where it need not be asked:
    /// this instance alone had as many in this minute as get a record.
    fn count(&self, service: &str, reason: Refusal, now: Timestamp) -> Option<u32> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry((service.to_owned(), reason)).or_default();
        let minute = now.as_seconds().div_euclid(60);
        if tally.minute != minute {
            *tally = Tally { minute, told: 0, untold: tally.untold };
        }
        if tally.told >= RECORDED_A_MINUTE {
            tally.untold = tally.untold.saturating_add(1);
            return None;
        }
        tally.told += 1;
        Some(std::mem::take(&mut tally.untold))
    }
}

/// Records a refusal where the minute has room for it, otherwise counts it. One round trip at most.
///
/// # Errors
/// When it can't be written down.
pub(crate) async fn record(
    refusals: &Refusals,
    context: &Context,
    service: &str,
    reason: Refusal,
) -> Result<(), ApiError> {
    let Some(more) = refusals.count(service, reason, context.now) else { return Ok(()) };
    let organization = &context.configuration().organization;
    let event = context
        .audit(organization, acts::REFUSED, Outcome::Failure)?
        .detail("service", service)
        .detail("reason", reason.as_str());
    let log_id: LogId = event.log_id.clone();
    let count = count_refusal(organization, service, reason, &log_id, more, context.now);
    context.db(organization).batch([count, event.record_if(WORTH_A_RECORD, service)]).await?;
    Ok(())
}

/// The answer to a refusal.
pub(crate) fn answer(context: &Context, reason: Refusal) -> ApiError {
    let code = reason.as_str();
    let new = |status, detail: &'static str| ApiError::new(status, code, detail);
    let unauthorized = |detail| {
        new(StatusCode::UNAUTHORIZED, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Webhook"))
    };
    match reason {
        Refusal::AddressNotAllowed => {
            new(StatusCode::FORBIDDEN, "webhooks may not be sent from this address")
        }
        Refusal::UnknownService => ApiError::not_found("there is no such service"),
        Refusal::Maintenance => context.maintenance(),
        Refusal::NotReady => {
            new(StatusCode::SERVICE_UNAVAILABLE, "this service is not set up; the log says what is missing")
                .header(header::RETRY_AFTER, HeaderValue::from_static("300"))
        }
        Refusal::BodyTooLarge => {
            new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this service takes")
        }
        Refusal::HeaderTwice => new(StatusCode::BAD_REQUEST, "a header that counts came twice"),
        Refusal::SignatureMissing => unauthorized("the signature is missing"),
        Refusal::SignatureMalformed => unauthorized("the signature can't be read"),
        Refusal::SignatureWrong => unauthorized("the signature is wrong"),
        Refusal::TimestampMissing => unauthorized("the moment of the signature is missing"),
        Refusal::TimestampMalformed => unauthorized("the moment of the signature can't be read"),
        Refusal::TimestampStale => unauthorized("the signature is too old"),
        Refusal::TimestampAhead => unauthorized("the signature is from the future"),
        Refusal::IdMissing => unauthorized("the message's id is missing or too long"),
        Refusal::Replayed | Refusal::Duplicate => {
            new(StatusCode::CONFLICT, "this very message was taken before")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_asks_so_often_a_minute() {
        let refusals = Refusals::default();
        let at = |second: i64| Timestamp::from_seconds(1_800_000_000 + second);
        let count = |second| refusals.count("a", Refusal::SignatureWrong, at(second));
        for _ in 0..RECORDED_A_MINUTE {
            assert_eq!(count(1), Some(0));
        }
        assert_eq!((count(2), count(59)), (None, None));
        assert_eq!(refusals.count("b", Refusal::SignatureWrong, at(59)), Some(0));
        assert_eq!(refusals.count("a", Refusal::SignatureMissing, at(59)), Some(0));
        assert_eq!((count(60), count(61)), (Some(2), Some(0)));
    }
}

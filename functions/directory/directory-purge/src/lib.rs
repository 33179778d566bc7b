//! Two jobs that forget. `directory-purge`: users past their grace, sessions and refresh tokens past their
//! use, failed sign-ins and repeated SCIM changes past their window. `housekeeping`: kept answers, what is
//! left of limits, and key usage past their time; it is here because this function has the database and
//! nothing else, no master key and nobody to call.

use iam_core::directory::purge::{
    DueUser, ENDED_SESSIONS, EXPIRED_SESSIONS, REFRESH_TOKENS, SCIM_CHANGES, SESSION_RETENTION,
    SIGN_IN_ATTEMPTS, USERS_PER_BATCH, purge,
};
use iam_core::id::{LogId, OrganizationId};
use iam_core::keys::{OLD_USAGE, last_forgotten_day};
use iam_core::limit::{due_to_forget_windows, forget_windows};
use iam_core::record::idempotency::{OLD_ANSWERS, RETENTION};
use iam_service::{ApiError, Area, Context, Function, Job, Progress, Step};

iam_service::deploy!(function);

/// How many round trips one run takes at most: every organization has something to forget every hour.
const ROUND_TRIPS: u32 = 400;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("directory-purge", "Purges deleted users, ended sessions, and all else that is forgotten")
        .area(Area::Admin)
        .uses_database()
        .jobs([directory_purge(), housekeeping()])
}

fn directory_purge() -> Job {
    let users = |context: &Context, known: &[OrganizationId]| {
        Ok(vec![DueUser::due(context.configuration().directory.deletion_grace, context.now, known)])
    };
    let steps = [
        Step::new("users", 2, users, purge_users)
            .summary("Purges users that were deleted longer ago than `directory.deletion_grace`"),
        Step::sweep("expired-sessions", &EXPIRED_SESSIONS, |context| context.now.before(SESSION_RETENTION))
            .summary("Deletes sessions that expired more than a day ago"),
        Step::sweep("ended-sessions", &ENDED_SESSIONS, |context| context.now.before(SESSION_RETENTION))
            .summary("Deletes sessions that were ended more than a day ago"),
        Step::sweep("refresh-tokens", &REFRESH_TOKENS, |context| context.now.before(SESSION_RETENTION))
            .summary("Deletes refresh tokens that expired more than a day ago"),
        Step::sweep("sign-in-attempts", &SIGN_IN_ATTEMPTS, |context| context.now)
            .summary("Deletes counts of tries at passwords whose window ended"),
        Step::sweep("scim-changes", &SCIM_CHANGES, |context| context.now)
            .summary("Deletes counts of repeated SCIM changes whose window ended"),
    ];
    Job::new("directory-purge", "Purges deleted users and ended sessions", steps).round_trips(ROUND_TRIPS)
}

fn housekeeping() -> Job {
    let windows =
        |context: &Context, known: &[OrganizationId]| Ok(vec![due_to_forget_windows(context.now, known)]);
    let steps = [
        Step::sweep("kept-answers", &OLD_ANSWERS, |context| context.now.before(RETENTION))
            .summary("Deletes answers kept for an `Idempotency-Key` for more than a day"),
        Step::new("rate-windows", 1, windows, forget_rate_windows)
            .summary("Deletes what was taken of the limits of keys that were revoked"),
        Step::sweep("key-usage", &OLD_USAGE, |context| last_forgotten_day(context.now))
            .summary("Deletes the usage of keys on days that are no longer shown"),
    ];
    Job::new("housekeeping", "Forgets kept answers, used-up limits and old key usage", steps)
        .round_trips(ROUND_TRIPS)
}

async fn purge_users(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let grace = context.configuration().directory.deletion_grace;
    let mut due = Vec::new();
    for row in db.all(DueUser::find(&organization, grace, context.now)).await? {
        due.push(DueUser::read(&organization, &row, context.new_id(LogId::new)?)?);
    }
    if due.is_empty() {
        return Ok(Progress::Done);
    }
    db.batch(purge(&due, grace, context.now)).await?;
    // Who has more than one statement deletes is still there: not to be asked for again and again in vain,
    // the next run goes on with it.
    Ok(Progress::if_full(due.len(), USERS_PER_BATCH))
}

async fn forget_rate_windows(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    context.db(&organization).execute(forget_windows(&organization, context.now)).await?;
    Ok(Progress::Done)
}

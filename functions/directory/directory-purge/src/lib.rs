//! The scheduled job `directory-purge`: users past their grace, sessions and refresh tokens past their use,
//! failed sign-ins and repeated SCIM changes past their window.

use iam_core::directory::purge::{DueUser, ROWS_PER_STATEMENT, forget, purge};
use iam_core::id::LogId;
use iam_service::{ApiError, Area, Context, Function};

iam_service::deploy!(function, scheduled);

/// How many batches of each kind one run does at most; the next run goes on.
const MAX_BATCHES: usize = 20;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("directory-purge", "Purges deleted users and ended sessions")
        .area(Area::Admin)
        .uses_database()
        .schedule("directory-purge", "/internal/scheduled/directory-purge", "17 * * * *", run)
}

/// Running it twice, or again after it died half-way, does no harm.
async fn run(context: Context) -> Result<(), ApiError> {
    purge_users(&context).await?;
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_BATCHES {
        let rows = db.batch_of(forget(context.now)).await?;
        let is_full =
            |deleted: usize| u32::try_from(deleted).is_ok_and(|deleted| deleted >= ROWS_PER_STATEMENT);
        if !rows.iter().any(|rows| is_full(rows.len())) {
            break;
        }
    }
    Ok(())
}

async fn purge_users(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let grace = context.configuration().directory.deletion_grace;
    for _ in 0..MAX_BATCHES {
        let rows = db.run(DueUser::find(grace, context.now)).await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            due.push(DueUser::read(row, context.new_id(LogId::new)?)?);
        }
        if due.is_empty() {
            break;
        }
        db.batch_of(purge(&due, grace, context.now)).await?;
    }
    Ok(())
}

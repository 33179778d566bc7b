//! The job `reseal`: what is sealed under the previous master key is sealed anew under the current one, a
//! step for each column of the register.
//!
//! It is this function's because it opens and seals anyway, and connects to nobody outside: what opens all
//! that is stored should not be able to send it anywhere, as `secrets` is.

use iam_core::id::OrganizationId;
use iam_core::secret::register::{Parting, REGISTER, SealedColumn, SealedText};
use iam_core::sql::Batch;
use iam_service::{ApiError, Context, Job, Progress, Step};

/// What it is: it has nothing to do but while there is a previous master key.
pub(crate) fn job() -> Job {
    let columns = REGISTER.into_iter().filter(|column| column.parting != Parting::End);
    Job::new("reseal", "Seals anew what is sealed under the previous master key", columns.map(step))
}

fn step(column: &'static SealedColumn) -> Step {
    let due = move |context: &Context, known: &[OrganizationId]| {
        let master = context.instance.master_key()?;
        Ok(master.previous_id().map(|previous| column.due(previous, known)).into_iter().collect())
    };
    let work = move |context, organization, after: String| reseal(context, organization, column, after);
    Step::walk(column.table, 2, due, work).summary("Seals this table's sealed column anew")
}

async fn reseal(
    context: Context,
    organization: OrganizationId,
    column: &'static SealedColumn,
    after: String,
) -> Result<Progress, ApiError> {
    let master = context.instance.master_key()?;
    let previous = master.previous_id();
    let Some(query) = previous.and_then(|previous| column.find(&organization, previous, &after)) else {
        return Ok(Progress::Done);
    };
    let db = context.db(&organization);
    let (mut batch, mut last) = (Batch::new(), None);
    for row in db.all(query).await? {
        let text = SealedText::read(column, &organization, &row)?;
        match text.reseal(&master, context.entropy()?) {
            Ok(statement) => batch.extend(statement),
            // One that does not open keeps nobody else's from being sealed.
            Err(error) => {
                let (table, name, key) = (column.table, column.column, &text.row_key);
                let message = format!("{table}.{name} of {key} in {organization} can't be sealed anew");
                context.log_failure(&message, &error.to_string());
            }
        }
        last = Some(text.row_key);
    }
    if !batch.is_empty() {
        db.batch(batch).await?;
    }
    Ok(last.map_or(Progress::Done, Progress::Behind))
}

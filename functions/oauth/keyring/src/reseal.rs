//! The job `reseal`: what is sealed under the previous master key is sealed anew under the current one,
//! column by column of the register.
//!
//! It is this function's because it opens and seals anyway, and connects to nobody outside: what opens all
//! that is stored should not be able to send it anywhere, as `secrets` is.

use iam_core::due::Due;
use iam_core::id::OrganizationId;
use iam_core::secret::register::{Parting, REGISTER, SealedColumn, SealedText};
use iam_core::sql::{Batch, Row};
use iam_service::{ApiError, Context};

/// How many organizations one run serves at most.
const MAX_ORGANIZATIONS: usize = 20;

pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let master = context.instance.master_key()?;
    let Some(previous) = master.previous_id() else { return Ok(()) };
    let db = context.db(&context.configuration().organization);
    for column in REGISTER.into_iter().filter(|column| column.parting != Parting::End) {
        let mut known = Vec::new();
        while known.len() < MAX_ORGANIZATIONS {
            let due = db.all(column.due(previous, &known)).await?;
            let Some(Due(organization)) = due.into_iter().next() else { break };
            let mut after = Some(String::new());
            while let Some(behind) = after {
                after = reseal(&context, &organization, column, &behind).await?;
            }
            known.push(organization);
        }
    }
    Ok(())
}

/// Seals anew a few texts behind a row; behind which row to go on, where there may be more.
async fn reseal(
    context: &Context,
    organization: &OrganizationId,
    column: &'static SealedColumn,
    after: &str,
) -> Result<Option<String>, ApiError> {
    let master = context.instance.master_key()?;
    let Some(query) = master.previous_id().and_then(|previous| column.find(organization, previous, after))
    else {
        return Ok(None);
    };
    let db = context.db(organization);
    let rows: Vec<Row> = db.all(query).await?;
    let (mut batch, mut last) = (Batch::new(), None);
    for row in &rows {
        let text = SealedText::read(column, organization, row)?;
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
    Ok(last)
}

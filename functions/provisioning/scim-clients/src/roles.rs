//! The scheduled job `scim-roles`: the roles that groups give, held against `scim.role_mappings`. Groups that
//! are made or renamed get theirs at once; this is for a change of the configuration, and for roles that came
//! later than the group.

use iam_core::directory::role_mapping::{MappedGroup, RoleMapping};
use iam_core::id::LogId;
use iam_core::sql::Statement;
use iam_service::{ApiError, Context};

/// How many groups are read at once.
const GROUPS: u32 = 1000;

/// How many groups are changed at once.
const CHANGES: usize = 200;

/// How many round trips one run takes at most. Where there are more groups than they reach, the run fails and
/// the log says so.
const ROUND_TRIPS: u32 = 64;

/// Running it twice does no harm: what is as it shall be is not written.
pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let mapping = RoleMapping::read(&context.configuration().scim.role_mappings)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let db = context.db(&context.configuration().organization);
    let mut after: Option<MappedGroup> = None;
    let mut left = ROUND_TRIPS;
    while left > 0 {
        left -= 1;
        let groups: Vec<MappedGroup> = db.run(MappedGroup::page(after.as_ref(), GROUPS)).await?.decode()?;
        let is_last = u32::try_from(groups.len()).is_ok_and(|read| read < GROUPS);
        for changes in changes(&context, &groups, &mapping)? {
            if left == 0 {
                return Err(unfinished());
            }
            left -= 1;
            db.batch_of(changes).await?;
        }
        if is_last {
            return Ok(());
        }
        after = groups.into_iter().last();
    }
    Err(unfinished())
}

fn unfinished() -> ApiError {
    ApiError::internal("there are more groups than one run reaches")
}

/// The batches that change what differs.
fn changes(
    context: &Context,
    groups: &[MappedGroup],
    mapping: &RoleMapping,
) -> Result<Vec<Vec<Statement>>, ApiError> {
    let differing: Vec<&MappedGroup> = groups.iter().filter(|group| group.differs(mapping)).collect();
    let batch = |groups: &[&MappedGroup]| {
        let groups = groups.iter().map(|group| Ok(((*group).clone(), context.new_id(LogId::new)?)));
        let groups = groups.collect::<Result<Vec<_>, ApiError>>()?;
        Ok(Vec::from(MappedGroup::apply(&groups, mapping, context.now)))
    };
    differing.chunks(CHANGES).map(batch).collect()
}

//! The job `scim-roles`: the roles that groups give, held against `scim.role_mappings`. Groups that are made
//! or renamed get theirs at once; this is for a change of the configuration, and for roles that came later
//! than the group.

use iam_core::directory::role_mapping::{MappedGroup, RoleMapping};
use iam_core::id::{LogId, OrganizationId};
use iam_service::{ApiError, Context, Job, Progress, Step};

/// How many groups are read at once.
const GROUPS: u32 = 1000;

/// How many groups are changed at once.
const CHANGES: usize = 200;

/// How many round trips a page of groups takes at most, all of them changed.
const PAGE_ROUND_TRIPS: u32 = 6;

/// How many round trips one run takes at most: every organization that has groups takes one.
const ROUND_TRIPS: u32 = 400;

/// What it is.
pub(crate) fn job() -> Job {
    let step = Step::walk("roles", PAGE_ROUND_TRIPS, |_, known| Ok(vec![MappedGroup::due(known)]), hold)
        .summary("Gives and takes what groups give in another way than `scim.role_mappings` says");
    Job::new("scim-roles", "Holds the roles that groups give against the configuration", [step])
        .round_trips(ROUND_TRIPS)
}

/// Running it twice does no harm: what is as it shall be is not written.
async fn hold(context: Context, organization: OrganizationId, after: String) -> Result<Progress, ApiError> {
    let mapping = RoleMapping::read(&context.configuration().scim.role_mappings)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let db = context.db(&organization);
    let groups: Vec<MappedGroup> = db.all(MappedGroup::page(&organization, &after, GROUPS)).await?;
    let differing: Vec<&MappedGroup> = groups.iter().filter(|group| group.differs(&mapping)).collect();
    for some in differing.chunks(CHANGES) {
        let some = some.iter().map(|group| Ok((*group, context.new_id(LogId::new)?)));
        let some = some.collect::<Result<Vec<_>, ApiError>>()?;
        db.batch(MappedGroup::apply(&some, &mapping, context.now)).await?;
    }
    Ok(match groups.last() {
        Some(last) if Progress::if_full(groups.len(), GROUPS) == Progress::More => {
            Progress::Behind(last.group_id.to_string())
        }
        _ => Progress::Done,
    })
}

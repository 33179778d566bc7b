//! `docs/reference/jobs.md`: what the clock starts, whose it is, and what each run does.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::reference::{Table, code};
use crate::catalogue::{Catalogue, Job, Schedule};

/// The page.
///
/// # Errors
/// Where a job has no schedule or two, a schedule names none, or the steps of one don't fit its round trips.
pub(super) fn page(catalogue: &Catalogue) -> Result<String> {
    let scheduled = scheduled(catalogue)?;
    let mut text = "# Jobs

What the product does by itself. On Workers cron starts the function `clock`, which has the function that
owns a job run it; on any host `POST /internal/scheduled/{job}` with the internal token starts one now.
Each may be started twice, at once, late or in vain.

A job's steps run in order, for one organization after the other that has something due. What fails is
logged with the step and the organization, and keeps nothing else from being done; the run then answers
500. A run takes up nothing more after 15 seconds, or once its round trips to the database are used up,
of which each step has an equal share and what the steps before it left. What it leaves, the next one
takes.

"
    .to_owned();
    let mut table = Table::new(["job", "when (UTC)", "function", "what it does", "round trips"]);
    for (schedule, job) in &scheduled {
        table.row([
            code(&job.name),
            code(&schedule.cron),
            code(&schedule.function),
            job.summary.clone(),
            job.round_trips.to_string(),
        ]);
    }
    text.push_str(table.text());
    for (_, job) in &scheduled {
        let mut table = Table::new(["step", "what it does", "round trips an organization"]);
        for step in &job.steps {
            table.row([code(&step.name), step.summary.clone(), step.round_trips.to_string()]);
        }
        let _ = write!(text, "\n## `{}`\n\n{}", job.name, table.text());
    }
    Ok(text)
}

/// Each job with its schedule, by name.
fn scheduled(catalogue: &Catalogue) -> Result<Vec<(&Schedule, &Job)>> {
    let schedules: Vec<&Schedule> =
        catalogue.functions.iter().flat_map(|function| &function.schedules).collect();
    let mut scheduled = Vec::new();
    for function in &catalogue.functions {
        for job in &function.jobs {
            let mut its = schedules.iter().filter(|schedule| schedule.job == job.name);
            match (its.next(), its.next()) {
                (Some(schedule), None) if schedule.function == function.name => {
                    scheduled.push((*schedule, job))
                }
                _ => bail!("the clock has not one schedule of the job {} of {}", job.name, function.name),
            }
            check_round_trips(job)?;
        }
    }
    if let Some(nobodys) =
        schedules.iter().find(|schedule| scheduled.iter().all(|(_, job)| job.name != schedule.job))
    {
        bail!("the clock starts {}, which {} does not have", nobodys.job, nobodys.function);
    }
    scheduled.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    Ok(scheduled)
}

/// Each step finds who is due and serves one organization, whatever the steps before it took.
fn check_round_trips(job: &Job) -> Result<()> {
    let shares = u32::try_from(job.steps.len())?.max(1);
    for step in &job.steps {
        if step.summary.is_empty() {
            bail!("the step {} of the job {} says nothing of what it does", step.name, job.name);
        }
        if 1 + step.round_trips > job.round_trips / shares {
            bail!("the step {} of the job {} does not fit its share of round trips", step.name, job.name);
        }
    }
    Ok(())
}

//! The one clock: every schedule of the product, for all hosts. On Workers cron starts this function,
//! elsewhere whoever has the internal token calls it; it has the function that owns a job run it. It has no
//! database and opens nothing.

use iam_service::{Function, Schedule};

iam_service::deploy!(function, scheduled);

/// What runs when. A job that two schedules start at once bears it.
const SCHEDULES: &[Schedule] = &[
    Schedule { job: "webhook-outbox", cron: "* * * * *", function: "webhook" },
    Schedule { job: "key-rotation", cron: "*/5 * * * *", function: "key-rotation" },
    Schedule { job: "keyring-rotation", cron: "*/5 * * * *", function: "keyring" },
    Schedule { job: "reseal", cron: "*/5 * * * *", function: "keyring" },
    Schedule { job: "housekeeping", cron: "7 * * * *", function: "directory-purge" },
    Schedule { job: "directory-purge", cron: "17 * * * *", function: "directory-purge" },
    Schedule { job: "scim-roles", cron: "41 * * * *", function: "scim-clients" },
];

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("clock", "Starts every scheduled job").schedules(SCHEDULES)
}

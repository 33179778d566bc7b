//! `POST /api/v1/users/import`.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::HeaderMap;
use iam_core::directory::import::{ImportLine, LineRefusal, MAX_LINES, parse_line};
use iam_core::directory::managed::LocalEdits;
use iam_core::directory::transfer::{Import, ImportBatch, RolesUnchanged};
use iam_core::directory::{FieldProblem, GroupLookUp, KnownGroups, KnownRoles, RoleLookUp, acts};
use iam_core::id::{GroupId, LogId, UserId};
use iam_core::secret::password::recognise;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Caller, Context, Json, check_media_type};
use schemars::JsonSchema;
use serde::Serialize;

use crate::MEDIA_TYPE;

/// What became of the lines.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ImportReport {
    /// How many users were created.
    created: usize,
    /// How many were there already, and stay as they are.
    unchanged: usize,
    /// The lines that were refused.
    rejected: Vec<RejectedLine>,
}

/// A line that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RejectedLine {
    /// Its number in the body, from 1.
    line: usize,
    /// Its user name, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Where in the line: a JSON pointer, empty for the whole of it.
    pointer: String,
    /// Why.
    reason: String,
}

impl RejectedLine {
    fn new(line: usize, username: Option<String>, problem: FieldProblem) -> Self {
        Self { line, username, pointer: problem.pointer, reason: problem.detail }
    }
}

/// A line that may be stored, with what it names.
struct Ready {
    line: ImportLine,
    groups: Vec<GroupId>,
    user_id: UserId,
    log_id: LogId,
}

/// Two round trips beside the caller's authentication: one looks up roles and groups, one stores all lines.
pub(crate) async fn import(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ImportReport>, ApiError> {
    check_media_type(&headers, &[MEDIA_TYPE])?;
    let (lines, mut rejected) = parse(&body, context.now)?;
    let edits = context.local_edits()?;
    let (known_roles, known_groups) = look_up(&context, &caller, &lines, &edits).await?;
    let mut ready = Vec::with_capacity(lines.len());
    for (number, line) in lines {
        match admit(&line, &caller, &known_roles, &known_groups) {
            Ok(groups) => {
                let (user_id, log_id) = (context.new_id(UserId::new)?, context.new_id(LogId::new)?);
                ready.push(Ready { line, groups, user_id, log_id });
            }
            Err(problem) => rejected.push(RejectedLine::new(number, Some(line.username), problem)),
        }
    }
    rejected.sort_by_key(|rejected| rejected.line);
    let created = store(&context, &caller, &ready, (&known_roles, &edits)).await?;
    Ok(Json(ImportReport { created, unchanged: ready.len().saturating_sub(created), rejected }))
}

type Numbered = Vec<(usize, ImportLine)>;

/// Reads the lines; empty ones are none.
fn parse(body: &[u8], now: Timestamp) -> Result<(Numbered, Vec<RejectedLine>), ApiError> {
    let (mut lines, mut rejected) = (Vec::new(), Vec::new());
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if lines.len() + rejected.len() == MAX_LINES {
            let detail = format!("{MAX_LINES} lines at most; send the others in another request");
            return Err(ApiError::bad_request("too_many_lines", detail));
        }
        match parse_line(line).and_then(|line| check_parsed(line, now)) {
            Ok(line) => lines.push((index + 1, line)),
            Err(refusal) => rejected.push(RejectedLine::new(index + 1, refusal.username, refusal.problem)),
        }
    }
    Ok((lines, rejected))
}

fn check_parsed(line: ImportLine, now: Timestamp) -> Result<ImportLine, LineRefusal> {
    let refused = |line: ImportLine, problem| LineRefusal { username: Some(line.username), problem };
    if line.created_at.is_some_and(|moment| moment > now) {
        return Err(refused(line, FieldProblem::new("/created_at", "not in the future")));
    }
    match line.password_hash.as_deref().map(accept_hash) {
        Some(Err(problem)) => Err(refused(line, problem)),
        Some(Ok(())) | None => Ok(line),
    }
}

/// Takes a hash that sign-in can verify, at a cost that it may pay.
fn accept_hash(hash: &str) -> Result<(), FieldProblem> {
    match recognise(hash) {
        Ok(_) => Ok(()),
        Err(error) => Err(FieldProblem::new("/password_hash", error.to_string())),
    }
}

/// Everything that the lines name, looked up at once.
async fn look_up(
    context: &Context,
    caller: &Caller,
    lines: &Numbered,
    edits: &LocalEdits<'_>,
) -> Result<(KnownRoles, KnownGroups), ApiError> {
    let names = |of: fn(&ImportLine) -> &Vec<String>| -> BTreeSet<&str> {
        lines.iter().flat_map(|(_, line)| of(line)).map(String::as_str).collect()
    };
    let (roles, groups) = (names(|line| &line.roles), names(|line| &line.groups));
    if roles.is_empty() && groups.is_empty() {
        return Ok((KnownRoles::default(), KnownGroups::default()));
    }
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let roles = batch.ask(RoleLookUp::find(organization, roles));
    let groups = batch.ask(GroupLookUp::find(organization, groups, edits));
    let answers = context.db(organization).batch(batch).await?;
    Ok((answers.all(roles)?.into_iter().collect(), answers.all(groups)?.into_iter().collect()))
}

/// Whether the caller may create this user: its roles are there and the caller's to give, its groups are
/// there and not kept by SCIM.
fn admit(
    line: &ImportLine,
    caller: &Caller,
    roles: &KnownRoles,
    groups: &KnownGroups,
) -> Result<Vec<GroupId>, FieldProblem> {
    roles.assignable(&line.roles, &caller.grants).map_err(|refusal| refusal.problem().clone())?;
    if let Some((index, group)) = groups.first_kept(&line.groups) {
        let detail = format!("the group `{}` is managed over SCIM", group.display_name);
        return Err(FieldProblem::new(format!("/groups/{index}"), detail));
    }
    Ok(groups.named(&line.groups)?.into_iter().map(|group| group.group_id).collect())
}

/// Stores whoever is not there yet, and tells how many that were.
async fn store(
    context: &Context,
    caller: &Caller,
    ready: &[Ready],
    (roles, edits): (&KnownRoles, &LocalEdits<'_>),
) -> Result<usize, ApiError> {
    if ready.is_empty() {
        return Ok(0);
    }
    let users: Vec<_> = ready
        .iter()
        .map(|ready| Import::new(&ready.line, &ready.groups, (&ready.user_id, &ready.log_id), context.now))
        .collect();
    let import =
        ImportBatch { organization: &caller.organization, users: &users, roles, edits, now: context.now };
    let event = context.audit_by(caller, acts::USER_IMPORT)?;
    let too_much = || ApiError::bad_request("too_many_lines", "too much for one request: send fewer lines");
    let mut batch = Batch::new();
    let tickets = import.ask(event, &mut batch).ok_or_else(too_much)?;
    let answers = context.db(&caller.organization).batch(batch).await?;
    match answers.one(tickets.roles)? {
        Some(RolesUnchanged(true)) => Ok(answers.count(tickets.created)?),
        Some(RolesUnchanged(false)) | None => {
            Err(ApiError::conflict("version_conflict", "a role changed at the same moment: send it again"))
        }
    }
}

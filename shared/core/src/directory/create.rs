//! A user that an administrator creates.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::assignment::{KnownGroup, KnownRole};
use super::user::{DirectoryStatus, DirectoryUser, ManagedBy, UserKind};
use crate::directory::account::username_key;
use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::id::{OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::secret::password::SALT_BYTES;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::Timestamp;
use crate::{creation_condition, record_condition};

/// The audit condition "the user `?2` exists".
pub const USER_EXISTS: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND deleted_at IS NULL)"
);

/// The idempotency condition "the user `?4` exists".
pub const USER_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?4)");

/// A salt that is the same when the same subject sends the same `Idempotency-Key` again: so is then the hash
/// of the same password, and a repeated request can be told from another one without a quick hash of its
/// password being kept.
#[must_use]
pub fn repeatable_salt(organization: &OrganizationId, subject_id: &UserId, key: &[u8]) -> [u8; SALT_BYTES] {
    let mut digest = Sha256::new();
    for part in
        [b"user-create".as_slice(), organization.as_str().as_bytes(), subject_id.as_str().as_bytes(), key]
    {
        digest.update(part);
        digest.update([0]);
    }
    let digest = digest.finalize();
    let mut salt = [0; SALT_BYTES];
    salt.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    salt
}

/// A person that is about to be in the directory.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its id.
    pub user_id: &'a UserId,
    /// Its name for signing in.
    pub username: &'a str,
    /// Its e-mail address.
    pub email: Option<&'a str>,
    /// Its name for people.
    pub display_name: Option<&'a str>,
    /// The hash of its password, where it has one.
    pub password_hash: Option<&'a str>,
    /// Its roles.
    pub roles: &'a [KnownRole],
    /// Its groups.
    pub groups: &'a [KnownGroup],
    /// What may be changed of what SCIM manages.
    pub edits: &'a LocalEdits<'a>,
    /// Now.
    pub now: Timestamp,
}

/// Where the answers to a creation are found.
#[derive(Clone, Copy, Debug)]
pub struct NewUserTickets {
    /// Whether the user was created.
    pub created: Ticket,
    /// Why not.
    pub inspection: Ticket<UsernameTaken>,
}

/// Whether somebody has the name of a user that was to be created.
#[derive(Clone, Copy, Debug)]
pub struct UsernameTaken(pub bool);

impl FromRow for UsernameTaken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("taken")? != 0))
    }
}

impl NewUser<'_> {
    /// Creates and records the user in one transaction: where its name is free, its roles still grant what
    /// they did when they were looked up, and its groups are there and open to it.
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> NewUserTickets {
        let created = batch.then(self.create());
        batch.extend([self.give_roles(), self.join_groups(), event.record_if(USER_EXISTS, self.user_id)]);
        NewUserTickets { created, inspection: batch.ask(self.inspect()) }
    }

    fn inspect(&self) -> Query<UsernameTaken> {
        Query::new(
            "SELECT EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND username_key = ?2 AND deleted_at IS \
             NULL) AS taken",
        )
        .bind(self.organization)
        .bind(username_key(self.username))
    }

    /// The user that was created.
    #[must_use]
    pub fn created(&self) -> DirectoryUser {
        let mut roles: Vec<String> = self.roles.iter().map(|role| role.role.clone()).collect();
        roles.sort();
        DirectoryUser {
            user_id: self.user_id.clone(),
            username: self.username.to_owned(),
            email: self.email.map(str::to_owned),
            display_name: self.display_name.map(str::to_owned),
            roles,
            groups: self.groups.iter().map(|group| group.display_name.clone()).collect(),
            mfa_enabled: false,
            mfa_methods: Vec::new(),
            last_login: None,
            created_at: self.now,
            status: DirectoryStatus::Active,
            kind: UserKind::Person,
            managed_by: ManagedBy::Manual,
            updated_at: self.now,
            version: 1,
            deleted_at: None,
        }
    }

    fn create(&self) -> Statement {
        let pairs: Vec<_> = self.roles.iter().map(|role| json!([role.role, role.effective_grants])).collect();
        Statement::new(concat!(
            "INSERT INTO users (org_id, user_id, kind, username, username_key, email, display_name, status, \
             password_hash, password_changed_at, managed_by, created_at, updated_at) SELECT ?1, ?2, \
             'person', ?3, ?4, ?5, ?6, 'active', ?7, CASE WHEN ?7 IS NULL THEN NULL ELSE ?8 END, 'manual', \
             ?8, ?8 WHERE NOT EXISTS (SELECT 1 FROM json_each(?9) AS wanted LEFT JOIN roles ON roles.org_id \
             = ?1 AND roles.role = wanted.value ->> 0 WHERE roles.effective_grants IS NOT wanted.value ->> \
             1) AND NOT EXISTS (SELECT 1 FROM json_each(?10) AS wanted WHERE NOT EXISTS (SELECT 1 FROM \
             groups WHERE groups.org_id = ?1 AND groups.group_id = wanted.value AND NOT ",
            kept_by_scim!("groups", "?11"),
            ")) ON CONFLICT DO NOTHING RETURNING user_id"
        ))
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.username)
        .bind(username_key(self.username))
        .bind(self.email)
        .bind(self.display_name)
        .bind(self.password_hash)
        .bind(self.now)
        .bind(json!(pairs).to_string())
        .bind(self.group_ids())
        .bind(self.edits.condition().to_string())
    }

    fn give_roles(&self) -> Statement {
        let roles: Vec<_> = self.roles.iter().map(|role| role.role.as_str()).collect();
        Statement::new(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?2, wanted.value FROM json_each(?3) \
             AS wanted WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(json!(roles).to_string())
    }

    fn join_groups(&self) -> Statement {
        Statement::new(
            "INSERT INTO group_members (org_id, user_id, group_id) SELECT ?1, ?2, wanted.value FROM \
             json_each(?3) AS wanted WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.group_ids())
    }

    fn group_ids(&self) -> String {
        let ids: Vec<_> = self.groups.iter().map(|group| &group.group_id).collect();
        json!(ids).to_string()
    }
}

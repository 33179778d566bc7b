//! Changes that a SCIM client makes again and again: two systems that each undo what the other does, or one
//! that never learns that it was done. Beyond a bound they are answered without work, and the audit tells of
//! it once.

use sha2::{Digest, Sha256};

use crate::encoding::base64url;
use crate::id::{OrganizationId, ScimClientId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record_condition;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// What tells one change from another: SHA-256 of method, resource and body, base64url. `None` for a change
/// that may hold a password: a quick hash of one is not kept.
#[must_use]
pub fn change_hash(method: &str, path: &str, body: &[u8]) -> Option<String> {
    // An escape could hide the word.
    let holds = |word: &[u8]| body.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    if holds(b"password") || holds(b"\\u00") {
        return None;
    }
    let mut digest = Sha256::new();
    for part in [method.as_bytes(), path.as_bytes(), body] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    Some(base64url(&digest.finalize()))
}

/// One change of one client, as often as it came.
#[derive(Clone, Copy, Debug)]
pub struct Repeats<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose change it is.
    pub client_id: &'a ScimClientId,
    /// Which: [`change_hash`].
    pub change_hash: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl Repeats<'_> {
    fn bind(&self, text: &'static str) -> Statement {
        Statement::new(text)
            .bind(self.organization)
            .bind(self.client_id)
            .bind(self.change_hash)
            .bind(self.now)
    }

    /// How often it came before, for [`Repeated`]: no row where it did not come in this window.
    pub fn read(&self) -> Query<Repeated> {
        let find = self.bind(
            "SELECT count, reported FROM scim_changes WHERE org_id = ?1 AND client_id = ?2 AND change_hash = \
             ?3 AND window_ends_at > ?4",
        );
        find.into()
    }

    /// Counts it once more. A window begins with the first, and again with the first after its end.
    #[must_use]
    pub fn count(&self, window: Duration) -> Statement {
        self.bind(
            "INSERT INTO scim_changes (org_id, client_id, change_hash, count, window_ends_at) VALUES (?1, \
             ?2, ?3, 1, ?5) ON CONFLICT (org_id, client_id, change_hash) DO UPDATE SET count = CASE WHEN \
             window_ends_at > ?4 THEN count + 1 ELSE 1 END, reported = CASE WHEN window_ends_at > ?4 THEN \
             reported ELSE 0 END, window_ends_at = CASE WHEN window_ends_at > ?4 THEN window_ends_at ELSE ?5 \
             END",
        )
        .bind(self.now.after(window))
    }

    /// Records that it goes round in circles, once a window, where it came `bound` times. The event's act is
    /// [`LOOP`](super::acts::LOOP), its resource's id the client's.
    #[must_use]
    pub fn report(&self, bound: u32, event: AuditEvent) -> [Statement; 2] {
        let asked = serde_json::json!([self.client_id, self.change_hash, bound]).to_string();
        let event = event.on(self.client_id.as_str()).detail("change", self.change_hash);
        [
            event.record_if(IS_LOOP, asked),
            self.bind(
                "UPDATE scim_changes SET reported = 1 WHERE org_id = ?1 AND client_id = ?2 AND change_hash = \
                 ?3 AND window_ends_at > ?4 AND reported = 0 AND count >= ?5",
            )
            .bind(bound),
        ]
    }
}

const IS_LOOP: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM scim_changes WHERE org_id = ?1 AND client_id = ?2 ->> 0 AND change_hash = ?2 ->> \
     1 AND window_ends_at > ?3 AND reported = 0 AND count >= ?2 ->> 2)"
);

/// How often a change came in this window, before now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// How often.
    pub count: u32,
    /// Whether the audit has it.
    pub is_reported: bool,
}

impl Repeated {
    /// Whether it is to be answered without work: it came `bound` times already.
    #[must_use]
    pub fn is_loop(self, bound: u32) -> bool {
        self.count >= bound
    }
}

impl FromRow for Repeated {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            count: u32::try_from(row.integer("count")?).unwrap_or(u32::MAX),
            is_reported: row.integer("reported")? != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_apart() {
        let hash = |method, path, body: &str| change_hash(method, path, body.as_bytes());
        let one = hash("PUT", "/Users/1", r#"{"active": true}"#);
        assert_eq!(one, hash("PUT", "/Users/1", r#"{"active": true}"#));
        for other in [
            hash("PATCH", "/Users/1", r#"{"active": true}"#),
            hash("PUT", "/Users/2", r#"{"active": true}"#),
            hash("PUT", "/Users/1", r#"{"active": false}"#),
            hash("PUT", "/Users/", r#"1{"active": true}"#),
        ] {
            assert!(other.is_some() && other != one);
        }
    }

    #[test]
    fn of_a_password_there_is_no_hash() {
        for body in [r#"{"passWord": "a"}"#, r#"{"path": "password"}"#, r#"{"p\u0061ssword": "a"}"#] {
            assert_eq!(change_hash("POST", "/Users", body.as_bytes()), None, "{body}");
        }
    }
}

//! What of two acts at the same moment is recorded.

use iam_core::id::{LogId, OrganizationId, ScimClientId, ScimTokenId};
use iam_core::provisioning::acts;
use iam_core::provisioning::client::ScimClientRevocation;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::time::Timestamp;
use iam_tests::model::Database;

/// Of two revocations within one millisecond, the one that revoked is recorded.
#[test]
fn what_changed_nothing_is_not_recorded() {
    let mut database = Database::default();
    let now = Timestamp::from_millis(1_000);
    let organization = OrganizationId::new(now, [0; 2]);
    let (client_id, token_id) = (ScimClientId::new(now, [1; 10]), ScimTokenId::new(now, [2; 10]));
    let other = ScimTokenId::new(now, [3; 10]);
    for token in [&token_id, &other] {
        database.execute(&format!(
            "INSERT INTO scim_tokens (org_id, token_id, client_id, token_hash, created_at) VALUES \
             ('{organization}', '{token}', '{client_id}', '{token}', 1)"
        ));
    }
    let revocation = ScimClientRevocation { organization: &organization, client_id: &client_id, now };
    for log in [4, 5] {
        let event = AuditEvent {
            organization: organization.clone(),
            log_id: LogId::new(now, [log; 10]),
            timestamp: now,
            actor: Actor::Manual,
            user_id: None,
            act: acts::TOKEN_REVOKE,
            resource_id: Some(client_id.to_string()),
            ip_address: None,
            user_agent: None,
            outcome: Outcome::Success,
            request_id: None,
            details: serde_json::Map::new(),
        };
        database.batch([revocation.revoke_token(&token_id), event.record_if_changed()]);
    }
    assert_eq!(database.number("SELECT count(*) FROM scim_tokens WHERE revoked_at IS NOT NULL"), 1);
    assert_eq!(database.number("SELECT count(*) FROM audit_events"), 1);
}

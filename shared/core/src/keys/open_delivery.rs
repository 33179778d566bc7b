//! Open deliveries, looked after: as long as a new key is on its way, the old one is held.

use serde::Serialize;

use super::{HOLD, acts};
use crate::due::Due;
use crate::id::{KeyDeliveryId, LogId, OrganizationId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{record_rows, who_is_due};

/// Each open delivery is looked after this often.
const LOOK_AFTER: Duration = Duration::from_hours(1);

/// How many deliveries are looked after at once.
pub const HOLDING_BATCH: u32 = 100;

/// An open delivery that is looked after.
#[derive(Debug, Serialize)]
pub struct OpenDelivery {
    organization: OrganizationId,
    delivery_id: KeyDeliveryId,
    log_id: LogId,
}

impl OpenDelivery {
    /// One; `log_id` is for the record where it is closed.
    #[must_use]
    pub fn new(organization: OrganizationId, delivery_id: KeyDeliveryId, log_id: LogId) -> Self {
        Self { organization, delivery_id, log_id }
    }

    /// Who has some that nobody looked after within the hour.
    pub fn due(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "api_key_deliveries INDEXED BY api_key_deliveries_held",
            where: "held_until <= ?3", by: "held_until"
        );
        Due::find(WHO, known).bind(now.after(HOLD).before(LOOK_AFTER))
    }

    /// Finds an organization's that nobody looked after within the hour, for [`OpenDelivery::read`].
    pub fn find(organization: &OrganizationId, now: Timestamp) -> Query<Row> {
        Query::new(
            "SELECT delivery_id FROM api_key_deliveries INDEXED BY api_key_deliveries_held WHERE held_until \
             <= ?2 AND org_id = ?1 ORDER BY held_until LIMIT ?3",
        )
        .bind(organization)
        .bind(now.after(HOLD).before(LOOK_AFTER))
        .bind(HOLDING_BATCH)
    }

    /// Reads a row of [`OpenDelivery::find`].
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(organization: &OrganizationId, row: &Row, log_id: LogId) -> Result<Self, RowError> {
        Ok(Self::new(organization.clone(), KeyDeliveryId::from_column(row, "delivery_id")?, log_id))
    }

    /// Looks after some of an organization, in one transaction. Where the new key ended before anybody had
    /// it, the delivery is closed: the old key takes its place again, due to be rotated at once unless the
    /// schedule was ended. Otherwise the old key is held, back from its date even, where nobody ran the job
    /// in time. A revoked key stays revoked.
    #[must_use]
    pub fn keep(open: &[Self], now: Timestamp) -> Vec<Statement> {
        let Some(first) = open.first() else { return Vec::new() };
        let list = serde_json::json!(open).to_string();
        let closing =
            AuditEvent::by_system(&first.organization, first.log_id.clone(), acts::DELIVERY_CLOSE, now);
        let mut statements = vec![closing.record_if(CLOSING, list.as_str())];
        let bind =
            |text: &'static str| Statement::new(text).bind(list.as_str()).bind(now).bind(now.after(HOLD));
        statements
            .extend([RESTORE_SCHEDULE, END_NEW_SCHEDULE, RESTORE_OLD, CLOSE, HOLD_OLD, NOTE_HOLD].map(bind));
        statements
    }
}

/// The open ones of the list `$list`, each with its new key; `$now` is now.
macro_rules! open_of {
    ($list:literal, $now:literal) => {
        concat!(
            "ways AS MATERIALIZED (SELECT way.org_id, way.delivery_id, way.key_id, way.old_key_id, \
             way.owner_id, item.value ->> 'log_id' AS log_id, new.status = 'active' AND new.expires_at > ",
            $now,
            " AS works FROM json_each(",
            $list,
            ") AS item JOIN api_key_deliveries AS way ON way.org_id = item.value ->> 'organization' AND \
             way.delivery_id = item.value ->> 'delivery_id' JOIN api_keys AS new ON new.org_id = way.org_id \
             AND new.key_id = way.key_id WHERE way.state IN ('pending', 'dead')) "
        )
    };
}

/// The list is `?1`; `?2` is now, `?3` until when old keys are held.
macro_rules! ways {
    ($text:literal) => {
        concat!("WITH moments (now, held_until) AS (SELECT ?2, ?3), ", open_of!("?1", "?2"), $text)
    };
}

/// A record for each of the list `?2` whose new key ended before anybody had it.
const CLOSING: RecordCondition = record_rows!(
    with: concat!("WITH ", open_of!("?2", "?3")),
    org_id: "org_id",
    log_id: "log_id",
    user_id: "owner_id",
    resource_id: "key_id",
    details: "json_object('delivery_id', delivery_id, 'old_key_id', old_key_id)",
    from: " FROM ways WHERE NOT works",
);

const RESTORE_SCHEDULE: &str = ways!(
    "UPDATE api_key_rotations SET due_at = ?2 FROM ways WHERE NOT ways.works AND api_key_rotations.org_id = \
     ways.org_id AND api_key_rotations.key_id = ways.old_key_id AND EXISTS (SELECT 1 FROM api_key_rotations \
     AS new WHERE new.org_id = ways.org_id AND new.key_id = ways.key_id AND new.due_at IS NOT NULL) AND \
     EXISTS (SELECT 1 FROM api_keys AS old WHERE old.org_id = ways.org_id AND old.key_id = ways.old_key_id \
     AND old.status <> 'revoked' AND old.replaced_by = ways.key_id)"
);

const END_NEW_SCHEDULE: &str = ways!(
    "UPDATE api_key_rotations SET due_at = NULL FROM ways WHERE NOT ways.works AND api_key_rotations.org_id \
     = ways.org_id AND api_key_rotations.key_id = ways.key_id"
);

const RESTORE_OLD: &str = ways!(
    "UPDATE api_keys SET replaced_by = NULL, expires_at = CASE WHEN status = 'active' THEN MAX(expires_at, \
     ?3) ELSE expires_at END FROM ways WHERE NOT ways.works AND api_keys.org_id = ways.org_id AND \
     api_keys.key_id = ways.old_key_id AND api_keys.status <> 'revoked' AND api_keys.replaced_by = \
     ways.key_id"
);

const CLOSE: &str = ways!(
    "UPDATE api_key_deliveries SET state = 'closed', sealed_key = NULL, next_attempt_at = NULL, held_until = \
     NULL, finished_at = ?2 FROM ways WHERE NOT ways.works AND api_key_deliveries.org_id = ways.org_id AND \
     api_key_deliveries.delivery_id = ways.delivery_id"
);

const HOLD_OLD: &str = ways!(
    "UPDATE api_keys SET expires_at = MAX(expires_at, ?3) FROM ways WHERE api_keys.org_id = ways.org_id AND \
     api_keys.key_id = ways.old_key_id AND api_keys.status = 'active'"
);

const NOTE_HOLD: &str = ways!(
    "UPDATE api_key_deliveries SET held_until = ?3 FROM ways WHERE api_key_deliveries.org_id = ways.org_id \
     AND api_key_deliveries.delivery_id = ways.delivery_id"
);

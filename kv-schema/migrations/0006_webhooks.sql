-- Webhooks that are taken in.

-- Webhooks that were taken in, so that none is taken twice.
CREATE TABLE webhook_receipts (
  org_id TEXT NOT NULL,
  service TEXT NOT NULL,
  -- SHA-256 of what makes the message one of its own (its id, or all that was signed), base64url
  message_hash TEXT NOT NULL,
  -- SHA-256 of all that was signed, base64url: tells the very same message from a retry of it
  content_hash TEXT NOT NULL,
  -- the delivery it became
  delivery_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, service, message_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_receipts_by_expiry ON webhook_receipts (expires_at);

-- Webhooks on their way to their target: the outbox.
CREATE TABLE webhook_deliveries (
  org_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  service TEXT NOT NULL,
  -- the message as it came (headers worth keeping, body), sealed; NULL once it was delivered
  sealed_message TEXT,
  -- 'queued': nobody forwards it, somebody fetches it; 'dead': given up until somebody asks for it again
  state TEXT NOT NULL CHECK (state IN ('pending', 'queued', 'delivered', 'dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  -- when it is tried next, or can be fetched; moved on before each so that two don't get it at once; NULL where it is not
  next_attempt_at INTEGER,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  finished_at INTEGER,
  PRIMARY KEY (org_id, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (service, next_attempt_at, org_id, delivery_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_queued ON webhook_deliveries (org_id, service, next_attempt_at, delivery_id) WHERE state = 'queued';
CREATE INDEX webhook_deliveries_queued_by_age ON webhook_deliveries (next_attempt_at) WHERE state = 'queued';
CREATE INDEX webhook_deliveries_by_service ON webhook_deliveries (org_id, service, delivery_id);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (org_id, state, delivery_id);
CREATE INDEX webhook_deliveries_by_service_and_state ON webhook_deliveries (org_id, service, state, delivery_id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_master_key ON webhook_deliveries (substr(sealed_message, 4, 8), org_id, delivery_id)
  WHERE sealed_message IS NOT NULL;

-- How often webhooks were refused, so that strangers fill neither this table nor the audit.
CREATE TABLE webhook_refusals (
  org_id TEXT NOT NULL,
  -- empty for services that there are not
  service TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- minutes since 1970, and how many there were in that one
  minute INTEGER NOT NULL,
  count INTEGER NOT NULL,
  -- the record of the last one that has a record of its own
  log_id TEXT NOT NULL,
  -- how many are not recorded yet
  suppressed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (org_id, service, reason)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_refusals_suppressed ON webhook_refusals (suppressed) WHERE suppressed > 0;

-- What was done, and answers kept for a retry.

-- Answers to POSTs that carried an Idempotency-Key, so that a retry gets the first answer again.
CREATE TABLE idempotent_answers (
  org_id TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  -- SHA-256 of the Idempotency-Key with the route, base64url
  idempotency_key TEXT NOT NULL,
  -- SHA-256 of the request body, base64url
  request_hash TEXT NOT NULL,
  -- the answer's body, sealed: it may hold a secret that is shown once
  sealed_answer TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, subject_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_answers_by_age ON idempotent_answers (created_at);
-- Which master key an answer was sealed under.
CREATE INDEX idempotent_answers_by_master_key ON idempotent_answers (substr(sealed_answer, 4, 8));

CREATE TABLE audit_events (
  org_id TEXT NOT NULL,
  log_id TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  -- who acted: 'manual' (a person or service with its own credential), 'scim' or 'system'
  actor TEXT NOT NULL CHECK (actor IN ('manual', 'scim', 'system')),
  user_id TEXT,
  action TEXT NOT NULL,
  resource TEXT NOT NULL,
  resource_id TEXT,
  ip_address TEXT,
  user_agent TEXT,
  result TEXT NOT NULL CHECK (result IN ('success', 'failure')),
  request_id TEXT,
  -- a JSON object; never a secret
  details TEXT NOT NULL,
  PRIMARY KEY (org_id, log_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_events_keep BEFORE UPDATE ON audit_events
BEGIN
  SELECT RAISE(ABORT, 'constraint: audit events are append-only');
END;

CREATE TRIGGER audit_events_stay BEFORE DELETE ON audit_events
BEGIN
  SELECT RAISE(ABORT, 'constraint: audit events are append-only');
END;

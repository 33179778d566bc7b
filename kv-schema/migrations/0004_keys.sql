-- API keys, and what was taken of limits.

CREATE TABLE api_keys (
  org_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  -- SHA-256 of the key, base64url; the key itself is stored nowhere
  key_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  -- a JSON array of {"resource", "action", "scope"}
  permissions TEXT NOT NULL,
  -- requests per minute
  rate_limit INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'expired', 'revoked')),
  -- how long a key lives that replaces this one
  life_ms INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  -- to ten seconds
  last_used INTEGER,
  revoked_at INTEGER,
  -- why, in a word or in the words of whoever did it: 'leaked', …
  revoked_because TEXT,
  -- the key that replaced this one; both work until expires_at
  replaced_by TEXT,
  -- address ranges it may be used from, a JSON array of CIDR texts; NULL where it may be used from anywhere
  allowed_addresses TEXT,
  -- what its owner notes about it, a JSON object of texts
  metadata TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (org_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (org_id, key_hash);
CREATE INDEX api_keys_by_owner ON api_keys (org_id, owner_id, key_id);
CREATE INDEX api_keys_active_by_owner ON api_keys (org_id, owner_id, expires_at) WHERE status = 'active';
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at) WHERE status = 'active';
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

-- Keys that are rotated by themselves.
CREATE TABLE api_key_rotations (
  org_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  -- how old a key is when the schedule replaces it
  period_ms INTEGER NOT NULL,
  -- how long the old key works once the new one was delivered
  overlap_ms INTEGER NOT NULL,
  -- when it is replaced; NULL once it was
  due_at INTEGER,
  -- where the new key goes, a JSON object: {"kind": "vault", …} or {"kind": "webhook", …}
  delivery TEXT NOT NULL,
  -- what deliveries are signed with, sealed; NULL where they are not
  sealed_signing_secret TEXT,
  PRIMARY KEY (org_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_rotations_due ON api_key_rotations (due_at, org_id, key_id) WHERE due_at IS NOT NULL;
CREATE INDEX api_key_rotations_by_master_key ON api_key_rotations (substr(sealed_signing_secret, 4, 8), org_id, key_id)
  WHERE sealed_signing_secret IS NOT NULL;

-- New keys on their way to their owners. Until one arrives its sealed secret is the only copy, and the old key works on.
CREATE TABLE api_key_deliveries (
  org_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  -- the new key
  key_id TEXT NOT NULL,
  -- the key that it replaces
  old_key_id TEXT NOT NULL,
  -- whose both are
  owner_id TEXT NOT NULL,
  -- the new key itself, sealed; NULL once it was delivered or closed
  sealed_key TEXT,
  -- 'dead': given up until somebody asks for it again; the sealed key stays.
  -- 'closed': the new key ended before it was delivered, and the old one took its place again
  state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'closed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  -- when it is tried next, moved on before each try so that two runs don't try at once; NULL where it is not
  next_attempt_at INTEGER,
  last_error TEXT,
  -- until when the old key is known to live on; moved ahead as long as the delivery is open, NULL once it is not
  held_until INTEGER,
  created_at INTEGER NOT NULL,
  finished_at INTEGER,
  PRIMARY KEY (org_id, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_deliveries_due ON api_key_deliveries (next_attempt_at, org_id, delivery_id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX api_key_deliveries_held ON api_key_deliveries (held_until, org_id, delivery_id) WHERE held_until IS NOT NULL;
CREATE INDEX api_key_deliveries_open ON api_key_deliveries (org_id, delivery_id) WHERE state IN ('pending', 'dead');
CREATE INDEX api_key_deliveries_open_by_owner ON api_key_deliveries (org_id, owner_id, delivery_id) WHERE state IN ('pending', 'dead');
-- A key is on its way once.
CREATE UNIQUE INDEX api_key_deliveries_open_by_key ON api_key_deliveries (org_id, key_id) WHERE state IN ('pending', 'dead');
-- Which master key they were sealed under.
CREATE INDEX api_key_deliveries_by_master_key ON api_key_deliveries (substr(sealed_key, 4, 8), org_id, delivery_id)
  WHERE sealed_key IS NOT NULL;

-- How often a key was used, by day.
CREATE TABLE api_key_usage (
  org_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  -- days since 1970-01-01, UTC
  day INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  -- over its limit, or from an address it may not be used from
  refused INTEGER NOT NULL,
  PRIMARY KEY (org_id, key_id, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_usage_by_day ON api_key_usage (day);

-- What was taken of a limit a minute, second by second. A subject has 64 rows at most: a second's row is
-- the one that held the second 64 before it.
CREATE TABLE rate_windows (
  org_id TEXT NOT NULL,
  -- 'key:<key id>', 'organization', …
  subject TEXT NOT NULL,
  -- second modulo 64
  slot INTEGER NOT NULL,
  -- seconds since 1970-01-01
  second INTEGER NOT NULL,
  taken INTEGER NOT NULL,
  -- the last lease in this second
  lease INTEGER NOT NULL,
  PRIMARY KEY (org_id, subject, slot)
) STRICT, WITHOUT ROWID;

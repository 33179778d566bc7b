-- Every table carries its organization and every query filters by it, so that organizations can be spread
-- over databases. No foreign keys: not every host enforces them, and a rule that holds on one host is none.
-- Moments are integers, milliseconds since 1970-01-01T00:00:00Z. Lists are JSON text.

CREATE TABLE organizations (
  org_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service_account')),
  username TEXT NOT NULL,
  -- the user name, lower-cased: what uniqueness and sign-in go by
  username_key TEXT NOT NULL,
  email TEXT,
  display_name TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'locked')),
  -- a PHC string, or an imported hash as it came; NULL where the user can't sign in with a password
  password_hash TEXT,
  -- when the password was set; NULL for one that was imported or never set
  password_changed_at INTEGER,
  mfa_methods TEXT NOT NULL DEFAULT '[]',
  external_id TEXT,
  -- SCIM attributes that have no column of their own, a JSON object
  attributes TEXT NOT NULL DEFAULT '{}',
  managed_by TEXT NOT NULL CHECK (managed_by IN ('manual', 'scim')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  last_login INTEGER,
  deleted_at INTEGER,
  PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;

-- Users are counted and paged over this, without reading them whole: deleted_at is in it to make it covering.
CREATE INDEX users_in_order ON users (org_id, user_id, deleted_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_by_username ON users (org_id, username_key) WHERE deleted_at IS NULL;
CREATE INDEX users_by_external_id ON users (org_id, external_id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_by_email ON users (org_id, lower(email), user_id) WHERE email IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_by_keeper ON users (org_id, managed_by, user_id) WHERE deleted_at IS NULL;
-- Of a directory few are suspended, deleted or programs: these indexes hold them alone.
CREATE INDEX users_suspended ON users (org_id, user_id) WHERE status = 'suspended' AND deleted_at IS NULL;
CREATE INDEX users_service_accounts ON users (org_id, user_id) WHERE kind = 'service_account' AND deleted_at IS NULL;
CREATE INDEX users_deleted ON users (org_id, user_id) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_by_deletion ON users (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE roles (
  org_id TEXT NOT NULL,
  role TEXT NOT NULL,
  description TEXT,
  -- its own grants such as "security.*" or "protocols.read.all", a JSON array of strings
  grants TEXT NOT NULL,
  -- its own grants and those of every role it inherits from: what requests read. Written whenever a role changes,
  -- so that no request walks the inheritance
  effective_grants TEXT NOT NULL,
  PRIMARY KEY (org_id, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE role_parents (
  org_id TEXT NOT NULL,
  role TEXT NOT NULL,
  -- the role it inherits from
  parent TEXT NOT NULL,
  PRIMARY KEY (org_id, role, parent)
) STRICT, WITHOUT ROWID;

CREATE INDEX role_parents_by_parent ON role_parents (org_id, parent, role);

CREATE TABLE user_roles (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  PRIMARY KEY (org_id, user_id, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_roles_by_role ON user_roles (org_id, role, user_id);

CREATE TABLE groups (
  org_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  display_name TEXT NOT NULL,
  -- the display name, lower-cased: what uniqueness goes by
  display_name_key TEXT NOT NULL,
  description TEXT,
  external_id TEXT,
  managed_by TEXT NOT NULL CHECK (managed_by IN ('manual', 'scim')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (org_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX groups_by_display_name ON groups (org_id, display_name_key);

CREATE TABLE group_members (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (org_id, user_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_members_by_group ON group_members (org_id, group_id, user_id);

CREATE TABLE sessions (
  org_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  -- 'interactive': a person signed in; 'client': one token of an OAuth client, which never idles out and counts
  -- towards no limit; 'break_glass': an emergency credential was used
  kind TEXT NOT NULL CHECK (kind IN ('interactive', 'client', 'break_glass')),
  -- the OAuth client whose token this is
  client_id TEXT,
  -- grants that narrow what the user's roles allow, space-separated; NULL where nothing is narrowed
  scope TEXT,
  -- SHA-256 of the session cookie, base64url, where it has one
  token_hash TEXT,
  device_id TEXT,
  ip_address TEXT,
  user_agent TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_activity INTEGER NOT NULL,
  mfa_verified INTEGER NOT NULL,
  ended_at INTEGER,
  ended_because TEXT,
  PRIMARY KEY (org_id, session_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (org_id, user_id, created_at) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX sessions_by_token ON sessions (org_id, token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_ending ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE refresh_tokens (
  org_id TEXT NOT NULL,
  -- SHA-256 of the token, base64url
  token_hash TEXT NOT NULL,
  session_id TEXT NOT NULL,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  spent_at INTEGER,
  -- the token that replaced this one
  successor_hash TEXT,
  PRIMARY KEY (org_id, token_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE sign_in_attempts (
  org_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  tries INTEGER NOT NULL,
  window_ends_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_attempts_by_end ON sign_in_attempts (window_ends_at);

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
  last_used INTEGER,
  revoked_at INTEGER,
  -- the key that replaced this one; both work until expires_at
  replaced_by TEXT,
  PRIMARY KEY (org_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (org_id, key_hash);
CREATE INDEX api_keys_by_owner ON api_keys (org_id, owner_id, key_id);
CREATE INDEX api_keys_active_by_owner ON api_keys (org_id, owner_id, expires_at) WHERE status = 'active';
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at) WHERE status = 'active';

CREATE TABLE signing_keys (
  org_id TEXT NOT NULL,
  -- the JWK "kid"
  key_id TEXT NOT NULL,
  algorithm TEXT NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
  -- base64url; the form is told by the algorithm
  public_key TEXT NOT NULL,
  -- sealed under the host's master key
  sealed_private_key TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  -- no longer signs, still verifies
  retired_at INTEGER,
  PRIMARY KEY (org_id, key_id)
) STRICT, WITHOUT ROWID;

-- One key signs at a time: two first sign-ins at the same instant can't both make one.
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (org_id, algorithm) WHERE retired_at IS NULL;

CREATE TABLE scim_tokens (
  org_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  token_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  PRIMARY KEY (org_id, token_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX scim_tokens_by_hash ON scim_tokens (org_id, token_hash);

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

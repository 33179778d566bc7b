-- Sessions, passwords, lockout, emergency access.

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
CREATE INDEX sessions_of_user ON sessions (org_id, user_id, session_id);
CREATE UNIQUE INDEX sessions_by_token ON sessions (org_id, token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_ending ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Pools of tries at passwords: so many in a window, and no more.
CREATE TABLE sign_in_attempts (
  org_id TEXT NOT NULL,
  -- 'account:<user id>' or 'account:#<digest of a name that nobody has>', 'known:<user id>:<address>' or
  -- 'address:<address>'
  subject TEXT NOT NULL,
  tries INTEGER NOT NULL,
  window_began_at INTEGER NOT NULL,
  window_ends_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_attempts_by_end ON sign_in_attempts (window_ends_at);

-- Where an account has signed in from lately: its tries from there are counted apart.
CREATE TABLE known_addresses (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  -- an IPv4 address, or the /64 of an IPv6 address
  address TEXT NOT NULL,
  last_seen INTEGER NOT NULL,
  PRIMARY KEY (org_id, user_id, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_tokens (
  org_id TEXT NOT NULL,
  -- SHA-256 of the token, base64url
  token_hash TEXT NOT NULL,
  session_id TEXT NOT NULL,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  spent_at INTEGER,
  -- the audit record of the refresh that spent it: one refresh, however many ask for it at once
  spent_by TEXT,
  -- the token that replaced this one
  successor_hash TEXT,
  PRIMARY KEY (org_id, token_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Passwords that were replaced, so that they are not used again soon. The current one is the user's.
CREATE TABLE password_history (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  -- when it was replaced
  changed_at INTEGER NOT NULL,
  password_hash TEXT NOT NULL,
  PRIMARY KEY (org_id, user_id, changed_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE reset_tokens (
  org_id TEXT NOT NULL,
  -- SHA-256 of the token, base64url
  token_hash TEXT NOT NULL,
  user_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  -- moved to the moment where a newer one is made: the newest alone holds
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (org_id, token_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX reset_tokens_by_user ON reset_tokens (org_id, user_id, created_at);

-- The user that emergency credentials act as: one an organization and role, made with the first of them.
CREATE TABLE break_glass_administrators (
  org_id TEXT NOT NULL,
  -- 'admin' is the only one yet
  role TEXT NOT NULL,
  user_id TEXT NOT NULL,
  PRIMARY KEY (org_id, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE break_glass_credentials (
  org_id TEXT NOT NULL,
  credential_id TEXT NOT NULL,
  -- SHA-256 of the credential, base64url; the credential itself is stored nowhere
  credential_hash TEXT NOT NULL,
  -- what is written on the envelope
  label TEXT,
  -- why it was made
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER,
  used_at INTEGER,
  -- why it was used
  used_because TEXT,
  -- the session that it began
  session_id TEXT,
  PRIMARY KEY (org_id, credential_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX break_glass_credentials_by_hash ON break_glass_credentials (org_id, credential_hash);

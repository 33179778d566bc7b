-- Clients of service accounts, and the keys that sign tokens.

-- A key is announced from created_at, signs from signs_from until signs_until, and is published until retires_at. The
-- youngest of an organization has neither end.
CREATE TABLE signing_keys (
  org_id TEXT NOT NULL,
  -- the JWK "kid"
  key_id TEXT NOT NULL,
  algorithm TEXT NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
  -- its place in the organization's chain of keys, from 1
  generation INTEGER NOT NULL,
  -- base64url; the form is told by the algorithm
  public_key TEXT NOT NULL,
  -- sealed under the host's master key, whose id begins at the fourth character; NULL once it no longer signs
  sealed_private_key TEXT,
  created_at INTEGER NOT NULL,
  signs_from INTEGER NOT NULL,
  signs_until INTEGER,
  retires_at INTEGER,
  PRIMARY KEY (org_id, key_id)
) STRICT, WITHOUT ROWID;

-- A place in the chain is taken once: of two rotations at the same instant one stays.
CREATE UNIQUE INDEX signing_keys_by_generation ON signing_keys (org_id, generation);
CREATE INDEX signing_keys_youngest ON signing_keys (algorithm, signs_from) WHERE signs_until IS NULL;
CREATE INDEX signing_keys_to_destroy ON signing_keys (signs_until) WHERE sealed_private_key IS NOT NULL;
CREATE INDEX signing_keys_by_retirement ON signing_keys (retires_at) WHERE retires_at IS NOT NULL;
CREATE INDEX signing_keys_by_master_key ON signing_keys (substr(sealed_private_key, 4, 8), org_id, key_id)
  WHERE sealed_private_key IS NOT NULL;

-- OAuth clients (RFC 6749 section 2) of service accounts.
CREATE TABLE clients (
  org_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- the service account it acts as
  user_id TEXT NOT NULL,
  name TEXT NOT NULL,
  -- 'client_secret': by secret, in the header or the body; 'private_key_jwt': by assertion (RFC 7523)
  auth_method TEXT NOT NULL CHECK (auth_method IN ('client_secret', 'private_key_jwt')),
  -- a JSON array of public keys (RFC 7517), for 'private_key_jwt'
  jwks TEXT,
  -- grants that bound what its tokens may be asked for, space-separated; NULL where its service account's roles do
  scope TEXT,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER,
  PRIMARY KEY (org_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX clients_by_user ON clients (org_id, user_id, client_id) WHERE revoked_at IS NULL;
-- What ends with a client: its tokens that have not ended by themselves.
CREATE INDEX sessions_by_client ON sessions (org_id, client_id, expires_at) WHERE client_id IS NOT NULL AND ended_at IS NULL;

CREATE TABLE client_secrets (
  org_id TEXT NOT NULL,
  -- SHA-256 of the secret, base64url
  secret_hash TEXT NOT NULL,
  secret_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  -- NULL where it has no end
  expires_at INTEGER,
  revoked_at INTEGER,
  PRIMARY KEY (org_id, secret_hash)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX client_secrets_by_id ON client_secrets (org_id, secret_id);
CREATE INDEX client_secrets_not_revoked ON client_secrets (org_id, client_id) WHERE revoked_at IS NULL;

-- Assertions that were used, until they end by themselves: each works once (RFC 7523 section 3).
CREATE TABLE used_assertions (
  org_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- SHA-256 of the "jti", base64url
  jti_hash TEXT NOT NULL,
  -- the request that used it
  use_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, client_id, jti_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX used_assertions_by_expiry ON used_assertions (org_id, expires_at);

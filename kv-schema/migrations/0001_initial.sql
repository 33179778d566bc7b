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
  -- a person's place in the order of creation; two may share one where the youngest was deleted and restored
  number INTEGER,
  PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;

-- Users are counted and paged over this, without reading them whole: deleted_at and kind are in it to make it covering.
CREATE INDEX users_in_order ON users (org_id, user_id, deleted_at, kind) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_by_username ON users (org_id, username_key) WHERE deleted_at IS NULL;
CREATE INDEX users_by_external_id ON users (org_id, external_id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_deleted_by_external_id ON users (org_id, external_id, deleted_at) WHERE external_id IS NOT NULL AND deleted_at IS NOT NULL;
CREATE INDEX users_by_email ON users (org_id, lower(email), user_id) WHERE email IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_by_keeper ON users (org_id, managed_by, user_id) WHERE deleted_at IS NULL;
-- Of a directory few are suspended, deleted or programs: these indexes hold them alone.
CREATE INDEX users_suspended ON users (org_id, user_id) WHERE status = 'suspended' AND deleted_at IS NULL;
CREATE INDEX users_service_accounts ON users (org_id, user_id) WHERE kind = 'service_account' AND deleted_at IS NULL;
CREATE INDEX users_deleted ON users (org_id, user_id) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_by_deletion ON users (deleted_at) WHERE deleted_at IS NOT NULL;
-- SCIM's order of people, and its other ones.
CREATE INDEX users_by_number ON users (org_id, number, user_id) WHERE number IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_by_update ON users (org_id, updated_at, user_id) WHERE number IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_by_creation ON users (org_id, created_at, user_id) WHERE number IS NOT NULL AND deleted_at IS NULL;

-- How many people of an organization there are in each 512 places of the order of creation: what a page's beginning and the
-- total are told by, without counting people.
CREATE TABLE user_ranks (
  org_id TEXT NOT NULL,
  -- the place divided by 512
  bucket INTEGER NOT NULL,
  people INTEGER NOT NULL,
  PRIMARY KEY (org_id, bucket)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER users_are_numbered AFTER INSERT ON users WHEN NEW.kind = 'person'
BEGIN
  UPDATE users SET number = 1 + COALESCE((SELECT MAX(number) FROM users INDEXED BY users_by_number WHERE org_id = NEW.org_id AND
    number IS NOT NULL AND deleted_at IS NULL), 0) WHERE org_id = NEW.org_id AND user_id = NEW.user_id;
  INSERT INTO user_ranks (org_id, bucket, people) SELECT org_id, number / 512, deleted_at IS NULL FROM users WHERE org_id =
    NEW.org_id AND user_id = NEW.user_id ON CONFLICT (org_id, bucket) DO UPDATE SET people = people + excluded.people;
END;

CREATE TRIGGER users_are_counted AFTER UPDATE OF deleted_at ON users
WHEN NEW.kind = 'person' AND (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
BEGIN
  UPDATE user_ranks SET people = people + (NEW.deleted_at IS NULL) - (OLD.deleted_at IS NULL) WHERE org_id = NEW.org_id AND
    bucket = NEW.number / 512;
END;

CREATE TRIGGER users_are_discounted AFTER DELETE ON users WHEN OLD.kind = 'person' AND OLD.deleted_at IS NULL
BEGIN
  UPDATE user_ranks SET people = people - 1 WHERE org_id = OLD.org_id AND bucket = OLD.number / 512;
END;

-- Every value of every SCIM attribute without a column of its own: what filters and orders look values up in. Triggers
-- alone write it, so it always says what the resources do.
CREATE TABLE scim_values (
  org_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('User', 'Group')),
  -- the user's or group's id
  id TEXT NOT NULL,
  -- as 'title', 'name.familyName', 'emails.value', 'urn:…:User:department', 'urn:…:User:manager.value'
  attribute TEXT NOT NULL,
  -- which value of a list it belongs to, from 0
  element INTEGER NOT NULL,
  -- ASCII letters in lower case
  value TEXT NOT NULL,
  exact TEXT NOT NULL,
  PRIMARY KEY (org_id, kind, id, attribute, element)
) STRICT, WITHOUT ROWID;

CREATE INDEX scim_values_by_value ON scim_values (org_id, kind, attribute, value, id);

-- Writing to this view replaces a resource's values by those of a JSON object.
CREATE VIEW scim_documents AS SELECT '' AS org_id, '' AS kind, '' AS id, '' AS document;

-- Two statements: D1 takes five terms in a compound one at most.
CREATE TRIGGER scim_documents_are_indexed INSTEAD OF INSERT ON scim_documents
BEGIN
  DELETE FROM scim_values WHERE org_id = NEW.org_id AND kind = NEW.kind AND id = NEW.id;
  INSERT INTO scim_values (org_id, kind, id, attribute, element, value, exact)
  SELECT NEW.org_id, NEW.kind, NEW.id, attribute, element, lower(text), text FROM (
    SELECT attribute, element, CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(atom AS TEXT) END AS text FROM (
      SELECT a.key AS attribute, 0 AS element, a.type, a.atom FROM json_each(NEW.document) AS a
      UNION ALL
      -- a list of simple values
      SELECT a.key, b.key, b.type, b.atom FROM json_each(NEW.document) AS a CROSS JOIN
        json_each(CASE a.type WHEN 'array' THEN a.value ELSE '[]' END) AS b
      UNION ALL
      -- a list of objects
      SELECT a.key || '.' || c.key, b.key, c.type, c.atom FROM json_each(NEW.document) AS a CROSS JOIN
        json_each(CASE a.type WHEN 'array' THEN a.value ELSE '[]' END) AS b CROSS JOIN
        json_each(CASE b.type WHEN 'object' THEN b.value ELSE '{}' END) AS c
      UNION ALL
      -- an object; an extension's members follow a colon
      SELECT a.key || CASE WHEN substr(a.key, 1, 4) = 'urn:' THEN ':' ELSE '.' END || b.key, 0, b.type, b.atom FROM
        json_each(NEW.document) AS a CROSS JOIN json_each(CASE a.type WHEN 'object' THEN a.value ELSE '{}' END) AS b
    ) WHERE type NOT IN ('object', 'array', 'null')
  );
  INSERT INTO scim_values (org_id, kind, id, attribute, element, value, exact)
  SELECT NEW.org_id, NEW.kind, NEW.id, attribute, element, lower(text), text FROM (
    SELECT attribute, element, CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(atom AS TEXT) END AS text FROM (
      -- an object in an extension
      SELECT a.key || ':' || b.key || '.' || c.key AS attribute, 0 AS element, c.type, c.atom FROM json_each(NEW.document) AS a
        CROSS JOIN json_each(CASE a.type WHEN 'object' THEN a.value ELSE '{}' END) AS b CROSS JOIN
        json_each(CASE b.type WHEN 'object' THEN b.value ELSE '{}' END) AS c
      UNION ALL
      -- a list of simple values in an extension
      SELECT a.key || ':' || b.key, c.key, c.type, c.atom FROM json_each(NEW.document) AS a CROSS JOIN
        json_each(CASE a.type WHEN 'object' THEN a.value ELSE '{}' END) AS b CROSS JOIN
        json_each(CASE b.type WHEN 'array' THEN b.value ELSE '[]' END) AS c
      UNION ALL
      -- a list of objects in an extension
      SELECT a.key || ':' || b.key || '.' || d.key, c.key, d.type, d.atom FROM json_each(NEW.document) AS a CROSS JOIN
        json_each(CASE a.type WHEN 'object' THEN a.value ELSE '{}' END) AS b CROSS JOIN
        json_each(CASE b.type WHEN 'array' THEN b.value ELSE '[]' END) AS c CROSS JOIN
        json_each(CASE c.type WHEN 'object' THEN c.value ELSE '{}' END) AS d
    ) WHERE type NOT IN ('object', 'array', 'null')
  );
END;

-- What SCIM shows of a user beside its columns: its attributes, its name for people, and the address of the column where its
-- attributes have none.
CREATE TRIGGER users_are_indexed AFTER INSERT ON users WHEN NEW.kind = 'person'
BEGIN
  INSERT INTO scim_documents (org_id, kind, id, document) VALUES (NEW.org_id, 'User', NEW.user_id, json_patch(CASE WHEN
    NEW.email IS NULL THEN '{}' ELSE json_object('emails', json_array(json_object('value', NEW.email, 'primary', json('true'))))
    END, json_patch(json_object('displayName', NEW.display_name), NEW.attributes)));
END;

CREATE TRIGGER users_are_reindexed AFTER UPDATE OF attributes, email, display_name ON users
WHEN NEW.kind = 'person' AND (OLD.attributes, OLD.email, OLD.display_name) IS NOT (NEW.attributes, NEW.email, NEW.display_name)
BEGIN
  INSERT INTO scim_documents (org_id, kind, id, document) VALUES (NEW.org_id, 'User', NEW.user_id, json_patch(CASE WHEN
    NEW.email IS NULL THEN '{}' ELSE json_object('emails', json_array(json_object('value', NEW.email, 'primary', json('true'))))
    END, json_patch(json_object('displayName', NEW.display_name), NEW.attributes)));
END;

CREATE TRIGGER users_are_unindexed AFTER DELETE ON users
BEGIN
  DELETE FROM scim_values WHERE org_id = OLD.org_id AND kind = 'User' AND id = OLD.user_id;
END;

CREATE TABLE roles (
  org_id TEXT NOT NULL,
  role TEXT NOT NULL,
  description TEXT,
  -- its own grants such as "security.*" or "protocols.read.all", a JSON array of strings
  grants TEXT NOT NULL,
  -- its own grants and those of every role it inherits from: what requests read. Written whenever a role changes,
  -- so that no request walks the inheritance. The check bounds what a request reads, whoever writes
  effective_grants TEXT NOT NULL CHECK (json_array_length(effective_grants) <= 256),
  -- made with the organization
  built_in INTEGER NOT NULL DEFAULT 0,
  -- another one with each change of the role, or of a role that it inherits from: who decided on what it read
  -- writes only where this is still what it read
  revision TEXT NOT NULL DEFAULT '',
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
  -- the group that gives it, by group_roles; empty where somebody gave it to the user itself
  via_group TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (org_id, user_id, role, via_group)
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
  -- SCIM attributes that have no column of their own, a JSON object
  attributes TEXT NOT NULL DEFAULT '{}',
  managed_by TEXT NOT NULL CHECK (managed_by IN ('manual', 'scim')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  -- how many are in it, deleted users included; how often somebody came or went; when last. Triggers keep these three
  member_count INTEGER NOT NULL DEFAULT 0,
  members_version INTEGER NOT NULL DEFAULT 0,
  members_changed_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (org_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX groups_by_display_name ON groups (org_id, display_name_key);
CREATE INDEX groups_by_external_id ON groups (org_id, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE group_members (
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (org_id, user_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_members_by_group ON group_members (org_id, group_id, user_id);

-- Roles that everybody in a group has, by the mapping of the configuration.
CREATE TABLE group_roles (
  org_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  role TEXT NOT NULL,
  PRIMARY KEY (org_id, group_id, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_roles_by_role ON group_roles (org_id, role);

CREATE TRIGGER group_members_come AFTER INSERT ON group_members
BEGIN
  UPDATE groups SET member_count = member_count + 1, members_version = members_version + 1, members_changed_at =
    CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE org_id = NEW.org_id AND group_id = NEW.group_id;
  INSERT INTO user_roles (org_id, user_id, role, via_group) SELECT org_id, NEW.user_id, role, group_id FROM group_roles WHERE
    org_id = NEW.org_id AND group_id = NEW.group_id;
END;

CREATE TRIGGER group_members_go AFTER DELETE ON group_members
BEGIN
  UPDATE groups SET member_count = member_count - 1, members_version = members_version + 1, members_changed_at =
    CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE org_id = OLD.org_id AND group_id = OLD.group_id;
  DELETE FROM user_roles WHERE org_id = OLD.org_id AND user_id = OLD.user_id AND via_group = OLD.group_id;
END;

CREATE TRIGGER group_roles_come AFTER INSERT ON group_roles
BEGIN
  INSERT INTO user_roles (org_id, user_id, role, via_group) SELECT org_id, user_id, NEW.role, group_id FROM group_members INDEXED
    BY group_members_by_group WHERE org_id = NEW.org_id AND group_id = NEW.group_id;
END;

CREATE TRIGGER group_roles_go AFTER DELETE ON group_roles
BEGIN
  DELETE FROM user_roles WHERE (org_id, user_id, role, via_group) IN (SELECT org_id, user_id, role, via_group FROM user_roles
    INDEXED BY user_roles_by_role WHERE org_id = OLD.org_id AND role = OLD.role AND via_group = OLD.group_id);
END;

CREATE TRIGGER groups_are_indexed AFTER INSERT ON groups WHEN NEW.attributes <> '{}'
BEGIN
  INSERT INTO scim_documents (org_id, kind, id, document) VALUES (NEW.org_id, 'Group', NEW.group_id, NEW.attributes);
END;

CREATE TRIGGER groups_are_reindexed AFTER UPDATE OF attributes ON groups WHEN OLD.attributes <> NEW.attributes
BEGIN
  INSERT INTO scim_documents (org_id, kind, id, document) VALUES (NEW.org_id, 'Group', NEW.group_id, NEW.attributes);
END;

CREATE TRIGGER groups_are_unindexed AFTER DELETE ON groups
BEGIN
  DELETE FROM scim_values WHERE org_id = OLD.org_id AND kind = 'Group' AND id = OLD.group_id;
  DELETE FROM group_roles WHERE org_id = OLD.org_id AND group_id = OLD.group_id;
END;

CREATE TRIGGER roles_leave_groups AFTER DELETE ON roles
BEGIN
  DELETE FROM group_roles WHERE org_id = OLD.org_id AND role = OLD.role;
END;

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

-- Keys that turn by themselves.
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

-- Switches of the deployment that work without a deploy.
CREATE TABLE flags (
  org_id TEXT NOT NULL,
  -- a JSON object of those that were set; the configuration says the others
  document TEXT NOT NULL,
  -- a JSON object: who changed each switch last, and when
  changes TEXT NOT NULL,
  -- one more with each change
  version INTEGER NOT NULL,
  -- the audit record of the last change
  log_id TEXT NOT NULL,
  PRIMARY KEY (org_id)
) STRICT, WITHOUT ROWID;

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

-- Who provisions over SCIM: an identity provider, an HR system. Each has its own tokens.
CREATE TABLE scim_clients (
  org_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  name TEXT NOT NULL,
  -- requests a minute of each of its tokens; NULL for the configuration's
  rate_limit INTEGER,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER,
  PRIMARY KEY (org_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE scim_tokens (
  org_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- SHA-256 of the token, base64url
  token_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  -- to the minute
  last_used INTEGER,
  PRIMARY KEY (org_id, token_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX scim_tokens_by_hash ON scim_tokens (org_id, token_hash);
CREATE INDEX scim_tokens_by_client ON scim_tokens (org_id, client_id, token_id);

-- How often a SCIM client made the very same change lately: a client that makes it again and again goes round in circles.
CREATE TABLE scim_changes (
  org_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- SHA-256 of method, resource and body, base64url; of a change with a password there is no row
  change_hash TEXT NOT NULL,
  -- how often within the window
  count INTEGER NOT NULL,
  window_ends_at INTEGER NOT NULL,
  -- whether the audit has it
  reported INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (org_id, client_id, change_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX scim_changes_by_end ON scim_changes (window_ends_at);

-- Service accounts are listed in pages over this.
CREATE INDEX service_accounts_in_order ON users (org_id, user_id) WHERE kind = 'service_account' AND deleted_at IS NULL;

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

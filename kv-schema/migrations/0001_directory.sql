-- People, service accounts, roles, groups, organizations.
--
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

CREATE TRIGGER roles_leave_groups AFTER DELETE ON roles
BEGIN
  DELETE FROM group_roles WHERE org_id = OLD.org_id AND role = OLD.role;
END;

-- SCIM: who provisions, and the values that filters look up.

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

-- Nothing to read: SQLite has no procedures, so what triggers share is the INSERT into a view. This one replaces a
-- resource's values by those of a JSON object.
CREATE VIEW replace_scim_values AS SELECT '' AS org_id, '' AS kind, '' AS id, '' AS document;

-- Two statements: D1 takes five terms in a compound one at most.
CREATE TRIGGER scim_values_are_replaced INSTEAD OF INSERT ON replace_scim_values
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
  INSERT INTO replace_scim_values (org_id, kind, id, document) VALUES (NEW.org_id, 'User', NEW.user_id, json_patch(CASE WHEN
    NEW.email IS NULL THEN '{}' ELSE json_object('emails', json_array(json_object('value', NEW.email, 'primary', json('true'))))
    END, json_patch(json_object('displayName', NEW.display_name), NEW.attributes)));
END;

CREATE TRIGGER users_are_reindexed AFTER UPDATE OF attributes, email, display_name ON users
WHEN NEW.kind = 'person' AND (OLD.attributes, OLD.email, OLD.display_name) IS NOT (NEW.attributes, NEW.email, NEW.display_name)
BEGIN
  INSERT INTO replace_scim_values (org_id, kind, id, document) VALUES (NEW.org_id, 'User', NEW.user_id, json_patch(CASE WHEN
    NEW.email IS NULL THEN '{}' ELSE json_object('emails', json_array(json_object('value', NEW.email, 'primary', json('true'))))
    END, json_patch(json_object('displayName', NEW.display_name), NEW.attributes)));
END;

CREATE TRIGGER users_are_unindexed AFTER DELETE ON users
BEGIN
  DELETE FROM scim_values WHERE org_id = OLD.org_id AND kind = 'User' AND id = OLD.user_id;
END;

CREATE TRIGGER groups_are_indexed AFTER INSERT ON groups WHEN NEW.attributes <> '{}'
BEGIN
  INSERT INTO replace_scim_values (org_id, kind, id, document) VALUES (NEW.org_id, 'Group', NEW.group_id, NEW.attributes);
END;

CREATE TRIGGER groups_are_reindexed AFTER UPDATE OF attributes ON groups WHEN OLD.attributes <> NEW.attributes
BEGIN
  INSERT INTO replace_scim_values (org_id, kind, id, document) VALUES (NEW.org_id, 'Group', NEW.group_id, NEW.attributes);
END;

CREATE TRIGGER groups_are_unindexed AFTER DELETE ON groups
BEGIN
  DELETE FROM scim_values WHERE org_id = OLD.org_id AND kind = 'Group' AND id = OLD.group_id;
  DELETE FROM group_roles WHERE org_id = OLD.org_id AND group_id = OLD.group_id;
END;

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

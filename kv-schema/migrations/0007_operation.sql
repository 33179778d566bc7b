-- Switches at run time.

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

-- Who made a version: the installation itself, or somebody here. Whatever is there was made by the installation.
ALTER TABLE workflows ADD COLUMN origin TEXT NOT NULL DEFAULT 'built_in';
-- The lists of workflows go along these.
CREATE INDEX "workflows_key_idx" ON workflows (key, id);
CREATE INDEX "workflows_created_at_idx" ON workflows (created_at, id);

-- A workflow beyond its versions: whether it is retired, and its history. The identifier is that of the first version.
CREATE TABLE workflow_series (
    id TEXT NOT NULL PRIMARY KEY REFERENCES workflows (id),
    key TEXT NOT NULL,
    row_version BIGINT NOT NULL,
    retired_at TIMESTAMP,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT NOT NULL
);
CREATE UNIQUE INDEX "workflow_series.key" ON workflow_series (key);

CREATE TRIGGER workflow_series_insert_reference_state AFTER INSERT ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflow_series_update_reference_state AFTER UPDATE ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflow_series_delete_reference_state AFTER DELETE ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;

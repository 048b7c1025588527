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
-- Where the history of workflows is there already, this migration was taken back once: what it says holds again.
INSERT INTO workflow_series (id, key, row_version, retired_at, audit_seq, audit_head)
SELECT workflows.id, workflows.key, ending.seq, CASE WHEN ending.action = 'workflow.retire' THEN ending.at END, ending.seq, ending.hash
FROM workflows JOIN audit AS ending ON ending.record_type = 'workflow' AND ending.record_id = workflows.id
WHERE NOT EXISTS (SELECT 1 FROM audit AS later WHERE later.record_type = 'workflow' AND later.record_id = ending.record_id AND later.seq > ending.seq);
UPDATE workflows SET origin = 'user' WHERE key IN (
    SELECT workflow_series.key FROM workflow_series JOIN audit ON audit.record_type = 'workflow' AND audit.record_id = workflow_series.id
    WHERE audit.actor_id IS NOT NULL
);

CREATE TRIGGER workflow_series_insert_reference_state AFTER INSERT ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflow_series_update_reference_state AFTER UPDATE ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflow_series_delete_reference_state AFTER DELETE ON workflow_series BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;

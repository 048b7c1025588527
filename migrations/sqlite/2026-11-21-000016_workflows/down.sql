DROP TRIGGER workflow_series_delete_reference_state;
DROP TRIGGER workflow_series_update_reference_state;
DROP TRIGGER workflow_series_insert_reference_state;
DROP TABLE workflow_series;
DROP INDEX "workflows_created_at_idx";
DROP INDEX "workflows_key_idx";
ALTER TABLE workflows DROP COLUMN origin;

DROP TABLE workflow_series;
DROP INDEX "workflows_created_at_idx";
DROP INDEX "workflows_key_idx";
ALTER TABLE workflows DROP COLUMN origin;

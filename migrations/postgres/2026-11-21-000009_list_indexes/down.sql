DROP INDEX "releases_status_priority_idx";
DROP INDEX "releases_assignee_id_updated_at_idx";
CREATE INDEX "releases_closed_at_idx" ON releases (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX "releases_deployment_start_idx" ON releases (deployment_start);
DROP INDEX "releases_overdue_idx";
CREATE INDEX "releases_deadline_idx" ON releases (deadline) WHERE status IN ('open', 'reopened');

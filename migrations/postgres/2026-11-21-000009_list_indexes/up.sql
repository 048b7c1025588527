-- What is late, in the order of the deadline.
DROP INDEX "releases_deadline_idx";
CREATE INDEX "releases_overdue_idx" ON releases ((coalesce(deadline, TIMESTAMP '9999-12-31 00:00:00')), id) WHERE status IN ('open', 'reopened');
-- The indexes that sort by these instants find them too.
DROP INDEX "releases_deployment_start_idx";
DROP INDEX "releases_closed_at_idx";
-- What a person works on, as it last changed; what is open, as it matters.
CREATE INDEX "releases_assignee_id_updated_at_idx" ON releases (assignee_id, updated_at, id) WHERE assignee_id IS NOT NULL;
CREATE INDEX "releases_status_priority_idx" ON releases (status, priority, id);

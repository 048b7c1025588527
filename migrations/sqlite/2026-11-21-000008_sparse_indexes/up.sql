-- A release without a value has no entry: most have none, and every entry is written with the release.
DROP INDEX "releases_assignee_id_created_at_idx";
CREATE INDEX "releases_assignee_id_created_at_idx" ON releases (assignee_id, created_at) WHERE assignee_id IS NOT NULL;
DROP INDEX "releases_requester_user_id_created_at_idx";
CREATE INDEX "releases_requester_user_id_created_at_idx" ON releases (requester_user_id, created_at) WHERE requester_user_id IS NOT NULL;
DROP INDEX "releases_requester_unit_id_created_at_idx";
CREATE INDEX "releases_requester_unit_id_created_at_idx" ON releases (requester_unit_id, created_at) WHERE requester_unit_id IS NOT NULL;
DROP INDEX "releases_contract_id_created_at_idx";
CREATE INDEX "releases_contract_id_created_at_idx" ON releases (contract_id, created_at) WHERE contract_id IS NOT NULL;
DROP INDEX "releases_closed_at_idx";
CREATE INDEX "releases_closed_at_idx" ON releases (closed_at) WHERE closed_at IS NOT NULL;
DROP INDEX "releases_solution_category_id_idx";
CREATE INDEX "releases_solution_category_id_idx" ON releases (solution_category_id) WHERE solution_category_id IS NOT NULL;

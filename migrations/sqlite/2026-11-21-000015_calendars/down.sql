DROP TRIGGER calendars_delete_reference_state;
DROP TRIGGER calendars_update_reference_state;
DROP TRIGGER calendars_insert_reference_state;
DROP INDEX "releases_calendar_id_idx";
ALTER TABLE releases DROP COLUMN calendar_id;
DROP INDEX "models_calendar_id_idx";
ALTER TABLE models DROP COLUMN calendar_id;
DROP TABLE calendars;

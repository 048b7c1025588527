DROP TRIGGER calendars_reference_state ON calendars;
DROP INDEX "releases_calendar_id_idx";
ALTER TABLE releases DROP COLUMN calendar_id;
DROP INDEX "models_calendar_id_idx";
ALTER TABLE models DROP COLUMN calendar_id;
DROP TABLE calendars;

-- Calendars of working time. A model names one; a release keeps the one that it was registered with.
CREATE TABLE calendars (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    time_zone TEXT COLLATE "C" NOT NULL,
    working_hours TEXT COLLATE "C" NOT NULL,
    holidays TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX "calendars.name" ON calendars (name);
CREATE INDEX "calendars_q_idx" ON calendars ((lower(name)), id);

ALTER TABLE models ADD COLUMN calendar_id TEXT COLLATE "C" REFERENCES calendars (id);
CREATE INDEX "models_calendar_id_idx" ON models (calendar_id) WHERE calendar_id IS NOT NULL;
ALTER TABLE releases ADD COLUMN calendar_id TEXT COLLATE "C" REFERENCES calendars (id);
CREATE INDEX "releases_calendar_id_idx" ON releases (calendar_id) WHERE calendar_id IS NOT NULL;

CREATE CONSTRAINT TRIGGER calendars_reference_state AFTER INSERT OR UPDATE OR DELETE ON calendars
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();

-- Calendars of working time. A model names one; a release keeps the one that it was registered with.
CREATE TABLE calendars (
    id TEXT NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    time_zone TEXT NOT NULL,
    working_hours TEXT NOT NULL,
    holidays TEXT NOT NULL,
    active BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX "calendars.name" ON calendars (name);
CREATE INDEX "calendars_q_idx" ON calendars (lower(name), id);

ALTER TABLE models ADD COLUMN calendar_id TEXT REFERENCES calendars (id);
CREATE INDEX "models_calendar_id_idx" ON models (calendar_id) WHERE calendar_id IS NOT NULL;
ALTER TABLE releases ADD COLUMN calendar_id TEXT REFERENCES calendars (id);
CREATE INDEX "releases_calendar_id_idx" ON releases (calendar_id) WHERE calendar_id IS NOT NULL;

CREATE TRIGGER calendars_insert_reference_state AFTER INSERT ON calendars BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER calendars_update_reference_state AFTER UPDATE ON calendars BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER calendars_delete_reference_state AFTER DELETE ON calendars BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;

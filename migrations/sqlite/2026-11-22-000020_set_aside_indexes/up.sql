-- Indexes that are not there while many rows are loaded; what is left here after a loading that was cut off is made
-- again by the next migration.
CREATE TABLE set_aside_indexes (
    name TEXT PRIMARY KEY NOT NULL,
    statement TEXT NOT NULL
) WITHOUT ROWID;

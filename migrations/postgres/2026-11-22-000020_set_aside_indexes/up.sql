-- Indexes that are not there while many rows are loaded; what is left here after a loading that was cut off is made
-- again by the next migration.
CREATE TABLE set_aside_indexes (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    statement TEXT COLLATE "C" NOT NULL
);

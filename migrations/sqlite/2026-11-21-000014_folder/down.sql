-- What the tables gave is taken back with them.
DELETE FROM release_visibility WHERE substr(reason, 1, 5) = 'role:' OR substr(reason, 1, 6) = 'share:';
DROP TABLE release_comments;
DROP TABLE release_references;
DROP TABLE release_shares;
DROP TABLE release_records;
DROP TABLE release_roles;

DELETE FROM release_visibility WHERE reason LIKE 'activity:%';
DROP TABLE activity_comments;
DROP TABLE activity_time_entries;
DROP TABLE activity_dependencies;
DROP TABLE activity_tags;
DROP TABLE activities;

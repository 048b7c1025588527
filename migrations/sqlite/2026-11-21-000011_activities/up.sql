-- What is to be done in a release: cards on its two boards. `position` is the phase, the status and a key that sorts
-- the cards of a column; `minutes_spent` and `comment_count` are kept with what they count.
CREATE TABLE activities (
    id TEXT NOT NULL PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    phase TEXT NOT NULL,
    status TEXT NOT NULL,
    position TEXT NOT NULL,
    title TEXT NOT NULL,
    title_folded TEXT NOT NULL,
    description TEXT,
    kind TEXT NOT NULL,
    assignee_id TEXT REFERENCES users (id),
    group_id TEXT REFERENCES groups (id),
    technical_guidelines TEXT,
    scheduled_start TIMESTAMP,
    due_at TIMESTAMP,
    estimated_minutes BIGINT,
    minutes_spent BIGINT NOT NULL,
    comment_count BIGINT NOT NULL,
    checklist TEXT NOT NULL,
    checklist_done BIGINT NOT NULL,
    checklist_total BIGINT NOT NULL,
    tags TEXT NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    archived_at TIMESTAMP,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    created_by TEXT NOT NULL REFERENCES users (id),
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE activity_tags (
    activity_id TEXT NOT NULL REFERENCES activities (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (activity_id, tag)
) WITHOUT ROWID;

CREATE TABLE activity_dependencies (
    activity_id TEXT NOT NULL REFERENCES activities (id),
    depends_on_id TEXT NOT NULL REFERENCES activities (id),
    release_id TEXT NOT NULL REFERENCES releases (id),
    PRIMARY KEY (activity_id, depends_on_id)
) WITHOUT ROWID;

CREATE TABLE activity_time_entries (
    id TEXT NOT NULL PRIMARY KEY,
    activity_id TEXT NOT NULL REFERENCES activities (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    minutes BIGINT NOT NULL,
    started_at TIMESTAMP,
    note TEXT,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE activity_comments (
    id TEXT NOT NULL PRIMARY KEY,
    activity_id TEXT NOT NULL REFERENCES activities (id),
    author_id TEXT NOT NULL REFERENCES users (id),
    body TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- A release has at most 1 000 activities that are not archived: what is sorted otherwise is sorted among those.
CREATE UNIQUE INDEX "activities.release_id_position" ON activities (release_id, position) WHERE archived_at IS NULL;
CREATE INDEX "activities_release_id_idx" ON activities (release_id);
CREATE INDEX "activities_open_idx" ON activities (release_id, phase, id) WHERE archived_at IS NULL AND status IN ('todo', 'in_progress');
CREATE INDEX "activities_assignee_id_idx" ON activities (assignee_id) WHERE assignee_id IS NOT NULL;
CREATE INDEX "activities_group_id_idx" ON activities (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX "activities_created_by_idx" ON activities (created_by);
CREATE INDEX "activity_tags_tag_idx" ON activity_tags (tag, activity_id);
CREATE INDEX "activity_dependencies_release_id_idx" ON activity_dependencies (release_id);
CREATE INDEX "activity_dependencies_depends_on_id_idx" ON activity_dependencies (depends_on_id);
CREATE INDEX "activity_time_entries_activity_id_idx" ON activity_time_entries (activity_id, id);
CREATE INDEX "activity_time_entries_user_id_idx" ON activity_time_entries (user_id);
CREATE INDEX "activity_comments_activity_id_idx" ON activity_comments (activity_id, created_at, id);
CREATE INDEX "activity_comments_author_id_idx" ON activity_comments (author_id);

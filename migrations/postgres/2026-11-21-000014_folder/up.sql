-- Who is responsible, accountable, consulted and informed: an account, or a name and an address.
CREATE TABLE release_roles (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    role TEXT COLLATE "C" NOT NULL,
    phase TEXT COLLATE "C",
    user_id TEXT COLLATE "C" REFERENCES users (id),
    name TEXT COLLATE "C",
    email TEXT COLLATE "C",
    text TEXT COLLATE "C",
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- What was done, seen and said. Entries are only added; a correction names the entry that it corrects.
CREATE TABLE release_records (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    kind TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C",
    origin TEXT COLLATE "C" NOT NULL,
    minutes_spent BIGINT,
    contact TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    corrects_id TEXT COLLATE "C" REFERENCES release_records (id),
    author_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at TIMESTAMP NOT NULL
);

-- With whom a release is shared besides those whom it concerns by itself.
CREATE TABLE release_shares (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    user_id TEXT COLLATE "C" REFERENCES users (id),
    group_id TEXT COLLATE "C" REFERENCES groups (id),
    level TEXT COLLATE "C" NOT NULL,
    shared_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- What other tools hold about a release.
CREATE TABLE release_references (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    kind TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C",
    status TEXT COLLATE "C",
    finished BOOLEAN NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- The discussion of a release; comments are only added.
CREATE TABLE release_comments (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    reply_to_id TEXT COLLATE "C" REFERENCES release_comments (id),
    author_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    body TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE INDEX "release_roles_release_id_id_idx" ON release_roles (release_id, id);
CREATE INDEX "release_roles_user_id_idx" ON release_roles (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX "release_records_release_id_created_at_idx" ON release_records (release_id, created_at, id);
CREATE INDEX "release_records_release_id_kind_idx" ON release_records (release_id, kind, created_at, id);
CREATE INDEX "release_records_release_id_origin_idx" ON release_records (release_id, origin, created_at, id);
CREATE INDEX "release_records_release_id_category_idx" ON release_records (release_id, category, created_at, id) WHERE category IS NOT NULL;
CREATE INDEX "release_records_author_id_idx" ON release_records (author_id, release_id, created_at, id);
CREATE UNIQUE INDEX "release_records.corrects_id" ON release_records (corrects_id) WHERE corrects_id IS NOT NULL;
CREATE UNIQUE INDEX "release_shares.release_id_user_id" ON release_shares (release_id, user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX "release_shares.release_id_group_id" ON release_shares (release_id, group_id) WHERE group_id IS NOT NULL;
CREATE INDEX "release_shares_release_id_level_idx" ON release_shares (release_id, level);
CREATE INDEX "release_shares_user_id_idx" ON release_shares (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX "release_shares_group_id_idx" ON release_shares (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX "release_shares_shared_by_idx" ON release_shares (shared_by);
CREATE UNIQUE INDEX "release_references.release_id_kind_source_external_id" ON release_references (release_id, kind, source, external_id);
CREATE INDEX "release_references_release_id_created_at_idx" ON release_references (release_id, created_at, id);
CREATE INDEX "release_references_release_id_finished_idx" ON release_references (release_id, finished, created_at, id);
CREATE INDEX "release_references_release_id_source_idx" ON release_references (release_id, source, external_id);
CREATE INDEX "release_references_unfinished_purchases_idx" ON release_references (release_id, id) WHERE kind = 'purchase' AND NOT finished;
CREATE INDEX "release_comments_release_id_created_at_idx" ON release_comments (release_id, created_at, id);
CREATE INDEX "release_comments_author_id_idx" ON release_comments (author_id, release_id, created_at, id);
CREATE INDEX "release_comments_reply_to_id_idx" ON release_comments (reply_to_id, created_at, id) WHERE reply_to_id IS NOT NULL;

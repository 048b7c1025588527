-- Work that one of several processes does at a time, and when it was last done.
CREATE TABLE leases (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    done_at TIMESTAMP
);

-- Signed statements on the ends of audit chains.
CREATE TABLE checkpoints (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    taken_at TIMESTAMP NOT NULL,
    covered_to TIMESTAMP NOT NULL,
    heads BIGINT NOT NULL,
    statement TEXT COLLATE "C" NOT NULL
);

CREATE TABLE checkpoint_heads (
    checkpoint BIGINT NOT NULL REFERENCES checkpoints (seq),
    record_type TEXT COLLATE "C" NOT NULL,
    record_id TEXT COLLATE "C" NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (checkpoint, record_type, record_id)
);

CREATE UNIQUE INDEX "checkpoints.id" ON checkpoints (id);
CREATE INDEX "checkpoints_covered_to_idx" ON checkpoints (covered_to);
CREATE INDEX "checkpoint_heads_record_idx" ON checkpoint_heads (record_type, record_id, audit_seq);

-- One index for each sweep of rows whose time is over.
CREATE INDEX "refresh_tokens_created_at_idx" ON refresh_tokens (created_at);
CREATE INDEX "personal_tokens_expires_at_idx" ON personal_tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX "personal_tokens_revoked_at_idx" ON personal_tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX "login_throttle_known_idx" ON login_throttle (window_started_at) WHERE substr(key, 1, 6) = 'known:';
CREATE INDEX "login_throttle_counted_idx" ON login_throttle (window_started_at) WHERE substr(key, 1, 6) <> 'known:';

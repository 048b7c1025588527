CREATE TABLE units (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    parent_id TEXT COLLATE "C" REFERENCES units (id),
    active BOOLEAN NOT NULL
);

CREATE TABLE users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    phone TEXT COLLATE "C",
    extension TEXT COLLATE "C",
    unit_id TEXT COLLATE "C" REFERENCES units (id),
    location TEXT COLLATE "C",
    global_role TEXT COLLATE "C",
    active BOOLEAN NOT NULL
);

CREATE TABLE passwords (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT COLLATE "C" NOT NULL,
    changed_at TIMESTAMP NOT NULL
);

CREATE TABLE groups (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    active BOOLEAN NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL
);

CREATE TABLE group_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES groups (id),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    since TIMESTAMP NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE TABLE contracts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    active BOOLEAN NOT NULL,
    group_ids TEXT COLLATE "C" NOT NULL,
    unit_ids TEXT COLLATE "C" NOT NULL
);

CREATE TABLE justifications (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL,
    applies_to TEXT COLLATE "C" NOT NULL
);

CREATE TABLE solution_categories (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    active BOOLEAN NOT NULL
);

CREATE TABLE portfolios (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    icon TEXT COLLATE "C",
    parent_id TEXT COLLATE "C" REFERENCES portfolios (id),
    active BOOLEAN NOT NULL
);

CREATE TABLE workflows (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE models (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    portfolio_id TEXT COLLATE "C" NOT NULL REFERENCES portfolios (id),
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    icon TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    is_default BOOLEAN NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    executor_group_id TEXT COLLATE "C" REFERENCES groups (id),
    executor_group_ids TEXT COLLATE "C" NOT NULL,
    contract_ids TEXT COLLATE "C" NOT NULL,
    "type" TEXT COLLATE "C" NOT NULL,
    impact TEXT COLLATE "C" NOT NULL,
    urgency TEXT COLLATE "C" NOT NULL,
    risk TEXT COLLATE "C" NOT NULL
);

CREATE TABLE changes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    change_window TEXT COLLATE "C",
    risk TEXT COLLATE "C",
    rollback_plan TEXT COLLATE "C",
    url TEXT COLLATE "C",
    source_revision BIGINT
);

CREATE TABLE releases (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    title_folded TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    version TEXT COLLATE "C",
    version_folded TEXT COLLATE "C",
    "type" TEXT COLLATE "C" NOT NULL,
    portfolio_id TEXT COLLATE "C" NOT NULL REFERENCES portfolios (id),
    model_id TEXT COLLATE "C" NOT NULL REFERENCES models (id),
    workflow_id TEXT COLLATE "C" NOT NULL REFERENCES workflows (id),
    requester TEXT COLLATE "C" NOT NULL,
    requester_user_id TEXT COLLATE "C" REFERENCES users (id),
    requester_unit_id TEXT COLLATE "C" REFERENCES units (id),
    contract_id TEXT COLLATE "C" REFERENCES contracts (id),
    executor_group_id TEXT COLLATE "C" NOT NULL REFERENCES groups (id),
    assignee_id TEXT COLLATE "C" REFERENCES users (id),
    impact TEXT COLLATE "C" NOT NULL,
    urgency TEXT COLLATE "C" NOT NULL,
    risk TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    acceptance_criteria TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    status_before_suspension TEXT COLLATE "C",
    stage TEXT COLLATE "C" NOT NULL,
    planning_start TIMESTAMP,
    planning_end TIMESTAMP,
    deployment_start TIMESTAMP,
    deployment_end TIMESTAMP,
    deadline TIMESTAMP,
    release_date TIMESTAMP,
    resolution TEXT COLLATE "C",
    solution_category_id TEXT COLLATE "C" REFERENCES solution_categories (id),
    closure_notes TEXT COLLATE "C",
    reopen_count BIGINT NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    custom_fields TEXT COLLATE "C" NOT NULL,
    notify TEXT COLLATE "C" NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    updated_at TIMESTAMP NOT NULL,
    closed_at TIMESTAMP,
    cancelled_at TIMESTAMP,
    suspended_at TIMESTAMP,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL
);

CREATE TABLE release_visibility (
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    principal TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (release_id, principal, reason)
);

CREATE TABLE release_tags (
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (release_id, tag)
);

CREATE TABLE release_dependencies (
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    depends_on_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    PRIMARY KEY (release_id, depends_on_id)
);

CREATE TABLE release_changes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    change_id TEXT COLLATE "C" NOT NULL REFERENCES changes (id),
    outcome TEXT COLLATE "C" NOT NULL,
    outcome_note TEXT COLLATE "C",
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE transitions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    seq BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    from_status TEXT COLLATE "C" NOT NULL,
    to_status TEXT COLLATE "C" NOT NULL,
    from_stage TEXT COLLATE "C" NOT NULL,
    to_stage TEXT COLLATE "C" NOT NULL,
    justification_id TEXT COLLATE "C" REFERENCES justifications (id),
    solution_category_id TEXT COLLATE "C" REFERENCES solution_categories (id),
    details TEXT COLLATE "C" NOT NULL,
    actor_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    at TIMESTAMP NOT NULL
);

CREATE TABLE audit (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    record_type TEXT COLLATE "C" NOT NULL,
    record_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    actor_id TEXT COLLATE "C",
    actor_name TEXT COLLATE "C" NOT NULL,
    via TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP NOT NULL,
    changes TEXT COLLATE "C" NOT NULL,
    salt TEXT COLLATE "C" NOT NULL,
    changes_digest TEXT COLLATE "C" NOT NULL,
    previous_hash TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL
);

CREATE TABLE audit_tombstones (
    record_type TEXT COLLATE "C" NOT NULL,
    record_id TEXT COLLATE "C" NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (record_type, record_id)
);

CREATE TABLE events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    record_type TEXT COLLATE "C" NOT NULL,
    record_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    "type" TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP NOT NULL
);

CREATE TABLE idempotency_keys (
    caller TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    location TEXT COLLATE "C",
    row_version BIGINT,
    release_id TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (caller, key)
);

CREATE TABLE sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL
);

CREATE TABLE refresh_tokens (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    session_id TEXT COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at TIMESTAMP NOT NULL,
    used_at TIMESTAMP
);

CREATE TABLE personal_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    hint TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP,
    last_used_at TIMESTAMP,
    revoked_at TIMESTAMP,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL
);

CREATE TABLE signing_keys (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    public_key TEXT COLLATE "C" NOT NULL,
    sealed_private_key TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP NOT NULL,
    retired_at TIMESTAMP
);

CREATE TABLE login_throttle (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    window_started_at TIMESTAMP NOT NULL
);

CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE UNIQUE INDEX "units.name" ON units (name);
CREATE INDEX "units_parent_id_idx" ON units (parent_id);
CREATE UNIQUE INDEX "users.username" ON users (username);
CREATE INDEX "users_unit_id_idx" ON users (unit_id);
CREATE UNIQUE INDEX "groups.name" ON groups (name);
CREATE INDEX "group_members_user_id_idx" ON group_members (user_id);
CREATE UNIQUE INDEX "contracts.name" ON contracts (name);
CREATE UNIQUE INDEX "justifications.description" ON justifications (description);
CREATE UNIQUE INDEX "solution_categories.name" ON solution_categories (name);
CREATE UNIQUE INDEX "portfolios.name" ON portfolios (name);
CREATE INDEX "portfolios_parent_id_idx" ON portfolios (parent_id);
CREATE UNIQUE INDEX "workflows.key_version" ON workflows (key, version);
CREATE UNIQUE INDEX "models.portfolio_id_name" ON models (portfolio_id, name);
CREATE INDEX "models_executor_group_id_idx" ON models (executor_group_id);
CREATE UNIQUE INDEX "models.is_default" ON models (is_default) WHERE is_default;
CREATE UNIQUE INDEX "changes.source_external_id" ON changes (source, external_id);
CREATE INDEX "changes_status_created_at_idx" ON changes (status, created_at);
CREATE INDEX "changes_created_at_idx" ON changes (created_at);
CREATE UNIQUE INDEX "releases.number" ON releases (number);
CREATE INDEX "releases_created_at_id_idx" ON releases (created_at, id);
CREATE INDEX "releases_updated_at_id_idx" ON releases (updated_at, id);
CREATE INDEX "releases_priority_id_idx" ON releases (priority, id);
CREATE INDEX "releases_title_folded_id_idx" ON releases (title_folded, id);
CREATE INDEX "releases_version_folded_idx" ON releases (version_folded);
CREATE INDEX "releases_status_created_at_idx" ON releases (status, created_at);
CREATE INDEX "releases_stage_created_at_idx" ON releases (stage, created_at);
CREATE INDEX "releases_priority_created_at_idx" ON releases (priority, created_at);
CREATE INDEX "releases_type_created_at_idx" ON releases ("type", created_at);
CREATE INDEX "releases_portfolio_id_created_at_idx" ON releases (portfolio_id, created_at);
CREATE INDEX "releases_model_id_created_at_idx" ON releases (model_id, created_at);
CREATE INDEX "releases_executor_group_id_created_at_idx" ON releases (executor_group_id, created_at);
CREATE INDEX "releases_assignee_id_created_at_idx" ON releases (assignee_id, created_at);
CREATE INDEX "releases_requester_user_id_created_at_idx" ON releases (requester_user_id, created_at);
CREATE INDEX "releases_requester_unit_id_created_at_idx" ON releases (requester_unit_id, created_at);
CREATE INDEX "releases_contract_id_created_at_idx" ON releases (contract_id, created_at);
CREATE INDEX "releases_closed_at_idx" ON releases (closed_at);
CREATE INDEX "releases_planning_start_idx" ON releases (planning_start);
CREATE INDEX "releases_deployment_start_idx" ON releases (deployment_start);
CREATE INDEX "releases_planning_end_idx" ON releases (planning_end);
CREATE INDEX "releases_deployment_end_idx" ON releases (deployment_end);
CREATE INDEX "releases_created_by_idx" ON releases (created_by);
CREATE INDEX "releases_solution_category_id_idx" ON releases (solution_category_id);
CREATE INDEX "releases_deadline_idx" ON releases (deadline) WHERE status IN ('open', 'reopened');
CREATE INDEX "release_visibility_principal_release_id_idx" ON release_visibility (principal, release_id);
CREATE INDEX "release_tags_tag_release_id_idx" ON release_tags (tag, release_id);
CREATE INDEX "release_dependencies_depends_on_id_idx" ON release_dependencies (depends_on_id);
CREATE UNIQUE INDEX "release_changes.release_id_change_id" ON release_changes (release_id, change_id);
CREATE INDEX "release_changes_change_id_idx" ON release_changes (change_id);
CREATE UNIQUE INDEX "transitions.release_id_seq" ON transitions (release_id, seq);
CREATE INDEX "transitions_justification_id_idx" ON transitions (justification_id);
CREATE INDEX "transitions_actor_id_idx" ON transitions (actor_id);
CREATE INDEX "transitions_solution_category_id_idx" ON transitions (solution_category_id);
CREATE INDEX "changes_external_id_id_idx" ON changes (external_id, id);
CREATE INDEX "audit_request_id_idx" ON audit (request_id);
CREATE UNIQUE INDEX "audit.record_type_record_id_seq" ON audit (record_type, record_id, seq);
CREATE INDEX "audit_actor_id_id_idx" ON audit (actor_id, id);
CREATE INDEX "audit_action_id_idx" ON audit (action, id);
CREATE INDEX "audit_at_idx" ON audit (at);
CREATE UNIQUE INDEX "events.record_type_record_id_seq" ON events (record_type, record_id, seq);
CREATE INDEX "idempotency_keys_created_at_idx" ON idempotency_keys (created_at);
CREATE INDEX "sessions_user_id_idx" ON sessions (user_id);
CREATE INDEX "sessions_expires_at_idx" ON sessions (expires_at);
CREATE INDEX "refresh_tokens_session_id_idx" ON refresh_tokens (session_id);
CREATE UNIQUE INDEX "personal_tokens.hash" ON personal_tokens (hash);
CREATE INDEX "personal_tokens_user_id_idx" ON personal_tokens (user_id);
CREATE INDEX "units_q_idx" ON units ((lower(name)), id);
CREATE INDEX "users_q_idx" ON users ((lower(username)), id);
CREATE INDEX "groups_q_idx" ON groups ((lower(name)), id);
CREATE INDEX "contracts_q_idx" ON contracts ((lower(name)), id);
CREATE INDEX "justifications_q_idx" ON justifications ((lower(description)), id);
CREATE INDEX "solution_categories_q_idx" ON solution_categories ((lower(name)), id);
CREATE INDEX "portfolios_q_idx" ON portfolios ((lower(name)), id);
CREATE INDEX "models_q_idx" ON models ((lower(name)), id);
CREATE INDEX "changes_q_idx" ON changes ((lower(external_id)), id);
CREATE INDEX "releases_deployment_start_sort_idx" ON releases ((coalesce(deployment_start, TIMESTAMP '9999-12-31 00:00:00')), id);
CREATE INDEX "releases_deadline_sort_idx" ON releases ((coalesce(deadline, TIMESTAMP '9999-12-31 00:00:00')), id);
CREATE INDEX "releases_closed_at_sort_idx" ON releases ((coalesce(closed_at, TIMESTAMP '9999-12-31 00:00:00')), id);
CREATE SEQUENCE release_number;

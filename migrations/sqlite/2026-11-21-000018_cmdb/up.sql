-- Working copies of configuration items, and how they depend on each other.
CREATE TABLE configuration_items (
    id TEXT NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT NOT NULL,
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    name TEXT NOT NULL,
    class TEXT NOT NULL,
    environment TEXT,
    status TEXT NOT NULL,
    version TEXT,
    serial TEXT,
    location TEXT,
    owner_group_id TEXT REFERENCES groups (id),
    attributes TEXT NOT NULL,
    source_revision BIGINT
);

CREATE UNIQUE INDEX "configuration_items.source_external_id" ON configuration_items (source, external_id);
CREATE INDEX "configuration_items_name_id_idx" ON configuration_items (name, id);
CREATE INDEX "configuration_items_created_at_id_idx" ON configuration_items (created_at, id);
CREATE INDEX "configuration_items_q_idx" ON configuration_items (lower(name), id);
CREATE INDEX "configuration_items_external_id_name_id_idx" ON configuration_items (external_id, name, id);
CREATE INDEX "configuration_items_class_name_id_idx" ON configuration_items (class, name, id);
CREATE INDEX "configuration_items_environment_name_id_idx" ON configuration_items (environment, name, id);
CREATE INDEX "configuration_items_status_name_id_idx" ON configuration_items (status, name, id);
CREATE INDEX "configuration_items_version_name_id_idx" ON configuration_items (version, name, id) WHERE version IS NOT NULL;
CREATE INDEX "configuration_items_serial_name_id_idx" ON configuration_items (serial, name, id) WHERE serial IS NOT NULL;
CREATE INDEX "configuration_items_owner_group_id_name_id_idx" ON configuration_items (owner_group_id, name, id) WHERE owner_group_id IS NOT NULL;

-- One item depends on, runs on, is part of or is connected to a target.
CREATE TABLE configuration_item_relationships (
    id TEXT NOT NULL PRIMARY KEY,
    configuration_item_id TEXT NOT NULL REFERENCES configuration_items (id),
    kind TEXT NOT NULL,
    target_id TEXT NOT NULL REFERENCES configuration_items (id),
    created_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX "ci_relationships.configuration_item_id_target_id_kind" ON configuration_item_relationships (configuration_item_id, target_id, kind);
CREATE INDEX "configuration_item_relationships_item_id_idx" ON configuration_item_relationships (configuration_item_id, id);
CREATE INDEX "configuration_item_relationships_target_id_idx" ON configuration_item_relationships (target_id, id);

-- Uploads of many configuration items and relationships; the content is in the store until the import is over.
CREATE TABLE imports (
    id TEXT NOT NULL PRIMARY KEY,
    format TEXT NOT NULL,
    name TEXT,
    dry_run BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    detail TEXT,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    store_key TEXT NOT NULL,
    bytes_done BIGINT NOT NULL,
    lines_done BIGINT NOT NULL,
    rows_done BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    actor_id TEXT REFERENCES users (id),
    actor_name TEXT NOT NULL,
    via TEXT NOT NULL,
    request_id TEXT NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    content_removed_at TIMESTAMP,
    failures BIGINT NOT NULL DEFAULT 0,
    retry_at TIMESTAMP,
    results_expired_at TIMESTAMP,
    results_removed_at TIMESTAMP
);

CREATE UNIQUE INDEX "imports.store_key" ON imports (store_key);
CREATE INDEX "imports_created_at_id_idx" ON imports (created_at, id);
CREATE INDEX "imports_state_created_at_id_idx" ON imports (state, created_at, id);
CREATE INDEX "imports_actor_id_created_at_id_idx" ON imports (actor_id, created_at, id);
CREATE INDEX "imports_to_collect_idx" ON imports (finished_at) WHERE finished_at IS NOT NULL AND content_removed_at IS NULL;
CREATE INDEX "imports_to_forget_idx" ON imports (finished_at) WHERE finished_at IS NOT NULL AND results_removed_at IS NULL;

-- What became of every row of an import, by its place in the upload.
CREATE TABLE import_results (
    import_id TEXT NOT NULL REFERENCES imports (id),
    line BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    kind TEXT,
    record_key TEXT,
    record_id TEXT,
    errors TEXT,
    PRIMARY KEY (import_id, line)
);

CREATE INDEX "import_results_import_id_outcome_line_idx" ON import_results (import_id, outcome, line);

-- Every state that a configuration item had, and where it came from.
CREATE TABLE configuration_item_history (
    id TEXT NOT NULL PRIMARY KEY,
    configuration_item_id TEXT NOT NULL REFERENCES configuration_items (id),
    row_version BIGINT NOT NULL,
    origin TEXT NOT NULL,
    release_id TEXT REFERENCES releases (id),
    import_id TEXT REFERENCES imports (id),
    actor_id TEXT REFERENCES users (id),
    actor_name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    before TEXT,
    after TEXT NOT NULL
);

CREATE UNIQUE INDEX "configuration_item_history.configuration_item_id_row_version" ON configuration_item_history (configuration_item_id, row_version);
CREATE INDEX "configuration_item_history_release_id_idx" ON configuration_item_history (release_id, id) WHERE release_id IS NOT NULL;
CREATE INDEX "configuration_item_history_import_id_idx" ON configuration_item_history (import_id, id) WHERE import_id IS NOT NULL;
CREATE INDEX "configuration_item_history_actor_id_idx" ON configuration_item_history (actor_id) WHERE actor_id IS NOT NULL;

-- The definitive media library: authorised master copies of software. The content is in the store under store_key, or
-- where logical_location says.
CREATE TABLE definitive_media (
    id TEXT NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'draft',
    physical_location TEXT,
    logical_location TEXT,
    sha256 TEXT,
    licence TEXT,
    notes TEXT,
    size_bytes BIGINT,
    media_type TEXT,
    store_key TEXT,
    file_name TEXT,
    content_sha256 TEXT,
    stored_at TIMESTAMP,
    verified_at TIMESTAMP,
    verified_by TEXT REFERENCES users (id),
    authorised_at TIMESTAMP,
    authorised_by TEXT REFERENCES users (id)
);

CREATE UNIQUE INDEX "definitive_media.name_version_kind" ON definitive_media (name, version, kind);
CREATE UNIQUE INDEX "definitive_media.store_key" ON definitive_media (store_key) WHERE store_key IS NOT NULL;
CREATE INDEX "definitive_media_name_id_idx" ON definitive_media (name, id);
CREATE INDEX "definitive_media_created_at_id_idx" ON definitive_media (created_at, id);
CREATE INDEX "definitive_media_q_idx" ON definitive_media (lower(name), id);
CREATE INDEX "definitive_media_kind_name_id_idx" ON definitive_media (kind, name, id);
CREATE INDEX "definitive_media_status_name_id_idx" ON definitive_media (status, name, id);
CREATE INDEX "definitive_media_version_name_id_idx" ON definitive_media (version, name, id);
CREATE INDEX "definitive_media_sha256_name_id_idx" ON definitive_media (sha256, name, id) WHERE sha256 IS NOT NULL;
CREATE INDEX "definitive_media_verified_by_idx" ON definitive_media (verified_by) WHERE verified_by IS NOT NULL;
CREATE INDEX "definitive_media_authorised_by_idx" ON definitive_media (authorised_by) WHERE authorised_by IS NOT NULL;

-- The definitive hardware store: approved spare hardware.
CREATE TABLE hardware_spares (
    id TEXT NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    location TEXT,
    notes TEXT,
    status TEXT NOT NULL,
    configuration_item_id TEXT REFERENCES configuration_items (id)
);

CREATE UNIQUE INDEX "hardware_spares.serial" ON hardware_spares (serial);
CREATE INDEX "hardware_spares_serial_id_idx" ON hardware_spares (serial, id);
CREATE INDEX "hardware_spares_created_at_id_idx" ON hardware_spares (created_at, id);
CREATE INDEX "hardware_spares_q_idx" ON hardware_spares (lower(serial), id);
CREATE INDEX "hardware_spares_model_serial_id_idx" ON hardware_spares (model, serial, id);
CREATE INDEX "hardware_spares_status_serial_id_idx" ON hardware_spares (status, serial, id);
CREATE INDEX "hardware_spares_location_serial_id_idx" ON hardware_spares (location, serial, id) WHERE location IS NOT NULL;
CREATE INDEX "hardware_spares_configuration_item_id_idx" ON hardware_spares (configuration_item_id, serial, id) WHERE configuration_item_id IS NOT NULL;

-- What a release is going to do to a configuration item, and what became of it. seen_row_version is the version of the
-- item that the plan was made on.
CREATE TABLE release_configuration_items (
    id TEXT NOT NULL PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    configuration_item_id TEXT NOT NULL REFERENCES configuration_items (id),
    change_id TEXT REFERENCES changes (id),
    description TEXT,
    intended_version TEXT,
    intended_status TEXT,
    intended_environment TEXT,
    medium_id TEXT REFERENCES definitive_media (id),
    spare_model TEXT,
    outcome TEXT NOT NULL,
    outcome_note TEXT,
    seen_row_version BIGINT NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- Rework of what was applied is a new link; of pending ones there is one for each item.
CREATE UNIQUE INDEX "release_configuration_items.release_id_configuration_item_id" ON release_configuration_items (release_id, configuration_item_id) WHERE outcome = 'pending';
CREATE INDEX "release_configuration_items_release_id_idx" ON release_configuration_items (release_id, id);
CREATE INDEX "release_configuration_items_item_id_idx" ON release_configuration_items (configuration_item_id, id);
CREATE INDEX "release_configuration_items_medium_id_idx" ON release_configuration_items (medium_id) WHERE medium_id IS NOT NULL;
CREATE INDEX "release_configuration_items_change_id_idx" ON release_configuration_items (change_id) WHERE change_id IS NOT NULL;

-- What the tool that owns an item is to be told, and what it said.
CREATE TABLE write_backs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    release_id TEXT NOT NULL REFERENCES releases (id),
    link_id TEXT NOT NULL REFERENCES release_configuration_items (id),
    configuration_item_id TEXT NOT NULL REFERENCES configuration_items (id),
    history_id TEXT NOT NULL REFERENCES configuration_item_history (id),
    source TEXT NOT NULL,
    cmdb_revision TEXT,
    note TEXT,
    answered_at TIMESTAMP,
    answered_by TEXT REFERENCES users (id),
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX "write_backs.history_id" ON write_backs (history_id);
CREATE INDEX "write_backs_created_at_id_idx" ON write_backs (created_at, id);
CREATE INDEX "write_backs_state_created_at_id_idx" ON write_backs (state, created_at, id);
CREATE INDEX "write_backs_source_created_at_id_idx" ON write_backs (source, created_at, id);
CREATE INDEX "write_backs_release_id_created_at_id_idx" ON write_backs (release_id, created_at, id);
CREATE INDEX "write_backs_item_id_created_at_id_idx" ON write_backs (configuration_item_id, created_at, id);
CREATE INDEX "write_backs_link_id_idx" ON write_backs (link_id);
CREATE INDEX "write_backs_answered_by_idx" ON write_backs (answered_by) WHERE answered_by IS NOT NULL;

-- The definitive media that a release uses.
CREATE TABLE release_definitive_media (
    id TEXT NOT NULL PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    medium_id TEXT NOT NULL REFERENCES definitive_media (id),
    description TEXT,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX "release_definitive_media.release_id_medium_id" ON release_definitive_media (release_id, medium_id);
CREATE INDEX "release_definitive_media_release_id_idx" ON release_definitive_media (release_id, id);
CREATE INDEX "release_definitive_media_medium_id_idx" ON release_definitive_media (medium_id);

-- The spares that are reserved for a release. While the state is 'reserved' no other release can have the spare, and no
-- other spare of the release is for the same item. link_id is the link whose applying made the spare its item.
CREATE TABLE release_hardware_spares (
    id TEXT NOT NULL PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    spare_id TEXT NOT NULL REFERENCES hardware_spares (id),
    configuration_item_id TEXT REFERENCES configuration_items (id),
    link_id TEXT REFERENCES release_configuration_items (id),
    description TEXT,
    state TEXT NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX "release_hardware_spares.spare_id" ON release_hardware_spares (spare_id) WHERE state = 'reserved';
CREATE UNIQUE INDEX "release_hardware_spares.release_id_configuration_item_id" ON release_hardware_spares (release_id, configuration_item_id) WHERE state = 'reserved';
CREATE INDEX "release_hardware_spares_release_id_idx" ON release_hardware_spares (release_id, id);
CREATE INDEX "release_hardware_spares_spare_id_idx" ON release_hardware_spares (spare_id, id);
CREATE INDEX "release_hardware_spares_link_id_idx" ON release_hardware_spares (link_id) WHERE link_id IS NOT NULL;
CREATE INDEX "release_hardware_spares_item_id_idx" ON release_hardware_spares (configuration_item_id) WHERE configuration_item_id IS NOT NULL;

-- The configuration items that a change is about.
ALTER TABLE changes ADD COLUMN configuration_item_ids TEXT NOT NULL DEFAULT '[]';

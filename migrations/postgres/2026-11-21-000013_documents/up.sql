-- Documents of releases. The content is in the store, under store_key, until content_removed_at.
CREATE TABLE documents (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    class TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    name_folded TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    version TEXT COLLATE "C",
    media_type TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    store_key TEXT COLLATE "C" NOT NULL,
    uploaded_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    deleted_at TIMESTAMP,
    deleted_by TEXT COLLATE "C" REFERENCES users (id),
    content_removed_at TIMESTAMP
);

CREATE UNIQUE INDEX "documents.store_key" ON documents (store_key);
CREATE INDEX "documents_release_id_created_at_id_idx" ON documents (release_id, created_at, id);
CREATE INDEX "documents_release_id_name_folded_id_idx" ON documents (release_id, name_folded, id);
CREATE INDEX "documents_release_id_size_bytes_id_idx" ON documents (release_id, size_bytes, id);
CREATE INDEX "documents_uploaded_by_idx" ON documents (uploaded_by);
CREATE INDEX "documents_deleted_by_idx" ON documents (deleted_by) WHERE deleted_by IS NOT NULL;
-- What the gate asks for.
CREATE INDEX "documents_evidence_idx" ON documents (release_id, version) WHERE class = 'evidence' AND deleted_at IS NULL;
-- What is to be collected.
CREATE INDEX "documents_to_collect_idx" ON documents (deleted_at) WHERE deleted_at IS NOT NULL AND content_removed_at IS NULL;

-- Bytes that come in parts. token: how the object store calls the upload; none until it was told of it.
-- firmware_id is no reference: the parts must be cleared away also when the firmware is gone.
-- next_action_at: when a node looks at it by itself; moving it ahead is that node's claim.
-- actor_*, request_id: who completed it, for the audit entry of what comes of it; only while it is verified.
CREATE TABLE uploads (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    firmware_id BLOB,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    part_size_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    token TEXT,
    actor_kind TEXT,
    actor_tenant_id BLOB,
    actor_id BLOB,
    actor_name TEXT,
    actor_address TEXT,
    request_id TEXT,
    next_action_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX uploads_by_state ON uploads (tenant_id, state, id);
CREATE INDEX uploads_by_next_action ON uploads (next_action_at);

-- tag: how the object store calls this content of the part. sha256: none when it went to the object store directly.
CREATE TABLE upload_parts (
    tenant_id BLOB NOT NULL,
    upload_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT,
    tag TEXT NOT NULL,
    uploaded_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, upload_id, number),
    FOREIGN KEY (tenant_id, upload_id) REFERENCES uploads (tenant_id, id) ON DELETE CASCADE
) STRICT;

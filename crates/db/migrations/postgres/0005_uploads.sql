-- Bytes that come in parts. token: how the object store calls the upload; none until it was told of it.
-- firmware_id is no reference: the parts must be cleared away also when the firmware is gone.
-- next_action_at: when a node looks at it by itself; moving it ahead is that node's claim.
-- actor_*, request_id: who completed it, for the audit entry of what comes of it; only while it is verified.
CREATE TABLE uploads (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    firmware_id UUID,
    name TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    part_size_bytes BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    token TEXT,
    actor_kind TEXT,
    actor_tenant_id UUID,
    actor_id UUID,
    actor_name TEXT,
    actor_address TEXT,
    request_id TEXT,
    next_action_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX uploads_by_state ON uploads (tenant_id, state, id);
CREATE INDEX uploads_by_next_action ON uploads (next_action_at);

-- tag: how the object store calls this content of the part. sha256: none when it went to the object store directly.
CREATE TABLE upload_parts (
    tenant_id UUID NOT NULL,
    upload_id UUID NOT NULL,
    number BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT,
    tag TEXT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, upload_id, number),
    FOREIGN KEY (tenant_id, upload_id) REFERENCES uploads (tenant_id, id) ON DELETE CASCADE
);

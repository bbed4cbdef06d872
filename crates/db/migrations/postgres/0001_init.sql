-- Times are UTC microseconds, digests lower-case hexadecimal SHA-256, JSON is stored and never queried.
-- Every key and every reference starts with tenant_id.
-- Text that is sorted has COLLATE "C": the order of bytes, as SQLite has it, whatever the locale of the server.

CREATE TABLE tenants (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE users (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    username TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, username)
);

CREATE TABLE logins (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX logins_by_expiry ON logins (tenant_id, expires_at);

CREATE TABLE api_keys (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE enrolment_tokens (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    device_type TEXT,
    max_uses BIGINT,
    uses BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE release_keys (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, fingerprint)
);

-- bucket: 0..65535, drawn at registration; it decides who comes first when a stage opens.
-- last_seen_at: none until the device first comes with its own token.
CREATE TABLE devices (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    hardware_id TEXT NOT NULL,
    device_type TEXT NOT NULL,
    status TEXT NOT NULL,
    bucket BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    agent_version TEXT,
    enrolment_token_id UUID NOT NULL,
    last_seen_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, hardware_id)
);
CREATE INDEX devices_by_type_and_status ON devices (tenant_id, device_type, status);
CREATE INDEX devices_by_last_seen ON devices (tenant_id, last_seen_at);
CREATE INDEX devices_by_bucket ON devices (tenant_id, device_type, bucket, id);

CREATE TABLE device_tokens (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    device_id UUID NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX device_tokens_by_device ON device_tokens (tenant_id, device_id);

CREATE TABLE device_groups (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE group_members (
    tenant_id UUID NOT NULL,
    group_id UUID NOT NULL,
    device_id UUID NOT NULL,
    PRIMARY KEY (tenant_id, group_id, device_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_members_by_device ON group_members (tenant_id, device_id);

CREATE TABLE firmware (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    version_key BYTEA NOT NULL,
    device_type TEXT NOT NULL,
    component TEXT NOT NULL,
    release_counter BIGINT NOT NULL,
    rollback_floor BIGINT NOT NULL,
    state TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    manifest BYTEA NOT NULL,
    manifest_bundle TEXT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    signed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    published_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, device_type, component, version),
    UNIQUE (tenant_id, device_type, component, release_counter),
    UNIQUE (tenant_id, manifest_sha256)
);
CREATE INDEX firmware_by_version ON firmware (tenant_id, version);
CREATE INDEX firmware_by_publication ON firmware (tenant_id, device_type, published_at);

-- What a device must run before it may have the firmware; min_version is one on the own component.
CREATE TABLE firmware_dependencies (
    tenant_id UUID NOT NULL,
    firmware_id UUID NOT NULL,
    position BIGINT NOT NULL,
    component TEXT NOT NULL,
    min_key BYTEA NOT NULL,
    below_key BYTEA,
    PRIMARY KEY (tenant_id, firmware_id, position),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE firmware_artifacts (
    tenant_id UUID NOT NULL,
    firmware_id UUID NOT NULL,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    bundle TEXT,
    uploaded_at BIGINT,
    PRIMARY KEY (tenant_id, firmware_id, position),
    UNIQUE (tenant_id, firmware_id, name),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX firmware_artifacts_by_sha256 ON firmware_artifacts (tenant_id, sha256);

-- version_key sorts like the version. release_counter and firmware_id are known when the manifest is.
CREATE TABLE device_components (
    tenant_id UUID NOT NULL,
    device_id UUID NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    version TEXT,
    version_key BYTEA,
    manifest_sha256 TEXT,
    firmware_id UUID,
    release_counter BIGINT,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, component),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);
CREATE INDEX device_components_by_firmware ON device_components (tenant_id, firmware_id);

-- Names for content: what can be presigned.
CREATE TABLE objects (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    name TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    firmware_id UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX objects_by_sha256 ON objects (tenant_id, sha256);

-- epoch rises with every change of what may be offered: an offer made under an older epoch fails.
-- shift turns the order of buckets, so that not always the same devices come first.
CREATE TABLE rollouts (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    epoch BIGINT NOT NULL,
    firmware_id UUID NOT NULL,
    device_type TEXT NOT NULL,
    component TEXT NOT NULL,
    parent_id UUID,
    policy TEXT NOT NULL,
    shift BIGINT NOT NULL,
    next_tick_at BIGINT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    completed_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);
CREATE INDEX rollouts_by_state ON rollouts (tenant_id, state);
CREATE UNIQUE INDEX rollouts_tenant_id_parent_id_key ON rollouts (tenant_id, parent_id);
CREATE INDEX rollouts_by_next_tick ON rollouts (next_tick_at);

CREATE TABLE rollout_groups (
    tenant_id UUID NOT NULL,
    rollout_id UUID NOT NULL,
    group_id UUID NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, group_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id)
);

-- remaining: devices still to choose while the stage is opening; cursor_*: behind the last one looked at.
CREATE TABLE rollout_stages (
    tenant_id UUID NOT NULL,
    rollout_id UUID NOT NULL,
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    opened_at BIGINT,
    soak_until BIGINT,
    completed_at BIGINT,
    remaining BIGINT,
    cursor_bucket BIGINT,
    cursor_device UUID,
    PRIMARY KEY (tenant_id, rollout_id, position),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE update_sessions (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    rollout_id UUID NOT NULL,
    stage BIGINT NOT NULL,
    device_id UUID NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    firmware_id UUID NOT NULL,
    from_version TEXT,
    from_firmware_id UUID,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    failure_class TEXT,
    failure_code TEXT,
    failure_message TEXT,
    next_action_at BIGINT,
    started_at BIGINT,
    completed_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, rollout_id, device_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id)
);
CREATE INDEX update_sessions_by_device_and_start ON update_sessions (tenant_id, device_id, started_at);
CREATE INDEX update_sessions_by_device_and_state ON update_sessions (tenant_id, device_id, state);
CREATE INDEX update_sessions_by_state ON update_sessions (tenant_id, state);
CREATE INDEX update_sessions_by_rollout ON update_sessions (tenant_id, rollout_id, state, id);
CREATE INDEX update_sessions_by_firmware ON update_sessions (tenant_id, firmware_id);
CREATE INDEX update_sessions_by_from_firmware ON update_sessions (tenant_id, from_firmware_id);
CREATE INDEX update_sessions_by_next_action ON update_sessions (tenant_id, rollout_id, next_action_at);
-- A component of a device is updated by one session at a time.
CREATE UNIQUE INDEX update_sessions_tenant_id_device_id_component_key
    ON update_sessions (tenant_id, device_id, component)
    WHERE state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating');

-- Sessions per stage, state and failure class ('' for none), kept in the transaction of each transition.
CREATE TABLE rollout_counters (
    tenant_id UUID NOT NULL,
    rollout_id UUID NOT NULL,
    stage BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    failure_class TEXT COLLATE "C" NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, stage, state, failure_class),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE idempotency_keys (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    resource_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, caller, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (tenant_id, created_at);

-- Content that lost its last name: removed a day later if nothing names it then.
CREATE TABLE unused_content (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    sha256 TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);

-- Of the installation, not of a tenant.
CREATE TABLE leases (
    name TEXT NOT NULL,
    token BIGINT NOT NULL,
    holder TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (name)
);

-- Times are UTC microseconds, digests lower-case hexadecimal SHA-256, JSON is stored and never queried.
-- Every key and every reference starts with tenant_id.

CREATE TABLE tenants (
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
) STRICT;

CREATE TABLE users (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    username TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, username)
) STRICT;

CREATE TABLE logins (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) STRICT;
CREATE INDEX logins_by_expiry ON logins (tenant_id, expires_at);

CREATE TABLE api_keys (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE TABLE enrolment_tokens (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    device_type TEXT,
    max_uses INTEGER,
    uses INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE TABLE release_keys (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, fingerprint)
) STRICT;

-- bucket: 0..65535, drawn at registration; it decides who comes first when a stage opens.
-- last_seen_at: none until the device first comes with its own token.
CREATE TABLE devices (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    hardware_id TEXT NOT NULL,
    device_type TEXT NOT NULL,
    status TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    agent_version TEXT,
    enrolment_token_id BLOB NOT NULL,
    last_seen_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, hardware_id)
) STRICT;
CREATE INDEX devices_by_type_and_status ON devices (tenant_id, device_type, status);
CREATE INDEX devices_by_last_seen ON devices (tenant_id, last_seen_at);
CREATE INDEX devices_by_bucket ON devices (tenant_id, device_type, bucket, id);

CREATE TABLE device_tokens (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX device_tokens_by_device ON device_tokens (tenant_id, device_id);

CREATE TABLE device_groups (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE group_members (
    tenant_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, group_id, device_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX group_members_by_device ON group_members (tenant_id, device_id);

CREATE TABLE firmware (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    version_key BLOB NOT NULL,
    device_type TEXT NOT NULL,
    component TEXT NOT NULL,
    release_counter INTEGER NOT NULL,
    rollback_floor INTEGER NOT NULL,
    state TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    manifest_bundle TEXT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    signed_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    published_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, device_type, component, version),
    UNIQUE (tenant_id, device_type, component, release_counter),
    UNIQUE (tenant_id, manifest_sha256)
) STRICT;
CREATE INDEX firmware_by_version ON firmware (tenant_id, version);
CREATE INDEX firmware_by_publication ON firmware (tenant_id, device_type, published_at);

-- What a device must run before it may have the firmware; min_version is one on the own component.
CREATE TABLE firmware_dependencies (
    tenant_id BLOB NOT NULL,
    firmware_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    component TEXT NOT NULL,
    min_key BLOB NOT NULL,
    below_key BLOB,
    PRIMARY KEY (tenant_id, firmware_id, position),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE firmware_artifacts (
    tenant_id BLOB NOT NULL,
    firmware_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    bundle TEXT,
    uploaded_at INTEGER,
    PRIMARY KEY (tenant_id, firmware_id, position),
    UNIQUE (tenant_id, firmware_id, name),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX firmware_artifacts_by_sha256 ON firmware_artifacts (tenant_id, sha256);

-- version_key sorts like the version. release_counter and firmware_id are known when the manifest is.
CREATE TABLE device_components (
    tenant_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    component TEXT NOT NULL,
    version TEXT,
    version_key BLOB,
    manifest_sha256 TEXT,
    firmware_id BLOB,
    release_counter INTEGER,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, device_id, component),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
) STRICT;
CREATE INDEX device_components_by_firmware ON device_components (tenant_id, firmware_id);

-- Names for content: what can be presigned.
CREATE TABLE objects (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    firmware_id BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX objects_by_sha256 ON objects (tenant_id, sha256);

-- epoch rises with every change of what may be offered: an offer made under an older epoch fails.
-- shift turns the order of buckets, so that not always the same devices come first.
CREATE TABLE rollouts (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    epoch INTEGER NOT NULL,
    firmware_id BLOB NOT NULL,
    device_type TEXT NOT NULL,
    component TEXT NOT NULL,
    parent_id BLOB,
    policy TEXT NOT NULL,
    shift INTEGER NOT NULL,
    next_tick_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
) STRICT;
CREATE INDEX rollouts_by_state ON rollouts (tenant_id, state);
CREATE UNIQUE INDEX rollouts_tenant_id_parent_id_key ON rollouts (tenant_id, parent_id);
CREATE INDEX rollouts_by_next_tick ON rollouts (next_tick_at);

CREATE TABLE rollout_groups (
    tenant_id BLOB NOT NULL,
    rollout_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, group_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id)
) STRICT;

-- remaining: devices still to choose while the stage is opening; cursor_*: behind the last one looked at.
CREATE TABLE rollout_stages (
    tenant_id BLOB NOT NULL,
    rollout_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    opened_at INTEGER,
    soak_until INTEGER,
    completed_at INTEGER,
    remaining INTEGER,
    cursor_bucket INTEGER,
    cursor_device BLOB,
    PRIMARY KEY (tenant_id, rollout_id, position),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE update_sessions (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    rollout_id BLOB NOT NULL,
    stage INTEGER NOT NULL,
    device_id BLOB NOT NULL,
    component TEXT NOT NULL,
    firmware_id BLOB NOT NULL,
    from_version TEXT,
    from_firmware_id BLOB,
    state TEXT NOT NULL,
    progress INTEGER NOT NULL,
    failure_class TEXT,
    failure_code TEXT,
    failure_message TEXT,
    next_action_at INTEGER,
    started_at INTEGER,
    completed_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, rollout_id, device_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id)
) STRICT;
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
    tenant_id BLOB NOT NULL,
    rollout_id BLOB NOT NULL,
    stage INTEGER NOT NULL,
    state TEXT NOT NULL,
    failure_class TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, stage, state, failure_class),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE idempotency_keys (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    resource_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, caller, idempotency_key)
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (tenant_id, created_at);

-- Content that lost its last name: removed a day later if nothing names it then.
CREATE TABLE unused_content (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    sha256 TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
) STRICT;

-- Of the installation, not of a tenant.
CREATE TABLE leases (
    name TEXT NOT NULL,
    token INTEGER NOT NULL,
    holder TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT;

-- A stage inserts hundreds of thousands of sessions: each index costs, most of all one that is not in the order of the
-- ids, and those of columns that are NULL until something happens have no entry before. SQLite drops no constraint, so
-- the table is made anew; nothing refers to it.
CREATE TABLE update_sessions_anew (
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
    -- Also finds the sessions of a device.
    UNIQUE (tenant_id, device_id, rollout_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id)
) STRICT;
INSERT INTO update_sessions_anew (tenant_id, id, rollout_id, stage, device_id, component, firmware_id, from_version,
    from_firmware_id, state, progress, failure_class, failure_code, failure_message, next_action_at, started_at,
    completed_at, created_at, updated_at)
SELECT tenant_id, id, rollout_id, stage, device_id, component, firmware_id, from_version, from_firmware_id, state,
    progress, failure_class, failure_code, failure_message, next_action_at, started_at, completed_at, created_at,
    updated_at
FROM update_sessions ORDER BY tenant_id, id;
DROP TABLE update_sessions;
ALTER TABLE update_sessions_anew RENAME TO update_sessions;
CREATE INDEX update_sessions_by_rollout ON update_sessions (tenant_id, rollout_id, state, id);
CREATE INDEX update_sessions_by_firmware ON update_sessions (tenant_id, firmware_id);
CREATE INDEX update_sessions_by_from_firmware ON update_sessions (tenant_id, from_firmware_id)
    WHERE from_firmware_id IS NOT NULL;
CREATE INDEX update_sessions_by_next_action ON update_sessions (tenant_id, rollout_id, next_action_at)
    WHERE next_action_at IS NOT NULL;
-- A component of a device is updated by one session at a time.
CREATE UNIQUE INDEX update_sessions_tenant_id_device_id_component_key
    ON update_sessions (tenant_id, device_id, component)
    WHERE state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating');

-- Somebody removes the bytes: nothing is given them as its content until then.
ALTER TABLE unused_content ADD COLUMN going_until INTEGER;

-- Of the installation: where it went. At most one row; no server starts here while it is there.
CREATE TABLE moves (
    target TEXT NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (target)
) STRICT;

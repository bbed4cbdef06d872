-- A stage inserts hundreds of thousands of sessions: each index costs, most of all one that is not in the order of the
-- ids, and those of columns that are NULL until something happens have no entry before.
-- The new order of the columns also finds the sessions of a device.
ALTER TABLE update_sessions
    DROP CONSTRAINT update_sessions_tenant_id_rollout_id_device_id_key,
    ADD CONSTRAINT update_sessions_tenant_id_device_id_rollout_id_key UNIQUE (tenant_id, device_id, rollout_id);
DROP INDEX update_sessions_by_device_and_start;
DROP INDEX update_sessions_by_device_and_state;
DROP INDEX update_sessions_by_state;
DROP INDEX update_sessions_by_from_firmware;
DROP INDEX update_sessions_by_next_action;
CREATE INDEX update_sessions_by_from_firmware ON update_sessions (tenant_id, from_firmware_id)
    WHERE from_firmware_id IS NOT NULL;
CREATE INDEX update_sessions_by_next_action ON update_sessions (tenant_id, rollout_id, next_action_at)
    WHERE next_action_at IS NOT NULL;

-- Somebody removes the bytes: nothing is given them as its content until then.
ALTER TABLE unused_content ADD COLUMN going_until BIGINT;

-- Of the installation: where it went. At most one row; no server starts here while it is there.
CREATE TABLE moves (
    target TEXT NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (target)
);

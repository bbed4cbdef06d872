-- Sessions of rollouts that ended long ago. archived_at of a rollout: its first session was moved; from then on it is
-- history and cannot be taken back.
ALTER TABLE rollouts ADD COLUMN archived_at BIGINT;
CREATE INDEX rollouts_by_completion ON rollouts (tenant_id, completed_at);

-- A partition per month of completed_at, made when the first session of that month is archived.
CREATE TABLE update_sessions_archive (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    rollout_id UUID NOT NULL,
    stage BIGINT NOT NULL,
    device_id UUID NOT NULL,
    component TEXT NOT NULL,
    firmware_id UUID NOT NULL,
    from_version TEXT,
    from_firmware_id UUID,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    failure_class TEXT,
    failure_code TEXT,
    failure_message TEXT,
    started_at BIGINT,
    completed_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    archived_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id, completed_at),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id)
) PARTITION BY RANGE (completed_at);
CREATE INDEX update_sessions_archive_by_device ON update_sessions_archive (tenant_id, device_id, id);
CREATE INDEX update_sessions_archive_by_rollout ON update_sessions_archive (tenant_id, rollout_id, id);
CREATE INDEX update_sessions_archive_by_firmware ON update_sessions_archive (tenant_id, firmware_id);
CREATE INDEX update_sessions_archive_by_from_firmware ON update_sessions_archive (tenant_id, from_firmware_id);

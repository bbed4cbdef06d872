-- What people and systems know about a device, one typed value a row: the column of `kind` holds it, the others are
-- NULL (string: text_value, number: number_value, bool: bool_value, 0 or 1). Conditions compare these columns.
-- A text is at most 1 024 bytes, so that it fits into an index of PostgreSQL.
CREATE TABLE device_attributes (
    tenant_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    text_value TEXT,
    number_value REAL,
    bool_value INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, device_id, name),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX device_attributes_by_text ON device_attributes (tenant_id, name, text_value, device_id);
CREATE INDEX device_attributes_by_number ON device_attributes (tenant_id, name, number_value, device_id);

CREATE TABLE device_tags (
    tenant_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (tenant_id, device_id, tag),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX device_tags_by_tag ON device_tags (tenant_id, tag, device_id);

-- A group with a condition is dynamic: it has no members of its own, the condition says who is in it.
ALTER TABLE device_groups ADD COLUMN condition TEXT;
-- A rollout takes only devices for which this holds, besides those that its groups say.
ALTER TABLE rollouts ADD COLUMN target_condition TEXT;

-- The groups that conditions ask for by name. While a row is here, the group keeps its name and is not deleted: "not in
-- it" would hold for every device. part: 'target' or 'stages'.
CREATE TABLE rollout_condition_groups (
    tenant_id BLOB NOT NULL,
    rollout_id BLOB NOT NULL,
    part TEXT NOT NULL,
    group_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, part, group_id),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id)
) STRICT;
CREATE INDEX rollout_condition_groups_by_group ON rollout_condition_groups (tenant_id, group_id);

-- The same of the conditions of dynamic groups.
CREATE TABLE group_condition_groups (
    tenant_id BLOB NOT NULL,
    dynamic_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, dynamic_id, group_id),
    FOREIGN KEY (tenant_id, dynamic_id) REFERENCES device_groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id)
) STRICT;
CREATE INDEX group_condition_groups_by_group ON group_condition_groups (tenant_id, group_id);

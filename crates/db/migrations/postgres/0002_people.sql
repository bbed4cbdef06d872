-- Tenants form a tree. Each is named here with all that are above it, and with itself at depth 0: the tree has no other
-- truth than this table.
CREATE TABLE tenant_tree (
    ancestor_id UUID NOT NULL REFERENCES tenants (id),
    descendant_id UUID NOT NULL REFERENCES tenants (id),
    depth BIGINT NOT NULL,
    PRIMARY KEY (ancestor_id, descendant_id)
);
CREATE INDEX tenant_tree_by_descendant ON tenant_tree (descendant_id, ancestor_id);
INSERT INTO tenant_tree (ancestor_id, descendant_id, depth) SELECT id, id, 0 FROM tenants;

-- The same of the groups of a tenant.
CREATE TABLE group_tree (
    tenant_id UUID NOT NULL,
    ancestor_id UUID NOT NULL,
    descendant_id UUID NOT NULL,
    depth BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, ancestor_id, descendant_id),
    FOREIGN KEY (tenant_id, ancestor_id) REFERENCES device_groups (tenant_id, id),
    FOREIGN KEY (tenant_id, descendant_id) REFERENCES device_groups (tenant_id, id)
);
CREATE INDEX group_tree_by_descendant ON group_tree (tenant_id, descendant_id);
INSERT INTO group_tree (tenant_id, ancestor_id, descendant_id, depth)
    SELECT tenant_id, id, id, 0 FROM device_groups;

ALTER TABLE users ADD COLUMN disabled_at BIGINT;

-- A role with its scope: scope_tenant_id and all below it, or group_id of that tenant and all below it.
CREATE TABLE grants (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    scope_tenant_id UUID NOT NULL,
    group_id UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (scope_tenant_id) REFERENCES tenants (id),
    FOREIGN KEY (scope_tenant_id, group_id) REFERENCES device_groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX grants_by_user ON grants (tenant_id, user_id);
CREATE INDEX grants_by_scope ON grants (scope_tenant_id, group_id);
-- Whoever was there before could do everything.
INSERT INTO grants (tenant_id, id, user_id, role, scope_tenant_id, group_id, created_at)
    SELECT tenant_id, id, id, 'owner', tenant_id, NULL, created_at FROM users;

-- address: where the login was opened from.
ALTER TABLE logins ADD COLUMN address TEXT;
CREATE INDEX logins_by_user ON logins (tenant_id, user_id, id);

-- user_id: whose rights the key has, cut by scopes (permissions with blanks between; none: all of them) and by group_id.
-- group_id refers to nothing on purpose: a key whose group is gone reaches nothing, and never more than before.
-- addresses: networks with blanks between that the key may be used from; none: any.
ALTER TABLE api_keys ADD COLUMN user_id UUID;
ALTER TABLE api_keys ADD COLUMN scopes TEXT;
ALTER TABLE api_keys ADD COLUMN group_id UUID;
ALTER TABLE api_keys ADD COLUMN addresses TEXT;
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
UPDATE api_keys SET user_id =
    (SELECT u.id FROM users u WHERE u.tenant_id = api_keys.tenant_id ORDER BY u.created_at, u.id LIMIT 1);
CREATE INDEX api_keys_by_user ON api_keys (tenant_id, user_id);

-- How many of its target groups are gone: then what is left does not tell any more who may see it.
ALTER TABLE rollouts ADD COLUMN lost_groups BIGINT NOT NULL DEFAULT 0;

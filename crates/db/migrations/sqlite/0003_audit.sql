-- One line for each change that people made, or that Drover made of its own and that matters to people.
-- Written in the change's transaction without a number (seq); the sequencer numbers what is committed, from 1, without
-- gaps. Nothing else of an entry ever changes, and entries are never removed. No secrets, and nothing that names a
-- person: that is in audit_people, which can be erased without touching what a hash over the entries covers.
-- actor_tenant_id: of the credential; it differs when somebody of a parent tenant acted.
-- before_sha256, after_sha256: of the object as the API showed it, as canonical JSON.
CREATE TABLE audit_entries (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL,
    seq INTEGER,
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_tenant_id BLOB,
    actor_id BLOB,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    request_id TEXT,
    before_sha256 TEXT,
    after_sha256 TEXT,
    details TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
) STRICT;
CREATE INDEX audit_entries_unnumbered ON audit_entries (tenant_id, at, id) WHERE seq IS NULL;
CREATE INDEX audit_entries_by_time ON audit_entries (tenant_id, at);
CREATE INDEX audit_entries_by_actor ON audit_entries (tenant_id, actor_id, seq);
CREATE INDEX audit_entries_by_object ON audit_entries (tenant_id, object_kind, object_id, seq);
CREATE INDEX audit_entries_by_request ON audit_entries (tenant_id, request_id);

-- Who acted, in words, and from where. No row: nothing personal was known, or it was erased.
CREATE TABLE audit_people (
    tenant_id BLOB NOT NULL,
    entry_id BLOB NOT NULL,
    name TEXT,
    address TEXT,
    PRIMARY KEY (tenant_id, entry_id),
    FOREIGN KEY (tenant_id, entry_id) REFERENCES audit_entries (tenant_id, id)
) STRICT;

-- What nodes keep in memory and have to forget or load anew, in the transaction of the change.
-- kind: device (its tokens and its work), rollout (its waiting sessions); subject_id: which one.
-- Without a reference to the tenant: when it is deleted, what went with it must still be heard of.
-- seq: the number of the transaction; nothing below a horizon comes to light later (store/src/changes.rs).
CREATE TABLE changes (
    tenant_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    subject_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, seq, subject_id)
) STRICT;
CREATE INDEX changes_by_seq ON changes (seq, subject_id);

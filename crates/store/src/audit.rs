//! The audit log: written without numbers, numbered afterwards, read by number.

use drover_db::{Conn, Tx, run};
use drover_types::{ActorKind, AuditEntryId, Sha256Digest, TenantId, Timestamp};
use uuid::Uuid;

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO audit_entries (tenant_id, id, at, actor_kind, actor_tenant_id, actor_id, action, \
              object_kind, object_id, request_id, before_sha256, after_sha256, details) \
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    INSERT_PERSON = "INSERT INTO audit_people (tenant_id, entry_id, name, address) VALUES ($1, $2, $3, $4)";
    IS_BEGUN = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM audit_entries e WHERE e.tenant_id = $1) THEN 1 ELSE 0 END AS BIGINT)";
    // Of all tenants: the sequencer serves the installation.
    UNNUMBERED = "SELECT tenant_id FROM audit_entries WHERE seq IS NULL GROUP BY tenant_id LIMIT $1";
    // Whatever is committed and has no number: the order of commits is neither that of ids nor that of times.
    NUMBER = "UPDATE audit_entries SET seq = n.seq FROM (SELECT e.id, ROW_NUMBER() OVER (ORDER BY e.at, e.id) \
              + (SELECT COALESCE(MAX(m.seq), 0) FROM audit_entries m WHERE m.tenant_id = $1) AS seq \
              FROM audit_entries e WHERE e.tenant_id = $1 AND e.seq IS NULL ORDER BY e.at, e.id LIMIT $2) n \
              WHERE audit_entries.tenant_id = $1 AND audit_entries.id = n.id";
    ERASE_PERSON = "DELETE FROM audit_people WHERE tenant_id = $1 AND entry_id IN \
                    (SELECT e.id FROM audit_entries e WHERE e.tenant_id = $1 AND e.actor_id = $2)";
    // What is being verified has an entry to come.
    ERASE_COMPLETER = "UPDATE uploads SET actor_name = NULL, actor_address = NULL \
                       WHERE tenant_id = $1 AND actor_id = $2";
}

/// A new entry.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// Its id.
    pub id: AuditEntryId,
    /// When.
    pub at: Timestamp,
    /// Who: what kind of actor.
    pub actor_kind: ActorKind,
    /// The tenant of the actor's credential.
    pub actor_tenant: Option<TenantId>,
    /// The actor's id, of the kind's table.
    pub actor_id: Option<Uuid>,
    /// What, for instance `rollout.pause`.
    pub action: &'a str,
    /// To what kind of object.
    pub object_kind: &'a str,
    /// Its id, or its name where the API knows it by name.
    pub object_id: &'a str,
    /// The request in which it was done.
    pub request_id: Option<&'a str>,
    /// The object before, as a digest.
    pub before: Option<Sha256Digest>,
    /// The object after, as a digest.
    pub after: Option<Sha256Digest>,
    /// What is worth reading, as JSON: no secrets, nothing personal.
    pub details: &'a str,
}

/// An entry that has its number.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EntryRow {
    /// Its id.
    pub id: AuditEntryId,
    /// Its number in its tenant, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who: what kind of actor.
    pub actor_kind: ActorKind,
    /// The tenant of the actor's credential.
    pub actor_tenant_id: Option<TenantId>,
    /// The actor's id.
    pub actor_id: Option<Uuid>,
    /// What.
    pub action: String,
    /// To what kind of object.
    pub object_kind: String,
    /// Its id or name.
    pub object_id: String,
    /// The request.
    pub request_id: Option<String>,
    /// The object before.
    pub before_sha256: Option<Sha256Digest>,
    /// The object after.
    pub after_sha256: Option<Sha256Digest>,
    /// What is worth reading, as JSON.
    pub details: String,
    /// Set while the personal part is there.
    pub person_entry_id: Option<AuditEntryId>,
    /// The actor's name.
    pub actor_name: Option<String>,
    /// Where the request came from.
    pub actor_address: Option<String>,
}

/// Which entries; all that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Numbered above this.
    pub above: Option<i64>,
    /// Numbered below this.
    pub below: Option<i64>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// By this actor.
    pub actor_id: Option<Uuid>,
    /// By this kind of actor.
    pub actor_kind: Option<ActorKind>,
    /// This action.
    pub action: Option<String>,
    /// To this kind of object.
    pub object_kind: Option<String>,
    /// To this object.
    pub object_id: Option<String>,
    /// In this request.
    pub request_id: Option<String>,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Whether there is any entry of the tenant, numbered or not.
pub async fn is_begun(conn: impl Into<Conn<'_>>, tenant: TenantId) -> Result<bool> {
    let found: i64 = run!(conn, |c| sqlx::query_scalar(IS_BEGUN).bind(tenant).fetch_one(c).await)?;
    Ok(found > 0)
}

/// Adds an entry without a number.
pub async fn insert(tx: &mut Tx, tenant: TenantId, entry: &NewEntry<'_>) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(entry.id)
        .bind(entry.at)
        .bind(entry.actor_kind)
        .bind(entry.actor_tenant)
        .bind(entry.actor_id)
        .bind(entry.action)
        .bind(entry.object_kind)
        .bind(entry.object_id)
        .bind(entry.request_id)
        .bind(entry.before)
        .bind(entry.after)
        .bind(entry.details)
        .execute(c)
        .await
        .map(drop))
}

/// Adds what is personal about an entry: the actor's name, and the address that the request came from.
pub async fn insert_person(
    tx: &mut Tx,
    tenant: TenantId,
    entry: AuditEntryId,
    name: Option<&str>,
    address: Option<&str>,
) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT_PERSON)
        .bind(tenant)
        .bind(entry)
        .bind(name)
        .bind(address)
        .execute(c)
        .await
        .map(drop))
}

/// Up to `limit` tenants that have entries without a number.
pub async fn unnumbered(conn: impl Into<Conn<'_>>, limit: i64) -> Result<Vec<TenantId>> {
    run!(conn, |c| sqlx::query_scalar(UNNUMBERED).bind(limit).fetch_all(c).await)
}

/// Gives the next numbers to up to `limit` entries, and says to how many. Only for the holder of the sequencer's lease:
/// two at once would give the same numbers, and one of them would fail.
pub async fn number(tx: &mut Tx, tenant: TenantId, limit: i64) -> Result<u64> {
    run!(tx, |c| sqlx::query(NUMBER).bind(tenant).bind(limit).execute(c).await.map(|done| done.rows_affected()))
}

/// Forgets the names and addresses of an actor; its entries stay as they are. Says of how many entries.
pub async fn erase_person(tx: &mut Tx, tenant: TenantId, actor: Uuid) -> Result<u64> {
    run!(&mut *tx, |c| sqlx::query(ERASE_COMPLETER).bind(tenant).bind(actor).execute(c).await.map(drop))?;
    run!(tx, |c| sqlx::query(ERASE_PERSON).bind(tenant).bind(actor).execute(c).await.map(|done| done.rows_affected()))
}

/// Up to `limit` numbered entries.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    filter: &Filter,
    order: Order,
    limit: i64,
) -> Result<Vec<EntryRow>> {
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT e.id, e.seq, e.at, e.actor_kind, e.actor_tenant_id, e.actor_id, e.action, e.object_kind, \
             e.object_id, e.request_id, e.before_sha256, e.after_sha256, e.details, p.entry_id AS person_entry_id, \
             p.name AS actor_name, p.address AS actor_address FROM audit_entries e \
             LEFT JOIN audit_people p ON p.tenant_id = e.tenant_id AND p.entry_id = e.id WHERE e.tenant_id = ",
        );
        query.push_bind(tenant).push(" AND e.seq > ").push_bind(filter.above.unwrap_or(0));
        // Only what is asked for: an index serves each of these, and a condition that may be none hides it.
        if let Some(below) = filter.below {
            query.push(" AND e.seq < ").push_bind(below);
        }
        if let Some(from) = filter.from {
            query.push(" AND e.at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND e.at < ").push_bind(to);
        }
        if let Some(actor_id) = filter.actor_id {
            query.push(" AND e.actor_id = ").push_bind(actor_id);
        }
        if let Some(actor_kind) = filter.actor_kind {
            query.push(" AND e.actor_kind = ").push_bind(actor_kind);
        }
        let texts = [
            (" AND e.action = ", &filter.action),
            (" AND e.object_kind = ", &filter.object_kind),
            (" AND e.object_id = ", &filter.object_id),
            (" AND e.request_id = ", &filter.request_id),
        ];
        for (condition, text) in texts {
            if let Some(text) = text {
                query.push(condition).push_bind(text.clone());
            }
        }
        query.push(match order {
            Order::NewestFirst => " ORDER BY e.seq DESC LIMIT ",
            Order::OldestFirst => " ORDER BY e.seq LIMIT ",
        });
        query.push_bind(limit);
        query.build_query_as().fetch_all(c).await
    })
}

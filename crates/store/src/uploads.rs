//! Uploads in parts.

use drover_db::{Conn, Tx, run};
use drover_types::{ActorKind, FirmwareId, Sha256Digest, TenantId, Timestamp, UploadId, UploadKind, UploadState};
use uuid::Uuid;

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO uploads (tenant_id, id, kind, firmware_id, name, size_bytes, sha256, part_size_bytes, state, \
              next_action_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    GET = "SELECT id, kind, firmware_id, name, size_bytes, sha256, part_size_bytes, state, reason, token, next_action_at, \
           created_at, updated_at, ended_at, \
           (SELECT COUNT(*) FROM upload_parts p WHERE p.tenant_id = u.tenant_id AND p.upload_id = u.id) AS parts_received, \
           (SELECT CAST(COALESCE(SUM(p.size_bytes), 0) AS BIGINT) FROM upload_parts p \
            WHERE p.tenant_id = u.tenant_id AND p.upload_id = u.id) AS bytes_received \
           FROM uploads u WHERE u.tenant_id = $1 AND id = $2";
    PAGE = "SELECT id, kind, firmware_id, name, size_bytes, sha256, part_size_bytes, state, reason, token, next_action_at, \
            created_at, updated_at, ended_at, \
            (SELECT COUNT(*) FROM upload_parts p WHERE p.tenant_id = u.tenant_id AND p.upload_id = u.id) AS parts_received, \
            (SELECT CAST(COALESCE(SUM(p.size_bytes), 0) AS BIGINT) FROM upload_parts p \
             WHERE p.tenant_id = u.tenant_id AND p.upload_id = u.id) AS bytes_received \
            FROM uploads u WHERE u.tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) \
            AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND (CAST($4 AS TEXT) IS NULL OR kind = $4) \
            AND (CAST($5 AS TEXT) IS NULL OR sha256 = $5) ORDER BY id DESC LIMIT $6";
    UNFINISHED = "SELECT COUNT(*) FROM uploads WHERE tenant_id = $1 AND state IN ('open', 'verifying')";
    SET_TOKEN = "UPDATE uploads SET token = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'open' AND token IS NULL";
    TOUCH = "UPDATE uploads SET updated_at = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'open'";
    SET_STATE = "UPDATE uploads SET state = $4, reason = $5, next_action_at = $6, updated_at = $6, ended_at = $7, \
                 actor_kind = NULL, actor_tenant_id = NULL, actor_id = NULL, actor_name = NULL, actor_address = NULL, \
                 request_id = NULL WHERE tenant_id = $1 AND id = $2 AND state = $3";
    SET_COMPLETER = "UPDATE uploads SET actor_kind = $3, actor_tenant_id = $4, actor_id = $5, actor_name = $6, \
                     actor_address = $7, request_id = $8 WHERE tenant_id = $1 AND id = $2";
    COMPLETER = "SELECT actor_kind, actor_tenant_id, actor_id, actor_name, actor_address, request_id FROM uploads \
                 WHERE tenant_id = $1 AND id = $2 AND actor_kind IS NOT NULL";
    // The first of each tenant comes before the second of any: one that has many holds nobody up.
    DUE = "SELECT tenant_id, id, next_action_at FROM (SELECT tenant_id, id, next_action_at, \
           ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY next_action_at, id) AS place FROM uploads \
           WHERE next_action_at <= $1 AND (state = 'verifying') = $2) due \
           WHERE place <= $3 ORDER BY place, next_action_at LIMIT $4";
    CLAIM = "UPDATE uploads SET next_action_at = $4 WHERE tenant_id = $1 AND id = $2 AND next_action_at = $3";
    POSTPONE = "UPDATE uploads SET next_action_at = $4, reason = COALESCE($5, reason) \
                WHERE tenant_id = $1 AND id = $2 AND state = $3";
    DELETE = "DELETE FROM uploads WHERE tenant_id = $1 AND id = $2";
    PUT_PART = "INSERT INTO upload_parts (tenant_id, upload_id, number, size_bytes, sha256, tag, uploaded_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, upload_id, number) DO UPDATE \
                SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256, tag = excluded.tag, \
                uploaded_at = excluded.uploaded_at";
    PARTS = "SELECT number, size_bytes, sha256, tag, uploaded_at FROM upload_parts \
             WHERE tenant_id = $1 AND upload_id = $2 ORDER BY number";
}

/// What is to be uploaded.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Its id.
    pub id: UploadId,
    /// What the bytes are for.
    pub kind: UploadKind,
    /// The firmware that an artifact belongs to.
    pub firmware_id: Option<FirmwareId>,
    /// The artifact's or the object's name.
    pub name: String,
    /// The size of the whole.
    pub size_bytes: i64,
    /// The SHA-256 of the whole.
    pub sha256: Sha256Digest,
    /// The size of each part but the last.
    pub part_size_bytes: i64,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// An upload.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// What the bytes are for.
    pub kind: UploadKind,
    /// The firmware that an artifact belongs to.
    pub firmware_id: Option<FirmwareId>,
    /// The artifact's or the object's name.
    pub name: String,
    /// The size of the whole.
    pub size_bytes: i64,
    /// The SHA-256 of the whole.
    pub sha256: Sha256Digest,
    /// The size of each part but the last.
    pub part_size_bytes: i64,
    /// How far it is.
    pub state: UploadState,
    /// Why it is there, for people.
    pub reason: Option<String>,
    /// How the object store calls it.
    pub token: Option<String>,
    /// When a node looks at it by itself.
    pub next_action_at: Timestamp,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When a part came or its state changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How many parts are there.
    pub parts_received: i64,
    /// How many bytes those have.
    pub bytes_received: i64,
}

/// A part that is there.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PartRow {
    /// Its place, from 1.
    pub number: i64,
    /// Its size.
    pub size_bytes: i64,
    /// Its SHA-256; none when it went to the object store directly.
    pub sha256: Option<Sha256Digest>,
    /// How the object store calls it.
    pub tag: String,
    /// When it came.
    pub uploaded_at: Timestamp,
}

/// Who completed an upload, and from where.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Completer {
    /// What kind of actor.
    #[sqlx(rename = "actor_kind")]
    pub kind: ActorKind,
    /// The tenant of the actor's credential.
    #[sqlx(rename = "actor_tenant_id")]
    pub tenant: Option<TenantId>,
    /// The actor's id.
    #[sqlx(rename = "actor_id")]
    pub id: Option<Uuid>,
    /// The actor's name.
    #[sqlx(rename = "actor_name")]
    pub name: Option<String>,
    /// Where the request came from.
    #[sqlx(rename = "actor_address")]
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
}

/// What is to be done about uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Reading them back: takes long.
    Verify,
    /// All else: giving up, clearing away.
    Clear,
}

/// An upload that wants to be looked at.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct DueRow {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: UploadId,
    /// Since when.
    pub next_action_at: Timestamp,
}

/// Which uploads.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Behind this one.
    pub after: Option<UploadId>,
    /// In this state.
    pub state: Option<UploadState>,
    /// Of this kind.
    pub kind: Option<UploadKind>,
    /// Of this content.
    pub sha256: Option<Sha256Digest>,
}

/// A change of state, from exactly one state.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// From.
    pub from: UploadState,
    /// To.
    pub to: UploadState,
    /// Why, for people.
    pub reason: Option<String>,
}

/// Adds an upload, open.
pub async fn insert(tx: &mut Tx, tenant: TenantId, new: &NewUpload, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(new.id)
        .bind(new.kind)
        .bind(new.firmware_id)
        .bind(&new.name)
        .bind(new.size_bytes)
        .bind(new.sha256)
        .bind(new.part_size_bytes)
        .bind(UploadState::Open)
        .bind(new.expires_at)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// The upload with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: UploadId) -> Result<Option<UploadRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` uploads, newest first.
pub async fn page(conn: impl Into<Conn<'_>>, tenant: TenantId, filter: &Filter, limit: i64) -> Result<Vec<UploadRow>> {
    run!(conn, |c| sqlx::query_as(PAGE)
        .bind(tenant)
        .bind(filter.after)
        .bind(filter.state)
        .bind(filter.kind)
        .bind(filter.sha256)
        .bind(limit)
        .fetch_all(c)
        .await)
}

/// How many uploads of the tenant have not ended.
pub async fn unfinished(conn: impl Into<Conn<'_>>, tenant: TenantId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(UNFINISHED).bind(tenant).fetch_one(c).await)
}

/// Keeps how the object store calls it; false when that is known already, or when it is open no more.
pub async fn set_token(tx: &mut Tx, tenant: TenantId, id: UploadId, token: &str) -> Result<bool> {
    run!(tx, |c| sqlx::query(SET_TOKEN)
        .bind(tenant)
        .bind(id)
        .bind(token)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Notes a part, in place of an earlier one of its number; false when the upload is open no more. Completing and this
/// wait for each other: a part is noted before or not at all.
pub async fn put_part(tx: &mut Tx, tenant: TenantId, id: UploadId, part: &PartRow) -> Result<bool> {
    let is_open = run!(&mut *tx, |c| sqlx::query(TOUCH)
        .bind(tenant)
        .bind(id)
        .bind(part.uploaded_at)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))?;
    if !is_open {
        return Ok(false);
    }
    run!(tx, |c| sqlx::query(PUT_PART)
        .bind(tenant)
        .bind(id)
        .bind(part.number)
        .bind(part.size_bytes)
        .bind(part.sha256)
        .bind(&part.tag)
        .bind(part.uploaded_at)
        .execute(c)
        .await
        .map(|_| true))
}

/// The parts that are there, in their order.
pub async fn parts(conn: impl Into<Conn<'_>>, tenant: TenantId, id: UploadId) -> Result<Vec<PartRow>> {
    run!(conn, |c| sqlx::query_as(PARTS).bind(tenant).bind(id).fetch_all(c).await)
}

/// Changes the state; false when it was not in `change.from` any more. It is due at once, and forgets who completed it.
pub async fn set_state(
    tx: &mut Tx,
    tenant: TenantId,
    id: UploadId,
    change: &StateChange,
    now: Timestamp,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(SET_STATE)
        .bind(tenant)
        .bind(id)
        .bind(change.from)
        .bind(change.to)
        .bind(&change.reason)
        .bind(now)
        .bind(change.to.is_final().then_some(now))
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Keeps who completed it, until its state changes again.
pub async fn set_completer(tx: &mut Tx, tenant: TenantId, id: UploadId, by: &Completer) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_COMPLETER)
        .bind(tenant)
        .bind(id)
        .bind(by.kind)
        .bind(by.tenant)
        .bind(by.id)
        .bind(&by.name)
        .bind(&by.address)
        .bind(&by.request_id)
        .execute(c)
        .await
        .map(drop))
}

/// Who completed it; none unless it is being verified.
pub async fn completer(conn: impl Into<Conn<'_>>, tenant: TenantId, id: UploadId) -> Result<Option<Completer>> {
    run!(conn, |c| sqlx::query_as(COMPLETER).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` uploads of the installation that want to be looked at, at most `share` of each tenant.
pub async fn due(conn: impl Into<Conn<'_>>, now: Timestamp, work: Work, share: i64, limit: i64) -> Result<Vec<DueRow>> {
    run!(conn, |c| sqlx::query_as(DUE).bind(now).bind(work == Work::Verify).bind(share).bind(limit).fetch_all(c).await)
}

/// Takes an upload to look at until `until`; false when somebody else did.
pub async fn claim(tx: &mut Tx, due: DueRow, until: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(CLAIM)
        .bind(due.tenant_id)
        .bind(due.id)
        .bind(due.next_action_at)
        .bind(until)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Looks at it again at `at`, and keeps a reason if there is one; false when it is not in `state` any more.
pub async fn postpone(
    tx: &mut Tx,
    tenant: TenantId,
    id: UploadId,
    state: UploadState,
    at: Timestamp,
    reason: Option<&str>,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(POSTPONE)
        .bind(tenant)
        .bind(id)
        .bind(state)
        .bind(at)
        .bind(reason)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Forgets an upload and its parts.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: UploadId) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(id).execute(c).await.map(drop))
}

//! Tenants.

use drover_db::{Conn, Tx, run};
use drover_types::{TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)";
    BY_NAME = "SELECT id AS tenant_id, name FROM tenants WHERE name = $1";
    ALL = "SELECT id AS tenant_id, name FROM tenants ORDER BY id LIMIT $1";
}

/// A tenant.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TenantRow {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its name, unique in the installation.
    pub name: String,
}

/// Adds a tenant.
pub async fn insert(tx: &mut Tx, id: TenantId, name: &str, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT).bind(id).bind(name).bind(now).execute(c).await.map(drop))
}

/// The tenant of that name.
pub async fn by_name(conn: impl Into<Conn<'_>>, name: &str) -> Result<Option<TenantRow>> {
    run!(conn, |c| sqlx::query_as(BY_NAME).bind(name).fetch_optional(c).await)
}

/// Up to `limit` tenants, oldest first.
pub async fn all(conn: impl Into<Conn<'_>>, limit: i64) -> Result<Vec<TenantRow>> {
    run!(conn, |c| sqlx::query_as(ALL).bind(limit).fetch_all(c).await)
}

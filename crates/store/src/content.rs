//! Content that something stands for: what a copy of the installation has to bring along.

use drover_db::{Conn, run};
use drover_types::{Sha256Digest, TenantId};

use crate::{Result, statements};

statements! {
    // Of all tenants: a copy is of the installation.
    NAMED = "SELECT tenant_id, sha256, size_bytes FROM objects UNION SELECT tenant_id, sha256, size_bytes \
             FROM firmware_artifacts WHERE uploaded_at IS NOT NULL";
}

/// Content with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct ContentRow {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length.
    pub size_bytes: i64,
}

/// All content that an object or an uploaded artifact names, in the order of tenant and digest.
pub async fn named(conn: impl Into<Conn<'_>>) -> Result<Vec<ContentRow>> {
    let found: Result<Vec<ContentRow>> = run!(conn, |c| sqlx::query_as(NAMED).fetch_all(c).await);
    found.map(|mut rows| {
        rows.sort_unstable();
        rows
    })
}

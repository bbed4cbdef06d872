//! Tenants below one's own.

use drover_api::{Page, PageQuery, Tenant, TenantCreate, TenantUpdate};
use drover_db::Conn;
use drover_store::grants;
use drover_store::tenants::{self, TenantRow};
use drover_types::{Permission, TenantId};

use crate::audit::Entry;
use crate::context::new_id;
use crate::grants::going_with;
use crate::group_tree::LEVELS_MAX;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::{App, Caller, Error, IdempotencyKey, Result, validate};

impl App {
    /// The tenant and those below it, newest first.
    pub async fn tenant_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<Tenant>> {
        let top = caller.authorize_tenant(Permission::TenantsRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = tenants::page(&self.db, top, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.tenant_id, |row| view(row, top)))
    }

    /// One of them.
    pub async fn tenant_view(&self, caller: &Caller, id: TenantId) -> Result<Tenant> {
        let top = caller.authorize_tenant(Permission::TenantsRead)?;
        within(&self.db, top, id).await
    }

    /// Makes a tenant below the one that the caller works in, or below one of those.
    pub async fn tenant_create(
        &self,
        caller: &Caller,
        body: TenantCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Tenant> {
        let top = caller.authorize_tenant(Permission::TenantsWrite)?;
        validate::text("name", &body.name, 100)?;
        let (now, id) = (self.now(), new_id!(self, TenantId));
        let parent = body.parent_id.unwrap_or(top);
        let (mut audit, caller) = (self.audit(caller, top), caller.clone());
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok::<_, Error>(Created::Before(before));
                    }
                    if !tenants::is_within(&mut *tx, top, parent).await? {
                        return Err(no_parent(parent));
                    }
                    if tenants::level(&mut *tx, parent).await? >= LEVELS_MAX {
                        return Err(Error::field("parent_id", format!("tenants lie at most {LEVELS_MAX} deep")));
                    }
                    let inserted = tenants::insert(tx, id, Some(parent), &body.name, now).await;
                    inserted.map_err(|error| not_made(error, &body.name, parent))?;
                    let made = within(&mut *tx, top, id).await?;
                    audit.record(tx, Entry::created("tenant", id, &made)?.with("name", body.name)).await?;
                    Ok(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => within(&self.db, top, id).await,
            Created::Before(before) => within(&self.db, top, TenantId(before)).await,
        }
    }

    /// Renames a tenant below: its users log in with the new name from then on.
    pub async fn tenant_update(&self, caller: &Caller, id: TenantId, body: TenantUpdate) -> Result<Tenant> {
        let top = caller.authorize_tenant(Permission::TenantsWrite)?;
        validate::text("name", &body.name, 100)?;
        if id == top {
            let detail = "the tenant that you work in keeps its name: log-ins and programs find it by that; whoever works \
                          in a tenant above can rename it";
            return Err(Error::conflict("own_tenant", detail));
        }
        let mut audit = self.audit(caller, top);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = within(&mut *tx, top, id).await?;
                    tenants::rename(tx, id, &body.name).await.map_err(|error| name_taken(error, &body.name))?;
                    let after = within(&mut *tx, top, id).await?;
                    let entry = Entry::changed("tenant", "update", id, &before, &after)?;
                    audit.record(tx, entry.with("name", body.name.clone())).await?;
                    let seen_there = |tenant: &Tenant| Tenant { parent_id: None, ..tenant.clone() };
                    let entry = Entry::changed("tenant", "update", id, &seen_there(&before), &seen_there(&after))?;
                    audit.record_there(tx, id, entry.with("name", body.name)).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Removes a tenant in which nothing is.
    pub async fn tenant_delete(&self, caller: &Caller, id: TenantId) -> Result<()> {
        let top = caller.authorize_tenant(Permission::TenantsWrite)?;
        if id == top {
            return Err(Error::conflict(
                "own_tenant",
                "the tenant that you work in cannot be removed; do it from above",
            ));
        }
        let mut audit = self.audit(caller, top);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = within(&mut *tx, top, id).await?;
                    let grants = going_with(tx, &mut audit, id, None).await?;
                    grants::delete_of_scope(tx, id).await?;
                    tenants::delete(tx, id).await.map_err(not_empty)?;
                    let entry = Entry::deleted("tenant", id, &before)?.with("name", before.name);
                    audit.record(tx, entry.with_ids("grants", &grants)).await
                })
            })
            .await
    }
}

/// A tenant that is `top` or below it; any other is not there.
async fn within(conn: impl Into<Conn<'_>>, top: TenantId, id: TenantId) -> Result<Tenant> {
    let mut conn = conn.into();
    let there = tenants::is_within(conn.reborrow(), top, id).await?;
    let row = if there { tenants::get(conn, id).await? } else { None };
    row.map(|row| view(row, top)).ok_or_else(|| Error::not_found("tenant", id))
}

fn not_made(error: sqlx::Error, name: &str, parent: TenantId) -> Error {
    // The parent was removed at this moment.
    if drover_db::is_foreign_key_violation(&error) {
        return no_parent(parent);
    }
    name_taken(error, name)
}

fn no_parent(parent: TenantId) -> Error {
    Error::field("parent_id", format!("there is no tenant {parent}"))
}

fn name_taken(error: sqlx::Error, name: &str) -> Error {
    match drover_db::unique_violation(&error) {
        Some(_) => Error::conflict(
            "tenant_exists",
            format!("the name {name:?} is taken; tenants log in by name, choose another"),
        ),
        None => error.into(),
    }
}

fn not_empty(error: sqlx::Error) -> Error {
    if drover_db::is_foreign_key_violation(&error) {
        let detail = "the tenant is not empty: tenants below it, users, devices, firmware or records are in it. \
                      To stop its use, disable its users and revoke its tokens";
        return Error::conflict("tenant_not_empty", detail);
    }
    error.into()
}

/// As whoever works in `top` sees it: nothing above that is there for him.
fn view(row: TenantRow, top: TenantId) -> Tenant {
    let parent_id = row.parent_id.filter(|_| row.tenant_id != top);
    Tenant { id: row.tenant_id, name: row.name, parent_id, created_at: row.created_at }
}

//! What users may do. Nobody gives a right that he does not have himself over the same scope.

use drover_api::{Grant, GrantCreate};
use drover_db::Tx;
use drover_store::grants::{self, GrantRow, Without};
use drover_store::groups::{self, GroupRow};
use drover_store::tenants;
use drover_types::{ErrorKind, GrantId, GroupId, Permission, TenantId, UserId};

use crate::audit::{Audit, Entry};
use crate::context::new_id;
use crate::rights::{self, GRANTS_MAX};
use crate::users::{check_owner_stays, locked, user};
use crate::{App, Caller, Error, Reach, Result};

/// Grants that can go together with the group or the tenant that they hold over.
const GOING_MAX: usize = 1_000;

impl App {
    /// What a user may do, oldest first: at most 32 grants.
    pub async fn grant_list(&self, caller: &Caller, id: UserId) -> Result<Vec<Grant>> {
        let tenant = caller.authorize_tenant(Permission::UsersRead)?;
        user(&self.db, tenant, id).await?;
        let rows = grants::of_user(&self.db, tenant, id, GRANTS_MAX).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Gives a user a role over the tenant, one below it, or a group.
    pub async fn grant_create(&self, caller: &Caller, id: UserId, body: GrantCreate) -> Result<Grant> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        caller.authorize_person()?;
        let grant = GrantRow {
            id: new_id!(self, GrantId),
            user_id: id,
            role: body.role,
            scope_tenant_id: body.scope.tenant_id.unwrap_or(tenant),
            group_id: body.scope.group_id,
            created_at: self.now(),
        };
        let (caller, mut audit) = (caller.clone(), self.audit(caller, tenant));
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    locked(tx, tenant, id).await?;
                    check_may_give(tx, &caller, &grant).await?;
                    check_scope(tx, tenant, &grant).await?;
                    let before = grants::of_user(&mut *tx, tenant, id, GRANTS_MAX).await?;
                    let scope = |row: &GrantRow| (row.role, row.scope_tenant_id, row.group_id);
                    if let Some(same) = before.iter().find(|row| scope(row) == scope(&grant)) {
                        return Ok(view(*same));
                    }
                    if i64::try_from(before.len()).unwrap_or(GRANTS_MAX) >= GRANTS_MAX {
                        let detail = format!("{GRANTS_MAX} grants are the most; take one back first");
                        return Err(Error::conflict("too_many_grants", detail));
                    }
                    grants::insert(tx, tenant, &grant).await?;
                    audit.record(tx, given(&grant)?).await?;
                    audit.record_there(tx, grant.scope_tenant_id, given(&grant)?).await?;
                    Ok(view(grant))
                })
            })
            .await
    }

    /// Takes a grant back.
    pub async fn grant_delete(&self, caller: &Caller, id: UserId, grant: GrantId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        let (caller, mut audit) = (caller.clone(), self.audit(caller, tenant));
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    locked(tx, tenant, id).await?;
                    let row = grants::get(&mut *tx, tenant, id, grant).await?;
                    let row = row.ok_or_else(|| Error::not_found("grant", grant))?;
                    check_may_give(tx, &caller, &row).await?;
                    check_owner_stays(tx, &row, Without::Grant(grant)).await?;
                    grants::delete(tx, tenant, id, grant).await?;
                    audit.record(tx, taken(&row)?).await?;
                    audit.record_there(tx, row.scope_tenant_id, taken(&row)?).await
                })
            })
            .await
    }
}

/// Refuses a grant that is more than the caller has at this moment: asked inside the transaction.
pub(crate) async fn check_may_give(tx: &mut Tx, caller: &Caller, grant: &GrantRow) -> Result<()> {
    if may_give(tx, caller, grant).await? {
        return Ok(());
    }
    let detail = format!("you cannot give or take {}: you do not have all its rights over that scope", grant.role);
    Err(Error::new(ErrorKind::Forbidden, "forbidden", detail))
}

/// Whether the caller has each permission of the role over the whole scope of the grant.
pub(crate) async fn may_give(tx: &mut Tx, caller: &Caller, grant: &GrantRow) -> Result<bool> {
    let there = grant.scope_tenant_id;
    let rights = rights::of_caller(&mut *tx, caller, there).await?;
    for permission in grant.role.permissions().iter() {
        let has = match (rights.reach(permission), grant.group_id) {
            (Some(Reach::Tenant), _) => true,
            (Some(reach), Some(group)) => reach.has_group(&mut *tx, there, group).await?,
            _ => false,
        };
        if !has {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The grants that go with a tenant, or with a group of it: their ids, for the entry of what they go with. Those of
/// users of other tenants are recorded there as well.
pub(crate) async fn going_with(
    tx: &mut Tx,
    audit: &mut Audit,
    scope: TenantId,
    group: Option<GroupId>,
) -> Result<Vec<GrantId>> {
    let limit = i64::try_from(GOING_MAX).unwrap_or(i64::MAX).saturating_add(1);
    let going = grants::over(&mut *tx, scope, group, limit).await?;
    if going.len() > GOING_MAX {
        let detail = format!("more than {GOING_MAX} grants hold over it; take grants back first");
        return Err(Error::conflict("too_many_grants", detail));
    }
    for row in &going {
        audit.record_there(tx, row.tenant_id, taken(&row.grant)?).await?;
    }
    Ok(going.into_iter().map(|row| row.grant.id).collect())
}

/// The scope is the user's tenant or one below it, and a group is one of that tenant.
async fn check_scope(tx: &mut Tx, tenant: TenantId, grant: &GrantRow) -> Result<()> {
    let there = grant.scope_tenant_id;
    if !tenants::is_within(&mut *tx, tenant, there).await? {
        return Err(Error::field("scope.tenant_id", format!("there is no tenant {there} below this one")));
    }
    let Some(group) = grant.group_id else { return Ok(()) };
    check_static("scope.group_id", group, groups::get(tx, there, group).await?)
}

/// Rights hold over a static group: a condition would let whoever sets attributes say how far they go.
pub(crate) fn check_static(field: &str, group: GroupId, found: Option<GroupRow>) -> Result<()> {
    match found {
        None => Err(Error::field(field, format!("there is no group {group}"))),
        Some(row) if row.condition.is_some() => {
            Err(Error::field(field, "rights cannot be limited to a dynamic group; name a static one"))
        }
        Some(_) => Ok(()),
    }
}

/// That a grant was given.
pub(crate) fn given(row: &GrantRow) -> Result<Entry> {
    let entry = Entry::created("grant", row.id, &view(*row))?.with("user_id", row.user_id.to_string());
    Ok(entry.with("role", row.role.as_str()))
}

/// That a grant was taken back.
pub(crate) fn taken(row: &GrantRow) -> Result<Entry> {
    let entry = Entry::deleted("grant", row.id, &view(*row))?.with("user_id", row.user_id.to_string());
    Ok(entry.with("role", row.role.as_str()))
}

fn view(row: GrantRow) -> Grant {
    Grant {
        id: row.id,
        role: row.role,
        tenant_id: row.scope_tenant_id,
        group_id: row.group_id,
        created_at: row.created_at,
    }
}

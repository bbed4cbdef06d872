//! What a user or an API key may do in the tenant that it works in.

use drover_db::Conn;
use drover_store::api_keys::{self, ApiKeyRow};
use drover_store::grants::{self, HeldRow};
use drover_store::{REACH_GROUPS_MAX, group_tree, logins};
use drover_types::{GroupId, Permissions, TenantId, UserId};

use crate::{Actor, Caller, Error, Grant, Result, Rights, Scope};

/// Grants that a user can have: no more than a reach has room for groups.
pub(crate) const GRANTS_MAX: i64 = REACH_GROUPS_MAX as i64;

/// What a user of `home` may do in `there`: the grants on that tenant and on those above it.
pub(crate) async fn of_user(
    conn: impl Into<Conn<'_>>,
    home: TenantId,
    user: UserId,
    there: TenantId,
) -> Result<Rights> {
    let rows = grants::in_tenant(conn, home, user, there, GRANTS_MAX).await?;
    Ok(Rights(rows.into_iter().map(grant).collect()))
}

/// What a key may do: all that its maker may do now, cut by the key's own limits. Each grant is cut for itself.
pub(crate) async fn of_key(
    conn: impl Into<Conn<'_>>,
    home: TenantId,
    key: &ApiKeyRow,
    there: TenantId,
) -> Result<Rights> {
    let Some(user) = key.user_id else { return Ok(Rights::default()) };
    // A group is one of its own tenant: nothing lies in both it and another tenant.
    if key.group_id.is_some() && there != home {
        return Ok(Rights::default());
    }
    let mut conn = conn.into();
    let Rights(grants) = of_user(conn.reborrow(), home, user, there).await?;
    let scopes = scopes(key)?;
    let mut cut = Vec::new();
    for grant in grants {
        let permissions = grant.permissions.both(scopes);
        let scope = match key.group_id {
            None => Some(grant.scope),
            Some(group) => narrower(conn.reborrow(), there, grant.scope, group).await?,
        };
        cut.extend(scope.filter(|_| permissions != Permissions::NONE).map(|scope| Grant { permissions, scope }));
    }
    Ok(Rights(cut))
}

/// What the caller may do in `there` at this moment: nothing once the credential does not hold any more.
pub(crate) async fn of_caller(conn: impl Into<Conn<'_>>, caller: &Caller, there: TenantId) -> Result<Rights> {
    let mut conn = conn.into();
    match &caller.actor {
        Actor::User { id, login, .. } => match logins::get(conn.reborrow(), caller.home, *login).await? {
            Some(open) if open.revoked_at.is_none() => of_user(conn, caller.home, *id, there).await,
            _ => Ok(Rights::default()),
        },
        Actor::ApiKey { id, .. } => match api_keys::living(conn.reborrow(), caller.home, *id).await? {
            Some(key) => of_key(conn, caller.home, &key, there).await,
            None => Ok(Rights::default()),
        },
        Actor::PresignKey | Actor::Device { .. } => Ok(Rights::default()),
    }
}

/// The caller with what he may do at this moment. Between a request and its change may lie seconds, in which passwords
/// are hashed and somebody else takes the caller's rights away.
pub(crate) async fn renewed(conn: impl Into<Conn<'_>>, caller: &Caller) -> Result<Caller> {
    let rights = of_caller(conn, caller, caller.tenant).await?;
    Ok(Caller { rights, ..caller.clone() })
}

/// What lies in both the scope and the group.
async fn narrower(conn: impl Into<Conn<'_>>, there: TenantId, scope: Scope, group: GroupId) -> Result<Option<Scope>> {
    let own = match scope {
        Scope::Tenant => return Ok(Some(Scope::Group(group))),
        Scope::Group(own) => own,
    };
    let mut conn = conn.into();
    if group_tree::is_within(conn.reborrow(), there, own, group).await? {
        return Ok(Some(Scope::Group(group)));
    }
    Ok(group_tree::is_within(conn, there, group, own).await?.then_some(Scope::Group(own)))
}

fn grant(row: HeldRow) -> Grant {
    Grant { permissions: row.role.permissions(), scope: row.group_id.map_or(Scope::Tenant, Scope::Group) }
}

/// The permissions that a key is limited to. A name that this release does not know is an error: it must not widen.
pub(crate) fn scopes(key: &ApiKeyRow) -> Result<Permissions> {
    let Some(text) = &key.scopes else { return Ok(Permissions::ALL) };
    let names = text.split_whitespace().map(str::parse);
    names.collect::<std::result::Result<_, _>>().map_err(|error| Error::internal("read an API key's scopes", error))
}

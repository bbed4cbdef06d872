//! What a user or an API key may do in the tenant that it works in.

use drover_store::api_keys::ApiKeyRow;
use drover_store::grants::{self, HeldRow};
use drover_store::{REACH_GROUPS_MAX, group_tree};
use drover_types::{GroupId, Permissions, TenantId, UserId};

use crate::{App, Error, Grant, Result, Rights, Scope};

/// Grants that a user can have: no more than a reach has room for groups.
pub(crate) const GRANTS_MAX: i64 = REACH_GROUPS_MAX as i64;

impl App {
    /// What a user of `home` may do in `there`: the grants on that tenant and on those above it.
    pub(crate) async fn rights_of_user(&self, home: TenantId, user: UserId, there: TenantId) -> Result<Rights> {
        let rows = grants::in_tenant(&self.db, home, user, there, GRANTS_MAX).await?;
        Ok(Rights(rows.into_iter().map(grant).collect()))
    }

    /// What a key may do: all that its maker may do now, cut by the key's own limits. Each grant is cut for itself.
    pub(crate) async fn rights_of_key(&self, home: TenantId, key: &ApiKeyRow, there: TenantId) -> Result<Rights> {
        let Some(user) = key.user_id else { return Ok(Rights::default()) };
        let Rights(grants) = self.rights_of_user(home, user, there).await?;
        let scopes = scopes(key)?;
        let mut cut = Vec::new();
        for grant in grants {
            let permissions = grant.permissions.both(scopes);
            let scope = match key.group_id {
                None => Some(grant.scope),
                Some(group) => self.narrower(there, grant.scope, group).await?,
            };
            cut.extend(scope.filter(|_| permissions != Permissions::NONE).map(|scope| Grant { permissions, scope }));
        }
        Ok(Rights(cut))
    }

    /// What lies in both the scope and the group.
    async fn narrower(&self, there: TenantId, scope: Scope, group: GroupId) -> Result<Option<Scope>> {
        let own = match scope {
            Scope::Tenant => return Ok(Some(Scope::Group(group))),
            Scope::Group(own) => own,
        };
        if group_tree::is_within(&self.db, there, own, group).await? {
            return Ok(Some(Scope::Group(group)));
        }
        Ok(group_tree::is_within(&self.db, there, group, own).await?.then_some(Scope::Group(own)))
    }
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

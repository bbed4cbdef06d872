//! Who may do what: the one decision that every use case asks for.

use drover_db::Conn;
use drover_store::Reach;
use drover_types::{DeviceId, ErrorKind, GroupId, Permission, Permissions, RolloutId, TenantId, UserId};

use crate::{Actor, Caller, Error, Result};

/// What a permission of a caller covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The tenant to work in. Never take that from a body or a path.
    pub tenant: TenantId,
    /// How far the permission goes there. Lists filter by it in SQL, single objects are looked up within it.
    pub reach: Reach,
}

impl Access {
    /// Refuses a device out of reach like one that is not there.
    pub(crate) async fn check_device(&self, conn: impl Into<Conn<'_>>, id: DeviceId) -> Result<()> {
        let there = self.reach.has_device(conn, self.tenant, id).await?;
        if there { Ok(()) } else { Err(Error::not_found("device", id)) }
    }

    /// Refuses a group out of reach like one that is not there.
    pub(crate) async fn check_group(&self, conn: impl Into<Conn<'_>>, id: GroupId) -> Result<()> {
        let there = self.reach.has_group(conn, self.tenant, id).await?;
        if there { Ok(()) } else { Err(Error::not_found("group", id)) }
    }

    /// Refuses a rollout out of reach like one that is not there.
    pub(crate) async fn check_rollout(&self, conn: impl Into<Conn<'_>>, id: RolloutId) -> Result<()> {
        let there = self.reach.has_rollout(conn, self.tenant, id).await?;
        if there { Ok(()) } else { Err(Error::not_found("rollout", id)) }
    }
}

/// Permissions and where they hold: one thing, never taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What it allows.
    pub permissions: Permissions,
    /// Where.
    pub scope: Scope,
}

/// Where a grant holds, within the tenant that the caller works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere in it.
    Tenant,
    /// In this group and those below it.
    Group(GroupId),
}

/// All that a caller may do in the tenant that he works in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights(pub Vec<Grant>);

impl Rights {
    /// These permissions, everywhere in the tenant.
    pub fn everywhere(permissions: Permissions) -> Self {
        Self(vec![Grant { permissions, scope: Scope::Tenant }])
    }

    /// How far `permission` goes: the scopes of exactly those grants that contain it. None when no grant does.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        let mut groups = Vec::new();
        for grant in self.0.iter().filter(|grant| grant.permissions.contains(permission)) {
            match grant.scope {
                Scope::Tenant => return Some(Reach::Tenant),
                Scope::Group(group) if groups.contains(&group) => {}
                Scope::Group(group) => groups.push(group),
            }
        }
        if groups.is_empty() { None } else { Some(Reach::Groups(groups)) }
    }
}

impl Caller {
    /// The tenant to work in and how far `permission` goes there. The first thing that a use case asks.
    pub fn authorize(&self, permission: Permission) -> Result<Access> {
        match self.rights.reach(permission) {
            Some(reach) => Ok(Access { tenant: self.tenant, reach }),
            None => Err(self.may_not(permission)),
        }
    }

    /// The tenant to work in, for what concerns it as a whole: a permission over some groups is not enough.
    pub fn authorize_tenant(&self, permission: Permission) -> Result<TenantId> {
        match self.authorize(permission)? {
            Access { tenant, reach: Reach::Tenant } => Ok(tenant),
            Access { reach: Reach::Groups(_), .. } => {
                let detail = format!("this needs {permission} over the whole tenant, and yours covers only groups");
                Err(Error::new(ErrorKind::Forbidden, "forbidden", detail))
            }
        }
    }

    /// The user, if the caller is one who is logged in: for what yields a password, a right or a key. Made with a key
    /// that leaked, they would outlive its expiry, its addresses and its revocation.
    pub fn authorize_person(&self) -> Result<UserId> {
        let Actor::User { id, .. } = self.actor else {
            let detail = "an API key makes no users, passwords, rights or keys, as they would outlive it; log in with \
                          `drover login` and do it as yourself";
            return Err(Error::new(ErrorKind::Forbidden, "needs_login", detail));
        };
        Ok(id)
    }

    /// The tenant and the device, if the caller is one.
    pub fn authorize_device(&self) -> Result<(TenantId, DeviceId)> {
        match &self.actor {
            Actor::Device { id, .. } => Ok((self.tenant, *id)),
            _ => Err(Error::new(ErrorKind::Forbidden, "forbidden", "this call is for devices; use a device's token")),
        }
    }

    fn may_not(&self, permission: Permission) -> Error {
        let detail = match &self.actor {
            Actor::Device { .. } | Actor::PresignKey => {
                "this credential may not do that; log in as a user or use an API key".to_owned()
            }
            Actor::User { .. } => format!("this needs {permission}; ask an owner of the tenant for a role that has it"),
            Actor::ApiKey { .. } => format!("this needs {permission}; this API key or its maker does not have it"),
        };
        Error::new(ErrorKind::Forbidden, "forbidden", detail)
    }
}

#[cfg(test)]
mod tests {
    use drover_types::{Role, Timestamp};

    use super::*;

    fn caller(actor: Actor, rights: Rights) -> Caller {
        let tenant = TenantId::generate(Timestamp::from_micros(0), 0);
        Caller { home: tenant, tenant, actor, rights, origin: crate::Origin::default() }
    }

    #[test]
    fn a_device_is_only_a_device_and_nobody_else_is_one() {
        let id = DeviceId::generate(Timestamp::from_micros(0), 1);
        let device = Actor::Device { id, is_new: false };
        let device = caller(device, Rights::default());
        assert!(device.authorize_device().is_ok());
        assert!(Permission::ALL.iter().all(|permission| device.authorize(*permission).is_err()));
        let all = caller(Actor::PresignKey, Rights::everywhere(Role::Owner.permissions()));
        assert!(all.authorize_device().is_err());
        assert!(Permission::ALL.iter().all(|permission| all.authorize_tenant(*permission).is_ok()));
        assert_eq!(all.authorize_person().unwrap_err().code, "needs_login", "whatever it may do, it is no person");
    }

    #[test]
    fn a_permission_goes_as_far_as_the_grants_that_contain_it() {
        let group = |n| GroupId::generate(Timestamp::from_micros(0), n);
        let grant = |role: Role, scope| Grant { permissions: role.permissions(), scope };
        let rights = Rights(vec![
            grant(Role::Viewer, Scope::Tenant),
            grant(Role::Operator, Scope::Group(group(1))),
            grant(Role::FleetAdmin, Scope::Group(group(2))),
            grant(Role::Operator, Scope::Group(group(1))),
        ]);
        let caller = caller(Actor::PresignKey, rights);
        let reach = |permission| caller.authorize(permission).map(|access| access.reach).ok();
        assert_eq!(reach(Permission::DevicesRead), Some(Reach::Tenant));
        assert_eq!(reach(Permission::DevicesWrite), Some(Reach::Groups(vec![group(1), group(2)])));
        assert_eq!(reach(Permission::GroupsWrite), Some(Reach::Groups(vec![group(2)])));
        assert_eq!(reach(Permission::UsersWrite), None);
        assert!(caller.authorize_tenant(Permission::DevicesRead).is_ok());
        assert!(caller.authorize_tenant(Permission::DevicesWrite).is_err());
    }
}

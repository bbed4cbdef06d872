//! What a grant can allow, and the roles: fixed sets of it.

use crate::text_enum::text_enum;

text_enum! {
    /// One thing that a caller may do. What devices do for themselves is none of these: nobody can be given that.
    Permission, "permission" {
        /// See devices, and how their updates went.
        DevicesRead = "devices:read",
        /// Change what operators say about devices.
        DevicesWrite = "devices:write",
        /// Forget devices: their tokens stop working, their history goes.
        DevicesDelete = "devices:delete",
        /// See groups.
        GroupsRead = "groups:read",
        /// Make, change and remove groups, and say who is in them.
        GroupsWrite = "groups:write",
        /// See firmware and download it.
        FirmwareRead = "firmware:read",
        /// Create drafts of firmware, upload artifacts, delete what was never used.
        FirmwareWrite = "firmware:write",
        /// Let rollouts use a firmware.
        FirmwarePublish = "firmware:publish",
        /// See rollouts and their sessions.
        RolloutsRead = "rollouts:read",
        /// Create, start, stop and take back rollouts.
        RolloutsWrite = "rollouts:write",
        /// See which objects there are.
        ObjectsRead = "objects:read",
        /// Store objects.
        ObjectsWrite = "objects:write",
        /// Ask for a time-limited address of an object.
        ObjectsPresign = "objects:presign",
        /// See enrolment tokens, not their secrets.
        EnrolmentTokensRead = "enrolment-tokens:read",
        /// Make and revoke enrolment tokens.
        EnrolmentTokensWrite = "enrolment-tokens:write",
        /// See which keys may sign firmware.
        ReleaseKeysRead = "release-keys:read",
        /// Say which keys may sign firmware.
        ReleaseKeysWrite = "release-keys:write",
        /// See API keys, not their secrets.
        ApiKeysRead = "api-keys:read",
        /// Make and revoke API keys.
        ApiKeysWrite = "api-keys:write",
        /// See users and what they may do.
        UsersRead = "users:read",
        /// Add, change, disable and remove users, and say what they may do.
        UsersWrite = "users:write",
        /// See the tenant and those below it.
        TenantsRead = "tenants:read",
        /// Make, rename and remove tenants below this one.
        TenantsWrite = "tenants:write",
        /// Read the audit log.
        AuditRead = "audit:read",
    }
}

text_enum! {
    /// A fixed set of permissions. What a user may do is a role together with a scope, never a role alone.
    Role, "role" {
        /// Everything.
        Owner = "owner",
        /// Runs the fleet: devices, groups, rollouts, and the tokens with which devices and programs come in.
        FleetAdmin = "fleet-admin",
        /// Brings out firmware: uploads, publishes, rolls out.
        ReleaseManager = "release-manager",
        /// The daily work: devices and rollouts.
        Operator = "operator",
        /// Sees the fleet, changes nothing.
        Viewer = "viewer",
        /// Sees everything, also who may do what and who did what; changes nothing.
        Auditor = "auditor",
    }
}

use Permission as P;

const VIEWER: &[P] =
    &[P::DevicesRead, P::GroupsRead, P::FirmwareRead, P::RolloutsRead, P::ObjectsRead, P::ReleaseKeysRead];
const OPERATOR: &[P] = &[P::DevicesWrite, P::RolloutsWrite, P::ObjectsPresign];
const RELEASE_MANAGER: &[P] =
    &[P::FirmwareWrite, P::FirmwarePublish, P::RolloutsWrite, P::ObjectsWrite, P::ObjectsPresign];
const FLEET_ADMIN: &[P] = &[
    P::DevicesDelete,
    P::GroupsWrite,
    P::EnrolmentTokensRead,
    P::EnrolmentTokensWrite,
    P::ApiKeysRead,
    P::ApiKeysWrite,
    P::TenantsRead,
];
const AUDITOR: &[P] = &[P::EnrolmentTokensRead, P::ApiKeysRead, P::UsersRead, P::TenantsRead, P::AuditRead];

impl Role {
    /// What it allows.
    pub fn permissions(self) -> Permissions {
        let of = |lists: &[&[P]]| lists.iter().flat_map(|list| list.iter().copied()).collect();
        match self {
            Self::Owner => Permissions::ALL,
            Self::FleetAdmin => of(&[VIEWER, OPERATOR, FLEET_ADMIN]),
            Self::ReleaseManager => of(&[VIEWER, RELEASE_MANAGER]),
            Self::Operator => of(&[VIEWER, OPERATOR]),
            Self::Viewer => of(&[VIEWER]),
            Self::Auditor => of(&[VIEWER, AUDITOR]),
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u64);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self((1 << Permission::ALL.len()) - 1);

    const fn bit(permission: Permission) -> u64 {
        1 << permission as u32
    }

    /// Whether the set has it.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Whether all of `other` is in this set.
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | Self::bit(permission)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Permissions = [P::AuditRead, P::DevicesRead].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [P::DevicesRead, P::AuditRead]);
        assert_eq!(Permissions::ALL.iter().collect::<Vec<_>>(), Permission::ALL);
        assert!(Permissions::ALL.contains_all(set) && !set.contains_all(Permissions::ALL));
        assert_eq!(set.both(Role::Viewer.permissions()).iter().collect::<Vec<_>>(), [P::DevicesRead]);
    }

    #[test]
    fn viewers_and_auditors_change_nothing() {
        for role in [Role::Viewer, Role::Auditor] {
            assert!(role.permissions().iter().all(|permission| permission.as_str().ends_with(":read")), "{role}");
        }
    }

    /// Whoever moves a device into a group of his gains no right over it that he did not have before: a role that may
    /// do so has all rights that a scope of groups can give.
    #[test]
    fn who_may_change_groups_may_do_all_that_groups_are_a_scope_for() {
        for role in Role::ALL.iter().filter(|role| role.permissions().contains(P::GroupsWrite)) {
            let of_a_group = P::ALL.iter().filter(|permission| {
                ["devices:", "groups:", "rollouts:"].iter().any(|noun| permission.as_str().starts_with(noun))
            });
            for permission in of_a_group {
                assert!(role.permissions().contains(*permission), "{role} {permission}");
            }
        }
    }
}

//! Users and what they may do.

use drover_types::{GrantId, GroupId, LoginId, Role, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person who operates a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The name to log in with, unique in the tenant.
    pub username: String,
    /// When the user was added.
    pub created_at: Timestamp,
    /// Since when neither the user nor the user's API keys may do anything.
    pub disabled_at: Option<Timestamp>,
}

/// Add a user. Without a grant a user may log in and do nothing.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The name to log in with: 1 to 100 characters, unique in the tenant.
    pub username: String,
    /// The first password: 12 to 1 024 characters; the server makes one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A role over the whole tenant, to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl std::fmt::Debug for UserCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserCreate").field("username", &self.username).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A new user.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct UserCreated {
    /// The user.
    pub user: User,
    /// The password, when the server made it; shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Change a user. What is not given stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// Another name to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `true` ends the user's logins and stops the user's API keys at once; `false` lets the user log in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Give a user another password, which ends the user's logins.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// The password: 12 to 1 024 characters; the server makes one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl std::fmt::Debug for PasswordReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordReset").finish_non_exhaustive()
    }
}

/// A user has another password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PasswordResetReply {
    /// The password, when the server made it; shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Change one's own password, which ends one's other logins.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password so far.
    pub old_password: String,
    /// The new one: 12 to 1 024 characters.
    pub new_password: String,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").finish_non_exhaustive()
    }
}

/// A role of a user, and where it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The grant's id.
    pub id: GrantId,
    /// The role: a fixed set of permissions.
    pub role: Role,
    /// It holds in this tenant and in those below it …
    pub tenant_id: TenantId,
    /// … or only in this group of the tenant and in those below it.
    pub group_id: Option<GroupId>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// Give a user a role. Only who has all its permissions over the same scope may give it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantCreate {
    /// The role.
    pub role: Role,
    /// Where it holds; the whole tenant when not given.
    #[serde(default)]
    pub scope: GrantScope,
}

/// Where a role holds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantScope {
    /// In this tenant and those below it; the user's own when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Only in this static group of that tenant and those below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
}

/// One open login of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenLogin {
    /// Its id.
    pub id: LoginId,
    /// Whether this request came with it.
    pub current: bool,
    /// The address that it was opened from.
    pub address: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

//! Logging in.

use drover_types::{GroupId, Permission, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user logs in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The tenant's name; `default` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A server-side session was opened.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginReply {
    /// Bearer token for the `Authorization` header; shown this once.
    pub token: String,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// Who the credential belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerView {
    /// The tenant that this request works in.
    pub tenant_id: TenantId,
    /// The tenant that the credential belongs to.
    pub home_tenant_id: TenantId,
    /// `user`, `api_key` or `device`.
    pub kind: String,
    /// The user's name, the key's name or the device's id.
    pub name: String,
    /// What it may do in the tenant that this request works in. A permission holds where an entry with it says.
    pub rights: Vec<RightView>,
}

/// Permissions and where they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RightView {
    /// What is allowed.
    pub permissions: Vec<Permission>,
    /// In this group and those below it; in the whole tenant when there is none.
    pub group_id: Option<GroupId>,
}

/// A browser's session. Its token is in a cookie that no script can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrowserSession {
    /// What a page sends as `X-CSRF-Token` with every request that may change something.
    pub csrf_token: String,
}

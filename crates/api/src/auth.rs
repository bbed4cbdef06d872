//! Logging in.

use drover_types::{TenantId, Timestamp};
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
    /// The tenant.
    pub tenant_id: TenantId,
    /// `user`, `api_key` or `device`.
    pub kind: String,
    /// The user's name, the key's name or the device's id.
    pub name: String,
}

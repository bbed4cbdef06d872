//! Keys for programs.

use drover_types::{ApiKeyId, GroupId, Permission, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key for a program; its secret is shown only when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Who made it: it never may do more than this user may now.
    pub user_id: Option<UserId>,
    /// The permissions that it is limited to; none: all that its maker has.
    pub scopes: Option<Vec<Permission>>,
    /// The group, with those below it, that it is limited to.
    pub group_id: Option<GroupId>,
    /// The networks that it may be used from; none: any.
    pub addresses: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; none means never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Make a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// What it is for: 1 to 100 characters.
    pub name: String,
    /// When it stops working; never when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The permissions that it is limited to, for instance `devices:read`; all that you may do when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Permission>>,
    /// A group that it is limited to, with those below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// Addresses and networks such as `10.0.0.0/8` that it may be used from, at most 32; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// A new key with its secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The key.
    pub api_key: ApiKey,
    /// The bearer token; shown this once.
    pub token: String,
}

//! Tenants: isolated customers, in a tree.

use drover_types::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An isolated customer. Rights over a tenant hold for those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique in the installation: users log in with it.
    pub name: String,
    /// The tenant above it.
    pub parent_id: Option<TenantId>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Make a tenant below another.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantCreate {
    /// Its name, unique in the installation: 1 to 100 characters.
    pub name: String,
    /// The tenant above it; the one that the request works in when not given. Tenants lie at most 8 deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<TenantId>,
}

/// Rename a tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantUpdate {
    /// Its name, unique in the installation: 1 to 100 characters.
    pub name: String,
}

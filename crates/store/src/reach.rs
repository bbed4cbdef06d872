//! How far a caller's right goes within a tenant.

use drover_types::GroupId;

/// How far a right goes within a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All of the tenant.
    Tenant,
    /// What belongs to these groups and those below them.
    Groups(Vec<GroupId>),
}

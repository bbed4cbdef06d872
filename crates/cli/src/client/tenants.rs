//! Tenants below one's own.

use drover_api::{Page, PageQuery, Tenant, TenantCreate, TenantUpdate};
use drover_types::TenantId;

use super::{Client, ClientError};

impl Client {
    /// At most `at_most` of the tenant and those below it.
    pub async fn tenants(&self, at_most: usize) -> Result<Page<Tenant>, ClientError> {
        self.list(&["tenants"], &PageQuery::default(), at_most).await
    }

    /// Makes a tenant below this one.
    pub async fn create_tenant(&self, body: &TenantCreate) -> Result<Tenant, ClientError> {
        self.create(&["tenants"], body).await
    }

    /// One tenant.
    pub async fn tenant(&self, id: TenantId) -> Result<Tenant, ClientError> {
        self.get(&["tenants", &id.to_string()]).await
    }

    /// Renames a tenant.
    pub async fn update_tenant(&self, id: TenantId, body: &TenantUpdate) -> Result<Tenant, ClientError> {
        self.put(&["tenants", &id.to_string()], body).await
    }

    /// Removes a tenant in which nothing is.
    pub async fn delete_tenant(&self, id: TenantId) -> Result<(), ClientError> {
        self.delete(&["tenants", &id.to_string()]).await
    }
}

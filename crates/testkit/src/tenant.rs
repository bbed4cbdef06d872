//! A second tenant.

use drover_cli::Client;
use drover_db::Writer;
use drover_store::grants::{self, GrantRow};
use drover_store::tenants;
use drover_store::users::{self, UserRow};
use drover_types::{Clock as _, GrantId, Role, SystemClock, TenantId, UserId};

use crate::TestServer;

/// Another customer of the same server.
pub struct OtherTenant {
    /// Its id.
    pub id: TenantId,
    /// Its user, logged in.
    pub admin: Client,
    /// That user's bearer token.
    pub token: String,
}

impl TestServer {
    /// Adds a tenant with a user of its own, whose name and password are those of the first user.
    pub async fn add_tenant(&self, name: &str) -> OtherTenant {
        let now = SystemClock.now();
        let id = TenantId::generate(now, 0x7e57);
        let db = self.db().db();
        let first = tenants::by_name(db, "default").await.expect("the database answers").expect("the first tenant");
        let username = &self.first_start().username;
        let admin = users::by_username(db, first.tenant_id, username).await.expect("the database answers");
        let user = UserRow { id: UserId::generate(now, 0x7e57), ..admin.expect("the first user") };
        let owner = GrantRow {
            id: GrantId::generate(now, 0x7e57),
            user_id: user.id,
            role: Role::Owner,
            scope_tenant_id: id,
            group_id: None,
            created_at: now,
        };
        let writer = Writer::start(db.clone());
        let name = name.to_owned();
        let inserted = name.clone();
        writer
            .write(move |tx| {
                Box::pin(async move {
                    tenants::insert(tx, id, None, &inserted, now).await?;
                    users::insert(tx, id, &user).await?;
                    grants::insert(tx, id, &owner).await
                })
            })
            .await
            .expect("the tenant is added");
        let token = self.login(&name).await;
        OtherTenant { id, admin: self.stranger().with_token(&token), token }
    }
}

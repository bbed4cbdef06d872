//! Users, what they may do, and one's own account.

use drover_api::{
    Grant, GrantCreate, OpenLogin, Page, PageQuery, PasswordChange, PasswordReset, PasswordResetReply, User,
    UserCreate, UserCreated, UserUpdate,
};
use drover_types::{GrantId, LoginId, UserId};

use super::json::decode;
use super::{Client, ClientError};

impl Client {
    /// At most `at_most` users.
    pub async fn users(&self, at_most: usize) -> Result<Page<User>, ClientError> {
        self.list(&["users"], &PageQuery::default(), at_most).await
    }

    /// Adds a user.
    pub async fn create_user(&self, body: &UserCreate) -> Result<UserCreated, ClientError> {
        self.create(&["users"], body).await
    }

    /// One user.
    pub async fn user(&self, id: UserId) -> Result<User, ClientError> {
        self.get(&["users", &id.to_string()]).await
    }

    /// Renames, disables or enables a user.
    pub async fn update_user(&self, id: UserId, body: &UserUpdate) -> Result<User, ClientError> {
        self.put(&["users", &id.to_string()], body).await
    }

    /// Removes a user.
    pub async fn delete_user(&self, id: UserId) -> Result<(), ClientError> {
        self.delete(&["users", &id.to_string()]).await
    }

    /// Gives a user another password.
    pub async fn reset_password(&self, id: UserId, body: &PasswordReset) -> Result<PasswordResetReply, ClientError> {
        decode(&self.post_once(self.api_url(&["users", &id.to_string(), "password"]), Some(body)).await?)
    }

    /// What a user may do.
    pub async fn grants(&self, id: UserId) -> Result<Vec<Grant>, ClientError> {
        self.get(&["users", &id.to_string(), "grants"]).await
    }

    /// Gives a user a role; the same once more changes nothing.
    pub async fn create_grant(&self, id: UserId, body: &GrantCreate) -> Result<Grant, ClientError> {
        self.create(&["users", &id.to_string(), "grants"], body).await
    }

    /// Takes a role back.
    pub async fn delete_grant(&self, id: UserId, grant: GrantId) -> Result<(), ClientError> {
        self.delete(&["users", &id.to_string(), "grants", &grant.to_string()]).await
    }

    /// Changes one's own password.
    pub async fn change_password(&self, body: &PasswordChange) -> Result<(), ClientError> {
        self.post_once(self.api_url(&["auth", "password"]), Some(body)).await.map(drop)
    }

    /// At most `at_most` of one's own open logins.
    pub async fn logins(&self, at_most: usize) -> Result<Page<OpenLogin>, ClientError> {
        self.list(&["auth", "logins"], &PageQuery::default(), at_most).await
    }

    /// Ends one of one's own logins.
    pub async fn revoke_login(&self, id: LoginId) -> Result<(), ClientError> {
        self.delete(&["auth", "logins", &id.to_string()]).await
    }
}

//! What a new installation needs before anybody can use it.

use drover_store::enrolment_tokens::{self, EnrolmentTokenRow};
use drover_store::grants::{self, GrantRow};
use drover_store::{logins, tenants, users};
use drover_types::Role;

use crate::audit::Entry;
use crate::auth::DEFAULT_TENANT;
use crate::context::new_id;
use crate::{App, Credential, CredentialKind, Error, Result};

/// Letters and digits that are not mistaken for one another.
const PASSWORD_LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRSTUVWXYZ2345679";
const PASSWORD_LENGTH: usize = 20;

/// What was made on the first start. It is shown once and stored only as hashes.
pub struct FirstStart {
    /// The first user's name.
    pub username: String,
    /// The first user's password.
    pub password: String,
    /// A token with which devices register.
    pub enrolment_token: String,
}

/// Why the first start was not made: another node was faster when it is a unique violation.
enum FirstStartError {
    Database(sqlx::Error),
    Other(Error),
}

impl From<sqlx::Error> for FirstStartError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for FirstStartError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl App {
    /// Makes the first tenant, user and enrolment token; none when a tenant is there. Of several nodes that start
    /// at once, one does it.
    pub async fn first_start(&self) -> Result<Option<FirstStart>> {
        if !tenants::all(&self.db, 1).await?.is_empty() {
            return Ok(None);
        }
        let now = self.now();
        let tenant = new_id!(self, TenantId);
        let password = self.new_password();
        let user = users::UserRow {
            id: new_id!(self, UserId),
            username: "admin".to_owned(),
            password_hash: self.passwords.hash(password.clone(), &*self.random).await?,
            created_at: now,
            disabled_at: None,
        };
        let owner = GrantRow {
            id: new_id!(self, GrantId),
            user_id: user.id,
            role: Role::Owner,
            scope_tenant_id: tenant,
            group_id: None,
            created_at: now,
        };
        let token_id = new_id!(self, EnrolmentTokenId);
        let credential = Credential::generate(CredentialKind::Enrolment, tenant, token_id.0, &*self.random);
        let token = EnrolmentTokenRow {
            id: token_id,
            name: "first start".to_owned(),
            secret_sha256: credential.secret_sha256(),
            device_type: None,
            max_uses: None,
            uses: 0,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        let username = user.username.clone();
        let mut audit = self.audit_host(tenant);
        let made = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    tenants::insert(tx, tenant, None, DEFAULT_TENANT, now).await?;
                    users::insert(tx, tenant, &user).await?;
                    grants::insert(tx, tenant, &owner).await?;
                    enrolment_tokens::insert(tx, tenant, &token).await?;
                    // Of several nodes that start at once, the others failed above.
                    audit.record(tx, Entry::new("tenant", "create", tenant).with("name", DEFAULT_TENANT)).await?;
                    audit.record(tx, Entry::new("user", "create", user.id)).await?;
                    let token = crate::enrolment_tokens::view(token);
                    audit
                        .record(tx, Entry::created("enrolment_token", token.id, &token)?.with("name", token.name))
                        .await?;
                    Ok::<_, FirstStartError>(())
                })
            })
            .await;
        match made {
            Ok(()) => {
                let enrolment_token = credential.expose_with_pin(self.settings.server_pin);
                Ok(Some(FirstStart { username, password, enrolment_token }))
            }
            Err(FirstStartError::Database(error)) if drover_db::unique_violation(&error).is_some() => Ok(None),
            Err(FirstStartError::Database(error)) => Err(error.into()),
            Err(FirstStartError::Other(error)) => Err(error),
        }
    }

    /// Gives a user of the first tenant a new password and ends all sessions with the old one. For whoever holds the
    /// database and lost the password: no credential is asked for.
    pub async fn reset_password(&self, username: &str) -> Result<String> {
        let unknown = || Error::not_found("user", username);
        let tenant = tenants::by_name(&self.db, DEFAULT_TENANT).await?.ok_or_else(unknown)?.tenant_id;
        let user = users::by_username(&self.db, tenant, username).await?.ok_or_else(unknown)?;
        let password = self.new_password();
        let hash = self.passwords.hash(password.clone(), &*self.random).await?;
        let now = self.now();
        let mut audit = self.audit_host(tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    users::set_password(tx, tenant, user.id, &hash).await?;
                    logins::revoke_others(tx, tenant, user.id, None, now).await?;
                    audit.record(tx, Entry::new("user", "reset_password", user.id)).await
                })
            })
            .await?;
        Ok(password)
    }

    pub(crate) fn new_password(&self) -> String {
        (0..PASSWORD_LENGTH).map(|_| self.draw_letter()).collect()
    }

    fn draw_letter(&self) -> char {
        let letters = u32::try_from(PASSWORD_LETTERS.len()).unwrap_or(u32::MAX);
        let index = usize::try_from(self.draw(letters)).unwrap_or(0);
        char::from(PASSWORD_LETTERS[index])
    }
}

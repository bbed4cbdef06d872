//! Logging in, and what a credential proves.

use std::net::IpAddr;

use drover_api::{CallerView, LoginReply, LoginRequest, RightView};
use drover_bus::Sighting;
use drover_store::{api_keys, device_tokens, devices, logins, tenants, users};
use drover_types::{ApiKeyId, LoginId, TenantId, Timestamp};

use crate::account::own;
use crate::audit::Entry;
use crate::context::new_id;
use crate::credentials::unauthenticated;
use crate::feed::KnownToken;
use crate::users::PASSWORD_MAX_BYTES;
use crate::{Actor, App, Caller, Credential, CredentialKind, Error, Grant, Origin, Result, Rights, Scope, rights};

/// The tenant of an installation that has only one.
pub(crate) const DEFAULT_TENANT: &str = "default";

impl App {
    /// Who presents this bearer token. Enrolment tokens are no callers: they only register devices.
    /// It works in `there`, or in the credential's own tenant: a tenant in which it may do nothing is not there.
    pub async fn authenticate(&self, bearer: &str, there: Option<TenantId>, origin: Origin) -> Result<Caller> {
        self.feed.require_here()?;
        let credential = Credential::parse(bearer).ok_or_else(unauthenticated)?;
        let home = credential.tenant;
        let tenant = there.unwrap_or(home);
        let (actor, rights) = match credential.kind {
            CredentialKind::Login => self.login_actor(&credential, tenant).await?,
            CredentialKind::ApiKey => self.api_key_actor(&credential, tenant, origin.address).await?,
            CredentialKind::Device => (self.device_actor(&credential).await?, Rights::default()),
            CredentialKind::Enrolment => return Err(unauthenticated()),
        };
        if tenant != home && rights == Rights::default() {
            return Err(Error::not_found("tenant", tenant));
        }
        Ok(Caller { home, tenant, actor, rights, origin })
    }

    async fn login_actor(&self, credential: &Credential, there: TenantId) -> Result<(Actor, Rights)> {
        let id = LoginId(credential.id);
        let row = logins::get(&self.db, credential.tenant, id).await?.ok_or_else(unauthenticated)?;
        let alive = row.revoked_at.is_none() && row.expires_at > self.now();
        if !alive || !credential.matches(row.secret_sha256) {
            return Err(unauthenticated());
        }
        let rights = rights::of_user(&self.db, credential.tenant, row.user_id, there).await?;
        Ok((Actor::User { id: row.user_id, name: row.username, login: id }, rights))
    }

    async fn api_key_actor(
        &self,
        credential: &Credential,
        there: TenantId,
        address: Option<IpAddr>,
    ) -> Result<(Actor, Rights)> {
        let id = ApiKeyId(credential.id);
        let row = api_keys::living(&self.db, credential.tenant, id).await?.ok_or_else(unauthenticated)?;
        if is_past(row.expires_at, self.now()) || !credential.matches(row.secret_sha256) {
            return Err(unauthenticated());
        }
        if !crate::api_keys::may_come_from(&row, address) {
            // Whoever stole a key is not told that it is a genuine one; its owner looks into the log.
            tracing::warn!(api_key = %id, ?address, "an API key was used from an address that is not on its list");
            return Err(unauthenticated());
        }
        self.note_key_used(credential.tenant, &row).await;
        let rights = rights::of_key(&self.db, credential.tenant, &row, there).await?;
        Ok((Actor::ApiKey { id, name: row.name }, rights))
    }

    async fn device_actor(&self, credential: &Credential) -> Result<Actor> {
        let (tenant, id) = (credential.tenant, credential.id);
        // A node that cannot hear of changes asks SQL.
        if self.copies_hold().await.unwrap_or(false)
            && let Some(known) = self.feed.tokens.get(tenant, id)
        {
            let is_right = credential.matches(known.secret_sha256);
            return if is_right {
                Ok(Actor::Device { id: known.device, is_new: false })
            } else {
                Err(unauthenticated())
            };
        }
        let turn = self.feed.tokens.turn();
        let token = device_tokens::get(&self.db, tenant, id).await?.ok_or_else(unauthenticated)?;
        if token.revoked_at.is_some() || !credential.matches(token.secret_sha256) {
            return Err(unauthenticated());
        }
        // Registering does not count here: the first call with the token is noted, however soon it comes. It ends the
        // time in which the device may register once more.
        let is_new = token.last_seen_at.is_none_or(|seen| seen <= token.registered_at);
        if !is_new {
            let known = KnownToken { tenant, device: token.device_id, secret_sha256: token.secret_sha256 };
            self.feed.tokens.insert(turn, id, known);
        }
        Ok(Actor::Device { id: token.device_id, is_new })
    }

    /// Opens a server-side session for a user with name and password.
    pub async fn login(&self, request: LoginRequest, origin: Origin) -> Result<LoginReply> {
        let refused = || {
            Error::new(
                drover_types::ErrorKind::Unauthenticated,
                "login_failed",
                "unknown tenant or user, or wrong password",
            )
        };
        let tenant_name = request.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
        // The same for names that are not there: the answer tells nothing.
        let account = (tenant_name.to_owned(), request.username.clone());
        let attempt = self.login_attempts.begin(&account, origin.address, self.now())?;
        if request.password.len() > PASSWORD_MAX_BYTES {
            attempt.failed();
            return Err(refused());
        }
        // PostgreSQL takes no text with a NUL: there is nobody of that name.
        let is_name = !tenant_name.contains('\0') && !request.username.contains('\0');
        let tenant = if is_name { tenants::by_name(&self.db, tenant_name).await? } else { None };
        let user = match &tenant {
            Some(tenant) => users::by_username(&self.db, tenant.tenant_id, &request.username).await?,
            None => None,
        };
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let fits = self.passwords.verify(request.password, stored).await?;
        let user = user.filter(|user| fits && user.disabled_at.is_none());
        let (Some(tenant), Some(user)) = (tenant, user) else {
            attempt.failed();
            return Err(refused());
        };
        attempt.succeeded();

        let now = self.now();
        let id = new_id!(self, LoginId);
        let tenant = tenant.tenant_id;
        let credential = Credential::generate(CredentialKind::Login, tenant, id.0, &*self.random);
        let expires_at = now.plus(self.settings.login_ttl);
        let secret_sha256 = credential.secret_sha256();
        let address = origin.address.map(|address| address.to_string());
        let login = logins::NewLogin { id, user_id: user.id, secret_sha256, expires_at, address };
        let actor = Actor::User { id: user.id, name: user.username.clone(), login: id };
        let mut audit = self.audit(&Caller { home: tenant, tenant, actor, rights: Rights::default(), origin }, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    // While the password was checked, it may have been replaced, or the user disabled.
                    if !users::hold_unchanged(tx, tenant, user.id, &user.password_hash).await? {
                        return Err(refused());
                    }
                    logins::insert(tx, tenant, &login, now).await?;
                    audit.record(tx, Entry::new("user", "login", user.id).with("login_id", id.to_string())).await
                })
            })
            .await?;
        Ok(LoginReply { token: credential.expose(), expires_at })
    }

    /// Ends the caller's server-side session. Other credentials have none: revoke those.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        let (id, login) = own(caller)?;
        let (tenant, now) = (caller.home, self.now());
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    logins::revoke(tx, tenant, login, now).await?;
                    audit.record(tx, Entry::new("user", "logout", id).with("login_id", login.to_string())).await
                })
            })
            .await
    }

    /// Who the caller is.
    pub fn whoami(&self, caller: &Caller) -> CallerView {
        let (kind, name) = match &caller.actor {
            Actor::User { name, .. } => ("user", name.clone()),
            Actor::ApiKey { name, .. } => ("api_key", name.clone()),
            Actor::PresignKey => ("presign_key", String::new()),
            Actor::Device { id, .. } => ("device", id.to_string()),
        };
        let right = |grant: &Grant| RightView {
            permissions: grant.permissions.iter().collect(),
            group_id: match grant.scope {
                Scope::Tenant => None,
                Scope::Group(group) => Some(group),
            },
        };
        let rights = caller.rights.0.iter().map(right).collect();
        CallerView { tenant_id: caller.tenant, home_tenant_id: caller.home, kind: kind.to_owned(), name, rights }
    }

    /// Notes that a device was heard of: the first time in SQL and at once, as it ends the time in which the device may
    /// register once more; later in live state, from where it is written in batches.
    pub(crate) async fn note_seen(&self, caller: &Caller) -> Result<()> {
        let Actor::Device { id, is_new } = caller.actor else { return Ok(()) };
        let (tenant, now) = (caller.tenant, self.now());
        if !is_new {
            self.hot.seen(Sighting { tenant, device: id, at: now });
            return Ok(());
        }
        self.writer
            .write_batched(move |tx| {
                Box::pin(async move { Ok::<_, Error>(devices::seen(tx, tenant, id, None, now).await?) })
            })
            .await
    }
}

/// Whether `limit` lies behind `now`; no limit never does.
pub(crate) fn is_past(limit: Option<Timestamp>, now: Timestamp) -> bool {
    limit.is_some_and(|limit| limit <= now)
}

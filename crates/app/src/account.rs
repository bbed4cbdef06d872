//! A user's own account: password and logins.

use drover_api::{OpenLogin, Page, PageQuery, PasswordChange};
use drover_store::{logins, users};
use drover_types::{ErrorKind, LoginId, UserId};

use crate::audit::Entry;
use crate::credentials::unauthenticated;
use crate::page::Paging;
use crate::users::{PASSWORD_MAX_BYTES, check_password, user};
use crate::{Actor, App, Caller, Error, Result};

impl App {
    /// Changes the caller's own password and ends the caller's other logins. Guesses at the old one are bounded like
    /// those at a log-in.
    pub async fn password_change(&self, caller: &Caller, body: PasswordChange) -> Result<()> {
        let (id, login) = own(caller)?;
        check_password("new_password", &body.new_password)?;
        let row = user(&self.db, caller.home, id).await?;
        let account = (caller.home.to_string(), row.username.clone());
        let attempt = self.login_attempts.begin(&account, caller.origin.address, self.now())?;
        let too_long = body.old_password.len() > PASSWORD_MAX_BYTES;
        if too_long || !self.passwords.verify(body.old_password, Some(row.password_hash.clone())).await? {
            attempt.failed();
            return Err(Error::new(ErrorKind::Forbidden, "wrong_password", "the password so far is another one"));
        }
        attempt.succeeded();
        let hash = self.passwords.hash(body.new_password, &*self.random).await?;
        let (tenant, now) = (caller.home, self.now());
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    // Two hashes were computed since all of this was looked at.
                    let is_as_it_was = users::hold_unchanged(tx, tenant, id, &row.password_hash).await?;
                    let open = logins::get(&mut *tx, tenant, login).await?.filter(|open| open.revoked_at.is_none());
                    if !is_as_it_was || open.is_none() {
                        return Err(unauthenticated());
                    }
                    users::set_password(tx, tenant, id, &hash).await?;
                    logins::revoke_others(tx, tenant, id, Some(login), now).await?;
                    audit.record(tx, Entry::new("user", "change_password", id)).await
                })
            })
            .await
    }

    /// The caller's own open logins, newest first.
    pub async fn login_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<OpenLogin>> {
        let (id, current) = own(caller)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = logins::of_user(&self.db, caller.home, id, self.now(), paging.after, paging.rows()).await?;
        Ok(paging.page(
            rows,
            |row| row.id,
            |row| OpenLogin {
                id: row.id,
                current: row.id == current,
                address: row.address,
                created_at: row.created_at,
                expires_at: row.expires_at,
            },
        ))
    }

    /// Ends one of the caller's own logins.
    pub async fn login_revoke(&self, caller: &Caller, login: LoginId) -> Result<()> {
        let (id, _) = own(caller)?;
        let (tenant, now) = (caller.home, self.now());
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !logins::revoke_own(tx, tenant, id, login, now).await? {
                        return Err(Error::not_found("open login", login));
                    }
                    audit.record(tx, Entry::new("user", "revoke_login", id).with("login_id", login.to_string())).await
                })
            })
            .await
    }
}

/// The user who is logged in. Keys have no account.
pub(crate) fn own(caller: &Caller) -> Result<(UserId, LoginId)> {
    match caller.actor {
        Actor::User { id, login, .. } => Ok((id, login)),
        _ => Err(Error::new(ErrorKind::Forbidden, "forbidden", "this is about one's own account; log in as a user")),
    }
}

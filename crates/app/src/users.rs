//! Users. Nobody changes a user who may do more than himself.

use drover_api::{Page, PageQuery, PasswordReset, PasswordResetReply, User, UserCreate, UserCreated, UserUpdate};
use drover_db::{Conn, Tx};
use drover_store::grants::{self, GrantRow, Without};
use drover_store::users::{self, UserRow};
use drover_store::{api_keys, logins, tenants};
use drover_types::{GrantId, Permission, TenantId, Timestamp, UserId};

use crate::audit::{Audit, Entry};
use crate::context::new_id;
use crate::grants::{check_may_give, given, may_give, taken};
use crate::idempotency::{Created, secret_shown_once};
use crate::page::Paging;
use crate::rights::{self, GRANTS_MAX};
use crate::{App, Caller, Error, IdempotencyKey, Result, validate};

const PASSWORD_MIN_CHARS: usize = 12;
pub(crate) const PASSWORD_MAX_BYTES: usize = 1_024;

impl App {
    /// The tenant's users, newest first.
    pub async fn user_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<User>> {
        let tenant = caller.authorize_tenant(Permission::UsersRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = users::page(&self.db, tenant, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, view))
    }

    /// One user.
    pub async fn user_view(&self, caller: &Caller, id: UserId) -> Result<User> {
        let tenant = caller.authorize_tenant(Permission::UsersRead)?;
        user(&self.db, tenant, id).await.map(view)
    }

    /// Adds a user, with a role over the whole tenant if one is asked for. There is always a password in it.
    pub async fn user_create(
        &self,
        caller: &Caller,
        body: UserCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<UserCreated> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        caller.authorize_person()?;
        validate::text("username", &body.username, 100)?;
        let made = self.password_or_new(body.password)?;
        let now = self.now();
        let id = new_id!(self, UserId);
        let grant = body.role.map(|role| GrantRow {
            id: new_id!(self, GrantId),
            user_id: id,
            role,
            scope_tenant_id: tenant,
            group_id: None,
            created_at: now,
        });
        let password_hash = self.passwords.hash(made.text.clone(), &*self.random).await?;
        let row = UserRow { id, username: body.username, password_hash, created_at: now, disabled_at: None };
        let mut audit = self.audit(caller, tenant);
        let (caller, stored) = (caller.clone(), row.clone());
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    check_still(tx, &caller).await?;
                    if let Some(grant) = &grant {
                        check_may_give(tx, &caller, grant).await?;
                    }
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok(Created::Before(before));
                    }
                    users::insert(tx, tenant, &stored).await.map_err(|error| name_taken(error, &stored.username))?;
                    audit.record(tx, Entry::created("user", id, &view(stored))?).await?;
                    if let Some(grant) = &grant {
                        grants::insert(tx, tenant, grant).await?;
                        audit.record(tx, given(grant)?).await?;
                    }
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => Ok(UserCreated { user: view(row), password: made.to_show }),
            Created::Before(_) if made.to_show.is_some() => Err(secret_shown_once("user")),
            Created::Before(before) => {
                let user = user(&self.db, tenant, UserId(before)).await.map(view)?;
                Ok(UserCreated { user, password: None })
            }
        }
    }

    /// Renames, disables or enables a user. A key only disables: with a name or a way back in it would give more than it
    /// takes.
    pub async fn user_update(&self, caller: &Caller, id: UserId, body: UserUpdate) -> Result<User> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        if body.username.is_some() || body.disabled == Some(false) {
            caller.authorize_person()?;
        }
        if let Some(username) = &body.username {
            validate::text("username", username, 100)?;
        }
        let now = self.now();
        let (caller, mut audit) = (caller.clone(), self.audit(caller, tenant));
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    check_may_change(tx, &caller, tenant, id).await?;
                    if let Some(username) = body.username {
                        let renamed = users::rename(tx, tenant, id, &username).await;
                        renamed.map_err(|error| name_taken(error, &username))?;
                    }
                    match (body.disabled, before.disabled_at) {
                        (Some(true), None) => disable(tx, tenant, id, now).await?,
                        (Some(false), Some(_)) => users::set_disabled(tx, tenant, id, None).await?,
                        _ => {}
                    }
                    let after = user(&mut *tx, tenant, id).await.map(view)?;
                    let entry = Entry::changed("user", "update", id, &view(before), &after)?;
                    audit.record(tx, entry.with("disabled", after.disabled_at.is_some())).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Removes a user with all grants and logins; the user's API keys are revoked.
    pub async fn user_delete(&self, caller: &Caller, id: UserId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        let now = self.now();
        let (caller, mut audit) = (caller.clone(), self.audit(caller, tenant));
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    check_may_change(tx, &caller, tenant, id).await?;
                    check_owners_stay(tx, tenant, id).await?;
                    let keys = api_keys::revoke_of_user(tx, tenant, id, now).await?;
                    let grants = grants_that_go(tx, &mut audit, tenant, id).await?;
                    logins::delete_of_user(tx, tenant, id).await?;
                    users::delete(tx, tenant, id).await?;
                    let entry = Entry::deleted("user", id, &view(before))?;
                    audit.record(tx, entry.with_ids("grants", &grants).with_ids("api_keys", &keys)).await
                })
            })
            .await
    }

    /// Gives a user another password and ends the user's logins.
    pub async fn user_reset_password(
        &self,
        caller: &Caller,
        id: UserId,
        body: PasswordReset,
    ) -> Result<PasswordResetReply> {
        let tenant = caller.authorize_tenant(Permission::UsersWrite)?;
        caller.authorize_person()?;
        let made = self.password_or_new(body.password)?;
        user(&self.db, tenant, id).await?;
        let hash = self.passwords.hash(made.text, &*self.random).await?;
        let now = self.now();
        let (caller, mut audit) = (caller.clone(), self.audit(caller, tenant));
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    locked(tx, tenant, id).await?;
                    check_may_change(tx, &caller, tenant, id).await?;
                    users::set_password(tx, tenant, id, &hash).await?;
                    logins::revoke_others(tx, tenant, id, None, now).await?;
                    audit.record(tx, Entry::new("user", "reset_password", id)).await
                })
            })
            .await?;
        Ok(PasswordResetReply { password: made.to_show })
    }

    fn password_or_new(&self, given: Option<String>) -> Result<MadePassword> {
        let Some(text) = given else {
            let text = self.new_password();
            return Ok(MadePassword { to_show: Some(text.clone()), text });
        };
        check_password("password", &text)?;
        Ok(MadePassword { text, to_show: None })
    }
}

/// Refuses a caller who may not administer users any more: hashing a password takes its time.
async fn check_still(tx: &mut Tx, caller: &Caller) -> Result<()> {
    rights::renewed(tx, caller).await?.authorize_tenant(Permission::UsersWrite).map(drop)
}

/// Refuses to change a user who may do what the caller may not: else a new password would be a way to more rights.
/// Asked behind [`locked`], where neither gets or loses grants any more.
async fn check_may_change(tx: &mut Tx, caller: &Caller, tenant: TenantId, id: UserId) -> Result<()> {
    check_still(tx, caller).await?;
    for grant in grants::of_user(&mut *tx, tenant, id, GRANTS_MAX).await? {
        if !may_give(tx, caller, &grant).await? {
            let detail = "this user may do more than you; ask somebody who may do as much";
            return Err(Error::new(drover_types::ErrorKind::Forbidden, "forbidden", detail));
        }
    }
    Ok(())
}

/// The grants of a user who is about to go; those over another tenant are recorded there as well.
async fn grants_that_go(tx: &mut Tx, audit: &mut Audit, tenant: TenantId, id: UserId) -> Result<Vec<GrantId>> {
    let grants = grants::of_user(&mut *tx, tenant, id, GRANTS_MAX).await?;
    for grant in &grants {
        audit.record_there(tx, grant.scope_tenant_id, taken(grant)?).await?;
    }
    Ok(grants.into_iter().map(|grant| grant.id).collect())
}

struct MadePassword {
    text: String,
    /// Only what the server made is shown.
    to_show: Option<String>,
}

/// 12 characters at least: what an attacker can try per day (`login_attempts.rs`) is nothing beside them.
pub(crate) fn check_password(field: &str, password: &str) -> Result<()> {
    if password.chars().count() < PASSWORD_MIN_CHARS || password.len() > PASSWORD_MAX_BYTES {
        let message =
            format!("must have {PASSWORD_MIN_CHARS} characters at least and {PASSWORD_MAX_BYTES} bytes at most");
        return Err(Error::field(field, message));
    }
    Ok(())
}

pub(crate) async fn user(conn: impl Into<Conn<'_>>, tenant: TenantId, id: UserId) -> Result<UserRow> {
    users::get(conn, tenant, id).await?.ok_or_else(|| Error::not_found("user", id))
}

/// The user, while nobody else decides about the owners of this tree of tenants.
pub(crate) async fn locked(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<UserRow> {
    tenants::hold_tree(tx, tenant).await?;
    user(tx, tenant, id).await
}

async fn disable(tx: &mut Tx, tenant: TenantId, id: UserId, now: Timestamp) -> Result<()> {
    check_owners_stay(tx, tenant, id).await?;
    users::set_disabled(tx, tenant, id, Some(now)).await?;
    Ok(logins::revoke_others(tx, tenant, id, None, now).await?)
}

/// Each tenant that the user owns keeps an owner: one of its own, or one of a tenant above it.
async fn check_owners_stay(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<()> {
    for grant in grants::of_user(&mut *tx, tenant, id, GRANTS_MAX).await? {
        check_owner_stays(tx, &grant, Without::User(id)).await?;
    }
    Ok(())
}

/// The tenant of the grant keeps an owner without it.
pub(crate) async fn check_owner_stays(tx: &mut Tx, grant: &GrantRow, without: Without) -> Result<()> {
    let is_owner = grant.role == drover_types::Role::Owner && grant.group_id.is_none();
    if !is_owner || grants::count_owners(tx, grant.scope_tenant_id, without).await? > 0 {
        return Ok(());
    }
    let detail = "this is the last owner of the tenant; make somebody else owner first";
    Err(Error::conflict("last_owner", detail))
}

fn name_taken(error: sqlx::Error, name: &str) -> Error {
    match drover_db::unique_violation(&error) {
        Some(_) => Error::conflict("user_exists", format!("there is a user named {name:?} already")),
        None => error.into(),
    }
}

pub(crate) fn view(row: UserRow) -> User {
    User { id: row.id, username: row.username, created_at: row.created_at, disabled_at: row.disabled_at }
}

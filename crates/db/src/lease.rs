//! Leases: at most one holder at a time does a named duty.
//!
//! The table is `leases (name TEXT PRIMARY KEY, token BIGINT, holder TEXT, expires_at BIGINT)`, all `NOT NULL`. A lease's
//! token only grows, and every transaction of a holder verifies it; so a holder that was slow, or whose clock
//! is wrong, cannot write after another has taken over. The database's clock only decides when another may take over.
//! Where an installation was moved away (a row in `moves`), nobody takes or keeps a duty.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use crate::{Db, Tx, on_tx, read};

/// Whether the installation was not moved away.
const IS_HERE: &str = "NOT EXISTS (SELECT 1 FROM moves)";

/// A duty that this process holds, or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The duty.
    pub name: String,
    /// The number of this holding; a later holder's is greater. From 1.
    pub token: i64,
}

/// Who does a duty.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LeaseState {
    /// The duty.
    pub name: String,
    /// Who, for people to read.
    pub holder: String,
    /// Until when, in microseconds of the database's clock; 0 when it was given back.
    #[sqlx(rename = "expires_at")]
    pub expires_at_us: i64,
}

/// The transaction of a holder must not be committed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    /// The lease was given back or another has taken it over.
    #[error("the lease {name:?} with token {token} is no longer ours: stop this duty and acquire the lease again")]
    Lost {
        /// The duty.
        name: String,
        /// The token that is no longer valid.
        token: i64,
    },
    /// The database could not say.
    #[error("cannot verify a lease")]
    Database(#[from] sqlx::Error),
}

impl Db {
    /// All duties that were ever taken.
    pub async fn leases(&self) -> Result<Vec<LeaseState>, sqlx::Error> {
        read!(self, |c| sqlx::query_as("SELECT name, holder, expires_at FROM leases").fetch_all(c).await)
    }

    /// The database's own clock, in microseconds since 1970.
    pub async fn clock_us(&self) -> Result<i64, sqlx::Error> {
        let sql = format!("SELECT {}", self.dialect().now_us());
        read!(self, |c| sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await)
    }

    /// Takes the lease `name` for `ttl` if it is free or has run out; `None` while another holds it, and where
    /// the installation was moved away. `holder` is for people to read and has to name this process; it is not a key: even
    /// the same holder waits until its older lease ran out.
    pub async fn lease_acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, sqlx::Error> {
        let (name, holder, ttl_us) = (name.to_owned(), holder.to_owned(), micros(ttl));
        let now_us = self.dialect().now_us();
        let sql = format!(
            "INSERT INTO leases (name, token, holder, expires_at) SELECT $1, 1, $2, {now_us} + $3 WHERE {IS_HERE} \
             ON CONFLICT (name) DO UPDATE SET token = leases.token + 1, holder = excluded.holder, \
             expires_at = excluded.expires_at WHERE leases.expires_at <= {now_us} RETURNING token"
        );
        self.write(move |tx| {
            Box::pin(async move {
                let token: Option<i64> = on_tx!(tx, |c| {
                    let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&name).bind(holder).bind(ttl_us);
                    query.fetch_optional(c).await?
                });
                Ok(token.map(|token| Lease { name, token }))
            })
        })
        .await
    }

    /// Holds the lease for `ttl` from now. False when it is lost. A lease that ran out but was not taken by another is
    /// renewed.
    pub async fn lease_renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, sqlx::Error> {
        let now_us = self.dialect().now_us();
        let sql = format!("UPDATE leases SET expires_at = {now_us} + $3 WHERE name = $1 AND token = $2 AND {IS_HERE}");
        self.lease_update(lease, sql, Some(micros(ttl))).await
    }

    /// Gives the lease back, so that another can take it at once, and voids its token. False when it was already lost.
    pub async fn lease_release(&self, lease: &Lease) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE leases SET token = token + 1, expires_at = 0 WHERE name = $1 AND token = $2".to_owned();
        self.lease_update(lease, sql, None).await
    }

    async fn lease_update(&self, lease: &Lease, sql: String, ttl_us: Option<i64>) -> Result<bool, sqlx::Error> {
        let Lease { name, token } = lease.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let changed = on_tx!(tx, |c| {
                    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(name).bind(token);
                    if let Some(ttl_us) = ttl_us {
                        query = query.bind(ttl_us);
                    }
                    query.execute(c).await?.rows_affected()
                });
                Ok(changed == 1)
            })
        })
        .await
    }
}

impl Lease {
    /// Checks that the lease is still ours and keeps it so until `tx` ends. Every transaction of a holder calls this
    /// first, and returns the error when it fails.
    pub async fn verify(&self, tx: &mut Tx) -> Result<(), LeaseLost> {
        let lock = tx.dialect().for_share();
        let sql = format!("SELECT token FROM leases WHERE name = $1 AND token = $2 {lock}");
        let token: Option<i64> = on_tx!(tx, |c| {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(&self.name).bind(self.token).fetch_optional(c).await?
        });
        match token {
            Some(_) => Ok(()),
            None => Err(LeaseLost::Lost { name: self.name.clone(), token: self.token }),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    // Ten years are for ever, and leave room to add the time of day.
    const TTL_MAX: Duration = Duration::from_hours(10 * 365 * 24);
    i64::try_from(duration.min(TTL_MAX).as_micros()).unwrap_or(i64::MAX)
}

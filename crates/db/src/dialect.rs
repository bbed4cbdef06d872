//! Every difference between the two databases' SQL. At most ten.

/// Which SQL a database speaks where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `SQLite` 3.42 or newer (built in).
    Sqlite,
    /// `PostgreSQL` 14 or newer.
    Postgres,
}

impl Dialect {
    const fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// An expression for the database's own clock: microseconds since 1970 as `BIGINT`. On `SQLite` its steps are
    /// milliseconds. For leases and the age of
    /// `changes`, which nodes with different clocks decide about; everything else takes the time as an argument.
    pub const fn now_us(self) -> &'static str {
        self.pick(
            "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000",
            // Not now(): that is the time at which the transaction began.
            "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
        )
    }

    /// Ends a `SELECT` in a transaction whose rows nobody else may change or lock until it ends.
    /// Empty on `SQLite`, where a transaction that may write is the only one.
    pub const fn for_update(self) -> &'static str {
        self.pick("", "FOR UPDATE")
    }

    /// Like [`Dialect::for_update`], of the table `r` alone.
    pub const fn for_update_of_r(self) -> &'static str {
        self.pick("", "FOR UPDATE OF r")
    }

    /// Like [`Dialect::for_update`], but passes over rows that others are changing. Not over those that others only refer
    /// to: their keys stay as they are.
    pub const fn for_change_skip_locked(self) -> &'static str {
        self.pick("", "FOR NO KEY UPDATE SKIP LOCKED")
    }

    /// Like [`Dialect::for_update`], but others may read-lock the same rows: for checks that must hold until the commit.
    pub const fn for_share(self) -> &'static str {
        self.pick("", "FOR SHARE")
    }

    /// An expression for the number of this transaction among those that write `changes`. On `SQLite` transactions
    /// that write follow each other, so counting on is enough; the last row must stay for that.
    pub const fn commit_number(self) -> &'static str {
        self.pick(
            "(SELECT COALESCE(MAX(seq), 0) + 1 FROM changes)",
            "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
        )
    }

    /// An expression for a horizon: every transaction whose [`Dialect::commit_number`] is below has ended, and what it
    /// wrote can be seen by the next statement. The order of commits is not the order of numbers on `PostgreSQL`.
    pub const fn commit_horizon(self) -> &'static str {
        self.pick(
            "(SELECT COALESCE(MAX(seq), 0) + 1 FROM changes)",
            "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
        )
    }

    /// An expression for when the server started, in microseconds since 1970: what tells one server from another that
    /// took its place. Always 0 on `SQLite`.
    pub const fn server_start_us(self) -> &'static str {
        self.pick("0", "CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS BIGINT)")
    }

    /// Selects whether the table named `$1` exists, as a truth value.
    pub(crate) const fn table_exists(self) -> &'static str {
        self.pick(
            "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1",
            "SELECT count(*) > 0 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1",
        )
    }

    /// Selects whether this transaction now has the right to migrate, as a truth value; held until it ends. On `SQLite`
    /// the transaction's write lock is that right. The number is `drover` in ASCII.
    pub(crate) const fn try_migration_lock(self) -> &'static str {
        self.pick("SELECT TRUE", "SELECT pg_try_advisory_xact_lock(110442659079538)")
    }
}

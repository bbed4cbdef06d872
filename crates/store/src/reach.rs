//! How far a caller's right goes within a tenant, in SQL.
//!
//! A list says where its rows are limited with a mark, for instance `/*reach device d.id*/`. Over the whole tenant the
//! statement runs as it is written: the mark is a comment and costs nothing. Over groups the mark becomes a condition
//! that starts at those groups, so its cost grows with what lies in reach and not with the tenant. The functions below
//! ask the same of one object, the other way round: from the object up to the groups.

use std::fmt::Write as _;

use drover_db::{Conn, run};
use drover_types::{DeviceId, GroupId, RolloutId, TenantId};

use crate::{Result, statements};

/// The most groups that a reach names.
pub const REACH_GROUPS_MAX: usize = 32;

statements! {
    HAS_GROUP = "SELECT COUNT(*) FROM group_tree t WHERE t.tenant_id = $1 AND t.descendant_id = $2 /*roots t*/";
    HAS_DEVICE = "SELECT COUNT(*) FROM group_members m JOIN group_tree t \
                  ON t.tenant_id = m.tenant_id AND t.descendant_id = m.group_id \
                  WHERE m.tenant_id = $1 AND m.device_id = $2 /*roots t*/";
    // A way back goes as far as what it takes back. Target groups in all, and those that are in reach.
    TARGETS = "SELECT COUNT(x.group_id) FROM rollouts r \
               JOIN rollouts p ON p.tenant_id = r.tenant_id AND p.id = COALESCE(r.parent_id, r.id) \
               JOIN rollout_groups x ON x.tenant_id = p.tenant_id AND x.rollout_id = p.id \
               WHERE r.tenant_id = $1 AND r.id = $2 AND p.lost_groups = 0";
    TARGETS_IN_REACH = "SELECT COUNT(DISTINCT x.group_id) FROM rollouts r \
                        JOIN rollouts p ON p.tenant_id = r.tenant_id AND p.id = COALESCE(r.parent_id, r.id) \
                        JOIN rollout_groups x ON x.tenant_id = p.tenant_id AND x.rollout_id = p.id \
                        JOIN group_tree t ON t.tenant_id = x.tenant_id AND t.descendant_id = x.group_id \
                        WHERE r.tenant_id = $1 AND r.id = $2 AND p.lost_groups = 0 /*roots t*/";
}

/// How far a right goes within a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All of the tenant.
    Tenant,
    /// What belongs to these groups, at most [`REACH_GROUPS_MAX`], and those below them.
    Groups(Vec<GroupId>),
}

impl Reach {
    /// The statement limited to this reach. Bind its own parameters first, then [`Reach::ids`].
    pub(crate) fn limit(&self, sql: &str) -> String {
        let Self::Groups(_) = self else { return sql.to_owned() };
        let first = parameters(sql) + 1;
        let ids: Vec<String> = (first..).take(self.ids().len()).map(|n| format!("${n}")).collect();
        let ids = ids.join(", ");
        let mut limited = String::with_capacity(sql.len() + 512);
        let mut rest = sql;
        while let Some((before, mark, after)) = next_mark(rest) {
            limited.push_str(before);
            // Writing to a text cannot fail.
            let _ = write!(limited, "{}", condition(mark, &ids));
            rest = after;
        }
        limited.push_str(rest);
        limited
    }

    /// What [`Reach::limit`] added parameters for. The last group is repeated so that few different statements exist:
    /// a database keeps each one prepared.
    pub(crate) fn ids(&self) -> Vec<GroupId> {
        let Self::Groups(groups) = self else { return Vec::new() };
        // Without any group nothing is in reach: no group has this id.
        let last = groups.last().copied().unwrap_or(GroupId(uuid::Uuid::nil()));
        let mut ids = groups.clone();
        ids.resize(groups.len().max(1).next_power_of_two(), last);
        ids
    }

    /// Whether the group is in reach; of the whole tenant everything is, also what does not exist.
    pub async fn has_group(&self, conn: impl Into<Conn<'_>>, tenant: TenantId, id: GroupId) -> Result<bool> {
        Ok(matches!(self, Self::Tenant) || self.count(conn, HAS_GROUP, tenant, id.0).await? > 0)
    }

    /// Whether the device is in reach: it is a member of a group that is.
    pub async fn has_device(&self, conn: impl Into<Conn<'_>>, tenant: TenantId, id: DeviceId) -> Result<bool> {
        Ok(matches!(self, Self::Tenant) || self.count(conn, HAS_DEVICE, tenant, id.0).await? > 0)
    }

    /// Whether the rollout is in reach: it has target groups, and all of them are.
    pub async fn has_rollout(&self, conn: impl Into<Conn<'_>>, tenant: TenantId, id: RolloutId) -> Result<bool> {
        if matches!(self, Self::Tenant) {
            return Ok(true);
        }
        let mut conn = conn.into();
        let all: i64 = run!(conn.reborrow(), |c| sqlx::query_scalar(TARGETS).bind(tenant).bind(id).fetch_one(c).await)?;
        Ok(all > 0 && self.count(conn, TARGETS_IN_REACH, tenant, id.0).await? == all)
    }

    async fn count(&self, conn: impl Into<Conn<'_>>, sql: &str, tenant: TenantId, id: uuid::Uuid) -> Result<i64> {
        let sql = self.limit(sql);
        run!(conn, |c| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id);
            for group in self.ids() {
                query = query.bind(group);
            }
            query.fetch_one(c).await
        })
    }
}

/// The highest parameter of a statement.
fn parameters(sql: &str) -> usize {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    sql.split('$').skip(1).filter_map(|text| digits(text).parse().ok()).max().unwrap_or(0)
}

/// What is before the next mark, the mark's words, and what is behind it.
fn next_mark(sql: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = sql.split_once("/*")?;
    let (mark, after) = rest.split_once("*/")?;
    Some((before, mark, after))
}

/// The condition that a mark stands for. The tenant is `$1` in every statement.
fn condition(mark: &str, ids: &str) -> String {
    let groups =
        format!("SELECT t.descendant_id FROM group_tree t WHERE t.tenant_id = $1 AND t.ancestor_id IN ({ids})");
    match mark.split(' ').collect::<Vec<_>>()[..] {
        ["roots", table] => format!("AND {table}.ancestor_id IN ({ids})"),
        ["reach", "group", column] => format!("AND {column} IN ({groups})"),
        ["reach", "device", column] => format!(
            "AND {column} IN (SELECT m.device_id FROM group_members m WHERE m.tenant_id = $1 AND m.group_id IN ({groups}))"
        ),
        ["reach", "rollout", table] => format!(
            "AND EXISTS (SELECT 1 FROM rollouts p WHERE p.tenant_id = $1 AND p.id = COALESCE({table}.parent_id, {table}.id) \
             AND p.lost_groups = 0 \
             AND EXISTS (SELECT 1 FROM rollout_groups x WHERE x.tenant_id = $1 AND x.rollout_id = p.id) \
             AND NOT EXISTS (SELECT 1 FROM rollout_groups x WHERE x.tenant_id = $1 AND x.rollout_id = p.id \
             AND x.group_id NOT IN ({groups})))"
        ),
        // A mark that nobody knows lets nothing through; a test finds it.
        _ => "AND 1 = 0".to_owned(),
    }
}

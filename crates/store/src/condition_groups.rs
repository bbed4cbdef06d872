//! The groups that stored conditions ask for. While a rollout that has not ended or a dynamic group asks for a group, that
//! one keeps its name and stays.

use std::collections::HashMap;

use drover_db::{Conn, Tx, run};
use drover_rules::GroupIds;
use drover_types::{GroupId, RolloutId, TenantId};

use crate::{Reach, Result, statements};

statements! {
    ADD_TO_ROLLOUT = "INSERT INTO rollout_condition_groups (tenant_id, rollout_id, part, group_id) \
                      VALUES ($1, $2, $3, $4)";
    CLEAR_ROLLOUT = "DELETE FROM rollout_condition_groups WHERE tenant_id = $1 AND rollout_id = $2 AND part = $3";
    ADD_TO_GROUP = "INSERT INTO group_condition_groups (tenant_id, dynamic_id, group_id) VALUES ($1, $2, $3)";
    CLEAR_GROUP = "DELETE FROM group_condition_groups WHERE tenant_id = $1 AND dynamic_id = $2";
    // What it asks for itself, and what its dynamic target groups ask for.
    OF_ROLLOUT = "SELECT g.name, g.id FROM device_groups g WHERE g.tenant_id = $1 AND g.condition IS NULL \
                  AND g.id IN (SELECT x.group_id FROM rollout_condition_groups x \
                               WHERE x.tenant_id = $1 AND x.rollout_id = $2 \
                               UNION SELECT y.group_id FROM group_condition_groups y \
                               WHERE y.tenant_id = $1 AND y.dynamic_id IN (SELECT t.group_id FROM rollout_groups t \
                                                                           WHERE t.tenant_id = $1 AND t.rollout_id = $2))";
    OF_GROUP = "SELECT g.name, g.id FROM device_groups g WHERE g.tenant_id = $1 AND g.condition IS NULL \
                AND g.id IN (SELECT y.group_id FROM group_condition_groups y \
                             WHERE y.tenant_id = $1 AND y.dynamic_id = $2)";
    ROLLOUTS = "SELECT DISTINCT r.id, r.name FROM rollout_condition_groups x JOIN rollouts r \
                ON r.tenant_id = x.tenant_id AND r.id = x.rollout_id WHERE x.tenant_id = $1 AND x.group_id = $2 \
                AND r.state NOT IN ('completed', 'cancelled', 'rolled_back') ORDER BY r.id";
    DYNAMIC_GROUPS = "SELECT g.id, g.name FROM group_condition_groups y JOIN device_groups g \
                      ON g.tenant_id = y.tenant_id AND g.id = y.dynamic_id \
                      WHERE y.tenant_id = $1 AND y.group_id = $2 ORDER BY g.id";
    LEAVE_ENDED = "DELETE FROM rollout_condition_groups WHERE tenant_id = $1 AND group_id = $2 AND rollout_id IN \
                   (SELECT r.id FROM rollouts r WHERE r.tenant_id = $1 \
                    AND r.state IN ('completed', 'cancelled', 'rolled_back'))";
}

/// Which of a rollout's conditions ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The one on the target.
    Target,
    /// Those of the stages.
    Stages,
}

impl Part {
    const fn word(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Stages => "stages",
        }
    }
}

/// Replaces the groups that this part of a rollout asks for.
pub async fn set_of_rollout(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    part: Part,
    groups: &GroupIds,
) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(CLEAR_ROLLOUT)
        .bind(tenant)
        .bind(rollout)
        .bind(part.word())
        .execute(c)
        .await
        .map(drop))?;
    for group in groups.values() {
        run!(&mut *tx, |c| sqlx::query(ADD_TO_ROLLOUT)
            .bind(tenant)
            .bind(rollout)
            .bind(part.word())
            .bind(*group)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// Replaces the groups that a dynamic group asks for.
pub async fn set_of_group(tx: &mut Tx, tenant: TenantId, dynamic: GroupId, groups: &GroupIds) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(CLEAR_GROUP).bind(tenant).bind(dynamic).execute(c).await.map(drop))?;
    for group in groups.values() {
        run!(&mut *tx, |c| sqlx::query(ADD_TO_GROUP)
            .bind(tenant)
            .bind(dynamic)
            .bind(*group)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// The groups that a rollout and its dynamic target groups ask for.
pub async fn of_rollout(conn: impl Into<Conn<'_>>, tenant: TenantId, rollout: RolloutId) -> Result<GroupIds> {
    let rows: Vec<(String, uuid::Uuid)> =
        run!(conn, |c| sqlx::query_as(OF_ROLLOUT).bind(tenant).bind(rollout).fetch_all(c).await)?;
    Ok(rows.into_iter().collect())
}

/// How many groups in reach each part of these rollouts asks for; at most some hundred rollouts. Nothing is in reach of
/// a part that is not among them.
pub async fn in_reach(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    rollouts: &[RolloutId],
) -> Result<HashMap<(RolloutId, Part), usize>> {
    if rollouts.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(RolloutId, String, i64)> = run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT x.rollout_id, x.part, COUNT(*) FROM rollout_condition_groups x WHERE x.tenant_id = ",
        );
        query.push_bind(tenant).push(" AND x.rollout_id IN (");
        let mut list = query.separated(", ");
        for rollout in rollouts {
            list.push_bind(*rollout);
        }
        query.push(")");
        if let Reach::Groups(_) = reach {
            query.push(" AND x.group_id IN (SELECT t.descendant_id FROM group_tree t WHERE t.tenant_id = ");
            query.push_bind(tenant).push(" AND t.ancestor_id IN (");
            let mut list = query.separated(", ");
            for group in reach.ids() {
                list.push_bind(group);
            }
            query.push("))");
        }
        query.push(" GROUP BY x.rollout_id, x.part");
        query.build_query_as().persistent(false).fetch_all(c).await
    })?;
    let part = |word: &str| if word == Part::Target.word() { Part::Target } else { Part::Stages };
    let count = |count| usize::try_from(count).unwrap_or(0);
    Ok(rows.into_iter().map(|(rollout, word, groups)| ((rollout, part(&word)), count(groups))).collect())
}

/// The groups that a dynamic group asks for.
pub async fn of_group(conn: impl Into<Conn<'_>>, tenant: TenantId, dynamic: GroupId) -> Result<GroupIds> {
    let rows: Vec<(String, uuid::Uuid)> =
        run!(conn, |c| sqlx::query_as(OF_GROUP).bind(tenant).bind(dynamic).fetch_all(c).await)?;
    Ok(rows.into_iter().collect())
}

/// The rollouts that have not ended and ask for a group, with their names.
pub async fn rollouts_asking(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<(RolloutId, String)>> {
    run!(conn, |c| sqlx::query_as(ROLLOUTS).bind(tenant).bind(group).fetch_all(c).await)
}

/// The dynamic groups that ask for a group, with their names.
pub async fn groups_asking(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<(GroupId, String)>> {
    run!(conn, |c| sqlx::query_as(DYNAMIC_GROUPS).bind(tenant).bind(group).fetch_all(c).await)
}

/// Forgets that rollouts that ended asked for a group.
pub async fn leave_ended(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    run!(tx, |c| sqlx::query(LEAVE_ENDED).bind(tenant).bind(group).execute(c).await.map(drop))
}

//! Many reports, a few statements.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::{BoxFuture, Tx};
use drover_store::device_components::{self, Heard};
use drover_store::rollouts::{self, RolloutRow};
use drover_store::{Result as StoreResult, update_sessions};
use drover_types::{RolloutId, SessionState, TenantId, Timestamp, UpdateSessionId};

use super::decide::{Standing, unknown};
use super::{Outcome, Report};
use crate::numbered::{Numbered, by_tenant};
use crate::transitions::{self, Change};
use crate::{Result, way_back};

/// Takes reports in the order in which they came, those of each tenant together.
pub(crate) fn take_all<'t>(tx: &'t mut Tx, reports: &'t [Report]) -> BoxFuture<'t, StoreResult<Vec<Result<Outcome>>>> {
    Box::pin(async move {
        let mut outcomes = BTreeMap::new();
        for (tenant, own) in by_tenant(reports, |report| report.tenant) {
            outcomes.extend(of_tenant(tx, tenant, &own).await?);
        }
        Ok(outcomes.into_values().collect())
    })
}

async fn of_tenant(
    tx: &mut Tx,
    tenant: TenantId,
    reports: &[Numbered<'_, Report>],
) -> StoreResult<Vec<(usize, Result<Outcome>)>> {
    let ids: BTreeSet<UpdateSessionId> = reports.iter().map(|(_, report)| report.session).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let of_these: Vec<RolloutId> = update_sessions::rollouts(&mut *tx, tenant, &ids).await?.into_iter().collect();
    if of_these.is_empty() {
        return Ok(reports.iter().map(|(number, report)| (*number, Err(unknown(report)))).collect());
    }
    // The rollouts first, as everywhere: they hold their sessions still, and two transactions that take their counters
    // in another order than their rows would wait for each other.
    let rollouts: BTreeMap<RolloutId, RolloutRow> =
        rollouts::locked(tx, tenant, &of_these).await?.into_iter().map(|row| (row.id, row)).collect();
    let mut sessions: BTreeMap<UpdateSessionId, Standing> = update_sessions::get(&mut *tx, tenant, &ids)
        .await?
        .into_iter()
        .map(|row| (row.id, Standing { row, step: None, moved_by: 0 }))
        .collect();

    let mut outcomes = Vec::with_capacity(reports.len());
    for (number, report) in reports {
        let known = sessions.get_mut(&report.session);
        let known = known.and_then(|standing| Some((rollouts.get(&standing.row.rollout_id)?, standing)));
        let outcome = match known {
            Some((rollout, standing)) => standing.take(rollout, report).inspect(|outcome| {
                standing.moved_by = if outcome.moved { *number } else { standing.moved_by };
            }),
            None => Err(unknown(report)),
        };
        outcomes.push((*number, outcome));
    }

    write(tx, tenant, &sessions, reports.iter().map(|(_, report)| report.now).max()).await?;
    let moved =
        || reports.iter().zip(&outcomes).filter(|(_, (_, outcome))| outcome.as_ref().is_ok_and(|one| one.moved));
    note_versions(tx, tenant, moved().map(|((_, report), _)| *report)).await?;
    for ((_, report), (_, outcome)) in reports.iter().zip(&mut outcomes) {
        let (Ok(outcome), Some(Standing { row, .. })) = (outcome, sessions.get(&report.session)) else { continue };
        if outcome.moved
            && outcome.reply.state == SessionState::Succeeded
            && let Some(rollout) = rollouts.get(&row.rollout_id)
        {
            outcome.goes_back = way_back::follow(tx, tenant, rollout, row, report.return_id, report.now).await?;
        }
    }
    Ok(outcomes)
}

/// Writes what became of the sessions.
async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    sessions: &BTreeMap<UpdateSessionId, Standing>,
    now: Option<Timestamp>,
) -> StoreResult<()> {
    let Some(now) = now else { return Ok(()) };
    let mut standings: Vec<_> = sessions.values().collect();
    standings.sort_by_key(|standing| standing.moved_by);
    let changes = standings.into_iter().filter_map(|Standing { row, step, .. }| {
        Some(Change {
            session: row.id,
            rollout: row.rollout_id,
            stage: row.stage,
            device: row.device_id,
            class_before: row.failure_class,
            step: step.clone()?,
        })
    });
    let changes: Vec<_> = changes.collect();
    let changed = transitions::apply(tx, tenant, &changes, now).await?;
    if changed.len() < changes.len() {
        // Their rollouts are held still, so this cannot be; and what is answered would not be so.
        return Err(sqlx::Error::RowNotFound);
    }
    Ok(())
}

/// What devices say that they run; the last word of each counts. A word that comes late or twice says what ran then; what
/// runs now, the next heartbeat says.
async fn note_versions<'r>(tx: &mut Tx, tenant: TenantId, moved: impl Iterator<Item = &'r Report>) -> StoreResult<()> {
    let said = moved.filter_map(|report| Some((report, report.validation.as_ref()?)));
    let heard = said.map(|(report, body)| Heard {
        device: report.device,
        component: &body.component,
        version: body.version.as_ref(),
        manifest_sha256: body.manifest_sha256,
        at: report.now,
    });
    let last: BTreeMap<_, _> = heard.map(|heard| ((heard.device, heard.component), heard)).collect();
    device_components::note(tx, tenant, &last.into_values().collect::<Vec<_>>()).await
}

//! What is made void, paused and recorded when an installation comes from elsewhere, in the transaction that brings it.

use std::collections::BTreeMap;

use drover_api::Rollout;
use drover_db::Tx;
use drover_store::restored::{self, Found};
use drover_store::{moves, tenants};
use drover_types::{TenantId, Timestamp};

use crate::audit::{Audit, Entry};
use crate::{Random, Result, rollouts};

/// Who settles, and when.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) now: Timestamp,
    pub(crate) random: &'a dyn Random,
}

/// What was done to an installation that is older than the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Rollouts that were going on and now wait for a person.
    pub paused_rollouts: u64,
    /// Sessions of people that ended.
    pub ended_logins: u64,
    /// Uploads that have to begin again.
    pub aborted_uploads: u64,
    /// API keys that work, with what they were given; those that were revoked since are among them.
    pub api_keys: u64,
    /// API keys that were revoked here.
    pub revoked_api_keys: u64,
}

/// An installation that goes on as it is, on other back-ends.
pub(crate) async fn moved(tx: &mut Tx, moment: Moment<'_>) -> Result<()> {
    let uploads = restored::open_uploads(&mut *tx).await?;
    restored::detach(tx, "moved to another object store: send it again", moment.now).await?;
    restored::fence(tx, moment.now).await?;
    each_tenant(tx, moment, |id| Entry::new("tenant", "move", id).with("aborted_uploads", of(&uploads, id))).await
}

/// An installation whose rows are older than the world: nothing goes on by itself. `verb` is what happened, `why` is told
/// to whoever looks at a paused rollout.
pub(crate) async fn brought_back(
    tx: &mut Tx,
    verb: &'static str,
    why: &str,
    revoke_api_keys: bool,
    moment: Moment<'_>,
) -> Result<Settled> {
    let now = moment.now;
    let (uploads, logins) = (restored::open_uploads(&mut *tx).await?, restored::logins(&mut *tx).await?);
    let api_keys = restored::api_keys(&mut *tx).await?;
    restored::detach(tx, &format!("{why}: send it again"), now).await?;
    restored::fence(tx, now).await?;
    restored::end_logins(tx, now).await?;
    if revoke_api_keys {
        restored::revoke_api_keys(tx, now).await?;
    }
    moves::clear(tx).await?;
    let paused = pause(tx, why, moment).await?;
    let revoked = |id| if revoke_api_keys { of(&api_keys, id) } else { 0 };
    each_tenant(tx, moment, |id| {
        Entry::new("tenant", verb, id)
            .with("why", why)
            .with("paused_rollouts", paused.get(&id).copied().unwrap_or(0))
            .with("ended_logins", of(&logins, id))
            .with("aborted_uploads", of(&uploads, id))
            .with("revoked_api_keys", revoked(id))
    })
    .await?;
    let all_keys = total(&api_keys);
    let (api_keys, revoked_api_keys) = if revoke_api_keys { (0, all_keys) } else { (all_keys, 0) };
    Ok(Settled {
        paused_rollouts: paused.values().sum(),
        ended_logins: total(&logins),
        aborted_uploads: total(&uploads),
        api_keys,
        revoked_api_keys,
    })
}

/// Pauses rollouts, each with its entry, and counts them by tenant.
async fn pause(tx: &mut Tx, why: &str, moment: Moment<'_>) -> Result<BTreeMap<TenantId, u64>> {
    let mut before: Vec<(TenantId, Rollout)> = Vec::new();
    for (tenant, id) in restored::going_on(&mut *tx).await? {
        before.push((tenant, rollouts::shown(&mut *tx, tenant, id).await?));
    }
    restored::pause(tx, &format!("{why}; resume it, roll it back or cancel it. It was "), moment.now).await?;
    let mut paused = BTreeMap::new();
    for (tenant, before) in before {
        let after = rollouts::shown(&mut *tx, tenant, before.id).await?;
        let entry = Entry::changed("rollout", "pause", after.id, &before, &after)?;
        let entry = entry.with("name", after.name).with("reason", after.reason);
        Audit::of_host(tenant, moment.now, moment.random).record(tx, entry).await?;
        *paused.entry(tenant).or_default() += 1;
    }
    Ok(paused)
}

/// Records what happened to the installation with each tenant.
async fn each_tenant(tx: &mut Tx, moment: Moment<'_>, entry: impl Fn(TenantId) -> Entry + Send) -> Result<()> {
    for tenant in tenants::all(&mut *tx, i64::MAX).await? {
        let id = tenant.tenant_id;
        Audit::of_host(id, moment.now, moment.random).record(tx, entry(id).with("name", tenant.name)).await?;
    }
    Ok(())
}

fn of(found: &[Found], tenant: TenantId) -> i64 {
    found.iter().find(|found| found.tenant_id == tenant).map_or(0, |found| found.found)
}

fn total(found: &[Found]) -> u64 {
    found.iter().map(|found| u64::try_from(found.found).unwrap_or(0)).sum()
}

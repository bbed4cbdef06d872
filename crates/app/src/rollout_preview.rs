//! What a rollout would do: counted with the statements that its stages are opened with.

use drover_api::{
    ExcludedDevice, ExcludedFilter, ExclusionPreview, Page, PreviewShare, PreviewShares, RolloutCreate, RolloutPreview,
    StagePreview,
};
use drover_db::Turn;
use drover_rollout::Policy;
use drover_rules::GroupIds;
use drover_store::condition_groups;
use drover_store::conditions::Selection;
use drover_store::device_components::{self, DeviceComponentRow};
use drover_store::firmware::FirmwareRow;
use drover_store::targets::{self, ExcludedRow, ReasonRow, ShareRow, StageFilter, Summary, Target};
use drover_trust::Manifest;
use drover_types::{ComponentName, DeviceId, Exclusion, Permission, Version};

use crate::page::Paging;
use crate::rollout_plan::CheckedPlan;
use crate::rollouts::shift;
use crate::targets::{TargetPlan, share};
use crate::{Access, App, Caller, Error, Reach, Result, rollout_policy};

/// Types and versions that are named.
const SHARES_MAX: i64 = 50;

/// Devices that are named for each reason.
const SAMPLE: i64 = 20;

impl App {
    /// What a rollout would do, as far as the caller may see devices. Each number is that of the moment at which it is
    /// asked for.
    pub async fn rollout_preview(&self, caller: &Caller, body: &RolloutCreate) -> Result<RolloutPreview> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let reach = caller.authorize(Permission::DevicesRead)?.reach;
        let Planned { target, needs, asked } = self.planned(&access, body).await?;
        let policy = rollout_policy::from_request(body)?;

        let turn = self.turn(access.tenant).await?;
        let Summary { reasons, types, versions } =
            targets::summary(self.db.questions(&turn), &target, &reach, SHARES_MAX).await?;
        let all: i64 = reasons.iter().map(|row| row.devices).sum();
        let taken = reasons.iter().find(|row| row.reason.is_none()).map_or(0, |row| row.devices);
        let of_type =
            all - reasons.iter().find(|row| row.reason == Some(Exclusion::WrongType)).map_or(0, |r| r.devices);
        // Stages take devices whether the caller sees them or not.
        let eligible = match reach {
            Reach::Tenant => taken,
            Reach::Groups(_) => targets::count(self.db.questions(&turn), &target, &StageFilter::default()).await?,
        };
        Ok(RolloutPreview {
            devices: count(taken),
            busy: count(targets::count_busy(self.db.questions(&turn), &target).await?),
            stages: self.stage_previews(&turn, &target, &policy, &asked, eligible).await?,
            by_type: shares(types, all, taken),
            by_version: shares(versions, of_type, taken),
            excluded: self.exclusions(&turn, &target, &reach, &needs, &reasons).await?,
        })
    }

    /// The devices that a rollout would leave out, in the order of their ids.
    pub async fn rollout_preview_excluded(
        &self,
        caller: &Caller,
        body: &RolloutCreate,
        query: &ExcludedFilter,
    ) -> Result<Page<ExcludedDevice>> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let reach = caller.authorize(Permission::DevicesRead)?.reach;
        let paging: Paging<DeviceId> = Paging::new(query.limit, query.cursor.as_deref())?;
        let Planned { target, needs, .. } = self.planned(&access, body).await?;
        let turn = self.turn(access.tenant).await?;
        let mut rows =
            targets::excluded(self.db.questions(&turn), &target, &reach, query.reason, paging.after, paging.rows())
                .await?;
        let next_cursor = paging.cut(&mut rows, |row| row.id);
        Ok(Page { items: self.excluded_views(&target, &needs, rows).await?, next_cursor })
    }

    async fn planned(&self, access: &Access, body: &RolloutCreate) -> Result<Planned> {
        let tenant = access.tenant;
        let CheckedPlan { firmware, groups, asked } = self.check_plan(access, body).await?;
        let mut asked = asked.all();
        for group in groups.iter().filter(|group| group.condition.is_some()) {
            asked.extend(condition_groups::of_group(&self.db, tenant, group.id).await?);
        }
        let needs = Needs::of(&firmware)?;
        let condition = body.target_condition.as_deref();
        let plan = TargetPlan { rollout: None, groups, condition, asked: &asked };
        Ok(Planned { target: plan.target(self, tenant, &firmware, self.now()).await?, needs, asked })
    }

    /// Goes through the stages as the driver would: each takes what the ones before left of `all`.
    async fn stage_previews(
        &self,
        turn: &Turn,
        target: &Target,
        policy: &Policy,
        asked: &GroupIds,
        all: i64,
    ) -> Result<Vec<StagePreview>> {
        let now = self.now();
        let last_by_condition = policy.stages.iter().rposition(|stage| stage.condition.is_some());
        let (mut before, mut taken) = (StageFilter::default(), 0);
        let mut stages = Vec::with_capacity(policy.stages.len());
        for (index, stage) in policy.stages.iter().enumerate() {
            let devices = match (stage.percentage, &stage.condition) {
                (Some(percentage), _) => (share(percentage, all) - taken).max(0),
                (None, None) => 0,
                (None, Some(condition)) => {
                    let selection = self.stored_condition(condition, asked, now).await?;
                    self.matching(turn, target, &mut before, selection).await?
                }
            };
            // Who those were matters only to a stage by condition.
            if stage.percentage.is_some() && devices > 0 && last_by_condition.is_some_and(|last| index < last) {
                before.behind =
                    targets::nth(self.db.questions(turn), target, &before, shift(target.firmware), devices).await?;
            }
            taken += devices;
            stages.push(StagePreview { name: stage.name.clone(), devices: count(devices) });
        }
        Ok(stages)
    }

    /// What a stage by condition takes of what is left `before` it; afterwards that is gone, too.
    async fn matching(
        &self,
        turn: &Turn,
        target: &Target,
        before: &mut StageFilter,
        selection: Selection,
    ) -> Result<i64> {
        before.only = Some(selection.clone());
        let devices = targets::count(self.db.questions(turn), target, before).await?;
        before.only = None;
        before.not.push(selection);
        Ok(devices)
    }

    async fn exclusions(
        &self,
        turn: &Turn,
        target: &Target,
        reach: &Reach,
        needs: &Needs,
        rows: &[ReasonRow],
    ) -> Result<Vec<ExclusionPreview>> {
        let mut exclusions = Vec::new();
        for reason in Exclusion::ALL {
            let Some(row) = rows.iter().find(|row| row.reason == Some(*reason)) else { continue };
            let sample = targets::excluded(self.db.questions(turn), target, reach, Some(*reason), None, SAMPLE).await?;
            exclusions.push(ExclusionPreview {
                reason: *reason,
                explanation: explain(*reason).to_owned(),
                devices: count(row.devices),
                sample: self.excluded_views(target, needs, sample).await?,
            });
        }
        Ok(exclusions)
    }

    async fn excluded_views(
        &self,
        target: &Target,
        needs: &Needs,
        rows: Vec<ExcludedRow>,
    ) -> Result<Vec<ExcludedDevice>> {
        let dependent = rows.iter().filter(|row| row.reason == Exclusion::Dependency).map(|row| row.id);
        let dependent: Vec<DeviceId> = dependent.collect();
        let components = device_components::of_devices(&self.db, target.tenant, &dependent).await?;
        let view = |row: ExcludedRow| ExcludedDevice {
            detail: needs.detail(target, &row, &components),
            device_id: row.id,
            hardware_id: row.hardware_id,
            device_type: row.device_type,
            version: row.version,
            reason: row.reason,
        };
        Ok(rows.into_iter().map(view).collect())
    }
}

/// A reason for a person.
pub(crate) const fn explain(reason: Exclusion) -> &'static str {
    match reason {
        Exclusion::WrongType => "the firmware is for another device type",
        Exclusion::NotInGroup => "it is in none of the target groups",
        Exclusion::Condition => "the target condition is false for it",
        Exclusion::SameVersion => "it runs this firmware already",
        Exclusion::NewerVersion => "it runs something newer",
        Exclusion::FromVersion => "the firmware cannot be installed over what it runs",
        Exclusion::Dependency => "a component that the firmware depends on is missing or has another version",
    }
}

/// A plan as it would be carried out at this moment.
struct Planned {
    target: Target,
    needs: Needs,
    /// The groups that its conditions ask for.
    asked: GroupIds,
}

/// What a device has to run before it may have the firmware.
struct Needs {
    min_version: Option<Version>,
    others: Vec<(ComponentName, Version, Option<Version>)>,
}

impl Needs {
    fn of(firmware: &FirmwareRow) -> Result<Self> {
        let manifest = Manifest::parse(&firmware.manifest);
        let manifest = manifest.map_err(|error| Error::internal("read a stored manifest", error))?;
        let others = manifest.dependencies.into_iter().map(|one| (one.component, one.min_version, one.below_version));
        Ok(Self { min_version: manifest.min_version, others: others.collect() })
    }

    /// What of this device is the cause.
    fn detail(&self, target: &Target, row: &ExcludedRow, components: &[DeviceComponentRow]) -> String {
        let runs = row.version.as_ref().map_or_else(|| "nothing known".to_owned(), ToString::to_string);
        match row.reason {
            Exclusion::WrongType => format!("is a {}; the firmware is for {}", row.device_type, target.device_type),
            Exclusion::NotInGroup | Exclusion::Condition => explain(row.reason).to_owned(),
            Exclusion::SameVersion => format!("runs {runs}"),
            Exclusion::NewerVersion => format!("runs {runs}; the firmware is {}", target.version),
            Exclusion::FromVersion => {
                let least =
                    self.min_version.as_ref().map_or_else(String::new, |least| format!("; needs {least} first"));
                format!("runs {runs}{least}")
            }
            Exclusion::Dependency => self.unmet(row.id, components),
        }
    }

    fn unmet(&self, device: DeviceId, components: &[DeviceComponentRow]) -> String {
        let mut unmet = Vec::new();
        for (component, least, below) in &self.others {
            let runs = components.iter().find(|row| row.device_id == device && row.component == *component);
            let version = runs.and_then(|row| row.version.as_ref());
            let fits = |version: &Version| version >= least && below.as_ref().is_none_or(|below| version < below);
            if version.is_some_and(fits) {
                continue;
            }
            let found = version.map_or_else(|| "is missing".to_owned(), |version| format!("is {version}"));
            let below = below.as_ref().map_or_else(String::new, |below| format!(", below {below}"));
            unmet.push(format!("{component} {found}; needs {least} or newer{below}"));
        }
        unmet.join("; ")
    }
}

fn shares(rows: Vec<ShareRow>, all: i64, taken: i64) -> PreviewShares {
    let named: i64 = rows.iter().map(|row| row.devices).sum();
    let named_taken: i64 = rows.iter().map(|row| row.taken).sum();
    let item = |row: ShareRow| PreviewShare { name: row.name, devices: count(row.devices), taken: count(row.taken) };
    PreviewShares {
        items: rows.into_iter().map(item).collect(),
        other_devices: count(all - named),
        other_taken: count(taken - named_taken),
    }
}

/// Devices came and went between two questions where that would be negative.
fn count(devices: i64) -> u64 {
    u64::try_from(devices).unwrap_or(0)
}

//! What `drover rollout create` and `update` take.

use clap::Args;
use drover_api::{RolloutCreate, RolloutUpdate, StageCreate};
use drover_types::{BreachAction, Exclusion, Version};

use crate::CliError;
use crate::client::Client;
use crate::command::ListArgs;
use crate::parse::{HumanDuration, Share, StageArg};
use crate::resolve;

/// The plan of a rollout.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Cumulative percentage, with soak time, start time and name: 20, 50:soak=10m; once per stage, the last one 100. Or
    /// a condition, as the last option: soak=1h,where=CONDITION takes all devices for which it holds
    #[arg(long = "stage", value_name = "PERCENT[:soak=..,start=..,name=..]")]
    stages: Vec<StageArg>,
    /// Only members of these groups: ids or names; may be given more than once
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Only devices for which this condition holds, in CEL: 'device.attr.region == "eu"'
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Share of a stage's devices that must succeed before the next stage opens; 95% when not given
    #[arg(long, value_name = "SHARE")]
    success_threshold: Option<Share>,
    /// Share of a stage's finished devices whose failure trips the gate; 20% when not given
    #[arg(long, value_name = "SHARE")]
    rollback_threshold: Option<Share>,
    /// Finished devices before the gate may trip; 10 when not given (in a smaller stage: all of it)
    #[arg(long, value_name = "N")]
    min_sample: Option<u32>,
    /// What happens when the gate trips: pause (when not given), cancel or rollback
    #[arg(long, value_name = "ACTION")]
    on_breach: Option<BreachAction>,
    /// How many devices may be at work at once
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
    /// Silence after which a device at work counts as failed; 1d when not given
    #[arg(long, value_name = "DURATION")]
    session_timeout: Option<HumanDuration>,
}

/// A new rollout.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub(super) body: BodyArgs,
    /// Start it right away
    #[arg(long)]
    pub(super) start: bool,
}

/// What a rollout would do.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    pub(super) body: BodyArgs,
    /// List the devices that it would leave out, each with the reason
    #[arg(long)]
    pub(super) excluded: bool,
    /// List only those left out for this reason
    #[arg(long, value_name = "REASON", requires = "excluded")]
    pub(super) reason: Option<Exclusion>,
    #[command(flatten)]
    pub(super) list: ListArgs,
}

/// What a rollout is made of.
#[derive(Debug, Args)]
pub(super) struct BodyArgs {
    /// A published firmware: id, TYPE@VERSION or TYPE/COMPONENT@VERSION
    #[arg(long)]
    firmware: String,
    /// Its name; the firmware's when not given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    plan: PlanArgs,
}

/// What to change.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Id or name
    pub(super) rollout: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// Remove the condition: the rollout is for all devices of the type, or of its groups
    #[arg(long, conflicts_with = "condition")]
    no_where: bool,
    #[command(flatten)]
    plan: PlanArgs,
}

impl BodyArgs {
    /// One stage with all devices when none is given.
    pub(super) async fn into_body(self, client: &Client) -> Result<RolloutCreate, CliError> {
        let firmware = resolve::firmware(client, &self.firmware).await?;
        let target_groups = resolve::groups(client, &self.plan.groups).await?;
        let plan = self.plan;
        let mut stages: Vec<_> = plan.stages.into_iter().map(|StageArg(stage)| stage).collect();
        if stages.is_empty() {
            stages.push(StageCreate { percentage: Some(100), ..StageCreate::default() });
        }
        Ok(RolloutCreate {
            name: self.name.unwrap_or_else(|| usual_name(&firmware.name, &firmware.version)),
            firmware_id: firmware.id,
            stages,
            target_groups,
            target_condition: plan.condition,
            success_threshold: plan.success_threshold.map(Share::as_fraction),
            rollback_threshold: plan.rollback_threshold.map(Share::as_fraction),
            min_sample: plan.min_sample,
            on_breach: plan.on_breach,
            max_in_flight: plan.max_in_flight,
            session_timeout_ms: plan.session_timeout.map(HumanDuration::as_ms),
        })
    }
}

impl UpdateArgs {
    /// What is not given stays as it is.
    pub(super) async fn into_body(self, client: &Client) -> Result<RolloutUpdate, CliError> {
        let plan = self.plan;
        let target_groups =
            if plan.groups.is_empty() { None } else { Some(resolve::groups(client, &plan.groups).await?) };
        let stages: Vec<_> = plan.stages.into_iter().map(|StageArg(stage)| stage).collect();
        Ok(RolloutUpdate {
            name: self.name,
            stages: (!stages.is_empty()).then_some(stages),
            target_groups,
            target_condition: plan.condition,
            remove_target_condition: self.no_where,
            success_threshold: plan.success_threshold.map(Share::as_fraction),
            rollback_threshold: plan.rollback_threshold.map(Share::as_fraction),
            min_sample: plan.min_sample,
            on_breach: plan.on_breach,
            max_in_flight: plan.max_in_flight,
            session_timeout_ms: plan.session_timeout.map(HumanDuration::as_ms),
        })
    }
}

fn usual_name(firmware: &str, version: &Version) -> String {
    format!("{firmware} {version}").chars().take(100).collect()
}

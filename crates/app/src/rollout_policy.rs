//! From what a request says to a policy, and back.

use drover_api::{RolloutCreate, RolloutUpdate, StageCreate};
use drover_rollout::{Policy, StagePolicy};

use crate::{Error, Result};

/// Thirty days: what the API promises for soaking.
const SOAK_MAX_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// The policy that a request describes, checked.
pub(crate) fn from_request(body: &RolloutCreate) -> Result<Policy> {
    let mut policy = Policy { stages: stages(&body.stages)?, ..defaults()? };
    merge(
        &mut policy,
        &RolloutUpdate {
            success_threshold: body.success_threshold,
            rollback_threshold: body.rollback_threshold,
            min_sample: body.min_sample,
            on_breach: body.on_breach,
            max_in_flight: body.max_in_flight,
            session_timeout_ms: body.session_timeout_ms,
            ..RolloutUpdate::default()
        },
    )?;
    checked(policy)
}

/// The policy with a draft's changes, checked.
pub(crate) fn with_update(mut policy: Policy, body: &RolloutUpdate) -> Result<Policy> {
    merge(&mut policy, body)?;
    checked(policy)
}

fn merge(policy: &mut Policy, body: &RolloutUpdate) -> Result<()> {
    if let Some(new) = &body.stages {
        policy.stages = stages(new)?;
    }
    policy.success_threshold = body.success_threshold.unwrap_or(policy.success_threshold);
    policy.rollback_threshold = body.rollback_threshold.unwrap_or(policy.rollback_threshold);
    policy.min_sample = body.min_sample.unwrap_or(policy.min_sample);
    policy.on_breach = body.on_breach.unwrap_or(policy.on_breach);
    policy.max_in_flight = body.max_in_flight.or(policy.max_in_flight);
    policy.session_timeout_ms = body.session_timeout_ms.unwrap_or(policy.session_timeout_ms);
    Ok(())
}

/// The planner's own defaults: what it reads from a policy that says nothing.
fn defaults() -> Result<Policy> {
    parse(r#"{"stages": []}"#)
}

fn stages(stages: &[StageCreate]) -> Result<Vec<StagePolicy>> {
    let stages = (1..).zip(stages).map(|(number, stage)| {
        if stage.soak_ms > SOAK_MAX_MS {
            return Err(Error::field(format!("stages[{}].soak_ms", number - 1), "must be at most 30 days"));
        }
        Ok(StagePolicy {
            name: stage.name.clone().unwrap_or_else(|| format!("stage {number}")),
            percentage: stage.percentage,
            condition: stage.condition.clone(),
            start_time: stage.start_time,
            soak_ms: stage.soak_ms,
        })
    });
    stages.collect()
}

fn checked(policy: Policy) -> Result<Policy> {
    policy
        .validate()
        .map_err(|error| Error::field(error.field.clone(), error.problem.to_string()).with_source(error))?;
    Ok(policy)
}

/// A policy as it is stored.
pub(crate) fn parse(json: &str) -> Result<Policy> {
    serde_json::from_str(json).map_err(|error| Error::internal("read the rollout's policy", error))
}

/// A policy as it is stored.
pub(crate) fn to_json(policy: &Policy) -> Result<String> {
    serde_json::to_string(policy).map_err(|error| Error::internal("store the rollout's policy", error))
}

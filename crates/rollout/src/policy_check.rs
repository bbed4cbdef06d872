//! Whether a policy can be followed, and which field says otherwise.

use std::fmt::Display;

use crate::policy::{Policy, StagePolicy};

/// The most stages.
pub const MAX_STAGES: usize = 50;
/// The longest name of a stage, in characters.
pub const MAX_STAGE_NAME_CHARS: usize = 100;
/// The longest soak, in milliseconds: 90 days.
pub const MAX_SOAK_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
/// The shortest session time-out, in milliseconds.
pub const MIN_SESSION_TIMEOUT_MS: u64 = 1_000;
/// The longest session time-out, in milliseconds: 30 days.
pub const MAX_SESSION_TIMEOUT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// A policy cannot be followed: the first field that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PolicyError {
    /// The path of the field, for instance `stages[2].percentage`.
    pub field: String,
    /// What is wrong with it.
    pub problem: PolicyProblem,
}

/// What is wrong with a field of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// There are no stages, or too many.
    #[error("expected 1 to {MAX_STAGES} stages, found {count}")]
    StageCount {
        /// How many there are.
        count: usize,
    },
    /// The name is blank, too long or has control characters.
    #[error("expected a name of 1 to {MAX_STAGE_NAME_CHARS} visible characters")]
    StageName,
    /// It is not clear which devices the stage takes.
    #[error("expected either a percentage or a condition")]
    Selector,
    /// The rollout would end before it reached everyone.
    #[error("expected a percentage of 100 for the last stage: those that no condition chose have to come in the end")]
    LastByCondition,
    /// The number lies outside of its range.
    #[error("expected {expected}, found {found}")]
    OutOfRange {
        /// The range, in words.
        expected: &'static str,
        /// The number.
        found: String,
    },
    /// The stage does not go beyond the one before it.
    #[error("expected more than the {previous} of the stage before, found {found}; percentages are cumulative")]
    NotRising {
        /// The percentage of the stage before.
        previous: u8,
        /// The percentage of this stage.
        found: u8,
    },
    /// The rollout would end before it reached everyone.
    #[error("expected 100 for the last stage, found {found}; add a stage or raise this one")]
    LastBelowHundred {
        /// The percentage of the last stage.
        found: u8,
    },
}

impl Policy {
    /// Checks every range and that the stages rise to 100 per cent. Says the first field that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.validate_stages()?;
        // Written so that "not a number" fails, too.
        let success = self.success_threshold;
        in_range("success_threshold", (0.0..=1.0).contains(&success), "0 to 1", &success)?;
        let rollback = self.rollback_threshold;
        in_range("rollback_threshold", rollback > 0.0 && rollback <= 1.0, "more than 0 and up to 1", &rollback)?;
        in_range("min_sample", self.min_sample >= 1, "at least 1", &self.min_sample)?;
        if let Some(cap) = self.max_in_flight {
            in_range("max_in_flight", cap >= 1, "at least 1; pause the rollout to offer nothing", &cap)?;
        }
        let timeout_ms = self.session_timeout_ms;
        let is_timeout = (MIN_SESSION_TIMEOUT_MS..=MAX_SESSION_TIMEOUT_MS).contains(&timeout_ms);
        in_range("session_timeout_ms", is_timeout, "1 000 to 2 592 000 000 (30 days)", &timeout_ms)
    }

    fn validate_stages(&self) -> Result<(), PolicyError> {
        let count = self.stages.len();
        if count == 0 || count > MAX_STAGES {
            return Err(PolicyError { field: "stages".to_owned(), problem: PolicyProblem::StageCount { count } });
        }
        let mut previous = 0;
        for (index, stage) in self.stages.iter().enumerate() {
            previous = stage.validate(index, previous)?;
        }
        let field = || format!("stages[{}].percentage", count - 1);
        if self.stages[count - 1].percentage.is_none() {
            return Err(PolicyError { field: field(), problem: PolicyProblem::LastByCondition });
        }
        if previous < 100 {
            let problem = PolicyProblem::LastBelowHundred { found: previous };
            return Err(PolicyError { field: field(), problem });
        }
        Ok(())
    }
}

impl StagePolicy {
    /// Checks the stage at `index` that follows one with a percentage of `previous` (0: there is none) and returns the
    /// percentage that the next one has to exceed.
    fn validate(&self, index: usize, previous: u8) -> Result<u8, PolicyError> {
        let is_too_long = self.name.chars().nth(MAX_STAGE_NAME_CHARS).is_some();
        if self.name.trim().is_empty() || is_too_long || self.name.chars().any(char::is_control) {
            return Err(PolicyError { field: format!("stages[{index}].name"), problem: PolicyProblem::StageName });
        }
        let field = format!("stages[{index}].soak_ms");
        in_range(&field, self.soak_ms <= MAX_SOAK_MS, "0 to 7 776 000 000 (90 days)", &self.soak_ms)?;
        let field = format!("stages[{index}].percentage");
        let percentage = match (self.percentage, &self.condition) {
            (Some(percentage), None) => percentage,
            (None, Some(_)) => return Ok(previous),
            (Some(_), Some(_)) | (None, None) => {
                return Err(PolicyError { field, problem: PolicyProblem::Selector });
            }
        };
        in_range(&field, (1..=100).contains(&percentage), "1 to 100", &percentage)?;
        if percentage <= previous {
            return Err(PolicyError { field, problem: PolicyProblem::NotRising { previous, found: percentage } });
        }
        Ok(percentage)
    }
}

fn in_range(field: &str, holds: bool, expected: &'static str, found: &dyn Display) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    let problem = PolicyProblem::OutOfRange { expected, found: found.to_string() };
    Err(PolicyError { field: field.to_owned(), problem })
}

//! Stages that had room a moment ago, and whom their rollouts are for.
//!
//! What is kept only lets a device ask for its offer, together with others: then everything is looked at once more, while
//! the rollout is held still. So that there is no room, or that the rollout is for nobody, is never believed without a
//! new look.

use std::sync::Arc;
use std::time::Duration;

use drover_types::{RolloutId, Timestamp};
use moka::sync::Cache;

use crate::targets::RolloutTarget;

/// How long after a look it is believed.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Stages that are kept: those that devices asked for last.
const STAGES_MAX: u64 = 1_024;

/// A stage that had room.
#[derive(Debug)]
pub(super) struct OpenStage {
    /// Before it was looked at.
    pub(super) read_at: Timestamp,
    /// Whom the rollout is for; none for a way back, which is for those that it updated.
    pub(super) target: Option<RolloutTarget>,
}

/// What is kept, by rollout and stage.
pub(crate) struct OpenStages {
    by_place: Cache<(RolloutId, i64), Arc<OpenStage>>,
}

impl Default for OpenStages {
    fn default() -> Self {
        // Conditions are long at times: what is not asked for any more goes.
        Self { by_place: Cache::builder().max_capacity(STAGES_MAX).time_to_live(KEPT_FOR).build() }
    }
}

impl OpenStages {
    /// The stage, if it was looked at a moment ago and had room.
    pub(super) fn get(&self, place: (RolloutId, i64), now: Timestamp) -> Option<Arc<OpenStage>> {
        // A clock that was put back makes it old, never young.
        let is_new = |stage: &Arc<OpenStage>| stage.read_at <= now && now.since(stage.read_at) < KEPT_FOR;
        self.by_place.get(&place).filter(is_new)
    }

    pub(super) fn keep(&self, place: (RolloutId, i64), stage: &Arc<OpenStage>) {
        self.by_place.insert(place, Arc::clone(stage));
    }

    /// It did not let a device in.
    pub(super) fn forget(&self, place: (RolloutId, i64)) {
        self.by_place.invalidate(&place);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_stage_is_kept_for_a_moment() {
        let at = |millis: i64| Timestamp::from_micros(millis * 1_000);
        let (stages, place) = (OpenStages::default(), (RolloutId(Uuid::max()), 2));
        stages.keep(place, &Arc::new(OpenStage { read_at: at(5_000), target: None }));
        assert_eq!(
            [4_999, 5_000, 5_999, 6_000].map(|now| stages.get(place, at(now)).is_some()),
            [false, true, true, false]
        );
        assert!(stages.get((place.0, 1), at(5_000)).is_none());
        stages.forget(place);
        assert!(stages.get(place, at(5_000)).is_none());
    }
}

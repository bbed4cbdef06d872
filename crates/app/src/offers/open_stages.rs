//! Stages that had room a moment ago, and whom their rollouts are for.
//!
//! What is kept only lets a device ask for its offer together with others. Then the rollout is held still, and its state,
//! its room and its target's groups are read once more; the condition itself changes with the rollout's epoch only. That
//! there is no room is never kept.

use std::sync::Arc;
use std::time::Duration;

use drover_types::{RolloutId, TenantId, Timestamp};
use moka::sync::Cache;

use crate::targets::RolloutTarget;

/// How long a stage is kept.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Stages that are kept, those that were asked for last. A target has at most 512 parts.
const STAGES_MAX: u64 = 256;

/// A stage of a rollout.
pub(super) type Place = (TenantId, RolloutId, i64);

/// A stage that had room.
#[derive(Clone)]
pub(super) struct OpenStage {
    /// Whom the rollout is for; none for a way back, which is for those that it updated.
    pub(super) target: Option<Arc<RolloutTarget>>,
}

/// What is kept.
pub(crate) struct OpenStages {
    /// With the moment from which each is kept.
    by_place: Cache<Place, (Timestamp, OpenStage)>,
}

impl Default for OpenStages {
    fn default() -> Self {
        Self { by_place: Cache::builder().max_capacity(STAGES_MAX).time_to_live(KEPT_FOR).build() }
    }
}

impl OpenStages {
    /// The stage, if it had room a moment ago.
    pub(super) fn get(&self, place: Place, now: Timestamp) -> Option<OpenStage> {
        let (kept_at, stage) = self.by_place.get(&place)?;
        // A clock that was put back makes it old, never young.
        (kept_at <= now && now.since(kept_at) < KEPT_FOR).then_some(stage)
    }

    pub(super) fn keep(&self, place: Place, stage: OpenStage, now: Timestamp) {
        self.by_place.insert(place, (now, stage));
    }

    /// It was closed to a device.
    pub(super) fn forget(&self, place: Place) {
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
        let (stages, rollout) = (OpenStages::default(), RolloutId(Uuid::max()));
        let place = (TenantId(Uuid::max()), rollout, 2);
        stages.keep(place, OpenStage { target: None }, at(5_000));
        let kept = [4_999, 5_000, 5_999, 6_000].map(|now| stages.get(place, at(now)).is_some());
        assert_eq!(kept, [false, true, true, false]);
        assert!(stages.get((place.0, rollout, 1), at(5_000)).is_none());
        assert!(stages.get((TenantId(Uuid::nil()), rollout, 2), at(5_000)).is_none());
        stages.forget(place);
        assert!(stages.get(place, at(5_000)).is_none());
    }
}

//! The rollout planner: pure decisions about stages, gates, time-outs and roll-back

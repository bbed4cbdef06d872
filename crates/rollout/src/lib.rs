//! The rollout planner: pure decisions about stages, gates, time-outs and roll-back.
//!
//! [`plan`] looks at a [`Policy`], a [`Snapshot`] and the time, and says what to do next. It does nothing itself:
//! a driver loads the snapshot, applies the decisions and asks again.
//!
//! # The life of a rollout
//!
//! 1. A *draft* does nothing. Started, it is *scheduled* until its first stage's start time, then *active*.
//! 2. A *waiting* stage opens once every earlier stage is done and its own start time has come. While it is *opening*
//!    the driver chooses its devices, up to the stage's cumulative share, and offers nothing; then it is *running*.
//! 3. Only a running stage of an active rollout offers: [`offer_slots`] says how many more sessions may be in flight.
//! 4. A session that is silent for too long is timed out, in every state of the rollout. That is a failure.
//! 5. The **failure gate** looks from `min_sample` ended sessions on (or when all of the stage ended). The **success
//!    gate** looks when all ended. A gate that trips fails the stage and pauses, cancels or rolls back the rollout.
//! 6. A stage whose gates held *soaks*, then has *passed*. A stage in which no session ended by itself (it is
//!    empty, or all were skipped or called off) passes at once. After the last one the rollout is *completed*.
//! 7. *Paused*, nothing new is offered, opened, judged or passed; sessions in flight finish. A person who resumes a
//!    rollout after a gate has overridden that gate: the failed stage offers its waiting sessions again, its gates look no
//!    more, and once all of it ended, without a soak, it counts as passed.
//! 8. *Cancelled*, waiting and merely offered sessions are called off; those in flight finish or time out.
//! 9. *Rolling back* does the same first. Then the devices that succeeded are taken back by a rollout of their own, made
//!    once; when that reached an end, or there is nothing to take back, the rollout is *rolled back*.
//! 10. A rollout of kind *rollback* has no gates: taking back goes on whatever fails, and completes when all ended.
//!
//! # What the driver owes the planner
//!
//! - It applies the decisions of one plan in their order, in one transaction, each by compare-and-set on the state that
//!   the snapshot showed. The order is safe even when a transaction is cut short: a tripped gate stops the rollout
//!   before it marks the stage, because a failed stage in an active rollout means that a person overrode the gate.
//! - One plan makes one step. While applying changed anything, it plans again from a new snapshot.
//! - It chooses devices for an opening stage only while the rollout is active or paused, so that nothing is added to
//!   a rollout that is winding down.

mod decision;
mod plan;
mod policy;
mod policy_check;
mod snapshot;

pub use decision::Decision;
pub use plan::{next_tick, offer_slots, plan};
pub use policy::{Policy, StagePolicy};
pub use policy_check::{
    MAX_SESSION_TIMEOUT_MS, MAX_SOAK_MS, MAX_STAGE_NAME_CHARS, MAX_STAGES, MIN_SESSION_TIMEOUT_MS, PolicyError,
    PolicyProblem,
};
pub use snapshot::{DueSession, MAX_DUE_SESSIONS, Snapshot, StageCounts, StageSnapshot};

//! The rollout planner: pure decisions about stages, gates, time-outs and roll-back.
//!
//! [`plan`] looks at a [`Policy`], a [`Snapshot`] and the time, and says what to do next. It does nothing itself:
//! a driver loads the snapshot, applies the decisions and asks again.
//!
//! # The life of a rollout
//!
//! 1. A *draft* does nothing. Started, it is *scheduled* until its first stage's start time, then *active*.
//! 2. A *waiting* stage opens once every earlier stage is done and its own start time has come. While it is *opening*
//!    the driver chooses its devices, up to the stage's cumulative share, or all that match its condition, and offers nothing; then it is *running*.
//! 3. Devices come when they come, some after weeks. A stage does not wait for all of them: it is *satisfied* once the
//!    share `success_threshold` of its sessions succeeded, leaving out those cancelled or skipped, and one at least. It
//!    *soaks*, then has *passed*, though some sessions, its *stragglers*, are pending or in flight. The share of a
//!    small target may be empty: such a stage passes at once.
//! 4. Stragglers go on: while the rollout is active, all stages offer that are running, soaking or passed, or failed
//!    and overridden. [`offer_slots`] says how many more sessions may be in flight; 0 when a gate would trip.
//! 5. A session that is silent for too long is timed out, in every state of the rollout. That is a failure.
//! 6. The **failure gate** looks at the current stage while it is running or soaking, from `min_sample` ended sessions
//!    on (or when all of the stage ended), and in the same way at the passed stages, whose stragglers may fail. The
//!    **success gate** looks at the current stage when all of it ended. A gate that trips fails the *current* stage,
//!    whichever stage it is about, and pauses, cancels or rolls back the rollout. Once all stages are done, gates look
//!    no more. (About a passed stage a gate can trip only if `rollback_threshold` is at most 1 − `success_threshold`.)
//!    A stage that has too many failures to be satisfied, but too few to trip a gate, waits for its stragglers or for
//!    a person.
//! 7. While the current stage is waiting or opening there is none to fail. A gate about a passed stage then cancels or
//!    rolls back just the rollout; one that pauses lets nothing be offered and trips once the stage is running. It
//!    would otherwise trip again whenever a person resumes, as nothing tells that they did.
//! 8. *Paused*, nothing new is offered, opened, judged or passed; sessions in flight finish. A person who resumes a
//!    rollout after a gate has overridden the gates of the failed stage and of all before it: they look no more, so a
//!    gate pauses a rollout at most once per stage. The failed stage offers its waiting sessions again, and the next
//!    one may open, without a soak, once the share `success_threshold` of it ended, whichever way.
//! 9. A stage that nobody ran proves nothing: one whose condition matched no device, or whose devices were all skipped
//!    or called off. It is failed and the rollout paused, whatever `on_breach` says, unless it is the last; a person
//!    who resumes goes on past it. Of a *rollback* it passes.
//! 10. The rollout is *completed* when all stages are done and all sessions ended, stragglers included. Devices that
//!     never come keep it active; a person may cancel it.
//! 11. *Cancelled*, waiting and merely offered sessions are called off; those in flight finish or time out.
//! 12. *Rolling back* does the same first. Then the devices that succeeded are taken back by a rollout of their own,
//!     made once; when that reached an end, or there is nothing to take back, the rollout is *rolled back*.
//! 13. A rollout of kind *rollback* has no gates: taking back goes on whatever fails, and passes its stage when all
//!     ended.
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
mod gate;
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

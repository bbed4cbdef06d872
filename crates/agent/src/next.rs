//! What to do now: a pure function of the journal and of what is really on the disk.
//!
//! Where the two differ, the disk holds. Every action may be done again after it was cut off. After `Ended` with
//! `Succeeded` nothing goes back any more, whatever becomes of the report.

use std::collections::BTreeSet;

use drover_protocol::Failure;
use drover_types::{FailureClass, Sha256Digest};

use crate::failure::failure;
use crate::journal::{Outcome, Step, Update};

/// A new version is tried so many times when the agent is cut off while it tests.
pub const MAX_ATTEMPTS: u32 = 3;
/// The agent is told to stop so many times while it tests before that counts as being cut off: a new version may be
/// what stops it.
pub const MAX_STOPS: u32 = 10;

/// What came back is activated so many times in a row. If it never starts, the update ends and is reported all the same,
/// and from then on it is tried now and then.
pub const MAX_REACTIVATIONS: u32 = 5;

/// What is on the disk of one component.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct World {
    /// Where `NEW` points.
    pub new: Option<Sha256Digest>,
    /// Where `CURRENT` points.
    pub current: Option<Sha256Digest>,
    /// Where `OLD` points.
    pub old: Option<Sha256Digest>,
    /// Something that the agent did not make is in the place of `CURRENT`.
    pub foreign_current: bool,
    /// What runs has to be activated, though no update is under way, and it is time to try.
    pub owes_activation: bool,
    /// Slots that are whole.
    pub slots: BTreeSet<Sha256Digest>,
    /// All artifacts of the update are there under their names.
    pub downloaded: bool,
    /// There is something that nobody needs once no update is under way.
    pub litter: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Idle,
    /// Write another step into the journal.
    Record(Step),
    /// Check the slot that is there already, and remove it when it is wrong.
    CheckSlot,
    /// Fetch the artifacts.
    Download,
    /// Make the slot.
    Unpack,
    /// Point `NEW` at the release.
    PointNew,
    /// Ask the server whether to go on.
    Confirm,
    /// Point `OLD` there.
    PointOld(Sha256Digest),
    /// Point `CURRENT` there.
    PointCurrent(Sha256Digest),
    /// Remove `CURRENT`.
    RemoveCurrent,
    /// Activate, test and watch the release.
    Test,
    /// Activate what runs again now.
    Reactivate,
    /// Note that what will run has to be activated, though no update is under way.
    OweActivation,
    /// Activate what runs, as was noted.
    Activate,
    /// Queue the final report.
    Report,
    /// Remove `NEW`.
    RemoveNew,
    /// Remove what nobody needs.
    CleanUp,
    /// Remove the journal.
    Forget,
}

/// How an action ended that the journal has to know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The slot that was there already is right.
    SlotHolds,
    /// All artifacts are there.
    Downloaded,
    /// The slot is there.
    Unpacked,
    /// The server says go on, or may not be asked before the offer expires.
    Confirmed,
    /// The server says stop.
    Stopped,
    /// It failed before the switch.
    Failed(Failure),
    /// The new version passed.
    Passed,
    /// The new version did not pass.
    Refuted(Failure),
    /// What runs again was activated.
    Reactivated,
    /// The final report is queued.
    Reported,
}

/// What to do now.
pub fn next(update: Option<&Update>, world: &World) -> Action {
    let Some(update) = update else { return without_journal(world) };
    let release = update.release;
    let slot_is_whole = world.slots.contains(&release);
    match &update.step {
        Step::Downloading if slot_is_whole => Action::CheckSlot,
        Step::Downloading => Action::Download,
        Step::Unpacking if slot_is_whole => Action::Record(Step::Staging),
        Step::Unpacking if world.downloaded => Action::Unpack,
        Step::Unpacking => Action::Record(Step::Downloading),
        Step::Staging | Step::Confirming if !slot_is_whole => Action::Record(Step::Downloading),
        Step::Staging if world.new == Some(release) => Action::Record(Step::Confirming),
        Step::Staging => Action::PointNew,
        Step::Confirming if world.new == Some(release) => Action::Confirm,
        Step::Confirming => Action::Record(Step::Staging),
        Step::Switching => switch(update, world, slot_is_whole),
        Step::Testing => test(update, world),
        Step::RollingBack { .. } => roll_back(update, world),
        Step::Ended { .. } => end(update, world),
    }
}

/// What an update to `release` goes back to: what runs, when it is whole and another release; otherwise a whole `OLD`.
pub fn previous(release: Sha256Digest, world: &World) -> Option<Sha256Digest> {
    first_whole([world.current, world.old], release, world)
}

fn first_whole(candidates: [Option<Sha256Digest>; 2], release: Sha256Digest, world: &World) -> Option<Sha256Digest> {
    candidates.into_iter().flatten().find(|slot| *slot != release && world.slots.contains(slot))
}

fn switch(update: &Update, world: &World, slot_is_whole: bool) -> Action {
    if world.current == Some(update.release) {
        return Action::Record(Step::Testing);
    }
    if !slot_is_whole {
        let cause = failure(FailureClass::Install, "slot_vanished", "the slot vanished before the switch");
        return Action::Record(Step::Ended { outcome: Outcome::Failed { cause } });
    }
    if world.foreign_current {
        let message = "something that is not the agent's is in the place of CURRENT; remove it";
        let cause = failure(FailureClass::Precondition, "foreign_current", message);
        return Action::Record(Step::Ended { outcome: Outcome::Failed { cause } });
    }
    let runs = world.current.filter(|current| world.slots.contains(current));
    match update.previous {
        Some(previous) if runs == Some(previous) && world.old != Some(previous) => Action::PointOld(previous),
        _ => Action::PointCurrent(update.release),
    }
}

fn test(update: &Update, world: &World) -> Action {
    let refuted = |code, message: &str| {
        let cause = failure(FailureClass::Crash, code, message);
        Action::Record(Step::RollingBack { cause })
    };
    if world.current != Some(update.release) || !world.slots.contains(&update.release) {
        return refuted("slot_vanished", "the new version vanished while it was tested");
    }
    if update.attempt >= MAX_ATTEMPTS {
        return refuted("interrupted", &format!("the agent was cut off {MAX_ATTEMPTS} times while it tested"));
    }
    if update.stops >= MAX_STOPS {
        return refuted("interrupted", &format!("the agent was told to stop {MAX_STOPS} times while it tested"));
    }
    Action::Test
}

fn roll_back(update: &Update, world: &World) -> Action {
    if world.current.is_some_and(|current| current != update.release && world.slots.contains(&current)) {
        return reactivate(update, world);
    }
    match first_whole([update.previous, world.old], update.release, world) {
        Some(way_back) => Action::PointCurrent(way_back),
        // Nothing was there before, so nothing is again.
        None if world.current.is_some() && update.previous.is_none_or(|previous| previous == update.release) => {
            Action::RemoveCurrent
        }
        // The way back is lost with the disk it was on: a doubtful version is better than none.
        None => reactivate(update, world),
    }
}

/// What came back must not stand still because it did not start at the first try: the application would be gone until
/// somebody comes. Nor may it keep the server from hearing how the update ended.
fn reactivate(update: &Update, world: &World) -> Action {
    match &update.step {
        Step::RollingBack { .. } if update.reactivations < MAX_REACTIVATIONS => Action::Reactivate,
        Step::RollingBack { .. } if !world.owes_activation => Action::OweActivation,
        Step::RollingBack { cause } => {
            let cause = cause.clone();
            Action::Record(Step::Ended { outcome: Outcome::RolledBack { cause } })
        }
        _ => Action::Idle,
    }
}

fn end(update: &Update, world: &World) -> Action {
    // NEW goes first: without a journal, NEW beside CURRENT means that CURRENT was not proven yet.
    if world.new.is_some() {
        Action::RemoveNew
    } else if !update.reported {
        Action::Report
    } else if world.litter {
        Action::CleanUp
    } else {
        Action::Forget
    }
}

/// No update is under way, or its journal is lost.
fn without_journal(world: &World) -> Action {
    let way_back = world.old.filter(|old| world.slots.contains(old) && world.current != Some(*old));
    let runs = world.current.is_some_and(|current| world.slots.contains(&current));
    let is_unproven = world.new.is_some() && world.new == world.current;
    let goes_back = !world.foreign_current && (!runs || is_unproven);
    match way_back {
        Some(_) if goes_back && !world.owes_activation => Action::OweActivation,
        Some(old) if goes_back => Action::PointCurrent(old),
        _ if world.owes_activation => Action::Activate,
        _ if world.new.is_some() => Action::RemoveNew,
        _ if world.litter => Action::CleanUp,
        _ => Action::Idle,
    }
}

/// The journal after an action. Only the step, the number of tries and whether the end is queued change.
pub fn conclude(update: &Update, ending: Ending) -> Update {
    let step = match ending {
        Ending::SlotHolds | Ending::Unpacked => Step::Staging,
        Ending::Downloaded => Step::Unpacking,
        Ending::Confirmed => Step::Switching,
        Ending::Stopped => Step::Ended { outcome: Outcome::Cancelled },
        Ending::Failed(cause) => Step::Ended { outcome: Outcome::Failed { cause } },
        Ending::Passed => Step::Ended { outcome: Outcome::Succeeded },
        Ending::Refuted(cause) => Step::RollingBack { cause },
        Ending::Reactivated => match &update.step {
            Step::RollingBack { cause } => Step::Ended { outcome: Outcome::RolledBack { cause: cause.clone() } },
            other => other.clone(),
        },
        Ending::Reported => return Update { reported: true, ..update.clone() },
    };
    Update { step, ..update.clone() }
}

/// The journal before a test: the try counts from its beginning.
pub fn begin_test(update: &Update) -> Update {
    Update { attempt: update.attempt + 1, ..update.clone() }
}

/// The journal before what came back is activated: the try counts from its beginning.
pub fn begin_reactivation(update: &Update) -> Update {
    Update { reactivations: update.reactivations.saturating_add(1), ..update.clone() }
}

/// The journal after the agent was told to stop in a test that began with `update`: this try was not cut off.
pub fn stop_test(update: &Update) -> Update {
    Update { stops: update.stops.saturating_add(1), ..update.clone() }
}

#[cfg(test)]
mod tests;

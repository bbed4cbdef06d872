//! States and their legal transitions.

use crate::text_enum::text_enum;

text_enum! {
    /// How a device is doing, as source 002 lists it.
    DeviceStatus, "device status" {
        /// Nothing to do.
        Idle = "idle",
        /// An update is on its way.
        Updating = "updating",
        /// The last update failed.
        Failed = "failed",
        /// The last update succeeded.
        Success = "success",
    }
}

text_enum! {
    /// A firmware is prepared, then offered to rollouts.
    FirmwareState, "firmware state" {
        /// Its artifacts may still be missing.
        Draft = "draft",
        /// Complete and verified; rollouts may use it.
        Published = "published",
    }
}

text_enum! {
    /// What changed, for the nodes that keep it in memory.
    ChangeKind, "kind of change" {
        /// A device: its tokens may be void, it may have something to do.
        Device = "device",
        /// A rollout: its waiting devices may have something to do.
        Rollout = "rollout",
    }
}

text_enum! {
    /// What bytes that come in parts are for.
    UploadKind, "upload kind" {
        /// An artifact of a firmware.
        Artifact = "artifact",
        /// An object with a name of one's own choice.
        Object = "object",
    }
}

text_enum! {
    /// The state of bytes that come in parts.
    UploadState, "upload state" {
        /// Parts may come.
        Open = "open",
        /// All parts are there; the whole is being read back.
        Verifying = "verifying",
        /// The whole is what was announced, and has its name.
        Complete = "complete",
        /// The whole is not what was announced; nothing of it is left.
        Failed = "failed",
        /// Given up; nothing of it is left.
        Aborted = "aborted",
    }
}

impl UploadState {
    /// Nothing happens any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Aborted)
    }
}

text_enum! {
    /// Why a rollout exists.
    RolloutKind, "rollout kind" {
        /// It takes devices to a firmware.
        Update = "update",
        /// It takes devices back to where another rollout found them.
        Rollback = "rollback",
    }
}

text_enum! {
    /// What a rollout does when its failure gate trips.
    BreachAction, "breach action" {
        /// Offer nothing more and wait for a person.
        Pause = "pause",
        /// Offer nothing more, for good.
        Cancel = "cancel",
        /// Offer nothing more and take updated devices back.
        Rollback = "rollback",
    }
}

text_enum! {
    /// The state of a rollout.
    RolloutState, "rollout state" {
        /// Being written; nothing happens.
        Draft = "draft",
        /// Started; its first stage waits for its time.
        Scheduled = "scheduled",
        /// Stages open and devices are offered the firmware.
        Active = "active",
        /// Nothing new is offered; running sessions finish.
        Paused = "paused",
        /// All stages passed.
        Completed = "completed",
        /// Stopped for good by a person or a gate.
        Cancelled = "cancelled",
        /// Running sessions end, then updated devices return to where they came from.
        RollingBack = "rolling_back",
        /// Updated devices were taken back.
        RolledBack = "rolled_back",
    }
}

impl RolloutState {
    /// Nothing happens any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::RolledBack)
    }

    /// The driver has to look at it.
    pub const fn is_driven(self) -> bool {
        matches!(self, Self::Scheduled | Self::Active | Self::Paused | Self::RollingBack)
    }

    /// Whether a rollout in this state may become `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Draft => matches!(next, Self::Scheduled | Self::Active | Self::Cancelled),
            Self::Scheduled => matches!(next, Self::Active | Self::Paused | Self::Cancelled),
            Self::Active => {
                matches!(next, Self::Paused | Self::Completed | Self::Cancelled | Self::RollingBack)
            }
            Self::Paused => matches!(next, Self::Active | Self::Scheduled | Self::Cancelled | Self::RollingBack),
            // A person may take back what a finished or stopped rollout installed.
            // Also: a way back that was over takes one more device, which came back late.
            Self::Completed => matches!(next, Self::RollingBack | Self::Active),
            // What was taken back: a device that came back late has to go back as well, and it is the first one.
            Self::Cancelled | Self::RolledBack => matches!(next, Self::RollingBack),
            Self::RollingBack => matches!(next, Self::RolledBack),
        }
    }
}

text_enum! {
    /// The state of a stage.
    StageState, "stage state" {
        /// Earlier stages, or its start time, come first.
        Waiting = "waiting",
        /// Its devices are being chosen; nothing is offered yet.
        Opening = "opening",
        /// Its devices are offered the firmware.
        Running = "running",
        /// Enough devices succeeded; waiting whether it lasts.
        Soaking = "soaking",
        /// Done.
        Passed = "passed",
        /// Its failure gate tripped.
        Failed = "failed",
    }
}

impl StageState {
    /// Whether a stage in this state may become `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => matches!(next, Self::Opening),
            Self::Opening => matches!(next, Self::Running),
            Self::Running => matches!(next, Self::Soaking | Self::Passed | Self::Failed),
            Self::Soaking => matches!(next, Self::Passed | Self::Failed),
            Self::Passed | Self::Failed => false,
        }
    }
}

text_enum! {
    /// The state of an update session.
    SessionState, "update session state" {
        /// Chosen; not offered yet.
        Pending = "pending",
        /// The device has been told.
        Offered = "offered",
        /// The device fetches the artifacts.
        Downloading = "downloading",
        /// All bytes are on the device and verified.
        Downloaded = "downloaded",
        /// The device unpacks and switches.
        Installing = "installing",
        /// The device restarts into the new version.
        Rebooting = "rebooting",
        /// Self-test and watch.
        Validating = "validating",
        /// The new version runs and was confirmed.
        Succeeded = "succeeded",
        /// It failed before the switch; the old version never stopped.
        Failed = "failed",
        /// The new version failed; the device went back to the old one.
        RolledBack = "rolled_back",
        /// The device refused the offer.
        Rejected = "rejected",
        /// Called off before the device installed anything.
        Cancelled = "cancelled",
        /// The device fell silent.
        TimedOut = "timed_out",
        /// There was nothing to do (already at that version).
        Skipped = "skipped",
    }
}

impl SessionState {
    /// Nothing happens any more.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::RolledBack
                | Self::Rejected
                | Self::Cancelled
                | Self::TimedOut
                | Self::Skipped
        )
    }

    /// It counts as a failure for gates.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::RolledBack | Self::Rejected | Self::TimedOut)
    }

    /// The device is at work on it, or was told to be.
    pub const fn is_in_flight(self) -> bool {
        !self.is_final() && !matches!(self, Self::Pending)
    }

    /// How far along the way this state lies; the device only ever moves forward.
    const fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Offered => 1,
            Self::Downloading => 2,
            Self::Downloaded => 3,
            Self::Installing => 4,
            Self::Rebooting => 5,
            Self::Validating => 6,
            _ => 7,
        }
    }

    /// Whether a session in this state may become `next`. A device may skip states (its reports can be
    /// late or lost) but never goes back; one that fell silent may still tell how it ended.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            // A device that was given up on may come back and say how it really ended.
            (Self::TimedOut, _) => matches!(next, Self::Succeeded | Self::Failed | Self::RolledBack | Self::Rejected),
            (current, _) if current.is_final() => false,
            // After the switch there is something to go back from; calling off is too late.
            (Self::Installing | Self::Rebooting | Self::Validating, Self::Cancelled | Self::Skipped) => false,
            (Self::Pending, next) => matches!(next, Self::Offered | Self::Cancelled | Self::Skipped),
            (current, next) => next.rank() > current.rank(),
        }
    }
}

text_enum! {
    /// Source 002's shorter state of an update session.
    UpdateStatus, "update status" {
        /// Not started.
        Pending = "pending",
        /// Fetching.
        Downloading = "downloading",
        /// Installing.
        Installing = "installing",
        /// Testing.
        Validating = "validating",
        /// Done.
        Success = "success",
        /// Not done.
        Failed = "failed",
    }
}

impl SessionState {
    /// The shorter state of source 002; none for sessions that it does not count.
    pub const fn status(self) -> Option<UpdateStatus> {
        Some(match self {
            Self::Pending | Self::Offered => UpdateStatus::Pending,
            Self::Downloading | Self::Downloaded => UpdateStatus::Downloading,
            Self::Installing | Self::Rebooting => UpdateStatus::Installing,
            Self::Validating => UpdateStatus::Validating,
            Self::Succeeded => UpdateStatus::Success,
            Self::Failed | Self::RolledBack | Self::Rejected | Self::TimedOut => UpdateStatus::Failed,
            Self::Cancelled | Self::Skipped => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_session_states_stay_but_for_a_late_word_after_a_time_out() {
        for from in SessionState::ALL.iter().filter(|s| s.is_final() && **s != SessionState::TimedOut) {
            for to in SessionState::ALL {
                assert!(!from.may_become(*to), "{from} -> {to}");
            }
        }
        assert!(SessionState::TimedOut.may_become(SessionState::Succeeded));
        assert!(!SessionState::TimedOut.may_become(SessionState::Downloading));
    }

    #[test]
    fn a_session_never_goes_back_and_is_not_called_off_after_the_switch() {
        assert!(!SessionState::Downloaded.may_become(SessionState::Downloading));
        assert!(SessionState::Offered.may_become(SessionState::Validating));
        assert!(!SessionState::Installing.may_become(SessionState::Cancelled));
        assert!(!SessionState::Pending.may_become(SessionState::Succeeded));
    }

    #[test]
    fn every_rollout_state_can_reach_an_end() {
        for state in RolloutState::ALL {
            let ends = state.is_final() || RolloutState::ALL.iter().any(|next| state.may_become(*next));
            assert!(ends, "{state}");
        }
    }
}

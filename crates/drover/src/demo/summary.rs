//! How the demo ended, and whether that is how it should end.

use std::io::Write as _;
use std::time::Duration;

use comfy_table::{Table, presets};
use drover_api::RolloutCounts;
use drover_types::{RolloutState, SessionState};
use serde::Serialize;

use super::progress::Progress;
use super::scenario::DEVICES;
use crate::error::RunError;

/// How one rollout ended.
#[derive(Debug, Serialize)]
pub(super) struct RolloutOutcome {
    pub(super) what: String,
    pub(super) status: RolloutState,
    pub(super) counts: RolloutCounts,
}

/// How one device ended.
#[derive(Debug, Serialize)]
pub(super) struct DeviceOutcome {
    pub(super) hardware_id: String,
    pub(super) worn_sensor: bool,
    /// What the server believes that it runs.
    pub(super) reported: String,
    /// What lies in its `CURRENT`.
    pub(super) on_disk: String,
    /// How the bad release ended on it; none when it was never chosen.
    pub(super) bad_release: Option<SessionState>,
    pub(super) reason: Option<String>,
}

/// How everything ended.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    ok: bool,
    /// What is not as it should be.
    wrong: Vec<String>,
    seconds: f64,
    rollouts: Vec<RolloutOutcome>,
    devices: Vec<DeviceOutcome>,
}

impl Summary {
    pub(super) fn new(rollouts: Vec<RolloutOutcome>, devices: Vec<DeviceOutcome>, took: Duration) -> Self {
        let wrong = check(&rollouts, &devices);
        Self { ok: wrong.is_empty(), wrong, seconds: took.as_secs_f64(), rollouts, devices }
    }

    /// An error when anything is not as it should be.
    pub(super) fn verdict(&self) -> Result<(), RunError> {
        if self.ok { Ok(()) } else { Err(RunError::Demo(self.wrong.join("; "))) }
    }

    pub(super) fn print(&self, json: bool, progress: &Progress) -> Result<(), RunError> {
        if !json {
            progress.say(&self.text());
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| RunError::Demo(error.to_string()))?;
        writeln!(std::io::stdout(), "{text}").map_err(RunError::io("print the summary"))
    }

    fn text(&self) -> String {
        let mut devices = Table::new();
        devices.load_style(presets::UTF8_BORDERS_ONLY);
        devices.set_header(["device", "runs", "v1.2.0", "why"]);
        for device in &self.devices {
            devices.add_row([
                device.hardware_id.clone(),
                format!("v{}", device.on_disk),
                device.bad_release.map_or_else(|| "never offered".to_owned(), told),
                device.reason.clone().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
            ]);
        }
        let mut rollouts = Table::new();
        rollouts.load_style(presets::UTF8_BORDERS_ONLY);
        rollouts.set_header(["rollout", "ended as", "done", "failed"]);
        for rollout in &self.rollouts {
            let counts = &rollout.counts;
            let row = [
                rollout.what.clone(),
                rollout.status.to_string(),
                counts.succeeded.to_string(),
                counts.failed.to_string(),
            ];
            rollouts.add_row(row);
        }
        format!("\n{devices}\n{rollouts}\nDone in {:.1} s.", self.seconds)
    }
}

fn told(state: SessionState) -> String {
    match state {
        SessionState::RolledBack => "failed, went back by itself".to_owned(),
        SessionState::Succeeded => "worked, taken back by the server".to_owned(),
        other => other.to_string(),
    }
}

/// Everything that is not as the story tells it.
fn check(rollouts: &[RolloutOutcome], devices: &[DeviceOutcome]) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = [
        (RolloutState::Completed, DEVICES, 0),
        (RolloutState::Completed, DEVICES, 0),
        (RolloutState::RolledBack, 2, 2),
        (RolloutState::Completed, 2, 0),
    ];
    for (rollout, (status, succeeded, failed)) in rollouts.iter().zip(expected) {
        let counts = &rollout.counts;
        let fits = rollout.status == status
            && counts.succeeded == succeeded as u64
            && counts.failed == failed
            && counts.pending + counts.in_flight == 0;
        if !fits {
            wrong.push(format!("{}: {} with {counts:?}", rollout.what, rollout.status));
        }
    }
    if devices.len() != DEVICES {
        wrong.push(format!("{} devices instead of {DEVICES}", devices.len()));
    }
    for device in devices {
        if device.on_disk != "1.1.0" || device.reported != "1.1.0" {
            let DeviceOutcome { hardware_id, on_disk, reported, .. } = device;
            wrong.push(format!("{hardware_id} runs {on_disk:?} and is believed to run {reported:?}"));
        }
        let expected = if device.worn_sensor { SessionState::RolledBack } else { SessionState::Succeeded };
        if device.bad_release.is_some_and(|state| state != expected) {
            wrong.push(format!("{}: v1.2.0 ended as {:?}", device.hardware_id, device.bad_release));
        }
    }
    if devices.iter().filter(|device| device.bad_release.is_some()).count() != 4 {
        wrong.push("v1.2.0 was not offered to exactly four devices".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(status: RolloutState, succeeded: u64, failed: u64) -> RolloutOutcome {
        RolloutOutcome { what: "x".into(), status, counts: RolloutCounts { succeeded, failed, ..Default::default() } }
    }

    fn device(number: usize, bad_release: Option<SessionState>) -> DeviceOutcome {
        DeviceOutcome {
            hardware_id: format!("d{number}"),
            worn_sensor: bad_release == Some(SessionState::RolledBack),
            reported: "1.1.0".into(),
            on_disk: "1.1.0".into(),
            bad_release,
            reason: None,
        }
    }

    fn story() -> (Vec<RolloutOutcome>, Vec<DeviceOutcome>) {
        let rollouts = vec![
            rollout(RolloutState::Completed, 20, 0),
            rollout(RolloutState::Completed, 20, 0),
            rollout(RolloutState::RolledBack, 2, 2),
            rollout(RolloutState::Completed, 2, 0),
        ];
        let bad = |number| match number {
            0 | 1 => Some(SessionState::RolledBack),
            2 | 3 => Some(SessionState::Succeeded),
            _ => None,
        };
        (rollouts, (0..20).map(|number| device(number, bad(number))).collect())
    }

    #[test]
    fn the_story_as_told_is_fine_and_anything_else_is_not() {
        let (rollouts, devices) = story();
        assert_eq!(check(&rollouts, &devices), Vec::<String>::new());
        let (rollouts, mut devices) = story();
        devices[7].on_disk = "1.2.0".into();
        assert_eq!(check(&rollouts, &devices).len(), 1);
        let (mut rollouts, devices) = story();
        rollouts[2].status = RolloutState::Completed;
        assert_eq!(check(&rollouts, &devices).len(), 1);
    }
}

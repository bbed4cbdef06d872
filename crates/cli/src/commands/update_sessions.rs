//! The table of update sessions, of a device or of a rollout.

use drover_api::{Page, UpdateSession};

use crate::CliError;
use crate::output::{Output, optional, time};

const HEADER: [&str; 8] = ["DEVICE", "STAGE", "STATE", "PROGRESS", "FROM", "TO", "ENDED", "FAILURE"];

pub(super) fn print(page: &Page<UpdateSession>, out: &mut Output<'_>) -> Result<(), CliError> {
    out.list(page, &HEADER, |session| {
        vec![
            session.hardware_id.clone(),
            (session.stage + 1).to_string(),
            session.state.to_string(),
            format!("{} %", session.progress),
            optional(session.from_version.as_ref()),
            session.version.to_string(),
            time(session.completed_at),
            failure(session),
        ]
    })
}

fn failure(session: &UpdateSession) -> String {
    let class = session.failure_class.map(|class| class.to_string());
    let parts = [class, session.failure_code.clone(), session.error_message.clone()];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    // One line per session: devices may send long texts.
    text.lines().next().unwrap_or_default().chars().take(120).collect()
}

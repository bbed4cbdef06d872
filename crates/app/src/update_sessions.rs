//! How operators see update sessions.

use drover_api::UpdateSession;
use drover_store::update_sessions::UpdateSessionRow;

/// How operators see a session.
pub(crate) fn view(row: UpdateSessionRow) -> UpdateSession {
    let duration = match (row.started_at, row.completed_at) {
        (Some(started), Some(completed)) => Some(completed.since(started).as_secs()),
        _ => None,
    };
    UpdateSession {
        id: row.id,
        rollout_id: row.rollout_id,
        stage: u32::try_from(row.stage).unwrap_or(u32::MAX),
        device_id: row.device_id,
        hardware_id: row.hardware_id,
        component: row.component,
        firmware_id: row.firmware_id,
        version: row.version,
        from_version: row.from_version,
        state: row.state,
        status: row.state.status(),
        progress: u8::try_from(row.progress).unwrap_or(100),
        failure_class: row.failure_class,
        failure_code: row.failure_code,
        error_message: row.failure_message,
        started_at: row.started_at,
        completed_at: row.completed_at,
        duration,
    }
}

//! Old reader and new data, new reader and old data.

use drover_protocol::{CheckReply, Heartbeat, HeartbeatReply, StatusReport};
use drover_types::SessionState;

#[test]
fn an_old_reader_skips_fields_it_does_not_know() {
    let reply: CheckReply =
        serde_json::from_str(r#"{"poll_interval_ms": 30000, "a_later_field": {"x": 1}}"#).expect("readable");
    assert_eq!(reply, CheckReply { offer: None, poll_interval_ms: 30_000 });
}

#[test]
fn a_new_reader_has_defaults_for_what_an_old_writer_leaves_out() {
    let report: StatusReport =
        serde_json::from_str(r#"{"session_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "state": "downloading"}"#)
            .expect("readable");
    assert_eq!((report.state, report.progress, report.failure), (SessionState::Downloading, 0, None));
    let heartbeat: Heartbeat = serde_json::from_str(r#"{"components": [{"version": "1.0.0"}]}"#).expect("readable");
    assert_eq!(heartbeat.components[0].component.as_str(), "main");
    let reply: HeartbeatReply =
        serde_json::from_str(r#"{"server_time": "2026-01-01T00:00:00Z", "poll_interval_ms": 1}"#).expect("readable");
    assert_eq!(reply.server_pins, Vec::<String>::new());
}

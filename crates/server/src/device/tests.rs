use drover_protocol::{CHECK_PATH, HEARTBEAT_PATH, REGISTER_PATH, STATUS_PATH, VALIDATION_PATH};

/// Agents in the field know these paths.
#[test]
fn the_calls_are_where_devices_look_for_them() {
    let document = crate::openapi();
    let calls = [
        (CHECK_PATH, "update_check"),
        (STATUS_PATH, "status_report"),
        (VALIDATION_PATH, "validation_report"),
        (HEARTBEAT_PATH, "heartbeat"),
        (REGISTER_PATH, "device_register"),
    ];
    for (path, operation) in calls {
        let item = document.paths.paths.get(path).unwrap_or_else(|| panic!("nothing at {path}"));
        let found = item.get.as_ref().or(item.post.as_ref()).and_then(|found| found.operation_id.as_deref());
        assert_eq!(found, Some(operation), "{path}");
    }
}

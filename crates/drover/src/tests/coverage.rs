//! Every operation of the API for people can be reached from the command line.

use std::collections::BTreeMap;

use super::all_commands;

/// The operation and the command that calls it.
const REACHED: &[(&str, &str)] = &[
    ("api_key_create", "api-key create"),
    ("api_key_list", "api-key list"),
    ("api_key_revoke", "api-key revoke"),
    ("artifact_upload", "firmware publish"),
    ("audit_export", "audit export"),
    ("audit_list", "audit list"),
    ("auth_login", "login"),
    ("auth_login_revoke", "account end-login"),
    ("auth_logins", "account logins"),
    ("auth_logout", "logout"),
    ("auth_me", "whoami"),
    ("auth_password", "account password"),
    ("device_attributes", "device attributes"),
    ("device_attributes_change", "device attributes"),
    ("device_count", "device list"),
    ("device_delete", "device delete"),
    ("device_list", "device list"),
    ("device_tag_add", "device tag"),
    ("device_tag_remove", "device untag"),
    ("device_update", "device set"),
    ("device_updates", "device updates"),
    ("device_view", "device show"),
    ("enrolment_token_create", "enrolment-token create"),
    ("enrolment_token_list", "enrolment-token list"),
    ("enrolment_token_revoke", "enrolment-token revoke"),
    ("firmware_create", "firmware publish"),
    ("firmware_delete", "firmware delete"),
    ("firmware_download", "firmware download"),
    ("firmware_list", "firmware list"),
    ("firmware_publish", "firmware publish"),
    ("firmware_view", "firmware show"),
    ("grant_create", "grant add"),
    ("grant_delete", "grant remove"),
    ("grant_list", "grant list"),
    ("group_add", "group add"),
    ("group_create", "group create"),
    ("group_delete", "group delete"),
    ("group_devices", "group devices"),
    ("group_list", "group list"),
    ("group_move", "group move"),
    ("group_remove", "group remove"),
    ("group_update", "group update"),
    ("group_view", "group show"),
    ("healthz", "doctor"),
    ("object_list", "object list"),
    ("object_put", "object put"),
    ("presign", "presign"),
    ("readyz", "doctor"),
    ("release_key_create", "key add"),
    ("release_key_list", "key list"),
    ("release_key_revoke", "key revoke"),
    ("rollout_cancel", "rollout cancel"),
    ("rollout_create", "rollout create"),
    ("rollout_failures", "rollout failures"),
    ("rollout_list", "rollout list"),
    ("rollout_metrics", "rollout metrics"),
    ("rollout_pause", "rollout pause"),
    ("rollout_preview", "rollout preview"),
    ("rollout_preview_excluded", "rollout preview"),
    ("rollout_resume", "rollout resume"),
    ("rollout_rollback", "rollout rollback"),
    ("rollout_sessions", "rollout sessions"),
    ("rollout_start", "rollout start"),
    ("rollout_update", "rollout update"),
    ("rollout_view", "rollout show"),
    ("tenant_create", "tenant create"),
    ("tenant_delete", "tenant delete"),
    ("tenant_list", "tenant list"),
    ("tenant_update", "tenant rename"),
    ("tenant_view", "tenant show"),
    ("upload_abort", "upload abort"),
    ("upload_complete", "firmware publish"),
    ("upload_create", "firmware publish"),
    ("upload_list", "upload list"),
    ("upload_part_done", "firmware publish"),
    ("upload_part_put", "firmware publish"),
    ("upload_part_urls", "firmware publish"),
    ("upload_view", "upload show"),
    ("user_create", "user create"),
    ("user_delete", "user delete"),
    ("user_list", "user list"),
    ("user_reset_password", "user reset-password"),
    ("user_update", "user rename"),
    ("user_view", "user show"),
];

/// Operations that no command calls, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("auth_session", "for browsers, which hold a cookie; `drover whoami` asks auth_me"),
    ("auth_session_open", "for browsers, which get a cookie; `drover login` gets a token"),
    ("blob_get", "answers addresses that were signed; `drover presign` and `firmware download` use them"),
    (
        "device_attributes_replace",
        "for programs that know all of them; `device attributes` changes those that are named",
    ),
    ("health", "the same as healthz, for load balancers that ask for this name"),
    ("metrics", "for Prometheus"),
];

/// What devices call is not for people.
const OF_DEVICES: &str = "device side";

fn operations() -> BTreeMap<String, Vec<String>> {
    let document = drover_server::openapi().to_json().expect("the API is described");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let methods = document["paths"].as_object().into_iter().flatten().filter_map(|(_, methods)| methods.as_object());
    let operations = methods.flatten().filter_map(|(_, operation)| {
        let tags = operation["tags"].as_array()?.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        Some((operation["operationId"].as_str()?.to_owned(), tags))
    });
    operations.collect()
}

/// An operation that was added: give it a command, and a line above.
#[test]
fn every_operation_for_people_has_a_command() {
    let commands: Vec<String> = all_commands().into_iter().map(|(path, _)| path).collect();
    let operations = operations();
    assert!(operations.len() > 40, "{operations:?}");
    let mut faults = Vec::new();
    for (operation, _) in operations.iter().filter(|(_, tags)| !tags.iter().any(|tag| tag == OF_DEVICES)) {
        let exempt = EXEMPT.iter().any(|(known, _)| known == operation);
        match REACHED.iter().find(|(known, _)| known == operation) {
            Some(_) if exempt => faults.push(format!("{operation} is both reached and exempt")),
            Some((_, command)) if !commands.contains(&format!("drover {command}")) => {
                faults.push(format!("{operation}: there is no command drover {command}"));
            }
            None if !exempt => faults.push(format!("{operation} cannot be reached from the command line")),
            _ => {}
        }
    }
    let known = REACHED.iter().chain(EXEMPT).map(|(operation, _)| *operation);
    faults.extend(known.filter(|name| !operations.contains_key(*name)).map(|name| format!("{name} is no operation")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

//! What `drover doctor` and `drover config` say of set-ups.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::operator::Operator;
use crate::server::{Profile, Server, drover};

/// The findings, and whether the exit code says that all is well.
fn examine(folder: &Path, arguments: &[&str]) -> (Vec<Value>, bool) {
    let output = drover(folder).args(arguments).arg("--json").output().expect("drover starts");
    let findings = serde_json::from_slice(&output.stdout);
    let findings = findings.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (findings, output.status.success())
}

fn faults(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|finding| finding["level"] == "fail").collect()
}

/// Whether a check failed, with these words, and says what to do.
fn has_fault(findings: &[Value], name: &str, words: &str) -> bool {
    let fits = |finding: &&Value| {
        finding["name"] == name
            && finding["seen"].as_str().is_some_and(|seen| seen.contains(words))
            && finding["next"].as_str().is_some_and(|next| !next.is_empty())
    };
    faults(findings).iter().any(fits)
}

pub(crate) async fn healthy(profile: Profile) {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(profile, folder.path()).await;
    Operator::log_in(folder.path(), &server);
    let options: Vec<&str> = server.arguments().iter().map(String::as_str).collect();
    let (findings, is_well) = examine(folder.path(), &[&["doctor", "--server", &server.url][..], &options].concat());
    assert!(is_well && faults(&findings).is_empty(), "{findings:#?}");
    let seen = |name: &str| findings.iter().any(|finding| finding["name"] == name && finding["level"] == "ok");
    let names =
        ["data folder", "certificate", "address", "database", "schema", "clock", "duties", "devices", "objects"];
    for name in names.iter().chain(&["server"]) {
        assert!(seen(name), "{name}: {findings:#?}");
    }
    // This machine may be short of them.
    for name in ["disk", "open files"] {
        assert!(findings.iter().any(|finding| finding["name"] == name), "{name}: {findings:#?}");
    }
    let (findings, is_well) = examine(folder.path(), &[&["config", "check"][..], &options].concat());
    assert!(is_well, "{findings:#?}");
    let saved = server.back_up(&folder.path().join("backup.tar"));
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let (findings, _) = examine(folder.path(), &[&["doctor"][..], &options].concat());
    assert!(findings.iter().any(|finding| finding["name"] == "backup" && finding["level"] == "ok"), "{findings:#?}");
}

pub(crate) fn broken() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("secrets")).expect("a folder");
    let key = data.join("secrets/blob-url.key");
    std::fs::write(&key, "short").expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("opened up");
    std::fs::write(data.join("drover.db"), "this is no database, and longer than a head of one: ".repeat(9))
        .expect("written");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("an address").to_string();
    let data = data.display().to_string();
    let (findings, is_well) = examine(folder.path(), &["doctor", "--data", &data, "--listen", &listen]);
    assert!(!is_well);
    assert!(has_fault(&findings, "secrets", "others can read"), "{findings:#?}");
    assert!(has_fault(&findings, "secrets", "5 bytes"), "{findings:#?}");
    assert!(has_fault(&findings, "database", "drover.db"), "{findings:#?}");
    assert!(has_fault(&findings, "address", "taken by another program"), "{findings:#?}");

    let file = folder.path().join("drover.toml");
    std::fs::write(&file, "pol_max = 20\n").expect("written");
    let file = file.display().to_string();
    let (findings, is_well) = examine(folder.path(), &["config", "check", "--config", &file]);
    assert!(!is_well && has_fault(&findings, "settings", "did you mean pool_max?"), "{findings:#?}");

    let mix = ["--database", "postgres://127.0.0.1:1/x", "--blobs", "file:/tmp/x"];
    let empty = folder.path().join("empty").display().to_string();
    let (findings, _) = examine(folder.path(), &[&["config", "check", "--data", &empty][..], &mix].concat());
    assert!(has_fault(&findings, "back-ends", "sqlite: with file:"), "{findings:#?}");
    assert!(!Path::new(&empty).exists(), "looking makes nothing");

    let nobody =
        ["--database", "postgres://u:s3cr3t@127.0.0.1:1/x", "--blobs", "s3://bucket?endpoint=http://127.0.0.1:1"];
    let (findings, _) = examine(folder.path(), &[&["config", "check", "--data", &empty][..], &nobody].concat());
    assert!(has_fault(&findings, "database", "cannot connect"), "{findings:#?}");
    assert!(has_fault(&findings, "objects", "s3://bucket"), "{findings:#?}");
    assert!(!format!("{findings:?}").contains("s3cr3t"), "{findings:#?}");
}

pub(crate) fn settings_shown() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("drover.toml");
    std::fs::write(&file, "check_per_minute = 7\n").expect("written");
    let output = drover(folder.path())
        .args(["config", "show", "--json", "--pool-max", "20", "--data", "/srv/x", "--config"])
        .arg(&file)
        .env("DROVER_DATABASE", "postgres://fleet:s3cr3t@db/fleet")
        .env("PRESIGN_API_KEYS", "s3cr3t-key")
        .output()
        .expect("drover starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("s3cr3t"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let settings: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    for (name, value, source) in [
        ("check_per_minute", "7", "file"),
        ("pool_max", "20", "flag"),
        ("database", "postgres://fleet:(hidden)@db/fleet", "DROVER_DATABASE"),
        ("presign_api_keys", "(hidden)", "PRESIGN_API_KEYS"),
        ("stranger_per_minute", "100", "default"),
    ] {
        let found = settings.iter().find(|setting| setting["name"] == name).expect("the setting is shown");
        assert_eq!((found["value"].as_str(), found["source"].as_str()), (Some(value), Some(source)), "{found}");
    }
}

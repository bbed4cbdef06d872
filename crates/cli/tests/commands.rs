//! Commands as they are typed, against a small server of the test's own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use clap::{CommandFactory as _, Parser};
use drover_cli::{CliError, Command, GlobalArgs, PromptError, Terminal};
use drover_trust::{Manifest, PrivateKey, sha256};
use drover_types::KeyAlgorithm;
use serde_json::{Value, json};

/// How the binary mounts the commands.
#[derive(Debug, Parser)]
#[command(name = "drover", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Runs a command line with profiles in `home` and without a terminal.
async fn drover(home: &Path, line: &[&str]) -> Result<String, CliError> {
    let config = home.join("cli.toml");
    let config = config.to_str().expect("UTF-8");
    let words = ["drover", "--config", config].into_iter().chain(line.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    drover_cli::run(cli.command, &cli.global, Terminal::default(), &mut out).await?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn what_does_not_go_together_is_refused() {
    let pack =
        ["drover", "firmware", "pack", "dir", "--name", "a", "--version", "1.0.0", "--device-type", "t", "--out", "o"];
    let with = |extra: &[&str]| Cli::try_parse_from(pack.iter().chain(extra).copied().collect::<Vec<_>>());
    assert!(with(&["--release-counter", "7"]).is_ok());
    assert!(with(&[]).is_ok(), "the counter follows from the version");
    assert!(with(&["--release-counter", "-1"]).is_err());
    assert!(Cli::try_parse_from(["drover", "device", "set", "d"]).is_err(), "nothing to change");
    assert!(Cli::try_parse_from(["drover", "rollout", "create", "--firmware", "x", "--stage", "0"]).is_err());
}

#[test]
fn debug_output_does_not_show_the_token() {
    let cli = Cli::try_parse_from(["drover", "--token", "s3cret", "whoami"]).expect("a command");
    assert!(!format!("{cli:?}").contains("s3cret"));
}

fn caller() -> Value {
    json!({"tenant_id": ID, "home_tenant_id": ID, "kind": "user", "name": "admin", "rights": []})
}

#[tokio::test]
async fn a_profiles_token_goes_to_its_own_server_only() {
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let me = |State(seen): State<Arc<Mutex<Vec<Option<String>>>>>, headers: HeaderMap| async move {
        let token = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
        seen.lock().expect("no panic before").push(token);
        axum::Json(caller())
    };
    let router = || Router::new().route("/api/v1/auth/me", get(me)).with_state(Arc::clone(&seen));
    let (own, other) = (serve(router()).await, serve(router()).await);
    let home = home();
    remember(home.path(), &own);
    drover(home.path(), &["whoami"]).await.expect("own server");
    drover(home.path(), &["--server", &other, "whoami"]).await.expect("other server");
    let token_file = home.path().join("token");
    std::fs::write(&token_file, "from-file\n").expect("written");
    let token_file = token_file.to_str().expect("UTF-8");
    drover(home.path(), &["--server", &other, "--token-file", token_file, "whoami"]).await.expect("other server");
    let expected = [Some("Bearer t0ken".to_owned()), None, Some("Bearer from-file".to_owned())];
    assert_eq!(*seen.lock().expect("no panic before"), expected);
    let error = drover(home.path(), &["--server", "http://192.0.2.1", "whoami"]).await.expect_err("plain http");
    assert_eq!(error.exit_code(), 2, "{error}");
}

/// A profile as `drover login` leaves it.
fn remember(home: &Path, server: &str) {
    let profiles = format!("format = 1\n[profiles.default]\nserver = \"{server}\"\ntoken = \"t0ken\"\n");
    let config = home.join("cli.toml");
    std::fs::write(&config, profiles).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&config, private).expect("set");
}

#[tokio::test]
async fn logging_out_forgets_the_token_but_not_after_the_end_of_another_session() {
    let over = || async { (StatusCode::UNAUTHORIZED, "over") };
    let server = serve(Router::new().route("/api/v1/auth/logout", post(over))).await;
    let home = home();
    remember(home.path(), &server);
    let profiles = || std::fs::read_to_string(home.path().join("cli.toml")).expect("a file");
    drover(home.path(), &["--token", "other", "logout"]).await.expect("logged out");
    assert!(profiles().contains("t0ken"));
    drover(home.path(), &["logout"]).await.expect("logged out");
    assert!(!profiles().contains("t0ken"), "{}", profiles());
    assert!(profiles().contains(&server));
}

#[tokio::test]
async fn a_login_without_a_terminal_says_what_to_pass() {
    let home = home();
    let error = drover(home.path(), &["login"]).await.expect_err("nobody to ask");
    assert_eq!(error.exit_code(), 2);
    assert!(error.report().ends_with("next: pass --username and --password-stdin"), "{}", error.report());
}

#[tokio::test]
async fn nothing_is_deleted_without_a_yes() {
    let router = Router::new().route("/api/v1/groups/{id}", axum::routing::delete(|| async { StatusCode::NO_CONTENT }));
    let server = serve(router).await;
    let home = home();
    let error = drover(home.path(), &["--server", &server, "group", "delete", ID]).await.expect_err("no yes");
    assert!(matches!(error, CliError::Prompt(PromptError::NeedsYes { .. })), "{error:?}");
    assert_eq!(error.exit_code(), 2);
    assert!(error.report().ends_with("next: pass --yes"));
    drover(home.path(), &["--server", &server, "group", "delete", ID, "--yes"]).await.expect("deleted");
}

fn rollout(status: &str) -> Value {
    let counts = json!({"pending": 0, "in_flight": 1, "succeeded": 2, "failed": 3, "cancelled": 0, "skipped": 0});
    json!({
        "id": ID, "name": "spring", "kind": "update", "status": status, "reason": null, "firmware_id": ID,
        "version": "1.2.3", "device_type": "robot", "component": "main", "parent_id": null, "target_groups": [],
        "stages": [{
            "name": "stage 1", "percentage": 100, "start_time": null, "soak_ms": 0, "status": "running",
            "opened_at": null, "completion_time": null, "counts": counts,
        }],
        "success_threshold": 0.95, "rollback_threshold": 0.1, "min_sample": 1, "on_breach": "pause",
        "max_in_flight": null, "session_timeout_ms": 3_600_000, "counts": counts,
        "created_at": "2026-01-01T00:00:00Z", "started_at": null, "completed_at": null,
    })
}

/// A rollout that is active for two looks and then `end`.
async fn ending_in(end: &'static str) -> String {
    let looks = Arc::new(Mutex::new(0));
    let show = move || async move {
        let mut looks = looks.lock().expect("no panic before");
        *looks += 1;
        axum::Json(rollout(if *looks > 2 { end } else { "active" }))
    };
    serve(Router::new().route("/api/v1/rollouts/{id}", get(show))).await
}

#[tokio::test]
async fn watching_ends_with_the_rollout_and_tells_how() {
    let home = home();
    let watch = ["rollout", "watch", ID, "--interval", "100ms"];
    let server = ending_in("completed").await;
    let text = drover(home.path(), &[&["--server", &server][..], &watch].concat()).await.expect("completed");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "one line per change: {text}");
    assert!(lines[0].contains("active  stage 1/1 running  pending 0 at work 1 done 2 failed 3"), "{text}");
    let server = ending_in("rolled_back").await;
    let line = [&["--server", &server, "--json"][..], &watch].concat();
    let error = drover(home.path(), &line).await.expect_err("rolled back");
    assert_eq!(error.exit_code(), 8, "{error:?}");
    let server = ending_in("active").await;
    let line = [&["--server", &server][..], &watch, &["--timeout", "300ms"]].concat();
    assert_eq!(drover(home.path(), &line).await.expect_err("too late").exit_code(), 8);
}

#[tokio::test]
async fn a_name_for_two_rollouts_is_refused_with_their_ids() {
    let list = || async { axum::Json(json!({"items": [rollout("draft"), rollout("active")]})) };
    let server = serve(Router::new().route("/api/v1/rollouts", get(list))).await;
    let home = home();
    let error = drover(home.path(), &["--server", &server, "rollout", "pause", "spring"]).await.expect_err("two");
    assert!(error.report().contains(ID), "{}", error.report());
    let error = drover(home.path(), &["--server", &server, "rollout", "pause", "autumn"]).await.expect_err("none");
    assert_eq!(error.exit_code(), 3);
    let text = drover(home.path(), &["--server", &server, "--json", "rollout", "list"]).await.expect("a list");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page["items"][1]["status"], "active");
}

/// As much of the firmware API as publishing needs. The first upload of each artifact breaks off with 500.
#[derive(Clone, Default)]
struct Store {
    public_key: String,
    firmware: Arc<Mutex<Option<Value>>>,
    uploads: Arc<Mutex<Vec<usize>>>,
}

impl Store {
    fn router(self) -> Router {
        let firmware = "/api/v1/firmware";
        Router::new()
            .route("/api/v1/release-keys", get(release_keys))
            .route(firmware, get(list_firmware).post(create_firmware))
            .route(&format!("{firmware}/{{id}}/artifacts/{{name}}"), put(upload))
            .route(&format!("{firmware}/{{id}}/publish"), post(publish))
            .with_state(self)
    }
}

async fn release_keys(State(store): State<Store>) -> axum::Json<Value> {
    let fingerprint = "00".repeat(32);
    axum::Json(json!({"items": [{
        "id": ID, "name": "release", "algorithm": "ecdsa_p256", "fingerprint": fingerprint,
        "public_key": store.public_key, "created_at": "2026-01-01T00:00:00Z", "revoked_at": null,
    }]}))
}

async fn list_firmware(State(store): State<Store>) -> axum::Json<Value> {
    let items: Vec<Value> = store.firmware.lock().expect("no panic before").iter().cloned().collect();
    axum::Json(json!({"items": items}))
}

async fn create_firmware(State(store): State<Store>, body: Bytes) -> Response {
    use base64::Engine as _;
    let body: drover_api::FirmwareCreate = serde_json::from_slice(&body).expect("a body");
    let bytes = base64::engine::general_purpose::STANDARD.decode(&body.manifest).expect("base64");
    let manifest = Manifest::parse(&bytes).expect("a manifest");
    assert!(body.artifacts.iter().all(|artifact| artifact.bundle.is_some()));
    let view = |artifact: &drover_trust::ManifestArtifact| {
        let (name, size_bytes, checksum) = (&artifact.name, artifact.size_bytes, artifact.sha256);
        json!({"name": name, "size_bytes": size_bytes, "checksum": checksum, "uploaded_at": null})
    };
    let artifacts: Vec<Value> = manifest.artifacts.iter().map(view).collect();
    let firmware = json!({
        "id": ID, "name": manifest.name, "version": manifest.version, "device_type": manifest.device_type,
        "component": "main", "state": "draft", "release_counter": 7, "rollback_floor": 0, "file_size": 1,
        "checksum": sha256(&bytes), "signature": body.manifest_bundle, "signed_by": "00".repeat(32),
        "storage_path": "firmware/x", "artifacts": artifacts, "created_at": "2026-01-01T00:00:00Z",
        "metadata": {"release_notes": null, "min_version": null, "dependencies": [], "extra": {}}, "published_at": null,
    });
    let mut slot = store.firmware.lock().expect("no panic before");
    assert!(slot.is_none(), "created a second time");
    *slot = Some(firmware.clone());
    (StatusCode::CREATED, axum::Json(firmware)).into_response()
}

async fn upload(State(store): State<Store>, UrlPath((_, name)): UrlPath<(String, String)>, body: Bytes) -> Response {
    let mut uploads = store.uploads.lock().expect("no panic before");
    uploads.push(body.len());
    if uploads.len() == 1 {
        return (StatusCode::INTERNAL_SERVER_ERROR, "broke off").into_response();
    }
    let mut firmware = store.firmware.lock().expect("no panic before");
    let artifact = &mut firmware.as_mut().expect("a draft")["artifacts"][0];
    assert_eq!(artifact["name"], name.as_str());
    assert_eq!(artifact["checksum"], sha256(&body).to_string());
    artifact["uploaded_at"] = json!("2026-01-01T00:00:00Z");
    axum::Json(artifact.clone()).into_response()
}

async fn publish(State(store): State<Store>) -> axum::Json<Value> {
    let mut firmware = store.firmware.lock().expect("no panic before");
    let firmware = firmware.as_mut().expect("a draft");
    assert_ne!(firmware["artifacts"][0]["uploaded_at"], Value::Null);
    firmware["state"] = json!("published");
    axum::Json(firmware.clone())
}

#[tokio::test]
async fn pack_sign_publish_continues_after_a_break_and_refuses_foreign_keys() {
    let home = home();
    let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::create_dir(path("build")).expect("made");
    std::fs::write(path("build/run"), "#!/bin/sh\n").expect("written");
    let (build, out, key) = (path("build"), path("out"), path("release.key"));
    let names = ["--name", "app", "--version", "1.2.3", "--device-type", "robot"];
    let pack = [&["firmware", "pack", &build, "--out", &out][..], &names].concat();
    drover(home.path(), &pack).await.expect("packed");
    drover(home.path(), &["key", "generate", &key]).await.expect("a key");
    drover(home.path(), &["firmware", "sign", &out, "--key", &key]).await.expect("signed");

    let foreign = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key").public_key().to_pem();
    let stranger = Store { public_key: foreign, ..Store::default() };
    let server = serve(stranger.clone().router()).await;
    let publish = |server: String| {
        let (home, out) = (home.path().to_owned(), out.clone());
        async move { drover(&home, &["--server", &server, "firmware", "publish", &out]).await }
    };
    let error = publish(server).await.expect_err("a foreign key");
    assert_eq!(error.exit_code(), 6, "{error:?}");
    assert!(stranger.firmware.lock().expect("no panic before").is_none(), "nothing was sent");

    let public_key = std::fs::read_to_string(path("release.key.pub")).expect("a public key");
    let store = Store { public_key, ..Store::default() };
    let server = serve(store.clone().router()).await;
    let error = publish(server.clone()).await.expect_err("it broke off");
    assert_eq!(error.exit_code(), 1, "{error:?}");
    let text = publish(server.clone()).await.expect("continued");
    assert!(text.contains("published"), "{text}");
    assert_eq!(store.uploads.lock().expect("no panic before").len(), 2);
    publish(server).await.expect("published already");
    assert_eq!(store.uploads.lock().expect("no panic before").len(), 2, "nothing is sent again");
}

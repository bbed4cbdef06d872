//! A small fleet server, signed firmware and an agent in a folder of its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_agent::{Agent, ComponentConfig, Config, EffectObserver, NoObserver, Parts, Secret};
use drover_protocol::{
    CheckReply, Directive, Heartbeat, HeartbeatReply, Offer, OfferedArtifact, RegisterReply, ReportReply, StatusReport,
    ValidationReport,
};
use drover_trust::{ArtifactFormat, Manifest, ManifestArtifact, PrivateKey, sha256};
use drover_types::{
    Clock, ComponentName, DeviceId, FirmwareId, KeyAlgorithm, RolloutId, SessionState, SystemClock, TenantId,
    UpdateSessionId, Version,
};
use uuid::Uuid;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the server knows and how it behaves.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) offer: Option<Offer>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) statuses: Vec<StatusReport>,
    pub(crate) validations: Vec<ValidationReport>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) release_keys: Vec<String>,
    /// What is said to how this session ended, instead of taking it.
    pub(crate) answer_to_end: Option<(u128, StatusCode, String)>,
    pub(crate) ends_not_taken: usize,
    /// Say stop when a device reports this state.
    pub(crate) stop_at: Option<SessionState>,
    /// Every presigned address answers with this.
    pub(crate) blob_status: Option<StatusCode>,
    /// Every report on how it goes is answered with this.
    pub(crate) report_status: Option<StatusCode>,
    /// The presigned addresses work again after so many checks.
    pub(crate) blobs_heal_at_check: Option<usize>,
    /// Send no byte from here on.
    pub(crate) cut_blobs_at: Option<usize>,
    pub(crate) blob_requests: usize,
    /// Where the last request for a blob wanted to start.
    pub(crate) last_start: Option<usize>,
    pub(crate) checks: usize,
    pub(crate) credentials_at_blobs: usize,
}

/// What the server says when it means no.
const PROBLEM: &str = "application/problem+json";

/// A problem of a Drover server.
pub(crate) fn problem(code: &str) -> String {
    format!(r#"{{"type": "urn:drover:problem:{code}", "title": "{code}"}}"#)
}

pub(crate) struct Server {
    pub(crate) address: String,
    facts: Arc<Mutex<Facts>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let facts = Arc::new(Mutex::new(Facts::default()));
        let router = axum::Router::new()
            .route(drover_protocol::REGISTER_PATH, post(register))
            .route(drover_protocol::CHECK_PATH, get(check))
            .route(drover_protocol::STATUS_PATH, post(status))
            .route(drover_protocol::VALIDATION_PATH, post(validation))
            .route(drover_protocol::HEARTBEAT_PATH, post(heartbeat))
            .route("/blob/{name}", get(blob))
            .with_state(Arc::clone(&facts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
        Self { address, facts, task }
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no test panicked with it")
    }

    /// Offers a firmware in session `number`.
    pub(crate) fn offer(&self, firmware: &Firmware, number: u128) {
        let offer = firmware.offer(&self.address, number);
        let mut facts = self.facts();
        for (name, bytes) in &firmware.blobs {
            facts.blobs.insert(name.clone(), bytes.clone());
        }
        facts.offer = Some(offer);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Shared = State<Arc<Mutex<Facts>>>;

async fn register(State(facts): Shared) -> Json<RegisterReply> {
    Json(RegisterReply {
        tenant_id: TenantId(Uuid::from_u128(1)),
        device_id: DeviceId(Uuid::from_u128(2)),
        token: "device-token".to_owned(),
        poll_interval_ms: 100,
        release_keys: facts.lock().expect("whole").release_keys.clone(),
    })
}

async fn check(State(facts): Shared, headers: HeaderMap) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|token| token != "Bearer device-token") {
        let said = problem("unauthenticated");
        return (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, PROBLEM)], said).into_response();
    }
    let mut facts = facts.lock().expect("whole");
    facts.checks += 1;
    if facts.blobs_heal_at_check == Some(facts.checks) {
        facts.blob_status = None;
    }
    Json(CheckReply { offer: facts.offer.clone(), poll_interval_ms: 100 }).into_response()
}

async fn status(State(facts): Shared, Json(report): Json<StatusReport>) -> Response {
    let mut facts = facts.lock().expect("whole");
    if let Some(status) = facts.report_status {
        return status.into_response();
    }
    let state = report.state;
    if state.is_final() {
        facts.offer.take_if(|offer| offer.session_id == report.session_id);
    }
    facts.statuses.push(report);
    let directive = if facts.stop_at == Some(state) { Directive::Stop } else { Directive::Continue };
    Json(ReportReply { directive, state }).into_response()
}

async fn validation(State(facts): Shared, Json(report): Json<ValidationReport>) -> Response {
    let mut facts = facts.lock().expect("whole");
    if let Some((session, status, body)) = facts.answer_to_end.clone()
        && report.session_id == UpdateSessionId(Uuid::from_u128(session))
    {
        facts.ends_not_taken += 1;
        return (status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response();
    }
    facts.offer.take_if(|offer| offer.session_id == report.session_id);
    facts.validations.push(report);
    Json(ReportReply { directive: Directive::Continue, state: SessionState::Succeeded }).into_response()
}

async fn heartbeat(State(facts): Shared, Json(heartbeat): Json<Heartbeat>) -> Json<HeartbeatReply> {
    facts.lock().expect("whole").heartbeats.push(heartbeat);
    Json(HeartbeatReply { server_time: SystemClock.now(), poll_interval_ms: 100, server_pins: Vec::new() })
}

async fn blob(State(facts): Shared, UrlPath(name): UrlPath<String>, headers: HeaderMap) -> Response {
    let mut facts = facts.lock().expect("whole");
    facts.blob_requests += 1;
    facts.credentials_at_blobs += usize::from(headers.contains_key(header::AUTHORIZATION));
    if let Some(status) = facts.blob_status {
        return status.into_response();
    }
    let Some(bytes) = facts.blobs.get(&name).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let start = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    facts.last_start = start;
    let end = facts.cut_blobs_at.unwrap_or(bytes.len()).min(bytes.len());
    let body = bytes[start.unwrap_or(0).min(end)..end].to_vec();
    match start {
        None => ([(header::ETAG, "\"v\"".to_owned())], body).into_response(),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            let head = [(header::CONTENT_RANGE, range), (header::ETAG, "\"v\"".to_owned())];
            (StatusCode::PARTIAL_CONTENT, head, body).into_response()
        }
    }
}

pub(crate) fn new_key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key")
}

/// A signed firmware and its bytes.
#[derive(Clone)]
pub(crate) struct Firmware {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) bundle: String,
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
    pub(crate) signatures: Vec<String>,
}

/// A firmware whose one archive has the file `app` with `content`.
pub(crate) fn firmware(key: &PrivateKey, version: &str, counter: u64, content: &str) -> Firmware {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, "app", content.as_bytes()).expect("in memory");
    firmware_of(key, version, counter, &gzip(&archive.into_inner().expect("in memory")), |_| {})
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// A firmware of one packed archive; `change` has the last word on the manifest before it is signed.
pub(crate) fn firmware_of(
    key: &PrivateKey,
    version: &str,
    counter: u64,
    packed: &[u8],
    change: impl FnOnce(&mut Manifest),
) -> Firmware {
    let artifact = ManifestArtifact {
        name: "app.tar.gz".to_owned(),
        format: ArtifactFormat::TarGz,
        size_bytes: packed.len() as u64,
        sha256: sha256(packed),
        unpacked_bytes: 1_000_000,
        unpacked_entries: 100,
    };
    let mut manifest = Manifest {
        format: 1,
        name: "app".to_owned(),
        version: version.parse().expect("a version"),
        device_type: "robot".to_owned(),
        component: ComponentName::main(),
        release_counter: counter,
        rollback_floor: 1,
        min_version: None,
        dependencies: Vec::new(),
        artifacts: vec![artifact],
        release_notes: None,
        metadata: BTreeMap::new(),
    };
    change(&mut manifest);
    let manifest_bytes = manifest.to_bytes();
    let bundle = key.sign_message(&manifest_bytes).expect("signed").to_json();
    let signature = |artifact: &ManifestArtifact| match key.sign_digest(&artifact.sha256) {
        Ok(bundle) => bundle.to_json(),
        // Ed25519 signs the manifest only.
        Err(_) => String::new(),
    };
    let signatures = manifest.artifacts.iter().map(signature).collect();
    let blobs = vec![(format!("{version}.tar.gz"), packed.to_vec())];
    Firmware { manifest, manifest_bytes, bundle, blobs, signatures }
}

impl Firmware {
    fn offer(&self, address: &str, number: u128) -> Offer {
        let artifacts = self.manifest.artifacts.iter().zip(&self.signatures).zip(&self.blobs);
        Offer {
            session_id: UpdateSessionId(Uuid::from_u128(number)),
            rollout_id: RolloutId(Uuid::from_u128(1)),
            firmware_id: FirmwareId(Uuid::from_u128(1)),
            component: self.manifest.component.clone(),
            version: self.manifest.version.clone(),
            manifest: STANDARD.encode(&self.manifest_bytes),
            manifest_bundle: self.bundle.clone(),
            artifacts: artifacts
                .map(|((artifact, signature), (blob, _))| OfferedArtifact {
                    name: artifact.name.clone(),
                    url: format!("{address}/blob/{blob}"),
                    checksum: artifact.sha256,
                    size_bytes: artifact.size_bytes,
                    signature: signature.clone(),
                })
                .collect(),
            expires_at: SystemClock.now().plus(Duration::from_mins(10)),
        }
    }
}

/// A device in a folder of its own.
pub(crate) struct Device {
    pub(crate) folder: tempfile::TempDir,
}

impl Device {
    pub(crate) fn new() -> Self {
        // In memory where there is such a place: a kill loses nothing there either, and syncs cost nothing.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.expect("a folder") }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn config(&self, server: &str) -> Config {
        config(&self.data_dir(), server)
    }

    pub(crate) fn agent(&self, server: &str) -> Agent {
        open(self.config(server), Arc::new(NoObserver))
    }

    /// The content of the file `app` that runs; none when nothing is installed.
    pub(crate) fn app(&self) -> Option<String> {
        std::fs::read_to_string(self.main().join("CURRENT/root/app")).ok()
    }

    pub(crate) fn main(&self) -> PathBuf {
        self.data_dir().join("components/main")
    }

    /// A device below a folder that is there already.
    pub(crate) fn inside(folder: &Path) -> Self {
        Self { folder: tempfile::tempdir_in(folder).expect("a folder") }
    }

    /// The commands of the configuration that a test changes.
    pub(crate) fn agent_with(&self, server: &str, change: impl FnOnce(&mut ComponentConfig)) -> Agent {
        let mut config = self.config(server);
        config.components.values_mut().next().map(change).expect("main is there");
        open(config, Arc::new(NoObserver))
    }

    /// Versions in the order of their activation.
    pub(crate) fn activated(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("activated")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Everything below the folder but what has to be there: identity, keys, lock, blacklist and links.
    pub(crate) fn assert_clean(&self, slots: usize) {
        let names = |path: &Path| -> Vec<String> {
            let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("there").file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.main().join("slots")).len(), slots, "{:?}", names(&self.main().join("slots")));
        let stray = |name: &String| !["CURRENT", "OLD", "slots"].contains(&name.as_str());
        assert!(!names(&self.main()).iter().any(stray), "{:?}", names(&self.main()));
        assert_eq!(names(&self.data_dir().join("downloads/main")), [""; 0]);
        assert_eq!(names(&self.data_dir().join("reports")), [""; 0]);
        let known =
            ["identity.json", "keys", ".lock", "blacklist.json", "components", "downloads", "reports", ".ballast"];
        assert!(names(&self.data_dir()).iter().all(|name| known.contains(&name.as_str())));
    }
}

pub(crate) fn config(data_dir: &Path, server: &str) -> Config {
    let component = ComponentConfig {
        activate: sh("echo \"$DROVER_VERSION\" >> \"$DROVER_DEVICE_DIR/../activated\""),
        self_test: sh("! grep -q bad \"$DROVER_SLOT/app\" || { echo the app is bad; exit 1; }"),
        ..ComponentConfig::default()
    };
    Config {
        server: server.to_owned(),
        data_dir: data_dir.to_owned(),
        hardware_id: "SN-1".to_owned(),
        device_type: "robot".to_owned(),
        enrolment_token: Some(Secret("enrolment-token".to_owned())),
        enrolment_token_file: None,
        release_keys: Vec::new(),
        poll_interval_ms: None,
        heartbeat_interval_ms: 60_000,
        retry_min_ms: 1,
        retry_max_ms: 5,
        throttle_bytes_per_s: None,
        stall_timeout_ms: 5_000,
        download_give_up_ms: 1_000,
        ballast_bytes: 256 * 1024,
        blacklist_after: 2,
        components: BTreeMap::from([(ComponentName::main(), component)]),
    }
}

pub(crate) fn open(config: Config, observer: Arc<dyn EffectObserver>) -> Agent {
    open_at(config, observer, Arc::new(SystemClock))
}

/// The same with a clock of the test's own.
pub(crate) fn open_at(config: Config, observer: Arc<dyn EffectObserver>, clock: Arc<dyn Clock>) -> Agent {
    // Without the system's certificates, which take longer to read than an update takes.
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let parts = Parts { http, clock, random: Arc::new(|| 0.5), observer };
    Agent::open(config, parts).expect("opened")
}

/// Rounds until nothing is under way.
pub(crate) async fn settle(agent: &mut Agent) {
    let state = agent.subscribe();
    let rounds = async {
        loop {
            let wait = agent.tick().await.expect("a round");
            if state.borrow().components.values().all(|component| component.update.is_none()) {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("the agent settles");
}

/// A device that runs version 1.0.0 with the content `one`.
pub(crate) async fn device_with_one(server: &Server, key: &PrivateKey) -> Device {
    install_one(server, key, Device::new()).await
}

/// Installs version 1.0.0 with the content `one`.
pub(crate) async fn install_one(server: &Server, key: &PrivateKey, device: Device) -> Device {
    server.facts().release_keys = vec![key.public_key().to_pem()];
    server.offer(&firmware(key, "1.0.0", 1, "one"), 1);
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    server.facts().statuses.clear();
    server.facts().validations.clear();
    server.facts().heartbeats.clear();
    device
}

/// The script as a command.
pub(crate) fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

/// A small file system, gone with the guard.
pub(crate) struct SmallDisk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        Self::mount_at(folder, path, size)
    }

    /// A mount in a place that cannot be removed as long as it is there.
    pub(crate) fn mount_over(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("made");
        Self::mount_at(tempfile::tempdir().expect("a folder"), path.to_owned(), "64k")
    }

    fn mount_at(folder: tempfile::TempDir, path: PathBuf, size: &str) -> Self {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        assert!(mount.status().expect("mount runs").success(), "this test mounts a small tmpfs: run it as root");
        Self { path, _folder: folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

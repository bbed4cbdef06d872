//! The whole service over a real application on `SQLite` and a folder.

mod blobs;
mod callers;
mod in_flight;
mod introductions;
mod service;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use drover_app::compose::{Backends, compose};
use drover_app::{App, PresignKeys, Settings, SystemRandom};
use drover_types::SystemClock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::caller::Peer;
use crate::config::HttpConfig;
use crate::limits::Limits;
use crate::router;
use crate::state::Server;

/// Under this address links begin; nothing listens there.
const PUBLIC_URL: &str = "http://127.0.0.1:8080";

/// A service of its own for each test.
struct Service {
    router: Router,
    app: Arc<App>,
    limits: Arc<Limits>,
    shutdown: CancellationToken,
    enrolment_token: String,
    password: String,
    _folder: tempfile::TempDir,
}

async fn open_app(folder: &Path) -> Arc<App> {
    let backends = Backends {
        database: format!("sqlite:{}", folder.join("drover.db").display()),
        blobs: format!("file:{}", folder.join("blobs").display()),
        data_dir: folder.to_owned(),
        public_url: PUBLIC_URL.to_owned(),
        pool_max: 10,
        migrate: true,
    };
    let presign_keys = PresignKeys::parse("dev-local-key").expect("a key");
    let settings = Settings { presign_keys, ..Settings::default() };
    compose(&backends, settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await.expect("an application")
}

impl Service {
    async fn start() -> Self {
        Self::with(HttpConfig::default()).await
    }

    async fn with(config: HttpConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let app = open_app(folder.path()).await;
        let first = app.first_start().await.expect("it starts").expect("for the first time");
        app.bind_presign_keys().await.expect("the tenant is there");
        let shutdown = CancellationToken::new();
        let limits = Arc::new(Limits::new(&config));
        let server = Server {
            app: Arc::clone(&app),
            limits: Arc::clone(&limits),
            metrics_token: config.metrics_token.clone(),
            shutdown: shutdown.clone(),
        };
        let router = router::build(server, &config).expect("good settings");
        let (enrolment_token, password) = (first.enrolment_token, first.password);
        Self { router, app, limits, shutdown, enrolment_token, password, _folder: folder }
    }

    /// Sends a request from 127.0.0.1.
    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer(IpAddr::from([127, 0, 0, 1])));
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a small body").to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, uri: &str, token: &str) -> Answer {
        self.send(with_token(Method::GET, uri, token).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, uri: &str, token: &str, body: Value) -> Answer {
        let request = with_token(Method::POST, uri, token).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    async fn log_in(&self) -> String {
        let body = serde_json::json!({ "username": "admin", "password": self.password });
        let answer = self.post("/api/v1/auth/login", "", body).await;
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// A device's id and token.
    async fn register(&self, hardware_id: &str) -> (String, String) {
        let body = serde_json::json!({ "hardware_id": hardware_id, "device_type": "truck" });
        let answer = self.post("/api/v1/devices/register", &self.enrolment_token, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let text = |field: &str| answer.json()[field].as_str().expect("a text").to_owned();
        (text("device_id"), text("token"))
    }
}

/// A request with a bearer token, or without any when it is empty.
fn with_token(method: Method, uri: &str, token: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(uri);
    if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The problem's code, when it is one with this status.
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let type_uri = self.json()["type"].as_str().expect("a type").to_owned();
        type_uri.strip_prefix("urn:drover:problem:").expect("ours").to_owned()
    }
}

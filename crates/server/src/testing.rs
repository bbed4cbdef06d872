//! A small service behind everything that requests pass through, for the tests of this crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use drover_api::Problem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::HttpConfig;
use crate::tls::Tls;
use crate::{problem, router, serve};

/// What tests wait for at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The answer to one request.
pub(crate) async fn ask(routes: Router, request: Request) -> Response {
    let router = router::wrap(routes, &HttpConfig::default(), Arc::default()).expect("default settings");
    router.oneshot(request).await.expect("infallible")
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a small body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The answer, which must be a problem that agrees with itself.
pub(crate) async fn refused(routes: Router, request: Request) -> (HeaderMap, Problem) {
    let response = ask(routes, request).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = text(response).await;
    assert_eq!(headers["content-type"], problem::MEDIA_TYPE, "{status} {text}");
    let problem: Problem = serde_json::from_str(&text).expect("a problem");
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.request_id.as_deref(), headers["x-request-id"].to_str().ok());
    assert!(problem.type_uri.starts_with("urn:drover:problem:"), "{}", problem.type_uri);
    (headers, problem)
}

pub(crate) fn get(uri: &str) -> Request {
    Request::get(uri).body(Body::empty()).expect("a request")
}

pub(crate) fn post_json(uri: &str, body: &str) -> Request {
    let request = Request::post(uri).header("content-type", "application/json");
    request.body(Body::from(body.to_owned())).expect("a request")
}

/// A service on a port of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(routes: Router, config: HttpConfig) -> Self {
        Self::start_with(routes, config, None).await
    }

    pub(crate) async fn start_with(routes: Router, config: HttpConfig, tls: Option<Arc<Tls>>) -> Self {
        let router = router::wrap(routes, &config, Arc::default()).expect("good settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, shutdown) = (listener.local_addr().expect("an address"), CancellationToken::new());
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { serve::accept_all(listener, router, &config, tls, &stop).await });
        Self { address, shutdown, task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// A connection from another address of this machine.
    pub(crate) async fn connect_from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{address}:0").parse().expect("an address")).expect("loopback has many addresses");
        socket.connect(self.address).await.expect("a connection")
    }

    /// Sends a request on a connection of its own, and returns the whole answer.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        read_to_end(&mut stream).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything until the server closes the connection, which it must.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset closes a connection, too.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One answer on a connection that stays open.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return text;
            }
        }
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await.expect("an answer").expect("read");
        assert!(read > 0, "the connection was closed after {text:?}");
        answer.extend_from_slice(&chunk[..read]);
    }
}

pub(crate) fn status_line(status: StatusCode) -> String {
    format!("HTTP/1.1 {status}")
}

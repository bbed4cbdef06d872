//! What the server's log and the audit log say, and what they never say. A program of its own: it takes the log of the
//! whole process.
#![expect(clippy::unwrap_used, reason = "tests: what must be there is asserted by taking it")]

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use drover_api::{ApiKeyCreate, EnrolmentTokenCreate};
use drover_store::audit::{self, Filter, Order};
use drover_testkit::{Answer, Profile, ServerOptions, TestServer, answer, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

/// The log of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Everything of this process, as the program writes it for programs, and all of ours down to the smallest.
    fn take() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Log::default();
            let lines = tracing_subscriber::fmt().with_env_filter("info,drover=trace").with_writer(log.clone());
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
            log
        });
        log.clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that belong to a request.
    fn of_request(&self, id: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["span"]["request_id"] == id).collect()
    }
}

async fn send(server: &TestServer, token: &str, method: Method, path: &str, id: &str, body: &Value) -> Answer {
    let request = server.request(method, path).bearer_auth(token).header("x-request-id", id);
    answer(if body.is_null() { request } else { request.json(body) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_says_whose_request_it_was_and_how_it_went() {
    let log = Log::take();
    let server = TestServer::start(Profile::Local).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = server.admin_request(Method::GET, "/api/v1/groups/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    let request =
        request.header("x-request-id", "line-1").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    answer(request).await.problem(404, "not_found");
    let lines = log.of_request("line-1");
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "answered").collect();
    let [line] = answered[..] else { panic!("{lines:#?}") };
    let me = server.admin().whoami().await.unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["status"], 404);
    assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    assert_eq!(line["span"]["route"], "/api/v1/groups/{id}");
    assert_eq!(line["span"]["method"], "GET");
    assert_eq!(line["span"]["trace_id"], trace);
    assert_eq!(line["span"]["tenant"], me.tenant_id.to_string());
    assert!(line["span"]["actor"].as_str().is_some_and(|actor| actor.starts_with("user:")), "{line}");

    // Without a trace of its own the request gets one; probes are for debugging.
    let probe = server.request(Method::GET, "/healthz").header("x-request-id", "line-2");
    assert_eq!(answer(probe).await.status, 200);
    let lines = log.of_request("line-2");
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["span"]["trace_id"].as_str().map(str::len), Some(32));
    assert_eq!(line["span"].get("actor"), None);

    // Tasks say who they are.
    eventually("a line of the sequencer", async || {
        let text = log.text();
        text.lines().any(|line| line.contains("\"task\":\"audit_sequencer\"")).then_some(())
    })
    .await;

    let metrics = answer(server.request(Method::GET, "/metrics")).await.text();
    let wanted = "drover_http_requests_total{method=\"GET\",route=\"/api/v1/groups/{id}\",status=\"4xx\"} 1";
    assert!(metrics.contains(wanted), "{metrics}");
    assert!(metrics.contains("drover_http_request_duration_seconds_bucket{"), "{metrics}");
    assert!(!metrics.contains("0190a1b2"), "no id in a label");
}

/// A secret that can be found again.
const PRESIGN_KEY: &str = "canary-presign-key";
const PASSWORD: &str = "canary-wrong-password";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_log() {
    let log = Log::take();
    let server = ServerOptions::new(Profile::Local).presign_keys(PRESIGN_KEY).start().await;
    let first = server.first_start();
    let admin = server.admin();
    let key = admin.create_api_key(&ApiKeyCreate { name: "ci".into(), ..ApiKeyCreate::default() }).await.unwrap();
    let enrolment = EnrolmentTokenCreate { name: "x".into(), device_type: None, max_uses: None, expires_at: None };
    let enrolment = admin.create_enrolment_token(&enrolment).await.unwrap();
    let device = server.device("TRUCK-01", None).await;
    assert!(device.check().await.is_none());

    // Right and wrong credentials, in every place that takes one.
    let body = json!({ "username": first.username, "password": PASSWORD });
    let login = |body: Value| server.request(Method::POST, "/api/v1/auth/login").json(&body);
    answer(login(body)).await.problem(401, "login_failed");
    let body = json!({ "username": PASSWORD, "password": first.password });
    answer(login(body)).await.problem(401, "login_failed");
    let body = json!({ "username": first.username, "password": first.password });
    let session = answer(login(body)).await.json::<Value>()["token"].as_str().unwrap().to_owned();
    let whoami = server.request(Method::GET, "/api/v1/auth/me").header("x-api-key", &key.token);
    assert_eq!(answer(whoami).await.status, 200);
    let registration = json!({ "hardware_id": "x", "device_type": "x" });
    let path = "/api/v1/devices/register";
    assert_eq!(send(&server, &enrolment.token, Method::POST, path, "r", &registration).await.status, 201);
    let presign = json!({ "object_key": "a.bin" });
    assert_eq!(send(&server, PRESIGN_KEY, Method::POST, "/v1/presign", "p", &presign).await.status, 404);
    let wrong = format!("{session}x");
    assert_eq!(send(&server, &wrong, Method::GET, "/api/v1/groups", "w", &Value::Null).await.status, 401);
    // What operators store is theirs: the audit log tells that it changed.
    let path = format!("/api/v1/devices/{}", device.id);
    let metadata = json!({ "metadata": { "canary-name": "canary-value" } });
    assert_eq!(send(&server, &session, Method::PUT, &path, "m", &metadata).await.status, 200);
    assert_eq!(send(&server, &session, Method::POST, "/api/v1/auth/logout", "o", &Value::Null).await.status, 204);

    let tenant = admin.whoami().await.unwrap().tenant_id;
    let rows = eventually("the log-out to be numbered", async || {
        let rows = audit::page(server.db().db(), tenant, &Filter::default(), Order::OldestFirst, 1_000).await.unwrap();
        rows.iter().any(|row| row.action == "user.logout").then_some(rows)
    })
    .await;
    assert!(rows.len() >= 9, "{rows:#?}");
    let (rows, lines) = (format!("{rows:?}"), log.text());
    assert!(lines.contains("a log-in was refused"), "the log is taken");
    let secret_part = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let secrets = [
        first.password.clone(),
        secret_part(&first.enrolment_token),
        secret_part(server.admin_token()),
        secret_part(&session),
        secret_part(&key.token),
        secret_part(&enrolment.token),
        secret_part(&device.token),
        PRESIGN_KEY.to_owned(),
        PASSWORD.to_owned(),
    ];
    for secret in &secrets {
        assert!(secret.len() >= 8);
        assert!(!rows.contains(secret), "an audit entry has {secret}");
        let line = lines.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "a line of the log has {secret}");
    }
    assert!(!rows.contains("canary-value") && !rows.contains("canary-name"), "{rows}");
}

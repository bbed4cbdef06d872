use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get as on_get, post as on_post, put};
use drover_api::{DeviceFilter, GroupWrite, RolloutCreate, RolloutRollback};
use drover_types::DeviceId;

use super::*;
use crate::testing::{ask, get, post_json, refused};

fn service() -> Router {
    Router::new()
        .route("/groups", on_post(|Json(group): Json<GroupWrite>| async move { group.name }))
        .route("/rollouts", on_post(|Json(rollout): Json<RolloutCreate>| async move { rollout.name }))
        .route(
            "/rollback",
            on_post(
                |JsonOrDefault(body): JsonOrDefault<RolloutRollback>| async move { body.reason.unwrap_or_default() },
            ),
        )
        .route("/devices", on_get(|Query(filter): Query<DeviceFilter>| async move { format!("{filter:?}") }))
        .route("/devices/{id}", on_get(|Path(id): Path<DeviceId>| async move { id.to_string() }))
        .route(
            "/key",
            put(|idempotency: Idempotency| async move { idempotency.key("test", &1).map(|key| format!("{key:?}")) }),
        )
        .layer(DefaultBodyLimit::max(1000))
}

#[tokio::test]
async fn good_requests_pass() {
    let response = ask(service(), post_json("/groups", r#"{"name":"lab"}"#)).await;
    assert_eq!(crate::testing::text(response).await, "lab");
    let problem_json = Request::post("/groups").header("content-type", "application/vnd.x+json; charset=utf-8");
    let response = ask(service(), problem_json.body(Body::from(r#"{"name":"x"}"#)).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_that_are_not_json_are_told_apart() {
    for (body, status, code) in [
        ("{", 400, "malformed_json"),
        ("", 400, "malformed_json"),
        (r#"{"name":"a"} {"#, 400, "malformed_json"),
        (r#"{"name":1}"#, 422, "invalid"),
        (r"[]", 422, "invalid"),
    ] {
        let (_, problem) = refused(service(), post_json("/groups", body)).await;
        let expected = (status, format!("urn:drover:problem:{code}"));
        assert_eq!((problem.status, problem.type_uri), expected, "{body:?} {:?}", problem.detail);
    }
}

#[tokio::test]
async fn a_wrong_field_is_named_with_its_path() {
    let id = uuid::Uuid::nil();
    for (body, field, message) in [
        (
            r#"{"name":"a","firmware_id":"ID","stages":[{"percentage":10},{"percentage":300}]}"#,
            "stages[1].percentage",
            "300",
        ),
        (
            r#"{"name":"a","firmware_id":"ID","stages":[{"percentage":10,"when":"now"}]}"#,
            "stages[0].when",
            "unknown field",
        ),
        (r#"{"name":"a","firmware_id":"nonsense","stages":[]}"#, "firmware_id", "UUID"),
    ] {
        let body = body.replace("ID", &id.to_string());
        let (_, problem) = refused(service(), post_json("/rollouts", &body)).await;
        let [error] = problem.errors.as_slice() else { panic!("one field of {problem:?}") };
        assert_eq!((problem.status, error.field.as_str()), (422, field));
        assert!(error.message.contains(message) && !error.message.contains("line"), "{}", error.message);
    }
    let (_, problem) = refused(service(), post_json("/rollouts", r#"{"name":"a"}"#)).await;
    assert!(problem.detail.expect("a detail").contains("missing field `firmware_id`"));
}

#[tokio::test]
async fn other_media_types_are_refused() {
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = Request::post("/groups").header("content-type", media_type);
        let (_, problem) = refused(service(), request.body(Body::from("{}")).expect("a request")).await;
        assert_eq!(problem.status, 415, "{media_type:?}");
    }
}

#[tokio::test]
async fn a_body_may_be_left_out_where_nothing_in_it_is_needed() {
    let bare = Request::post("/rollback").body(Body::empty()).expect("a request");
    assert_eq!(ask(service(), bare).await.status(), StatusCode::OK);
    let response = ask(service(), post_json("/rollback", r#"{"reason":"smoke"}"#)).await;
    assert_eq!(crate::testing::text(response).await, "smoke");
    let (_, problem) = refused(service(), post_json("/rollback", r#"{"because":"smoke"}"#)).await;
    assert_eq!(problem.errors[0].field, "because");
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(1000));
    let (_, problem) = refused(service(), post_json("/groups", &body)).await;
    assert_eq!((problem.status, problem.kind), (413, ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_path_that_holds_no_id_names_nothing() {
    let (_, problem) = refused(service(), get("/devices/nonsense")).await;
    assert_eq!((problem.status, problem.kind), (404, ErrorKind::NotFound));
    let good = get("/devices/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    assert_eq!(ask(service(), good).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn unknown_and_invalid_parameters_are_named() {
    for (query, field) in [("limit=x", "limit"), ("status=happy", "status"), ("colour=red", "colour")] {
        let (_, problem) = refused(service(), get(&format!("/devices?{query}"))).await;
        assert_eq!(problem.status, 422, "{query}");
        assert_eq!(problem.errors.first().map(|error| error.field.as_str()), Some(field), "{problem:?}");
    }
    assert_eq!(ask(service(), get("/devices?limit=5&status=idle")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_idempotency_key_is_checked() {
    let with = |key: &'static [u8]| {
        let value = axum::http::HeaderValue::from_bytes(key).expect("a header");
        Request::put("/key").header("idempotency-key", value).body(Body::empty()).expect("a request")
    };
    assert_eq!(ask(service(), with(b"retry-1")).await.status(), StatusCode::OK);
    for key in [b"a b".as_slice(), b"", b"\xff"] {
        let (_, problem) = refused(service(), with(key)).await;
        assert_eq!(problem.errors[0].field, "Idempotency-Key");
    }
}

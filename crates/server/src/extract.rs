//! Extractors whose refusals are problems.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use drover_api::FieldError;
use drover_app::{Error, IdempotencyKey};
use drover_types::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};

use crate::problem::{Failure, Result};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `PostgreSQL` takes no text with it.
const NUL: &str = "%00";

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        if !is_json(request.headers()) {
            let error = Error::new(
                ErrorKind::Malformed,
                "unsupported_media_type",
                "the body must be JSON; send it with Content-Type: application/json",
            );
            return Err(Failure::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
        }
        parse_json(&body(request, state).await?).map(Self)
    }
}

/// A body of JSON that may be left out: then everything in it has its default.
pub(crate) struct JsonOrDefault<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonOrDefault<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            return Json::from_request(request, state).await.map(|Json(value)| Self(value));
        }
        let body = body(request, state).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { parse_json(&body).map(Self) }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))
}

fn unread(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::new(ErrorKind::TooLarge, "too_large", "the body is larger than this call takes").into();
    }
    Error::new(ErrorKind::Malformed, "body_incomplete", format!("the body did not arrive whole: {rejection}")).into()
}

/// Broken JSON cannot be understood (400); JSON that says something else than it may is refused (422).
fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| refused_json(&error))?;
    reader.end().map_err(|error| malformed_json(&error))?;
    Ok(value)
}

fn refused_json(error: &serde_path_to_error::Error<serde_json::Error>) -> Failure {
    let cause = error.inner();
    if cause.classify() != serde_json::error::Category::Data {
        return malformed_json(cause);
    }
    invalid_field(error.path().to_string(), without_position(&cause.to_string()))
}

fn malformed_json(error: &serde_json::Error) -> Failure {
    Error::new(ErrorKind::Malformed, "malformed_json", format!("the body is not JSON: {error}")).into()
}

fn invalid_field(path: String, message: String) -> Failure {
    match path.as_str() {
        "" | "." | "?" => Error::unprocessable("invalid", message).into(),
        _ => Error::fields(vec![FieldError { field: path, message }]).into(),
    }
}

/// The field is named, so where it stood in the text is noise.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// Parameters of the path. What cannot be an id names nothing, so it is not found.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail = format!("there is nothing at this path: {}", rejection.body_text());
                Err(Error::new(ErrorKind::NotFound, "not_found", detail).into())
            }
        }
    }
}

/// Parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        if let Some(pair) = pairs.into_iter().find(|pair| pair.contains(NUL)) {
            let field = pair.split('=').next().filter(|name| !name.contains(NUL)).unwrap_or_default();
            return Err(invalid_field(field.to_owned(), "must not contain control characters".to_owned()));
        }
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(refused_query(&rejection.body_text())),
        }
    }
}

/// axum writes `Failed to deserialize query string: <parameter>: <what is wrong>`.
fn refused_query(text: &str) -> Failure {
    let rest = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    match rest.split_once(": ") {
        Some((field, message)) if !field.contains(' ') => invalid_field(field.to_owned(), message.to_owned()),
        _ => Error::unprocessable("invalid", rest).into(),
    }
}

/// The `Idempotency-Key` header of a creating call, if it has one.
pub(crate) struct Idempotency(Option<String>);

impl Idempotency {
    /// The key for this request; refused when it is not one.
    pub(crate) fn key<B: Serialize>(&self, operation: &str, body: &B) -> Result<Option<IdempotencyKey>> {
        let key = self.0.as_deref().map(|key| IdempotencyKey::new(key, operation, body));
        Ok(key.transpose()?)
    }
}

impl IntoParams for Idempotency {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "1 to 200 printable characters. The same key with the same request creates once.";
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(String::schema()));
        vec![parameter.build()]
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        // What is no text is refused together with everything else that is no key.
        Ok(Self(Some(value.to_str().unwrap_or_default().to_owned())))
    }
}

#[cfg(test)]
mod tests;

//! Errors as RFC 9457 problem details.

use drover_types::ErrorKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every error, with media type `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:drover:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// What it is, in few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The kind, for programs.
    pub kind: ErrorKind,
    /// The request's id; the server's log has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What is wrong with which field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Path of the field, for instance `stages[1].percentage`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

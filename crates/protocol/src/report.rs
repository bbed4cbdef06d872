//! Reports of a device about an update session.

use drover_types::{ComponentName, FailureClass, SessionState, Sha256Digest, Timestamp, UpdateSessionId, Version};
use serde::{Deserialize, Serialize};

/// Why an update did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The class, for policies.
    pub class: FailureClass,
    /// A short stable code, for instance `digest_mismatch`; at most 64 characters.
    pub code: String,
    /// What happened, for a person; at most 1 000 characters.
    pub message: String,
}

/// How an update is going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct StatusReport {
    /// The session of the offer.
    pub session_id: UpdateSessionId,
    /// The state that the device reached: `downloading` to `validating`, or `failed`, `rejected`, `cancelled`.
    pub state: SessionState,
    /// Share done, 0 to 100.
    #[serde(default)]
    pub progress: u8,
    /// Why, when `state` is `failed` or `rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When, by the device's clock. Informational: it never orders anything on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<Timestamp>,
}

/// What the device shall do after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum Directive {
    /// Go on.
    Continue,
    /// Stop, unless the switch to the new version has begun, and forget the offer.
    Stop,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ReportReply {
    /// What to do.
    pub directive: Directive,
    /// The session's state on the server now.
    pub state: SessionState,
}

/// How the new version did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum ValidationOutcome {
    /// It passed and was committed.
    Succeeded,
    /// It failed and the device went back.
    RolledBack,
}

/// How an update ended after the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ValidationReport {
    /// The session of the offer.
    pub session_id: UpdateSessionId,
    /// How it ended.
    pub outcome: ValidationOutcome,
    /// The component.
    #[serde(default)]
    pub component: ComponentName,
    /// What it runs now; none when there was nothing to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SHA-256 of the signed manifest of what it runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<Sha256Digest>,
    /// Why, when it went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When, by the device's clock. Informational.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<Timestamp>,
}

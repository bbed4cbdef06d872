//! Source 000's presign API.

use drover_types::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ask for a time-limited address of an object.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PresignRequest {
    /// The object's name: segments of letters, digits, `.`, `_` and `-`, joined by `/`; at most 512 characters.
    #[schema(example = "firmware/v1/hello.bin")]
    pub object_key: String,
    /// How long the address works, in seconds: 1 to 3 600; 900 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// A time-limited address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresignReply {
    /// The object's name.
    pub object_key: String,
    /// Fetch it from here with GET; no credential is needed.
    pub url: String,
    /// The method to use.
    pub method: String,
    /// How long the address works, in seconds.
    pub expires_in: u32,
    /// When it stops working.
    pub expires_at: Timestamp,
}

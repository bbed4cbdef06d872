//! Objects with names of one's own choice.

use drover_types::{Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A name for an immutable object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredObject {
    /// Its name, for instance `firmware/v1/hello.bin`.
    pub object_key: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub checksum: Sha256Digest,
    /// When the name was given.
    pub created_at: Timestamp,
}

/// Which objects.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only names that start with this.
    pub prefix: Option<String>,
}

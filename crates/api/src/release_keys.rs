//! Public keys that may sign firmware.

use drover_types::{KeyAlgorithm, ReleaseKeyId, Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A public key that may sign firmware of the tenant. The private half never reaches the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseKey {
    /// The key's id.
    pub id: ReleaseKeyId,
    /// What it is called.
    pub name: String,
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of the key's SPKI in DER.
    pub fingerprint: Sha256Digest,
    /// The public key, PEM.
    pub public_key: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was revoked; firmware signed with it is refused from then on.
    pub revoked_at: Option<Timestamp>,
}

/// Add a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseKeyCreate {
    /// What it is called: 1 to 100 characters.
    pub name: String,
    /// The public key, PEM (`-----BEGIN PUBLIC KEY-----`): P-256, RSA or Ed25519.
    pub public_key: String,
}

//! Signatures as files: the sigstore bundle, and the older form of `cosign sign-blob --bundle`.

mod wire;

use drover_types::Sha256Digest;

/// A bundle with one signature takes about 1 KiB; evidence of a public log beside it, some 10 KiB.
const MAX_BUNDLE_BYTES: usize = 64 * 1024;

/// Why bytes are no bundle that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Larger than any bundle.
    #[error("the bundle has {size_bytes} bytes, more than the {MAX_BUNDLE_BYTES} that are accepted")]
    TooLarge {
        /// Size of the bytes.
        size_bytes: usize,
    },
    /// Not the JSON of a bundle.
    #[error("malformed bundle: {0}; expected the JSON that cosign or drover wrote")]
    Json(#[source] serde_json::Error),
    /// The JSON of a bundle, with something missing or wrong in it.
    #[error("malformed bundle: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A version that is not known.
    #[error("unsupported bundle media type {found:?}: expected a sigstore bundle of version 0.1, 0.2 or 0.3")]
    UnsupportedMediaType {
        /// What the bundle says, at most 80 characters.
        found: String,
    },
    /// A digest that is not SHA-256.
    #[error("unsupported digest algorithm {found:?} in the bundle: expected SHA2_256")]
    UnsupportedDigest {
        /// What the bundle says, at most 80 characters.
        found: String,
    },
    /// Signed by a certificate.
    #[error("certificate bundles are not accepted with pinned keys: sign with a pinned key (cosign sign-blob --key)")]
    Certificate,
    /// A statement about a file, not the signature of one.
    #[error("the bundle holds an attestation (dsseEnvelope), expected the signature of a file (messageSignature)")]
    Attestation,
    /// No signature at all.
    #[error("the bundle holds no signature")]
    NoSignature,
}

/// One signature over one file, and how to find the key that made it. Nothing in it is trusted by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    hint: Option<String>,
    message_digest: Option<Sha256Digest>,
    signature: Vec<u8>,
    carried_key: Option<Sha256Digest>,
}

impl Bundle {
    pub(crate) const fn new(hint: String, message_digest: Sha256Digest, signature: Vec<u8>) -> Self {
        Self { hint: Some(hint), message_digest: Some(message_digest), signature, carried_key: None }
    }

    /// Reads a sigstore bundle of version 0.1, 0.2 or 0.3 with a message signature, or the older JSON of
    /// `cosign sign-blob --bundle`. At most 64 KiB; fields that are not known are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { size_bytes: bytes.len() });
        }
        wire::read(bytes)
    }

    /// The bundle as JSON, in the form that cosign 3 writes (version 0.3). Log entries that a parsed bundle had are
    /// left out.
    pub fn to_json(&self) -> String {
        wire::write(self)
    }

    /// What the signer says about the key: a selector among pinned keys, nothing more.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What the signer says was signed. Checked against the real digest, never instead of it.
    pub const fn message_digest(&self) -> Option<Sha256Digest> {
        self.message_digest
    }

    /// The bytes of the signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Fingerprint of a public key that the bundle brings along: a selector too, never a key to verify with.
    pub const fn carried_key(&self) -> Option<Sha256Digest> {
        self.carried_key
    }
}

#[cfg(test)]
mod tests;

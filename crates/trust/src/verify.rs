//! Verifying with pinned keys.

use aws_lc_rs::digest::{Digest, SHA256};
use drover_types::{KeyAlgorithm, Sha256Digest};

use crate::manifest::MAX_MANIFEST_BYTES;
use crate::{Bundle, BundleError, Manifest, ManifestError, PublicKey, sha256};

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bundle cannot be used at all.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The signature is good, the manifest is not; or it is too large to look at.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is no key to verify with.
    #[error("no release key is pinned, so nothing can be verified; add one first")]
    NoPinnedKeys,
    /// The bundle names a key that is not pinned.
    #[error("signed with a key that is not pinned (hint {hint:?})")]
    UnknownKey {
        /// The hint of the bundle, at most 100 characters.
        hint: String,
    },
    /// The bundle brings a key of its own.
    #[error("the bundle brings its own key ({fingerprint:?}), which is never trusted and is not pinned")]
    OwnKey {
        /// Fingerprint of that key.
        fingerprint: Sha256Digest,
    },
    /// The bundle was made for another file.
    #[error("digest mismatch: the bundle was made for {stated:?}, this is {actual:?}; fetch both again")]
    DigestMismatch {
        /// What the bundle says.
        stated: Sha256Digest,
        /// What is really there.
        actual: Sha256Digest,
    },
    /// No pinned key made this signature over this file.
    #[error("wrong signature: checked with {tried} pinned key(s), made by none of them over exactly these bytes")]
    WrongSignature {
        /// How many pinned keys came into question.
        tried: usize,
    },
    /// Only Ed25519 keys come into question, and they cannot verify a digest.
    #[error("the pinned Ed25519 key verifies manifests only; sign artifacts with a pinned P-256 or RSA key")]
    Ed25519Digest,
}

/// Something that a pinned key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    /// What was signed.
    pub value: T,
    /// Fingerprint of the key that signed it.
    pub key_fingerprint: Sha256Digest,
}

/// Verifies a manifest with the pinned `keys`, and only then reads it.
///
/// The hint of the bundle selects among the keys; without one, each is tried.
pub fn verify_manifest(manifest: &[u8], bundle: &[u8], keys: &[PublicKey]) -> Result<Verified<Manifest>, VerifyError> {
    if manifest.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge { size_bytes: manifest.len() }.into());
    }
    let key_fingerprint = verify(&sha256(manifest), Some(manifest), bundle, keys)?;
    Ok(Verified { value: Manifest::parse(manifest)?, key_fingerprint })
}

/// Verifies an artifact by its SHA-256, which the caller took from the bytes themselves. Gives the fingerprint of the
/// key that signed it: P-256 or RSA.
pub fn verify_digest(digest: &Sha256Digest, bundle: &[u8], keys: &[PublicKey]) -> Result<Sha256Digest, VerifyError> {
    verify(digest, None, bundle, keys)
}

/// `message` is what `digest` was taken from, where it is at hand.
fn verify(
    digest: &Sha256Digest,
    message: Option<&[u8]>,
    bundle: &[u8],
    keys: &[PublicKey],
) -> Result<Sha256Digest, VerifyError> {
    let bundle = Bundle::parse(bundle)?;
    let candidates = select(&bundle, keys)?;
    if let Some(stated) = bundle.message_digest().filter(|stated| stated != digest) {
        return Err(VerifyError::DigestMismatch { stated, actual: *digest });
    }
    if message.is_none() && candidates.iter().all(|key| key.algorithm() == KeyAlgorithm::Ed25519) {
        return Err(VerifyError::Ed25519Digest);
    }
    let signer = candidates.iter().find(|key| is_signed_by(key, digest, message, bundle.signature()));
    signer.map(|key| key.fingerprint()).ok_or(VerifyError::WrongSignature { tried: candidates.len() })
}

/// The pinned keys that come into question; never none.
fn select<'k>(bundle: &Bundle, keys: &'k [PublicKey]) -> Result<Vec<&'k PublicKey>, VerifyError> {
    if keys.is_empty() {
        return Err(VerifyError::NoPinnedKeys);
    }
    let (selected, refusal): (Vec<_>, _) = if let Some(hint) = bundle.hint() {
        let hint_digits = digits(hint);
        let selected = keys.iter().filter(|key| digits(&key.hint()) == hint_digits).collect();
        (selected, VerifyError::UnknownKey { hint: hint.chars().take(100).collect() })
    } else if let Some(fingerprint) = bundle.carried_key() {
        let selected = keys.iter().filter(|key| key.fingerprint() == fingerprint).collect();
        (selected, VerifyError::OwnKey { fingerprint })
    } else {
        return Ok(keys.iter().collect());
    };
    if selected.is_empty() { Err(refusal) } else { Ok(selected) }
}

/// A hint in the one spelling of base64 that all its spellings share: url-safe, no padding.
fn digits(hint: &str) -> String {
    hint.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn is_signed_by(key: &PublicKey, digest: &Sha256Digest, message: Option<&[u8]>, signature: &[u8]) -> bool {
    match key.algorithm() {
        KeyAlgorithm::Ed25519 => message.is_some_and(|message| key.parsed().verify_sig(message, signature).is_ok()),
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa => Digest::import_less_safe(digest.as_bytes(), &SHA256)
            .is_ok_and(|digest| key.parsed().verify_digest_sig(&digest, signature).is_ok()),
    }
}

#[cfg(test)]
mod tests;

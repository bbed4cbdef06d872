//! Public release keys: the ones that are pinned.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_types::{KeyAlgorithm, Sha256Digest};

use crate::{pem, sha256};

/// Why a text is no key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Larger than any key.
    #[error("the key has {size_bytes} bytes, more than the {limit_bytes} that any key needs")]
    TooLarge {
        /// Size of the text.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Not one well-formed PEM block.
    #[error("the key is not one PEM block: expected -----BEGIN {expected}-----, base64, -----END {expected}-----")]
    NotPem {
        /// The label that was expected.
        expected: &'static str,
    },
    /// PEM, but with another label.
    #[error("the PEM block is a {found:?}, expected {expected:?}; convert it with {}", advice(expected))]
    Label {
        /// The label that was expected.
        expected: &'static str,
        /// The label that was there, at most 40 characters.
        found: String,
    },
    /// A private key where a public one belongs.
    #[error("this is a private key, expected the public one; keep this file secret and give the other")]
    PrivateGiven,
    /// A private key with a passphrase.
    #[error("the private key is encrypted; give it unencrypted: openssl pkcs8 -topk8 -nocrypt")]
    Encrypted,
    /// Neither an algorithm nor a size that is accepted.
    #[error("the key is none of ECDSA P-256, RSA with 2048 to 8192 bits, Ed25519")]
    Unsupported,
    /// A second spelling of a key, which would have a second fingerprint.
    #[error(
        "the public key is not in canonical DER with an uncompressed point; convert it with {}",
        advice(pem::PUBLIC)
    )]
    NotCanonical,
    /// The cryptographic library failed.
    #[error("the cryptographic library could not make the key")]
    Library,
}

fn advice(expected: &str) -> &'static str {
    if expected == pem::PUBLIC {
        "openssl pkey -pubout -ec_conv_form uncompressed"
    } else {
        "openssl pkcs8 -topk8 -nocrypt"
    }
}

/// A public key that can be pinned: ECDSA P-256, RSA of 2048 to 8192 bits, or Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    parsed: ParsedPublicKey,
    fingerprint: Sha256Digest,
}

impl PublicKey {
    /// From a PEM `SubjectPublicKeyInfo` (`-----BEGIN PUBLIC KEY-----`), at most 16 KiB.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_spki(&pem::decode(text, pem::PUBLIC)?)
    }

    /// From a DER `SubjectPublicKeyInfo`.
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let known: [(KeyAlgorithm, &'static dyn VerificationAlgorithm); 3] = [
            (KeyAlgorithm::EcdsaP256, &ECDSA_P256_SHA256_ASN1),
            (KeyAlgorithm::Rsa, &RSA_PKCS1_2048_8192_SHA256),
            (KeyAlgorithm::Ed25519, &ED25519),
        ];
        let found = known.into_iter().find_map(|(algorithm, verification)| {
            ParsedPublicKey::new(verification, spki).ok().map(|parsed| (algorithm, parsed))
        });
        let (algorithm, parsed) = found.ok_or(KeyError::Unsupported)?;
        // The parser also takes bare points and PKCS#1. One key, one spelling, one fingerprint.
        let canonical: PublicKeyX509Der = parsed.as_der().map_err(|_| KeyError::Library)?;
        if canonical.as_ref() != spki {
            return Err(KeyError::NotCanonical);
        }
        // The parser leaves the size of an RSA key to the first verification; this one looks now.
        if algorithm == KeyAlgorithm::Rsa && PublicEncryptingKey::from_der(spki).is_err() {
            return Err(KeyError::Unsupported);
        }
        Ok(Self { algorithm, spki: spki.to_vec(), parsed, fingerprint: sha256(spki) })
    }

    /// The algorithm of the key.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The key as PEM `SubjectPublicKeyInfo`.
    pub fn to_pem(&self) -> String {
        pem::encode(&self.spki, pem::PUBLIC)
    }

    /// SHA-256 of the DER `SubjectPublicKeyInfo`: the name of the key.
    pub const fn fingerprint(&self) -> Sha256Digest {
        self.fingerprint
    }

    /// The fingerprint in standard base64, as cosign writes it into a bundle's `hint`.
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint.as_bytes())
    }

    pub(crate) const fn parsed(&self) -> &ParsedPublicKey {
        &self.parsed
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} {:?})", self.algorithm, self.fingerprint)
    }
}

#[cfg(test)]
mod tests;

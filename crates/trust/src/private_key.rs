//! Private release keys: the ones that sign.

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use drover_types::{KeyAlgorithm, Sha256Digest};
use zeroize::Zeroizing;

use crate::key::{KeyError, PublicKey};
use crate::{Bundle, pem, sha256};

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Ed25519 needs the whole message, so it cannot sign a digest.
    #[error(
        "an Ed25519 key signs manifests only, which bind the artifacts by digest; \
         sign artifacts with a P-256 or RSA key"
    )]
    Ed25519Digest,
    /// The cryptographic library failed.
    #[error("the cryptographic library could not sign")]
    Library,
}

impl From<Unspecified> for SignError {
    fn from(_: Unspecified) -> Self {
        Self::Library
    }
}

enum Pair {
    EcdsaP256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key. Its secret is wiped when dropped and never printed by `Debug`.
pub struct PrivateKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key; RSA keys get 3072 bits.
    ///
    /// Randomness is not an argument here: the library takes it from the operating system, whatever one passes,
    /// and a key from any other source would be a hole.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::EcdsaP256),
            KeyAlgorithm::Rsa => RsaKeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        Self::from_pair(pair.map_err(|_| KeyError::Library)?)
    }

    /// From unencrypted PKCS#8 in PEM (`-----BEGIN PRIVATE KEY-----`), at most 16 KiB.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = pem::decode(text, pem::PRIVATE)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8)
            .map(Pair::EcdsaP256)
            .or_else(|_| RsaKeyPair::from_pkcs8(&pkcs8).map(Pair::Rsa))
            .or_else(|_| Ed25519KeyPair::from_pkcs8(&pkcs8).map(Pair::Ed25519))
            .map_err(|_| KeyError::Unsupported)?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let (pkcs8, spki) = encode(&pair).map_err(|_| KeyError::Library)?;
        Ok(Self { pair, pkcs8, public: PublicKey::from_spki(&spki)? })
    }

    /// The key as unencrypted PKCS#8 in PEM. The text is a secret: write it with mode 0600.
    pub fn to_pem(&self) -> String {
        pem::encode(&self.pkcs8, pem::PRIVATE)
    }

    /// Its public key: the one to pin.
    pub fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    /// Signs bytes in memory, such as a manifest.
    pub fn sign_message(&self, message: &[u8]) -> Result<Bundle, SignError> {
        let digest = sha256(message);
        match &self.pair {
            Pair::Ed25519(pair) => Ok(self.bundle(&digest, pair.try_sign(message)?.as_ref().to_vec())),
            Pair::EcdsaP256(_) | Pair::Rsa(_) => self.sign_digest(&digest),
        }
    }

    /// Signs an artifact of any size by its SHA-256. P-256 and RSA only: Ed25519 would need the whole message.
    pub fn sign_digest(&self, digest: &Sha256Digest) -> Result<Bundle, SignError> {
        let imported = Digest::import_less_safe(digest.as_bytes(), &SHA256)?;
        let signature = match &self.pair {
            Pair::EcdsaP256(pair) => pair.sign_digest(&imported)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0_u8; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &imported, &mut signature)?;
                signature
            }
            Pair::Ed25519(_) => return Err(SignError::Ed25519Digest),
        };
        Ok(self.bundle(digest, signature))
    }

    fn bundle(&self, digest: &Sha256Digest, signature: Vec<u8>) -> Bundle {
        Bundle::new(self.public.hint(), *digest, signature)
    }
}

/// The private key as PKCS#8 and the public key as `SubjectPublicKeyInfo`, both DER.
fn encode(pair: &Pair) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Unspecified> {
    let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    let public = |der: PublicKeyX509Der<'_>| der.as_ref().to_vec();
    Ok(match pair {
        Pair::EcdsaP256(pair) => (secret(pair.to_pkcs8v1()?.as_ref()), public(pair.public_key().as_der()?)),
        Pair::Rsa(pair) => {
            let pkcs8: Pkcs8V1Der<'_> = pair.as_der()?;
            (secret(pkcs8.as_ref()), public(pair.public_key().as_der()?))
        }
        Pair::Ed25519(pair) => (secret(pair.to_pkcs8v1()?.as_ref()), public(pair.public_key().as_der()?)),
    })
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} {:?}, secret not shown)", self.public.algorithm(), self.public.fingerprint())
    }
}

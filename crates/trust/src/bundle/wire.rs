//! The JSON of bundles, field by field. It is protobuf's JSON: lowerCamelCase, bytes as standard base64, what is not
//! set is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_types::Sha256Digest;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Bundle, BundleError};
use crate::{pem, sha256};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MEDIA_TYPES: [&str; 6] = [
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.2+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle.v0.1+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];
const DIGEST_ALGORITHM: &str = "SHA2_256";

/// Tells the forms apart before the strict reading, so that a newer bundle is called newer and not malformed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    media_type: Option<String>,
    base64_signature: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sigstore {
    media_type: String,
    verification_material: Material,
    message_signature: Option<MessageSignature>,
    #[serde(default, skip_serializing)]
    dsse_envelope: Option<IgnoredAny>,
}

/// Evidence of logs and timestamps is read over: with a pinned key it adds nothing to trust.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<KeyIdentifier>,
    #[serde(default, skip_serializing)]
    certificate: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    x509_certificate_chain: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "known, and of no use with a pinned key")]
    tlog_entries: Option<Vec<IgnoredAny>>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "known, and of no use with a pinned key")]
    timestamp_verification_data: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyIdentifier {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessageSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_digest: Option<MessageDigest>,
    #[serde(default)]
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

/// The older form, called `LocalSignedPayload` in cosign.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Legacy {
    base64_signature: String,
    cert: Option<String>,
    #[expect(dead_code, reason = "known, and of no use with a pinned key")]
    rekor_bundle: Option<IgnoredAny>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Bundle, BundleError> {
    let probe: Probe = serde_json::from_slice(bytes).map_err(BundleError::Json)?;
    match probe.media_type {
        Some(media_type) if MEDIA_TYPES.contains(&media_type.as_str()) => {
            from_sigstore(serde_json::from_slice(bytes).map_err(BundleError::Json)?)
        }
        Some(found) => Err(BundleError::UnsupportedMediaType { found: short(&found) }),
        None if probe.base64_signature.is_some() => {
            from_legacy(&serde_json::from_slice(bytes).map_err(BundleError::Json)?)
        }
        None => Err(malformed("neither mediaType nor base64Signature is there")),
    }
}

fn from_sigstore(bundle: Sigstore) -> Result<Bundle, BundleError> {
    let material = bundle.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(BundleError::Certificate);
    }
    if bundle.dsse_envelope.is_some() {
        return Err(BundleError::Attestation);
    }
    let key = material.public_key.ok_or_else(|| malformed("verificationMaterial names no publicKey"))?;
    let message = bundle.message_signature.ok_or(BundleError::NoSignature)?;
    Ok(Bundle {
        hint: key.hint.filter(|hint| !hint.is_empty()),
        message_digest: message.message_digest.map(|digest| read_digest(&digest)).transpose()?,
        signature: read_signature(&message.signature)?,
        carried_key: None,
    })
}

fn from_legacy(payload: &Legacy) -> Result<Bundle, BundleError> {
    let cert = payload.cert.as_deref().filter(|cert| !cert.is_empty());
    Ok(Bundle {
        hint: None,
        message_digest: None,
        signature: read_signature(&payload.base64_signature)?,
        carried_key: cert.map(read_carried_key).transpose()?,
    })
}

fn read_digest(wire: &MessageDigest) -> Result<Sha256Digest, BundleError> {
    if wire.algorithm != DIGEST_ALGORITHM {
        return Err(BundleError::UnsupportedDigest { found: short(&wire.algorithm) });
    }
    let bytes = STANDARD.decode(&wire.digest).map_err(|_| malformed("messageDigest is not base64"))?;
    let bytes = bytes.try_into().map_err(|_| malformed("messageDigest has not the 32 bytes of SHA-256"))?;
    Ok(Sha256Digest::from_bytes(bytes))
}

fn read_signature(text: &str) -> Result<Vec<u8>, BundleError> {
    if text.is_empty() {
        return Err(BundleError::NoSignature);
    }
    STANDARD.decode(text).map_err(|_| malformed("the signature is not base64"))
}

/// With `--key`, cosign put the public key into `cert`. Only its fingerprint is kept, so that it cannot be used.
fn read_carried_key(cert: &str) -> Result<Sha256Digest, BundleError> {
    let text = STANDARD.decode(cert).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| malformed("cert is not base64 of PEM"))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(BundleError::Certificate);
    }
    let spki = pem::decode(&text, pem::PUBLIC).map_err(|_| malformed("cert is neither certificate nor public key"))?;
    Ok(sha256(&spki))
}

pub(super) fn write(bundle: &Bundle) -> String {
    let wire = Sigstore {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Some(KeyIdentifier { hint: bundle.hint.clone() }),
            certificate: None,
            x509_certificate_chain: None,
            tlog_entries: None,
            timestamp_verification_data: None,
        },
        message_signature: Some(MessageSignature {
            message_digest: bundle.message_digest.map(|digest| MessageDigest {
                algorithm: DIGEST_ALGORITHM.to_owned(),
                digest: STANDARD.encode(digest.as_bytes()),
            }),
            signature: STANDARD.encode(&bundle.signature),
        }),
        dsse_envelope: None,
    };
    serde_json::to_string(&wire).expect("texts in structs are always JSON")
}

const fn malformed(reason: &'static str) -> BundleError {
    BundleError::Malformed { reason }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

//! Signed URLs of the folder: `{public_url}/blobs/{key}?method=GET&expires=…[&name=…]&sig=…`.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_types::Timestamp;

use crate::{ObjectKey, PresignMethod, file_name};

/// Why a signed URL is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It was right once.
    #[error("the URL has expired at {expired_at}: ask for a new one")]
    Expired {
        /// When.
        expired_at: Timestamp,
    },
    /// Something in it was changed, or it was signed with another key.
    #[error("the signature of the URL does not match: use the URL exactly as it was given")]
    BadSignature,
    /// It is signed for another method.
    #[error("the URL is signed for another method: use it with {allowed}")]
    WrongMethod {
        /// The methods it allows.
        allowed: &'static str,
    },
    /// It has not the form of a signed URL.
    #[error("the URL is not a signed URL of this server: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// What a valid signed URL opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedUrl {
    /// The object.
    pub key: ObjectKey,
    /// The name to save it as, for [`crate::attachment`].
    pub file_name: Option<String>,
    /// From this second on the URL is refused.
    pub expires_at: Timestamp,
}

/// Signs URLs with HMAC-SHA256.
pub struct FileUrlSigner {
    public_url: String,
    key: hmac::Key,
}

impl FileUrlSigner {
    /// URLs start with `public_url`, for instance `http://127.0.0.1:8080`.
    pub fn new(public_url: &str, signing_key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, signing_key);
        Self { public_url: public_url.trim_end_matches('/').to_owned(), key }
    }

    /// A URL for `method` on `key` until `expires_at` (in whole seconds). `file_name` must have passed
    /// [`crate::BlobStore::presign`]'s grammar.
    pub(crate) fn sign(
        &self,
        method: PresignMethod,
        key: &ObjectKey,
        expires_at: Timestamp,
        file_name: Option<&str>,
    ) -> String {
        let expires = expires_at.as_micros().div_euclid(1_000_000).to_string();
        let claim = Claim { method: method.as_str(), key: &key.to_string(), expires: &expires, name: file_name };
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, claim.text().as_bytes()));
        let name = file_name.map(|name| format!("&name={name}").replace('+', "%2B")).unwrap_or_default();
        format!("{}/blobs/{key}?method={}&expires={expires}{name}&sig={signature}", self.public_url, claim.method)
    }
}

/// Checks a signed URL: `request_method` and the URL's path after `/blobs/` and its query, both as they were sent
/// (not decoded). The signature covers key, method, expiry and file name and is compared in constant time; nothing
/// else is told about a URL whose signature is wrong.
pub fn verify_file_url(
    signing_key: &[u8; 32],
    request_method: &str,
    path_key: &str,
    query: &str,
    now: Timestamp,
) -> Result<VerifiedUrl, UrlError> {
    let key: ObjectKey = path_key.parse().map_err(|_| UrlError::Malformed { what: "the key in its path" })?;
    let query = Query::parse(query)?;
    let signature = URL_SAFE_NO_PAD.decode(&query.sig).map_err(|_| UrlError::Malformed { what: "its signature" })?;
    let expires_at = parse_expiry(&query.expires)?;
    let claim = Claim { method: &query.method, key: path_key, expires: &query.expires, name: query.name.as_deref() };
    let mac_key = hmac::Key::new(hmac::HMAC_SHA256, signing_key);
    hmac::verify(&mac_key, claim.text().as_bytes(), &signature).map_err(|_| UrlError::BadSignature)?;
    match (query.method.as_str(), request_method) {
        ("GET", "GET" | "HEAD") | ("HEAD", "HEAD") => {}
        ("GET", _) => return Err(UrlError::WrongMethod { allowed: "GET or HEAD" }),
        _ => return Err(UrlError::WrongMethod { allowed: "HEAD" }),
    }
    if now >= expires_at {
        return Err(UrlError::Expired { expired_at: expires_at });
    }
    Ok(VerifiedUrl { key, file_name: query.name, expires_at })
}

/// What is signed. No part can hold a line break, so no two claims have one text.
struct Claim<'a> {
    method: &'a str,
    key: &'a str,
    expires: &'a str,
    name: Option<&'a str>,
}

impl Claim<'_> {
    fn text(&self) -> String {
        let Self { method, key, expires, name } = self;
        format!("drover-blob-url-v1\n{method}\n{key}\n{expires}\n{}", name.unwrap_or_default())
    }
}

/// The query's fields: each known, each at most once.
struct Query {
    method: String,
    expires: String,
    name: Option<String>,
    sig: String,
}

impl Query {
    fn parse(query: &str) -> Result<Self, UrlError> {
        let (mut method, mut expires, mut name, mut sig) = (None, None, None, None);
        for (field, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let slot = match field.as_ref() {
                "method" => &mut method,
                "expires" => &mut expires,
                "name" => &mut name,
                "sig" => &mut sig,
                _ => return Err(UrlError::Malformed { what: "a field that is not part of it" }),
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(UrlError::Malformed { what: "a field twice" });
            }
        }
        if name.as_deref().is_some_and(|name| file_name::check(name).is_err()) {
            return Err(UrlError::Malformed { what: "its file name" });
        }
        let method = method.filter(|method| matches!(method.as_str(), "GET" | "HEAD"));
        let missing = |what| UrlError::Malformed { what };
        Ok(Self {
            method: method.ok_or(missing("its method is missing or unknown"))?,
            expires: expires.ok_or(missing("its expiry is missing"))?,
            name,
            sig: sig.ok_or(missing("its signature is missing"))?,
        })
    }
}

/// Seconds since 1970, in their one spelling.
fn parse_expiry(text: &str) -> Result<Timestamp, UrlError> {
    let malformed = UrlError::Malformed { what: "its expiry" };
    let seconds = text.parse::<i64>().ok().filter(|seconds| *seconds >= 0 && seconds.to_string() == text);
    let micros = seconds.and_then(|seconds| seconds.checked_mul(1_000_000));
    micros.map(Timestamp::from_micros).ok_or(malformed)
}

#[cfg(test)]
mod tests;

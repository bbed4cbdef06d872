//! The token by which a page of ours proves that it sent a request: see `server/src/cookie.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_trust::sha256;
use subtle::ConstantTimeEq as _;

/// The CSRF token of a session. It follows from the session's own token, so it needs no place to be kept and ends with the
/// session; the way back is closed.
pub fn csrf_token(session: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("drover csrf token of {session}").as_bytes()).as_bytes())
}

/// Whether `sent` is the CSRF token of the session; takes the same time for any wrong one.
pub fn is_csrf_token(session: &str, sent: &[u8]) -> bool {
    sent.ct_eq(csrf_token(session).as_bytes()).into()
}

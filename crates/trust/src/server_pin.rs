//! Pins: which key a server has to prove, when no public authority vouches for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_types::Sha256Digest;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use crate::sha256;

const PREFIX: &str = "sha256/";

/// Parts of an enrolment token before the pin: kind, tenant, id, secret.
const TOKEN_PARTS: usize = 4;

/// The SHA-256 of a certificate's public key (`SubjectPublicKeyInfo`). As text it is `sha256/` and 43 characters of
/// base64url. It names the key, so that certificates for the same key may come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerPin(Sha256Digest);

/// The text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid server pin {value:?}: expected sha256/ and 43 characters of base64, as the server prints it at its start"
)]
pub struct InvalidServerPin {
    /// The text that was given.
    pub value: String,
}

/// The bytes are no certificate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("invalid certificate")]
pub struct InvalidCertificate(#[source] pub rustls::Error);

impl ServerPin {
    /// Of the key in this certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, InvalidCertificate> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(InvalidCertificate)?;
        Ok(Self(sha256(&parsed.subject_public_key_info())))
    }

    /// The pin that an enrolment token carries behind its secret; none in tokens of servers that need none.
    pub fn in_enrolment_token(token: &str) -> Result<Option<Self>, InvalidServerPin> {
        token.trim().splitn(TOKEN_PARTS + 1, '.').nth(TOKEN_PARTS).map(str::parse).transpose()
    }

    /// As it stands in an enrolment token: without the prefix.
    pub fn token_part(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_bytes())
    }
}

impl std::fmt::Display for ServerPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", self.token_part())
    }
}

impl std::fmt::Debug for ServerPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for ServerPin {
    type Err = InvalidServerPin;

    /// With or without the prefix, in either alphabet of base64: `openssl` and `curl` write the other one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidServerPin { value: text.chars().take(80).collect() };
        let bare = text.trim().strip_prefix(PREFIX).unwrap_or(text.trim());
        let url_safe = bare.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let bytes = URL_SAFE_NO_PAD.decode(url_safe).map_err(|_| invalid())?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| invalid())?;
        Ok(Self(Sha256Digest::from_bytes(bytes)))
    }
}

impl TryFrom<String> for ServerPin {
    type Error = InvalidServerPin;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServerPin> for String {
    fn from(pin: ServerPin) -> Self {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn pin() -> ServerPin {
        ServerPin(Sha256Digest::from_bytes([0xfb; 32]))
    }

    #[test]
    fn every_usual_spelling_is_read() {
        let standard = STANDARD.encode([0xfb; 32]);
        assert!(standard.contains('+') && standard.ends_with('='), "{standard}");
        for text in [pin().to_string(), pin().token_part(), standard.clone(), format!("sha256/{standard}")] {
            assert_eq!(text.parse(), Ok(pin()), "{text}");
        }
        for bad in ["", "sha256/", "sha256/AAAA", "sha1/AAAA", &"A".repeat(44), "sha256//AAAA"] {
            assert!(bad.parse::<ServerPin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_may_carry_one() {
        assert_eq!(ServerPin::in_enrolment_token("ft1.t.i.secret"), Ok(None));
        assert_eq!(ServerPin::in_enrolment_token(&format!("ft1.t.i.s.{}\n", pin().token_part())), Ok(Some(pin())));
        assert!(ServerPin::in_enrolment_token("ft1.t.i.s.").is_err());
        assert!(ServerPin::in_enrolment_token(&format!("ft1.t.i.s.{}.more", pin().token_part())).is_err());
    }
}

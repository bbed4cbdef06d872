//! Tokens: `<kind>.<tenant>.<id>.<secret>`. The id finds the row, the secret proves the right to it. Enrolment tokens
//! may end in `.<pin>`, which is for the device alone: it says which key the server has to prove.
//!
//! API keys are the same in one word, see `key_text.rs`.
//!
//! The secret has 256 random bits, so its plain SHA-256 is stored: there is nothing to guess slowly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_trust::{ServerPin, sha256};
use drover_types::{ErrorKind, Sha256Digest, TenantId};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{Error, Random, key_text};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// Devices register with it.
    Enrolment,
    /// A user's server-side session.
    Login,
    /// A program's key.
    ApiKey,
    /// A device's own.
    Device,
}

impl CredentialKind {
    /// Those whose parts have dots between them.
    const DOTTED: [Self; 3] = [Self::Enrolment, Self::Login, Self::Device];

    /// The first part of the token: lets a scanner of leaked secrets tell what it found.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Enrolment => "ft1",
            Self::Login => "dl1",
            Self::ApiKey => key_text::PREFIX,
            Self::Device => "dd1",
        }
    }
}

/// A token, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialKind,
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// The row that it belongs to.
    pub id: Uuid,
    secret: [u8; 32],
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Credential {
    /// A new one for the row `id`.
    pub(crate) fn generate(kind: CredentialKind, tenant: TenantId, id: Uuid, random: &dyn Random) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        Self { kind, tenant, id, secret }
    }

    /// From the text that a caller presents; none when it is no token at all.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(bytes) = key_text::decode(text) {
            return Some(Self::from_key(&bytes));
        }
        let mut parts = text.splitn(5, '.');
        let prefix = parts.next()?;
        let kind = CredentialKind::DOTTED.into_iter().find(|kind| kind.prefix() == prefix)?;
        let tenant = TenantId(Uuid::try_parse(parts.next()?).ok()?);
        let id = Uuid::try_parse(parts.next()?).ok()?;
        let secret = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?.try_into().ok()?;
        if parts.next().is_some() && kind != CredentialKind::Enrolment {
            return None;
        }
        Some(Self { kind, tenant, id, secret })
    }

    fn from_key(bytes: &[u8; 64]) -> Self {
        let part = |from: usize| Uuid::from_bytes(std::array::from_fn(|n| bytes[from + n]));
        let secret = std::array::from_fn(|n| bytes[32 + n]);
        Self { kind: CredentialKind::ApiKey, tenant: TenantId(part(0)), id: part(16), secret }
    }

    /// What is handed to its owner, once.
    pub fn expose(&self) -> String {
        if self.kind == CredentialKind::ApiKey {
            let mut bytes = [0; 64];
            bytes[..16].copy_from_slice(self.tenant.0.as_bytes());
            bytes[16..32].copy_from_slice(self.id.as_bytes());
            bytes[32..].copy_from_slice(&self.secret);
            return key_text::encode(&bytes);
        }
        let secret = URL_SAFE_NO_PAD.encode(self.secret);
        format!("{}.{}.{}.{secret}", self.kind.prefix(), self.tenant.0.simple(), self.id.simple())
    }

    /// The same with the pin of the server, for enrolment tokens.
    pub(crate) fn expose_with_pin(&self, pin: Option<ServerPin>) -> String {
        match pin {
            Some(pin) => format!("{}.{}", self.expose(), pin.token_part()),
            None => self.expose(),
        }
    }

    /// What is stored.
    pub(crate) fn secret_sha256(&self) -> Sha256Digest {
        sha256(&self.secret)
    }

    /// Whether this is the token whose hash was stored; takes the same time for any wrong one.
    pub(crate) fn matches(&self, stored: Sha256Digest) -> bool {
        self.secret_sha256().as_bytes().ct_eq(stored.as_bytes()).into()
    }
}

/// One answer for unknown, expired and revoked credentials: nothing to guess from.
pub(crate) fn unauthenticated() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "unauthenticated",
        "no valid credential: log in again, or use a key or token that is neither expired nor revoked",
    )
}

#[cfg(test)]
mod tests {
    use drover_types::Timestamp;

    use super::*;
    use crate::SystemRandom;

    #[test]
    fn a_token_survives_the_wire_and_matches_only_its_own_hash() {
        let tenant = TenantId::generate(Timestamp::from_micros(0), 1);
        let make = || Credential::generate(CredentialKind::Device, tenant, Uuid::nil(), &SystemRandom);
        let (one, other) = (make(), make());
        let parsed = Credential::parse(&one.expose()).expect("its own text");
        assert_eq!(parsed, one);
        assert!(parsed.matches(one.secret_sha256()));
        assert!(!parsed.matches(other.secret_sha256()));
    }

    #[test]
    fn only_an_enrolment_token_may_carry_a_pin() {
        let tenant = TenantId::generate(Timestamp::from_micros(0), 1);
        let pin: ServerPin = format!("sha256/{}", "A".repeat(43)).parse().expect("a pin");
        for kind in CredentialKind::DOTTED {
            let credential = Credential::generate(kind, tenant, Uuid::nil(), &SystemRandom);
            assert_eq!(credential.expose_with_pin(None), credential.expose());
            let pinned = credential.expose_with_pin(Some(pin));
            let expected = (kind == CredentialKind::Enrolment).then_some(credential);
            assert!(Credential::parse(&pinned) == expected, "{pinned}");
            assert_eq!(ServerPin::in_enrolment_token(&pinned), Ok(Some(pin)));
        }
    }

    #[test]
    fn an_api_key_is_one_word_and_has_no_other_form() {
        let tenant = TenantId::generate(Timestamp::from_micros(0), 1);
        let key = Credential::generate(CredentialKind::ApiKey, tenant, Uuid::max(), &SystemRandom);
        assert_eq!(Credential::parse(&key.expose()).as_ref(), Some(&key));
        let dotted = format!("drk_.{}.{}.{}", tenant.0.simple(), key.id.simple(), "A".repeat(43));
        assert_eq!(Credential::parse(&dotted), None);
    }

    #[test]
    fn anything_else_is_no_token() {
        for text in ["", "dev-local-key", "dd1", "dd1.x.y.z", "dd9.a.b.c", &"dd1.".repeat(100)] {
            assert!(Credential::parse(text).is_none(), "{text}");
        }
    }
}

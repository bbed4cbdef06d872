//! Tokens with which devices register.

use drover_types::{EnrolmentTokenId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token with which devices register; its secret is shown only when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentToken {
    /// The token's id.
    pub id: EnrolmentTokenId,
    /// What it is for.
    pub name: String,
    /// Only devices of this type may register with it; any when none.
    pub device_type: Option<String>,
    /// How many devices may register with it; any number when none.
    pub max_uses: Option<u32>,
    /// How many have.
    pub uses: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; none means never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Make a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentTokenCreate {
    /// What it is for: 1 to 100 characters.
    pub name: String,
    /// Only devices of this type may register with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// How many devices may register with it, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A new token with its secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentTokenCreated {
    /// The token.
    pub enrolment_token: EnrolmentToken,
    /// What devices present; shown this once.
    pub token: String,
}

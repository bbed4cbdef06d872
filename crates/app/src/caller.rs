//! Who calls.

use std::net::IpAddr;

use drover_types::{ApiKeyId, DeviceId, LoginId, TenantId, UserId};

use crate::Rights;

/// Who calls, as proven by a credential. Never taken from a body or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant that the credential belongs to.
    pub home: TenantId,
    /// The tenant to work in: that one, or one below it.
    pub tenant: TenantId,
    /// Who in that tenant.
    pub actor: Actor,
    /// What he may do there.
    pub rights: Rights,
    /// Where the request came from.
    pub origin: Origin,
}

/// Where a request came from, as the server saw it. The audit log keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address: the other end of the connection, or what a trusted proxy says.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// A person, a program or a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user with a server-side session.
    User {
        /// The user.
        id: UserId,
        /// The user's name.
        name: String,
        /// The session.
        login: LoginId,
    },
    /// A program with an API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// The key's name.
        name: String,
    },
    /// A program with a key that may only presign.
    PresignKey,
    /// A device with its token.
    Device {
        /// The device.
        id: DeviceId,
        /// Whether this is its first call: so far it has only registered.
        is_new: bool,
    },
}

impl Caller {
    /// One text per actor: for rate limits, idempotency keys and logs.
    pub fn identity(&self) -> String {
        match &self.actor {
            Actor::User { id, .. } => format!("user:{id}"),
            Actor::ApiKey { id, .. } => format!("api_key:{id}"),
            Actor::PresignKey => format!("presign:{}", self.tenant),
            Actor::Device { id, .. } => format!("device:{id}"),
        }
    }
}

//! Typed identifiers. All are UUID version 7, so they sort by the time of their making.

use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {noun} id {value:?}: expected a UUID such as 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
pub struct InvalidId {
    /// What the id would name.
    pub noun: &'static str,
    /// The text that was given.
    pub value: String,
}

macro_rules! define_id {
    ($(#[$meta:meta])* $name:ident, $noun:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id for something made at `now` with 74 bits from `random`.
            pub fn generate(now: crate::Timestamp, random: u128) -> Self {
                Self(uuid_v7(now, random))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { std::fmt::Display::fmt(&self.0, f) }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { noun: $noun, value: text.to_owned() })
            }
        }
    };
}

/// UUID version 7 (RFC 9562 §5.7): 48 bits of milliseconds, the rest random.
fn uuid_v7(now: crate::Timestamp, random: u128) -> Uuid {
    let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
    let mut bytes = [0_u8; 10];
    bytes.copy_from_slice(&random.to_be_bytes()[6..]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

define_id!(
    /// An isolated customer.
    TenantId, "tenant"
);
define_id!(
    /// A person who operates a tenant.
    UserId, "user"
);
define_id!(
    /// One server-side session of a user.
    LoginId, "login"
);
define_id!(
    /// A key that a program uses in place of a login.
    ApiKeyId, "API key"
);
define_id!(
    /// A role of a user with its scope.
    GrantId, "grant"
);
define_id!(
    /// A token with which devices register.
    EnrolmentTokenId, "enrolment token"
);
define_id!(
    /// A public key that may sign firmware of a tenant.
    ReleaseKeyId, "release key"
);
define_id!(
    /// Anything that is updated or sends telemetry.
    DeviceId, "device"
);
define_id!(
    /// Devices by list or by condition.
    GroupId, "group"
);
define_id!(
    /// One released version for one device type and component.
    FirmwareId, "firmware"
);
define_id!(
    /// A plan that takes a firmware to a target in stages.
    RolloutId, "rollout"
);
define_id!(
    /// One device's passage through one rollout.
    UpdateSessionId, "update session"
);
define_id!(
    /// Bytes that are sent in parts.
    UploadId, "upload"
);
define_id!(
    /// One line of the audit log.
    AuditEntryId, "audit entry"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn ids_sort_by_time_and_are_version_seven() {
        let early = DeviceId::generate(Timestamp::from_micros(1_700_000_000_000_000), u128::MAX);
        let late = DeviceId::generate(Timestamp::from_micros(1_700_000_000_001_000), 0);
        assert!(early < late);
        assert_eq!(early.0.get_version_num(), 7);
    }

    #[test]
    fn a_wrong_id_says_what_is_expected() {
        let error = "nonsense".parse::<DeviceId>().unwrap_err();
        assert!(error.to_string().starts_with("invalid device id \"nonsense\""));
    }
}

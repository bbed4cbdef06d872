//! Ids, versions, times, states with their legal transitions, and the kinds of error.
//!
//! The words of `docs/architecture.md` as types. Nothing here does input or output.
//! Feature `sqlx` lets the types be bound and read in SQL, feature `utoipa` describes them in API documents;
//! both are off for the device agent.

mod attribute;
mod audit;
mod backoff;
mod clock;
mod component;
mod digest;
mod error_kind;
mod exclusion;
mod failure;
mod id;
mod key;
pub mod names;
mod permission;
mod state;
mod text_enum;
mod time;
mod version;

/// Buckets that devices are drawn into at registration: they decide who comes first when a stage opens.
pub const DEVICE_BUCKETS: u32 = 65_536;

pub use attribute::{AttributeValue, exact_integer};
pub use audit::ActorKind;
pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use component::{ComponentName, InvalidName};
pub use digest::{InvalidDigest, Sha256Digest};
pub use error_kind::ErrorKind;
pub use exclusion::Exclusion;
pub use failure::FailureClass;
pub use id::{
    ApiKeyId, AuditEntryId, DeviceId, EnrolmentTokenId, FirmwareId, GrantId, GroupId, InvalidId, LoginId, ReleaseKeyId,
    RolloutId, TenantId, UpdateSessionId, UploadId, UserId,
};
pub use key::KeyAlgorithm;
pub use permission::{Permission, Permissions, Role};
pub use state::{
    BreachAction, ChangeKind, DeviceStatus, FirmwareState, RolloutKind, RolloutState, SessionState, StageState,
    UpdateStatus, UploadKind, UploadState,
};
pub use text_enum::UnknownText;
pub use time::{InvalidTimestamp, Timestamp};
pub use version::{InvalidVersion, Version};

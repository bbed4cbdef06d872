//! Bodies of the REST API under `/api/v1`, problem details and pagination.
//!
//! Shared by the server and by clients written in Rust (the command line is one). Requests refuse unknown
//! fields: a field is acted upon or refused, never stored and ignored.

mod api_keys;
mod audit;
mod auth;
mod device_attributes;
mod devices;
mod enrolment_tokens;
mod firmware;
mod groups;
mod objects;
mod page;
mod presign;
mod problem;
mod release_keys;
mod rollout_preview;
mod rollouts;
mod tenants;
mod update_sessions;
mod uploads;
mod users;

pub use api_keys::{ApiKey, ApiKeyCreate, ApiKeyCreated};
pub use audit::{AuditActor, AuditEntry, AuditExportQuery, AuditFilter};
pub use auth::{BrowserSession, CallerView, LoginReply, LoginRequest, RightView};
pub use device_attributes::{DeviceAttributes, DeviceAttributesChange};
pub use devices::{ComponentView, Device, DeviceCount, DeviceCountFilter, DeviceFilter, DeviceUpdate};
pub use enrolment_tokens::{EnrolmentToken, EnrolmentTokenCreate, EnrolmentTokenCreated};
pub use firmware::{
    ArtifactUpload, ArtifactView, DependencyView, Firmware, FirmwareCreate, FirmwareFilter, FirmwareMetadata,
};
pub use groups::{Group, GroupMembers, GroupMove, GroupWrite};
pub use objects::{ObjectFilter, StoredObject};
pub use page::{Cursor, InvalidCursor, Page, PageQuery};
pub use presign::{PresignReply, PresignRequest};
pub use problem::{FieldError, Problem};
pub use release_keys::{ReleaseKey, ReleaseKeyCreate};
pub use rollout_preview::{
    ExcludedDevice, ExcludedFilter, ExclusionPreview, PreviewShare, PreviewShares, RolloutPreview, StagePreview,
};
pub use rollouts::{
    Rollout, RolloutCounts, RolloutCreate, RolloutFilter, RolloutMetrics, RolloutRollback, RolloutUpdate, Stage,
    StageCreate, StageMetrics,
};
pub use tenants::{Tenant, TenantCreate, TenantUpdate};
pub use update_sessions::{UpdateSession, UpdateSessionFilter};
pub use uploads::{PartDone, PartUrl, PartUrls, PartUrlsRequest, Upload, UploadCreate, UploadFilter, UploadPart};
pub use users::{
    Grant, GrantCreate, GrantScope, OpenLogin, PasswordChange, PasswordReset, PasswordResetReply, User, UserCreate,
    UserCreated, UserUpdate,
};

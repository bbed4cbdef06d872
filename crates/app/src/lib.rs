//! Authorisation, use cases, background tasks and the composition of back-ends.
//!
//! A file per noun: `app/rollouts.rs` holds the use cases that `server/http/rollouts.rs` calls and
//! `store/rollouts.rs` has the SQL for. Each use case authorises, validates, and changes everything in one
//! transaction. [`compose`] is the one place that knows which back-ends there are.

mod account;
mod api_keys;
mod artifacts;
mod audit;
mod auth;
mod authorize;
pub mod backup;
mod blobs;
mod caller;
pub mod checkup;
pub mod compose;
mod conditions;
mod context;
mod credentials;
mod csrf;
mod device_attributes;
mod device_tags;
mod devices;
mod enrolment_tokens;
mod error;
mod feed;
mod filling;
mod firmware;
mod first_start;
mod grants;
mod group_tree;
mod groups;
mod heartbeat;
mod http_metrics;
mod idempotency;
mod key_text;
mod last_seen;
mod login_attempts;
mod metrics;
pub mod moving;
mod numbered;
mod objects;
mod offers;
mod page;
mod parsed_conditions;
mod passwords;
mod poll_interval;
mod presign;
mod questions;
mod registration;
mod release_keys;
mod reports;
mod rights;
mod rollout_plan;
mod rollout_policy;
mod rollout_preview;
mod rollouts;
mod settling;
mod targets;
pub mod tasks;
mod tenants;
#[cfg(test)]
mod testing;
mod transitions;
mod update_sessions;
mod upload_end;
mod upload_parts;
mod uploads;
mod users;
mod validate;
mod way_back;

pub use audit::AuditExport;
pub use authorize::{Access, Grant, Rights, Scope};
pub use blobs::{BlobRequest, ServedBlob};
pub use caller::{Actor, Caller, Origin};
pub use context::{App, Random, Settings, SystemRandom};
pub use credentials::{Credential, CredentialKind};
pub use csrf::{csrf_token, is_csrf_token};
pub use drover_blob::{ByteStream, RangeDecision, RangeRequest, attachment, content_range, unsatisfied_range};
pub use drover_store::Reach;
pub use drover_trust::{ServerPin, sha256};
pub use error::{Error, Result};
pub use first_start::FirstStart;
pub use http_metrics::HttpMetrics;
pub use idempotency::IdempotencyKey;
pub use presign::{InvalidPresignKeys, PresignKeys};
pub use registration::Enrolment;

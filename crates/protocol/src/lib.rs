//! What devices and servers say to each other over HTTP.
//!
//! All bodies are JSON. Within version 1 bodies only gain optional fields: an old reader skips what it
//! does not know, a new reader has a default for what an old writer leaves out. `tests/compat.rs` holds both.

mod heartbeat;
mod offer;
mod register;
mod report;

pub use heartbeat::{ComponentReport, Heartbeat, HeartbeatReply};
pub use offer::{CheckReply, Offer, OfferedArtifact};
pub use register::{RegisterReply, RegisterRequest};
pub use report::{Directive, Failure, ReportReply, StatusReport, ValidationOutcome, ValidationReport};

/// Where devices register; the credential is an enrolment token.
pub const REGISTER_PATH: &str = "/api/v1/devices/register";
/// Where a device asks for work; the credential is its device token, as for all that follow.
pub const CHECK_PATH: &str = "/api/v1/updates/check";
/// The header of an answer to a check that says how long to wait before the next one, in milliseconds. The body says
/// the same where there is one; an answer 304 has none.
pub const POLL_INTERVAL_HEADER: &str = "drover-poll-interval-ms";
/// Where a device reports how an update is going.
pub const STATUS_PATH: &str = "/api/v1/status";
/// Where a device reports how an update ended after its self-test.
pub const VALIDATION_PATH: &str = "/api/v1/validation";
/// Where a device says that it lives and what it runs.
pub const HEARTBEAT_PATH: &str = "/api/v1/heartbeat";

//! The audit log: who changed what.

use std::collections::BTreeMap;

use drover_types::{ActorKind, AuditEntryId, Sha256Digest, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One change that was made: by a person, by a program, or by Drover itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The entry's id.
    pub id: AuditEntryId,
    /// Its number in the tenant: from 1, without gaps, given within about a second of the change.
    pub seq: u64,
    /// When the change was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: AuditActor,
    /// What was done, for instance `rollout.pause`.
    pub action: String,
    /// The kind of the object that was changed, for instance `rollout`.
    pub object_kind: String,
    /// Its id; of an object in storage, its name.
    pub object_id: String,
    /// The request in which it was done, as in its `X-Request-Id`; none when it was not a request.
    pub request_id: Option<String>,
    /// SHA-256 of the object as the API showed it before, as canonical JSON (RFC 8785); none when there was none.
    pub before_sha256: Option<Sha256Digest>,
    /// The same after the change.
    pub after_sha256: Option<Sha256Digest>,
    /// What is worth reading: the object's name, the fields that changed, the reason. Never a secret.
    pub details: BTreeMap<String, serde_json::Value>,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditActor {
    /// What it is.
    pub kind: ActorKind,
    /// The tenant of its credential; differs from the entry's when somebody of a parent tenant acted.
    pub tenant_id: Option<TenantId>,
    /// Its id: of the user, the API key or the device.
    pub id: Option<uuid::Uuid>,
    /// The user's or the key's name at that time; none once it was erased.
    pub name: Option<String>,
    /// The address that the request came from; none once it was erased.
    pub address: Option<String>,
    /// Whether name and address were erased.
    pub erased: bool,
}

/// Which entries. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Items per page, 1 to 500; 50 when not given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only entries numbered above this.
    pub after_seq: Option<u64>,
    /// Only by the user, API key or device with this id.
    pub actor_id: Option<uuid::Uuid>,
    /// Only by this kind of actor.
    pub actor_kind: Option<ActorKind>,
    /// Only this action, for instance `rollout.pause`.
    pub action: Option<String>,
    /// Only changes of this kind of object, for instance `rollout`.
    pub object_kind: Option<String>,
    /// Only changes of the object with this id or name.
    pub object_id: Option<String>,
    /// Only what was done in this request.
    pub request_id: Option<String>,
    /// Only from this moment on.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub to: Option<Timestamp>,
}

/// Where an export begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditExportQuery {
    /// Behind the entry with this number; from the first one when not given.
    pub after_seq: Option<u64>,
}

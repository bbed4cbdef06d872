//! The audit log: who changed what, from where, and how the object was before and after.
//!
//! A use case takes `self.audit(caller, tenant)` along into its write closure and records there what it did:
//!
//! ```text
//! audit.record(tx, Entry::created("group", id, &view)?.with("name", &view.name)).await?;
//! ```
//!
//! So the entry commits with the change, or neither does. It has no number yet: `tasks/audit_sequencer.rs` gives it one.

mod canonical;
mod entry;

use drover_db::Tx;
use drover_store::audit::{self as rows, NewEntry};
use drover_types::{ActorKind, AuditEntryId, TenantId, Timestamp};
use uuid::Uuid;

pub(crate) use entry::Entry;

use crate::{Actor, App, Caller, Origin, Result};

/// Writes the entries of one use case. Made outside of the transaction, moved into it.
pub(crate) struct Audit {
    tenant: TenantId,
    who: Who,
    origin: Origin,
    now: Timestamp,
    /// Ids of the entries begin here.
    random: u128,
}

/// Who acts.
struct Who {
    kind: ActorKind,
    tenant: Option<TenantId>,
    id: Option<Uuid>,
    /// A person's name, or a key's.
    name: Option<String>,
}

impl Who {
    fn of(caller: &Caller) -> Self {
        let (kind, id, name) = match &caller.actor {
            Actor::User { id, name, .. } => (ActorKind::User, Some(id.0), Some(name.clone())),
            Actor::ApiKey { id, name } => (ActorKind::ApiKey, Some(id.0), Some(name.clone())),
            Actor::PresignKey => (ActorKind::PresignKey, None, None),
            Actor::Device { id, .. } => (ActorKind::Device, Some(id.0), None),
        };
        Self { kind, tenant: Some(caller.home), id, name }
    }

    const fn nobody(kind: ActorKind) -> Self {
        Self { kind, tenant: None, id: None, name: None }
    }
}

impl App {
    /// Records what `caller` does in `tenant`.
    pub(crate) fn audit(&self, caller: &Caller, tenant: TenantId) -> Audit {
        self.audit_as(Who::of(caller), tenant, caller.origin.clone())
    }

    /// Records what Drover does by itself.
    pub(crate) fn audit_system(&self, tenant: TenantId) -> Audit {
        self.audit_as(Who::nobody(ActorKind::System), tenant, Origin::default())
    }

    /// Records what is done on the machine of the database, where no credential is asked for.
    pub(crate) fn audit_host(&self, tenant: TenantId) -> Audit {
        self.audit_as(Who::nobody(ActorKind::Host), tenant, Origin::default())
    }

    fn audit_as(&self, who: Who, tenant: TenantId, origin: Origin) -> Audit {
        Audit { tenant, who, origin, now: self.now(), random: self.entropy() }
    }
}

impl Audit {
    /// Adds an entry to the transaction of the change. A change that left the object as it was is none, and adds nothing.
    pub(crate) async fn record(&mut self, tx: &mut Tx, entry: Entry) -> Result<()> {
        if entry.changed_nothing() {
            return Ok(());
        }
        let id = AuditEntryId::generate(self.now, self.random);
        self.random = self.random.wrapping_add(1);
        let action = entry.action();
        let row = NewEntry {
            id,
            at: self.now,
            actor_kind: self.who.kind,
            actor_tenant: self.who.tenant,
            actor_id: self.who.id,
            action: &action,
            object_kind: entry.noun,
            object_id: &entry.object_id,
            request_id: self.origin.request_id.as_deref(),
            before: entry.before,
            after: entry.after,
            details: &entry.details_json(),
        };
        rows::insert(tx, self.tenant, &row).await?;
        let address = self.origin.address.map(|address| address.to_string());
        if self.who.name.is_some() || address.is_some() {
            rows::insert_person(tx, self.tenant, id, self.who.name.as_deref(), address.as_deref()).await?;
        }
        Ok(())
    }
}

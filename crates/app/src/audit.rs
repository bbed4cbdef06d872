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

use std::sync::Arc;

use drover_api::{AuditActor, AuditEntry, AuditExportQuery, AuditFilter, Page};
use drover_db::Tx;
use drover_store::audit::{self as rows, EntryRow, NewEntry, Order};
use drover_store::uploads::Completer;
use drover_types::{ActorKind, AuditEntryId, Permission, TenantId, Timestamp};
use uuid::Uuid;

pub(crate) use entry::Entry;

use crate::context::entropy;
use crate::page::Paging;
use crate::{Actor, App, Caller, Error, Origin, Random, Result};

/// Entries per query of an export: at most some megabytes.
const EXPORT_PAGE_ROWS: u32 = 250;

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

    /// Records what comes of an upload, as done by whoever completed it: Drover itself when nobody knows any more.
    pub(crate) fn audit_completed(&self, tenant: TenantId, by: Option<Completer>) -> Audit {
        let Some(Completer { kind, tenant: home, id, name, address, request_id }) = by else {
            return self.audit_system(tenant);
        };
        let origin = Origin { address: address.and_then(|text| text.parse().ok()), request_id };
        self.audit_as(Who { kind, tenant: home, id, name }, tenant, origin)
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
    /// Who acts, for an upload's row: its content gets a name later.
    pub(crate) fn completer(&self) -> Completer {
        let Who { kind, tenant, id, ref name } = self.who;
        let Origin { address, ref request_id } = self.origin;
        let address = address.map(|address| address.to_string());
        Completer { kind, tenant, id, name: name.clone(), address, request_id: request_id.clone() }
    }

    /// The same as [`App::audit_host`], for an installation that nobody serves.
    pub(crate) fn of_host(tenant: TenantId, now: Timestamp, random: &dyn Random) -> Self {
        let who = Who::nobody(ActorKind::Host);
        Self { tenant, who, origin: Origin::default(), now, random: entropy(random) }
    }

    /// Adds an entry to the transaction of the change. A change that left the object as it was is none, and adds nothing.
    pub(crate) async fn record(&mut self, tx: &mut Tx, entry: Entry) -> Result<()> {
        self.insert(tx, self.tenant, entry).await
    }

    /// Adds an entry to the log of another tenant that the change concerns as well. Not to an empty one: nobody is there
    /// to read it, and a tenant with records cannot be removed any more.
    pub(crate) async fn record_there(&mut self, tx: &mut Tx, there: TenantId, entry: Entry) -> Result<()> {
        if there == self.tenant || !rows::is_begun(&mut *tx, there).await? {
            return Ok(());
        }
        self.insert(tx, there, entry).await
    }

    async fn insert(&mut self, tx: &mut Tx, tenant: TenantId, entry: Entry) -> Result<()> {
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
        rows::insert(tx, tenant, &row).await?;
        let address = self.origin.address.map(|address| address.to_string());
        if self.who.name.is_some() || address.is_some() {
            rows::insert_person(tx, tenant, id, self.who.name.as_deref(), address.as_deref()).await?;
        }
        Ok(())
    }
}

impl App {
    /// The tenant's entries, newest first.
    pub async fn audit_list(&self, caller: &Caller, query: &AuditFilter) -> Result<Page<AuditEntry>> {
        let tenant = caller.authorize_tenant(Permission::AuditRead)?;
        let paging: Paging<i64> = Paging::new(query.limit, query.cursor.as_deref())?;
        let filter = rows::Filter {
            above: query.after_seq.map(column),
            below: paging.after,
            from: query.from,
            to: query.to,
            actor_id: query.actor_id,
            actor_kind: query.actor_kind,
            action: query.action.clone(),
            object_kind: query.object_kind.clone(),
            object_id: query.object_id.clone(),
            request_id: query.request_id.clone(),
        };
        let mut found = rows::page(&self.db, tenant, &filter, Order::NewestFirst, paging.rows()).await?;
        let next_cursor = paging.cut(&mut found, |row| row.seq);
        Ok(Page { items: found.into_iter().map(view).collect::<Result<_>>()?, next_cursor })
    }

    /// All entries of the tenant behind `after_seq`, oldest first, up to the newest at the end of the export.
    pub fn audit_export(app: &Arc<Self>, caller: &Caller, query: AuditExportQuery) -> Result<AuditExport> {
        let tenant = caller.authorize_tenant(Permission::AuditRead)?;
        Ok(AuditExport { app: Arc::clone(app), tenant, above: query.after_seq.map_or(0, column), is_done: false })
    }
}

/// An export under way: one short query per page, so that it holds neither a connection nor a snapshot between them.
pub struct AuditExport {
    app: Arc<App>,
    tenant: TenantId,
    /// The number of the last entry that was given out.
    above: i64,
    is_done: bool,
}

impl AuditExport {
    /// The next entries as lines of JSON; none at the end.
    pub async fn next_lines(&mut self) -> Result<Option<String>> {
        if self.is_done {
            return Ok(None);
        }
        let filter = rows::Filter { above: Some(self.above), ..rows::Filter::default() };
        let found = rows::page(&self.app.db, self.tenant, &filter, Order::OldestFirst, EXPORT_PAGE_ROWS.into()).await?;
        self.is_done = found.len() < EXPORT_PAGE_ROWS as usize;
        let Some(last) = found.last() else { return Ok(None) };
        self.above = last.seq;
        let mut lines = String::new();
        for row in found {
            let line = serde_json::to_string(&view(row)?);
            lines.push_str(&line.map_err(|error| Error::internal("write an audit entry", error))?);
            lines.push('\n');
        }
        Ok(Some(lines))
    }
}

/// A number that no entry has yet finds nothing.
fn column(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn view(row: EntryRow) -> Result<AuditEntry> {
    let details =
        serde_json::from_str(&row.details).map_err(|error| Error::internal("read a stored audit entry", error))?;
    let has_person = matches!(row.actor_kind, ActorKind::User | ActorKind::ApiKey);
    Ok(AuditEntry {
        id: row.id,
        seq: row.seq.unsigned_abs(),
        at: row.at,
        actor: AuditActor {
            kind: row.actor_kind,
            tenant_id: row.actor_tenant_id,
            id: row.actor_id,
            erased: has_person && row.person_entry_id.is_none(),
            name: row.actor_name,
            address: row.actor_address,
        },
        action: row.action,
        object_kind: row.object_kind,
        object_id: row.object_id,
        request_id: row.request_id,
        before_sha256: row.before_sha256,
        after_sha256: row.after_sha256,
        details,
    })
}

//! Objects with names of one's own choice.

use drover_api::{ObjectFilter, Page, StoredObject};
use drover_blob::{ByteStream, ObjectKey, ObjectName};
use drover_db::Tx;
use drover_store::objects::{self, ObjectRow};
use drover_store::unused_content;
use drover_types::{Permission, TenantId};

use crate::artifacts::{keep, refused_upload};
use crate::audit::{Audit, Entry};
use crate::page::Paging;
use crate::{App, Caller, Error, Result};

impl App {
    /// The tenant's names, in their order.
    pub async fn object_list(&self, caller: &Caller, query: &ObjectFilter) -> Result<Page<StoredObject>> {
        let tenant = caller.authorize(Permission::ObjectsRead)?.tenant;
        let paging: Paging<String> = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows =
            objects::page(&self.db, tenant, paging.after.as_deref(), query.prefix.as_deref(), paging.rows()).await?;
        Ok(paging.page(rows, |row| row.name.clone(), view))
    }

    /// Stores content under a name, for ever: the same bytes again are fine, other bytes are refused.
    pub async fn object_put(
        &self,
        caller: &Caller,
        name: &str,
        content_length: Option<u64>,
        body: ByteStream,
    ) -> Result<StoredObject> {
        let tenant = caller.authorize_tenant(Permission::ObjectsWrite)?;
        let name = object_name(name)?;
        let max_bytes = self.settings.upload_max_bytes;
        if content_length.is_some_and(|announced| announced > max_bytes) {
            return Err(refused_upload(drover_blob::PutError::TooLarge { max_bytes }));
        }
        let stored = self.blobs.put(tenant, None, max_bytes, body).await.map_err(refused_upload)?;
        let size_bytes = i64::try_from(stored.size_bytes).map_err(|error| Error::internal("store the size", error))?;
        let row =
            ObjectRow { name: name.as_str().to_owned(), size_bytes, sha256: stored.sha256, created_at: self.now() };
        let new = row.clone();
        let mut audit = self.audit(caller, tenant);
        let added = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    keep(tx, tenant, new.sha256, new.created_at).await?;
                    name_object(tx, tenant, new, &mut audit).await
                })
            })
            .await?;
        if added {
            return self.with_bytes(caller, tenant, row, &stored.key).await;
        }
        let there = self.object(tenant, name.as_str()).await?;
        if there.sha256 == row.sha256 {
            return Ok(view(there));
        }
        let (sha256, now) = (row.sha256, self.now());
        self.writer
            .write(move |tx| {
                Box::pin(async move { Ok::<_, Error>(unused_content::note(tx, tenant, sha256, now).await?) })
            })
            .await
            .map(drop)?;
        Err(name_taken(&row.name))
    }

    /// Content that was there before may have been removed as unused just before it got this name.
    async fn with_bytes(
        &self,
        caller: &Caller,
        tenant: TenantId,
        row: ObjectRow,
        key: &ObjectKey,
    ) -> Result<StoredObject> {
        let Err(error) = self.blobs.head(key).await else { return Ok(view(row)) };
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    objects::delete(tx, tenant, &row.name).await?;
                    let gone = view(row);
                    audit.record(tx, Entry::deleted("object", &gone.object_key, &gone)?).await
                })
            })
            .await?;
        Err(Error::new(error.kind(), "object_unreadable", "what was stored cannot be read: upload it again")
            .with_source(error))
    }

    pub(crate) async fn object(&self, tenant: TenantId, name: &str) -> Result<ObjectRow> {
        objects::get(&self.db, tenant, name).await?.ok_or_else(|| Error::not_found("object", name))
    }

    pub(crate) fn object_key(tenant: TenantId, row: &ObjectRow) -> ObjectKey {
        ObjectKey::content(tenant, row.sha256)
    }
}

/// Gives content a name and records it. False when the name is taken.
pub(crate) async fn name_object(tx: &mut Tx, tenant: TenantId, object: ObjectRow, audit: &mut Audit) -> Result<bool> {
    if !objects::insert(tx, tenant, &object, None).await? {
        return Ok(false);
    }
    let made = view(object);
    audit.record(tx, Entry::created("object", &made.object_key, &made)?).await?;
    Ok(true)
}

/// The name stands for other bytes.
pub(crate) fn name_taken(name: &str) -> Error {
    let detail = format!("{name} is there already with other bytes; objects never change, use another name");
    Error::conflict("object_exists", detail)
}

pub(crate) fn object_name(name: &str) -> Result<ObjectName> {
    name.parse::<ObjectName>().map_err(|error| Error::field("object_key", error.to_string()).with_source(error))
}

fn view(row: ObjectRow) -> StoredObject {
    StoredObject {
        object_key: row.name,
        size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
        checksum: row.sha256,
        created_at: row.created_at,
    }
}

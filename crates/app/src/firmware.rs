//! Firmware: created from a signed manifest, filled with artifacts, published.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_api::{ArtifactView, DependencyView, Firmware, FirmwareCreate, FirmwareFilter, FirmwareMetadata, Page};
use drover_blob::{ObjectKey, PresignMethod};
use drover_db::{Conn, Tx};
use drover_store::artifacts::{self, ArtifactRow};
use drover_store::firmware::{self, FirmwareRow};
use drover_store::{dependencies, unused_content, update_sessions};
use drover_trust::{Manifest, PublicKey, verify_digest, verify_manifest};
use drover_types::{FirmwareId, FirmwareState, KeyAlgorithm, Permission, TenantId, Timestamp};

use crate::audit::Entry;
use crate::context::new_id;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::{App, Caller, Error, IdempotencyKey, Result};

impl App {
    /// The tenant's firmware, newest first.
    pub async fn firmware_list(&self, caller: &Caller, query: &FirmwareFilter) -> Result<Page<Firmware>> {
        let tenant = caller.authorize(Permission::FirmwareRead)?.tenant;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let filter = firmware::Filter {
            after: paging.after,
            device_type: query.device_type.clone(),
            component: query.component.clone(),
            version: query.version.clone(),
        };
        let mut rows = firmware::page(&self.db, tenant, &filter, paging.rows()).await?;
        let next_cursor = paging.cut(&mut rows, |row| row.id);
        let ids: Vec<FirmwareId> = rows.iter().map(|row| row.id).collect();
        let mut artifacts: HashMap<FirmwareId, Vec<ArtifactRow>> = HashMap::new();
        for row in artifacts::of_many(&self.db, tenant, &ids).await? {
            artifacts.entry(row.firmware_id).or_default().push(row.artifact);
        }
        let views = rows.into_iter().map(|row| {
            let own = artifacts.remove(&row.id).unwrap_or_default();
            view(row, own)
        });
        Ok(Page { items: views.collect::<Result<_>>()?, next_cursor })
    }

    /// One firmware.
    pub async fn firmware_view(&self, caller: &Caller, id: FirmwareId) -> Result<Firmware> {
        let tenant = caller.authorize(Permission::FirmwareRead)?.tenant;
        self.firmware(tenant, id).await
    }

    pub(crate) async fn firmware(&self, tenant: TenantId, id: FirmwareId) -> Result<Firmware> {
        shown(&self.db, tenant, id).await
    }

    pub(crate) async fn firmware_row(&self, tenant: TenantId, id: FirmwareId) -> Result<FirmwareRow> {
        firmware::get(&self.db, tenant, id).await?.ok_or_else(|| Error::not_found("firmware", id))
    }

    /// Creates a draft from a signed manifest. Its signatures are checked here, against the tenant's release keys;
    /// artifacts are uploaded afterwards and need only have the signed digests.
    pub async fn firmware_create(
        &self,
        caller: &Caller,
        body: FirmwareCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Firmware> {
        let tenant = caller.authorize_tenant(Permission::FirmwareWrite)?;
        let keys = self.valid_release_keys(tenant).await?;
        let now = self.now();
        let id = new_id!(self, FirmwareId);
        let draft = Draft::check(id, body, &keys, now)?;
        let (mut audit, caller) = (self.audit(caller, tenant), caller.clone());
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok(Created::Before(before));
                    }
                    draft.insert(tx, tenant).await?;
                    let made = shown(&mut *tx, tenant, id).await?;
                    audit.record(tx, named(Entry::created("firmware", id, &made)?, &made)).await?;
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => self.firmware(tenant, id).await,
            Created::Before(before) => self.firmware(tenant, FirmwareId(before)).await,
        }
    }

    /// Lets rollouts use a firmware whose artifacts are all there. Publishing again does nothing.
    pub async fn firmware_publish(&self, caller: &Caller, id: FirmwareId) -> Result<Firmware> {
        let tenant = caller.authorize_tenant(Permission::FirmwarePublish)?;
        let row = self.firmware_row(tenant, id).await?;
        // The key may have been revoked since the draft was made.
        let keys = self.valid_release_keys(tenant).await?;
        verify_manifest(&row.manifest, row.manifest_bundle.as_bytes(), &keys).map_err(refused_manifest)?;
        self.check_bytes(tenant, id).await?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    let rows = artifacts::of_firmware(&mut *tx, tenant, id).await?;
                    let missing: Vec<&str> =
                        rows.iter().filter(|row| row.uploaded_at.is_none()).map(|row| row.name.as_str()).collect();
                    if !missing.is_empty() {
                        return Err(Error::conflict(
                            "artifacts_missing",
                            format!("not uploaded yet: {}; upload, then publish again", missing.join(", ")),
                        ));
                    }
                    firmware::publish(tx, tenant, id, now).await?;
                    let after = shown(&mut *tx, tenant, id).await?;
                    let entry = Entry::changed("firmware", "publish", id, &before, &after)?;
                    audit.record(tx, named(entry, &after)).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Removes a firmware that no rollout ever used.
    pub async fn firmware_delete(&self, caller: &Caller, id: FirmwareId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::FirmwareWrite)?;
        self.firmware_row(tenant, id).await?;
        let rows = artifacts::of_firmware(&self.db, tenant, id).await?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    if firmware::uses(tx, tenant, id).await? > 0 {
                        return Err(in_use());
                    }
                    firmware::delete(tx, tenant, id).await.map_err(|error| {
                        if drover_db::is_foreign_key_violation(&error) { in_use() } else { error.into() }
                    })?;
                    for row in rows {
                        unused_content::note(tx, tenant, row.sha256, now).await?;
                    }
                    audit.record(tx, named(Entry::deleted("firmware", id, &before)?, &before)).await
                })
            })
            .await
    }

    /// The address of an artifact: for operators, and for devices that were offered the firmware.
    pub async fn firmware_download(&self, caller: &Caller, id: FirmwareId, artifact: Option<&str>) -> Result<String> {
        let tenant = match caller.authorize(Permission::FirmwareRead) {
            Ok(access) => access.tenant,
            Err(_) => self.offered_to(caller, id).await?,
        };
        self.firmware_row(tenant, id).await?;
        let rows = artifacts::of_firmware(&self.db, tenant, id).await?;
        let row = match artifact {
            Some(name) => rows.into_iter().find(|row| row.name == name),
            None if rows.len() > 1 => {
                let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
                return Err(Error::field("artifact", format!("name one of {}", names.join(", "))));
            }
            None => rows.into_iter().next(),
        };
        let row = row.ok_or_else(|| Error::not_found("artifact", artifact.unwrap_or_default()))?;
        if row.uploaded_at.is_none() {
            return Err(Error::conflict("artifacts_missing", "this artifact was not uploaded yet"));
        }
        let key = ObjectKey::content(tenant, row.sha256);
        let (ttl, now) = (self.settings.offer_ttl, self.now());
        let url = self.blobs.presign(PresignMethod::Get, &key, ttl, now, Some(&row.name)).await;
        url.map(|url| url.url).map_err(|error| Error::internal("sign an address", error))
    }

    /// The bytes of every uploaded artifact are there.
    async fn check_bytes(&self, tenant: TenantId, id: FirmwareId) -> Result<()> {
        for row in artifacts::of_firmware(&self.db, tenant, id).await? {
            let key = ObjectKey::content(tenant, row.sha256);
            let found = if row.uploaded_at.is_some() { self.blobs.head(&key).await.map(drop) } else { Ok(()) };
            found.map_err(|error| {
                let detail = format!("the bytes of {:?} cannot be read: upload it again, then publish", row.name);
                Error::new(error.kind(), "artifact_unreadable", detail).with_source(error)
            })?;
        }
        Ok(())
    }

    async fn offered_to(&self, caller: &Caller, id: FirmwareId) -> Result<TenantId> {
        let (tenant, device) = caller.authorize_device()?;
        let offered = update_sessions::count_in_flight(&self.db, tenant, device, id).await?;
        if offered == 0 { Err(Error::not_found("firmware", id)) } else { Ok(tenant) }
    }
}

/// The firmware as the API shows it.
pub(crate) async fn shown(conn: impl Into<Conn<'_>>, tenant: TenantId, id: FirmwareId) -> Result<Firmware> {
    let mut conn = conn.into();
    let row = firmware::get(conn.reborrow(), tenant, id).await?.ok_or_else(|| Error::not_found("firmware", id))?;
    view(row, artifacts::of_firmware(conn, tenant, id).await?)
}

/// The same, held still until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, tenant: TenantId, id: FirmwareId) -> Result<Firmware> {
    firmware::lock(tx, tenant, id).await?;
    shown(tx, tenant, id).await
}

/// What people call a firmware by.
pub(crate) fn named(entry: Entry, firmware: &Firmware) -> Entry {
    let entry = entry.with("device_type", firmware.device_type.as_str());
    entry.with("component", firmware.component.to_string()).with("version", firmware.version.to_string())
}

fn in_use() -> Error {
    Error::conflict(
        "firmware_in_use",
        "devices run this firmware, or a rollout used it; it stays, so that devices can be taken back to it",
    )
}

/// A firmware that passed all checks.
struct Draft {
    row: FirmwareRow,
    manifest: Manifest,
    artifacts: Vec<ArtifactRow>,
}

impl Draft {
    fn check(id: FirmwareId, body: FirmwareCreate, keys: &[PublicKey], now: Timestamp) -> Result<Self> {
        let bytes = STANDARD
            .decode(&body.manifest)
            .map_err(|error| Error::field("manifest", format!("must be standard base64: {error}")))?;
        let verified = verify_manifest(&bytes, body.manifest_bundle.as_bytes(), keys).map_err(refused_manifest)?;
        let manifest = verified.value;
        let ed25519 = keys
            .iter()
            .any(|key| key.fingerprint() == verified.key_fingerprint && key.algorithm() == KeyAlgorithm::Ed25519);
        let artifacts = check_artifacts(&manifest, body.artifacts, keys, ed25519)?;
        let size_bytes = manifest.artifacts.iter().map(|artifact| artifact.size_bytes).sum();
        let row = FirmwareRow {
            id,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            device_type: manifest.device_type.clone(),
            component: manifest.component.clone(),
            release_counter: as_column("release_counter", manifest.release_counter)?,
            rollback_floor: as_column("rollback_floor", manifest.rollback_floor)?,
            state: FirmwareState::Draft,
            size_bytes: as_column("artifacts", size_bytes)?,
            manifest_sha256: Manifest::digest(&bytes),
            manifest: bytes,
            manifest_bundle: body.manifest_bundle,
            signed_by: verified.key_fingerprint,
            created_at: now,
            published_at: None,
        };
        crate::validate::device_type("device_type", &row.device_type)?;
        Ok(Self { row, manifest, artifacts })
    }

    async fn insert(&self, tx: &mut Tx, tenant: TenantId) -> Result<()> {
        let id = self.row.id;
        firmware::insert(tx, tenant, &self.row).await.map_err(|error| already_there(error, &self.row))?;
        for (position, artifact) in (0_i64..).zip(&self.artifacts) {
            artifacts::insert(tx, tenant, id, position, artifact).await?;
        }
        let own = self.manifest.min_version.iter().map(|min| (&self.manifest.component, min, None));
        let others = self.manifest.dependencies.iter();
        let others = others.map(|one| (&one.component, &one.min_version, one.below_version.as_ref()));
        for (position, (component, min, below)) in (0_i64..).zip(own.chain(others)) {
            dependencies::insert(tx, tenant, id, position, component, min, below).await?;
        }
        Ok(())
    }
}

/// Each artifact of the manifest has a signature, and no other is there.
fn check_artifacts(
    manifest: &Manifest,
    uploads: Vec<drover_api::ArtifactUpload>,
    keys: &[PublicKey],
    manifest_binds: bool,
) -> Result<Vec<ArtifactRow>> {
    let mut bundles: HashMap<String, Option<String>> = HashMap::new();
    for upload in uploads {
        if !manifest.artifacts.iter().any(|artifact| artifact.name == upload.name) {
            return Err(Error::field("artifacts", format!("{:?} is not in the manifest", upload.name)));
        }
        bundles.insert(upload.name, upload.bundle);
    }
    let rows = manifest.artifacts.iter().map(|artifact| {
        let bundle = bundles.remove(&artifact.name).flatten();
        match &bundle {
            Some(bundle) => {
                verify_digest(&artifact.sha256, bundle.as_bytes(), keys).map_err(|error| {
                    Error::field("artifacts", format!("the signature of {:?} is refused: {error}", artifact.name))
                        .with_source(error)
                })?;
            }
            None if manifest_binds => {}
            None => {
                return Err(Error::field(
                    "artifacts",
                    format!("{:?} has no signature: sign it, or sign the manifest with an Ed25519 key", artifact.name),
                ));
            }
        }
        Ok(ArtifactRow {
            name: artifact.name.clone(),
            size_bytes: as_column("artifacts", artifact.size_bytes)?,
            sha256: artifact.sha256,
            bundle,
            uploaded_at: None,
        })
    });
    rows.collect()
}

fn as_column(field: &str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::field(field, "is too large"))
}

fn refused_manifest(error: drover_trust::VerifyError) -> Error {
    let detail = format!("the signed manifest is refused: {error}");
    Error::unprocessable("manifest_refused", detail).with_source(error)
}

fn already_there(error: sqlx::Error, row: &FirmwareRow) -> Error {
    let Some(constraint) = drover_db::unique_violation(&error) else { return error.into() };
    let what = if constraint.contains("release_counter") {
        format!("release counter {} is taken; every release needs a higher one", row.release_counter)
    } else {
        format!("version {} is there already; a version is released once", row.version)
    };
    Error::conflict("firmware_exists", format!("{} {}: {what}", row.device_type, row.component)).with_source(error)
}

/// Prefix of the names under which a firmware's artifacts can be presigned.
pub(crate) fn storage_path(row: &FirmwareRow) -> String {
    format!("firmware/{}/{}/v{}", row.device_type, row.component, row.version)
}

fn view(row: FirmwareRow, artifacts: Vec<ArtifactRow>) -> Result<Firmware> {
    let manifest = Manifest::parse(&row.manifest).map_err(|error| Error::internal("read a stored manifest", error))?;
    let dependencies = manifest.dependencies.into_iter().map(|one| DependencyView {
        component: one.component,
        min_version: one.min_version,
        below_version: one.below_version,
    });
    Ok(Firmware {
        id: row.id,
        storage_path: storage_path(&row),
        name: row.name,
        version: row.version,
        device_type: row.device_type,
        component: row.component,
        state: row.state,
        release_counter: manifest.release_counter,
        rollback_floor: manifest.rollback_floor,
        file_size: u64::try_from(row.size_bytes).unwrap_or(0),
        checksum: row.manifest_sha256,
        signature: row.manifest_bundle,
        signed_by: row.signed_by,
        metadata: FirmwareMetadata {
            release_notes: manifest.release_notes,
            min_version: manifest.min_version,
            dependencies: dependencies.collect(),
            extra: manifest.metadata,
        },
        artifacts: artifacts.into_iter().map(artifact_view).collect(),
        created_at: row.created_at,
        published_at: row.published_at,
    })
}

pub(crate) fn artifact_view(row: ArtifactRow) -> ArtifactView {
    ArtifactView {
        name: row.name,
        size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
        checksum: row.sha256,
        uploaded_at: row.uploaded_at,
    }
}

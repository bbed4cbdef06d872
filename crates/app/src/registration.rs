//! Devices register.

use std::collections::BTreeMap;

use drover_db::Tx;
use drover_protocol::{ComponentReport, RegisterReply, RegisterRequest};
use drover_store::device_components::Heard;
use drover_store::devices::DeviceRow;
use drover_store::enrolment_tokens::{self, EnrolmentTokenRow};
use drover_store::{changes, device_components, device_tokens, devices, release_keys};
use drover_types::{DEVICE_BUCKETS, DeviceId, EnrolmentTokenId, ErrorKind, TenantId, Timestamp};

use crate::auth::is_past;
use crate::context::new_id;
use crate::credentials::unauthenticated;
use crate::{App, Credential, CredentialKind, Error, Result, validate};

/// Components that a device may report.
pub(crate) const COMPONENTS_MAX: usize = 64;

/// Release keys that are handed to a new device.
const KEYS_MAX: i64 = 32;

/// An enrolment token that may be used.
#[derive(Debug)]
pub struct Enrolment {
    tenant: TenantId,
    token: EnrolmentTokenRow,
}

struct Registration {
    tenant: TenantId,
    token: EnrolmentTokenId,
    request: RegisterRequest,
    new_id: DeviceId,
    bucket: i64,
    now: Timestamp,
}

impl App {
    /// The enrolment token that is presented. It may still be used up by the time a device registers with it.
    pub async fn enrolment(&self, bearer: &str) -> Result<Enrolment> {
        let credential = Credential::parse(bearer).filter(|c| c.kind == CredentialKind::Enrolment);
        let credential = credential.ok_or_else(unauthenticated)?;
        let tenant = credential.tenant;
        let row = enrolment_tokens::get(&self.db, tenant, EnrolmentTokenId(credential.id)).await?;
        let row = row.ok_or_else(unauthenticated)?;
        if !credential.matches(row.secret_sha256) {
            return Err(unauthenticated());
        }
        if row.revoked_at.is_some() || is_past(row.expires_at, self.now()) {
            return Err(token_spent());
        }
        Ok(Enrolment { tenant, token: row })
    }

    /// Registers a device that presents an enrolment token. A device that registered but never came back with its
    /// own token (its answer was lost) may register once more.
    pub async fn device_register(&self, enrolment: Enrolment, request: RegisterRequest) -> Result<RegisterReply> {
        check(&request, &enrolment.token)?;
        let (tenant, token, now) = (enrolment.tenant, enrolment.token.id, self.now());

        let new_id = new_id!(self, DeviceId);
        let token_id = new_id!(self, DeviceId).0;
        let device_token = Credential::generate(CredentialKind::Device, tenant, token_id, &*self.random);
        let secret_sha256 = device_token.secret_sha256();
        let registration = Registration { tenant, token, request, new_id, bucket: self.draw(DEVICE_BUCKETS), now };
        let device_id = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let device = registration.admit(tx).await?;
                    device_tokens::insert(tx, tenant, token_id, device, secret_sha256, now).await?;
                    Ok::<_, Error>(device)
                })
            })
            .await?;
        let keys = release_keys::valid(&self.db, tenant, KEYS_MAX).await?;
        Ok(RegisterReply {
            tenant_id: tenant,
            device_id,
            token: device_token.expose(),
            poll_interval_ms: self.poll_interval_ms(),
            release_keys: keys.into_iter().map(|key| key.public_key).collect(),
        })
    }
}

fn check(request: &RegisterRequest, token: &EnrolmentTokenRow) -> Result<()> {
    validate::hardware_id("hardware_id", &request.hardware_id)?;
    validate::device_type("device_type", &request.device_type)?;
    validate::at_most("components", &request.components, COMPONENTS_MAX)?;
    match &token.device_type {
        Some(only) if *only != request.device_type => Err(Error::new(
            ErrorKind::Forbidden,
            "wrong_device_type",
            format!("this enrolment token is for devices of type {only}"),
        )),
        _ => Ok(()),
    }
}

fn token_spent() -> Error {
    let detail = "this enrolment token is used up, expired or revoked; make a new one";
    Error::new(ErrorKind::Unauthenticated, "enrolment_token_spent", detail)
}

impl Registration {
    /// Adds the device, or takes up again the registration that was never used.
    async fn admit(&self, tx: &mut Tx) -> Result<DeviceId> {
        let known = devices::by_hardware_id(&mut *tx, self.tenant, &self.request.hardware_id).await?;
        let device = match known {
            Some(known) => self.take_up(tx, &known).await?,
            None => self.add(tx).await?,
        };
        set_components(tx, self.tenant, device, &self.request.components, self.now).await?;
        Ok(device)
    }

    /// The same device with the same enrolment token, never heard of since: its answer was lost.
    async fn take_up(&self, tx: &mut Tx, known: &DeviceRow) -> Result<DeviceId> {
        let registered_with = devices::lock(tx, self.tenant, known.id).await?;
        // Its first contact may have come while this waited for the lock.
        let known = devices::get(&mut *tx, self.tenant, known.id).await?.ok_or_else(|| self.exists())?;
        let is_same = registered_with == Some(self.token) && known.device_type == self.request.device_type;
        if !is_same || known.last_seen_at.is_some() {
            return Err(self.exists());
        }
        device_tokens::revoke_all(tx, self.tenant, known.id, self.now).await?;
        changes::push_device(tx, self.tenant, known.id).await?;
        Ok(known.id)
    }

    fn exists(&self) -> Error {
        let hardware_id = &self.request.hardware_id;
        let detail = format!(
            "a device with hardware id {hardware_id} is registered and in use; delete it first to register it anew"
        );
        Error::conflict("device_exists", detail)
    }

    async fn add(&self, tx: &mut Tx) -> Result<DeviceId> {
        if !enrolment_tokens::use_once(tx, self.tenant, self.token, self.now).await? {
            return Err(token_spent());
        }
        let device = devices::NewDevice {
            id: self.new_id,
            hardware_id: &self.request.hardware_id,
            device_type: &self.request.device_type,
            bucket: self.bucket,
            enrolment_token: self.token,
        };
        devices::insert(tx, self.tenant, device, self.now).await.map_err(|error| {
            // The same hardware id registers twice at this moment.
            if drover_db::unique_violation(&error).is_some() { self.exists() } else { error.into() }
        })?;
        Ok(self.new_id)
    }
}

/// Notes what a device says that it runs.
pub(crate) async fn set_components(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceId,
    components: &[ComponentReport],
    now: Timestamp,
) -> Result<()> {
    // Of one that is named twice, the last word counts.
    let heard: BTreeMap<_, _> = components.iter().map(|report| (&report.component, report)).collect();
    let heard = heard.into_values().map(|report| Heard {
        device,
        component: &report.component,
        version: report.version.as_ref(),
        manifest_sha256: report.manifest_sha256,
        at: now,
    });
    device_components::note(tx, tenant, &heard.collect::<Vec<_>>()).await?;
    let max = i64::try_from(COMPONENTS_MAX).unwrap_or(i64::MAX);
    if device_components::count(&mut *tx, tenant, device).await? > max {
        return Err(Error::field("components", format!("a device has at most {COMPONENTS_MAX} components in all")));
    }
    Ok(())
}

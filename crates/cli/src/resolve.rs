//! From what an operator types to ids: an id, or a name where it is unambiguous.

use drover_api::{DeviceFilter, Firmware, FirmwareFilter, RolloutFilter};
use drover_types::{
    ApiKeyId, ComponentName, DeviceId, EnrolmentTokenId, ErrorKind, FirmwareId, GroupId, ReleaseKeyId, RolloutId,
    TenantId, UserId, Version,
};

use crate::CliError;
use crate::client::Client;

/// Lists that are searched for a name are read up to here.
const MAX_SEARCHED: usize = 100_000;
const MAX_SHOWN_IDS: usize = 5;

/// Why a name is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nothing has the name.
    #[error("there is no {noun} {name:?}")]
    Unknown {
        /// What was looked for.
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// More than one thing has the name.
    #[error("{name:?} names more than one {noun}: {ids}")]
    Ambiguous {
        /// What was looked for.
        noun: &'static str,
        /// The name.
        name: String,
        /// The ids that come into question.
        ids: String,
    },
    /// Neither an id nor `TYPE@VERSION`.
    #[error("{name:?} names no firmware: expected an id, TYPE@VERSION or TYPE/COMPONENT@VERSION")]
    FirmwareForm {
        /// The name.
        name: String,
    },
}

impl ResolveError {
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } | Self::FirmwareForm { .. } => ErrorKind::Malformed,
        }
    }

    pub(crate) const fn next_step(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "check the name: the noun's `list` command shows what there is",
            Self::Ambiguous { .. } => "give the id",
            Self::FirmwareForm { .. } => "`drover firmware list` shows what there is",
        }
    }
}

/// A device by id or hardware id.
pub(crate) async fn device(client: &Client, name: &str) -> Result<DeviceId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let filter = DeviceFilter { hardware_id: Some(name.to_owned()), ..DeviceFilter::default() };
    let found = client.devices(&filter, 2).await?.items.into_iter().map(|device| device.id);
    one("device", name, found)
}

/// A group by id or name.
pub(crate) async fn group(client: &Client, name: &str) -> Result<GroupId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.groups(MAX_SEARCHED).await?.items.into_iter();
    one("group", name, all.filter(|group| group.name == name).map(|group| group.id))
}

/// Groups by id or name.
pub(crate) async fn groups(client: &Client, names: &[String]) -> Result<Vec<GroupId>, CliError> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        ids.push(group(client, name).await?);
    }
    Ok(ids)
}

/// A user by id or name.
pub(crate) async fn user(client: &Client, name: &str) -> Result<UserId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.users(MAX_SEARCHED).await?.items.into_iter();
    one("user", name, all.filter(|user| user.username == name).map(|user| user.id))
}

/// A tenant below one's own by id or name.
pub(crate) async fn tenant(client: &Client, name: &str) -> Result<TenantId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.tenants(MAX_SEARCHED).await?.items.into_iter();
    one("tenant", name, all.filter(|tenant| tenant.name == name).map(|tenant| tenant.id))
}

/// A rollout by id or name.
pub(crate) async fn rollout(client: &Client, name: &str) -> Result<RolloutId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.rollouts(&RolloutFilter::default(), MAX_SEARCHED).await?.items.into_iter();
    one("rollout", name, all.filter(|rollout| rollout.name == name).map(|rollout| rollout.id))
}

/// A firmware by id, `TYPE@VERSION` or `TYPE/COMPONENT@VERSION`.
pub(crate) async fn firmware(client: &Client, name: &str) -> Result<Firmware, CliError> {
    if let Ok(id) = name.parse::<FirmwareId>() {
        return Ok(client.firmware(id).await?);
    }
    let (device_type, component, version) =
        firmware_name(name).ok_or_else(|| ResolveError::FirmwareForm { name: name.to_owned() })?;
    let (device_type, version) = (Some(device_type), Some(version));
    let filter = FirmwareFilter { device_type, component, version, ..FirmwareFilter::default() };
    let found = client.firmware_list(&filter, MAX_SHOWN_IDS + 1).await?.items;
    let spelling =
        |firmware: &Firmware| format!("{}/{}@{}", firmware.device_type, firmware.component, firmware.version);
    let only = one("firmware", name, found.iter().map(spelling))?;
    let fits = found.into_iter().find(|firmware| spelling(firmware) == only);
    fits.ok_or_else(|| ResolveError::Unknown { noun: "firmware", name: name.to_owned() }.into())
}

/// The last `@` separates the version, the last `/` before it the component.
fn firmware_name(name: &str) -> Option<(String, Option<ComponentName>, Version)> {
    let (what, version) = name.rsplit_once('@')?;
    let version = version.parse().ok()?;
    match what.rsplit_once('/') {
        Some((device_type, component)) => Some((device_type.to_owned(), Some(component.parse().ok()?), version)),
        None => Some((what.to_owned(), None, version)),
    }
}

/// An API key by id, or by the name of one that is not revoked.
pub(crate) async fn api_key(client: &Client, name: &str) -> Result<ApiKeyId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.api_keys(MAX_SEARCHED).await?.items.into_iter();
    one("API key", name, all.filter(|key| key.name == name && key.revoked_at.is_none()).map(|key| key.id))
}

/// An enrolment token by id, or by the name of one that is not revoked.
pub(crate) async fn enrolment_token(client: &Client, name: &str) -> Result<EnrolmentTokenId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.enrolment_tokens(MAX_SEARCHED).await?.items.into_iter();
    let fits = all.filter(|token| token.name == name && token.revoked_at.is_none());
    one("enrolment token", name, fits.map(|token| token.id))
}

/// A release key by id, or by the name of one that is not revoked.
pub(crate) async fn release_key(client: &Client, name: &str) -> Result<ReleaseKeyId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let all = client.release_keys(MAX_SEARCHED).await?.items.into_iter();
    one("release key", name, all.filter(|key| key.name == name && key.revoked_at.is_none()).map(|key| key.id))
}

fn one<T: ToString>(noun: &'static str, name: &str, found: impl Iterator<Item = T>) -> Result<T, CliError> {
    let mut found: Vec<T> = found.take(MAX_SHOWN_IDS + 1).collect();
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().take(MAX_SHOWN_IDS).map(ToString::to_string).collect();
        return Err(ResolveError::Ambiguous { noun, name: name.to_owned(), ids: ids.join(", ") }.into());
    }
    found.pop().ok_or_else(|| ResolveError::Unknown { noun, name: name.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_names() {
        let plain = firmware_name("robot@1.2.0").expect("a name");
        assert_eq!(plain, ("robot".to_owned(), None, Version::new(1, 2, 0)));
        let (device_type, component, _) = firmware_name("acme/robot/ecu-1@v1.2.0").expect("a name");
        assert_eq!((device_type.as_str(), component.map(|c| c.to_string()).as_deref()), ("acme/robot", Some("ecu-1")));
        for bad in ["robot", "robot@", "robot@1", "robot/ECU@1.0.0"] {
            assert!(firmware_name(bad).is_none(), "{bad}");
        }
    }
}

//! Who the device is, and which keys it trusts.

use std::io;
use std::path::{Path, PathBuf};

use drover_protocol::RegisterReply;
use drover_trust::{KeyError, PublicKey};
use drover_types::{DeviceId, TenantId};
use drover_uplink::durable;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError};
use crate::layout::Layout;
use crate::slot;

const FORMAT: u32 = 1;
/// No more keys are pinned.
const MAX_KEYS: usize = 32;

/// The device's identity, in `identity.json` with mode 0600.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of this format: 1.
    pub format: u32,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The device.
    pub device_id: DeviceId,
    /// The device's bearer token.
    pub token: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("Identity").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

/// Identity or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("use {}: {source}; check permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The identity makes no sense.
    #[error("use {}: it is damaged; remove it and enrol the device again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A release key makes no sense.
    #[error("use the release key {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// The device would have no key to check firmware with: it would be enrolled and refuse everything for ever.
    #[error(
        "trust a release key: the server names none that can be used and none is configured; add one on the server \
         with `drover key add`, or set release_keys, then enrol again"
    )]
    NoReleaseKey,
    /// A file that the configuration names cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl IdentityError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl Identity {
    /// Reads the identity; none when the device is not enrolled.
    pub fn load(layout: &Layout) -> Result<Option<Self>, IdentityError> {
        let path = layout.identity();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IdentityError::io(&path, error)),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(identity) if identity.format == FORMAT => Ok(Some(identity)),
            _ => Err(IdentityError::Damaged { path }),
        }
    }

    /// Keeps what the server answered. Keys are pinned apart, before: whoever has an identity has its keys.
    pub fn store(layout: &Layout, reply: &RegisterReply) -> Result<Self, IdentityError> {
        let path = layout.identity();
        let identity =
            Self { format: FORMAT, tenant_id: reply.tenant_id, device_id: reply.device_id, token: reply.token.clone() };
        let bytes = serde_json::to_vec_pretty(&identity).map_err(|error| IdentityError::io(&path, error.into()))?;
        durable::replace_file(&path, &bytes, 0o600).map_err(|source| IdentityError::io(&path, source))?;
        Ok(identity)
    }
}

/// Pins the keys that the server names at enrolment, unless the configuration names keys or some are pinned already:
/// a server that falls into wrong hands later cannot change them. Fails when the device would be left without a key.
pub(crate) fn pin_keys(config: &Config, layout: &Layout, offered: &[String]) -> Result<(), IdentityError> {
    if !config.release_keys.is_empty() || !pinned_files(layout)?.is_empty() {
        return Ok(());
    }
    let keys = usable_keys(offered);
    if keys.is_empty() {
        return Err(IdentityError::NoReleaseKey);
    }
    let folder = layout.keys();
    // All of them or none: the folder gets its name when it is complete.
    let growing = durable::with_suffix(&folder, ".tmp");
    slot::discard(&growing)
        .and_then(|()| std::fs::create_dir(&growing))
        .map_err(|source| IdentityError::io(&growing, source))?;
    for key in keys {
        let path = growing.join(format!("{}.pem", key.fingerprint()));
        durable::replace_file(&path, key.to_pem().as_bytes(), 0o600)
            .map_err(|source| IdentityError::io(&path, source))?;
    }
    std::fs::rename(&growing, &folder)
        .and_then(|()| durable::sync_parent(&folder))
        .map_err(|source| IdentityError::io(&folder, source))
}

fn usable_keys(offered: &[String]) -> Vec<PublicKey> {
    let read = |pem: &String| {
        PublicKey::from_pem(pem)
            .inspect_err(|error| {
                tracing::warn!(%error, "a release key of the server makes no sense and is left out");
            })
            .ok()
    };
    offered.iter().take(MAX_KEYS).filter_map(read).collect()
}

/// The keys that firmware has to be signed with: the configured ones, else the pinned ones.
pub(crate) fn release_keys(config: &Config, layout: &Layout) -> Result<Vec<PublicKey>, IdentityError> {
    let files = if config.release_keys.is_empty() { pinned_files(layout)? } else { config.release_keys.clone() };
    files.iter().take(MAX_KEYS).map(|path| read_key(path)).collect()
}

/// Reads every key file that the configuration names.
pub fn check_release_keys(config: &Config) -> Result<(), IdentityError> {
    config.release_keys.iter().try_for_each(|path| read_key(path).map(drop))
}

fn read_key(path: &Path) -> Result<PublicKey, IdentityError> {
    let pem = std::fs::read_to_string(path).map_err(|source| IdentityError::io(path, source))?;
    PublicKey::from_pem(&pem).map_err(|source| IdentityError::Key { path: path.to_owned(), source })
}

fn pinned_files(layout: &Layout) -> Result<Vec<PathBuf>, IdentityError> {
    let folder = layout.keys();
    let failed = |source| IdentityError::io(&folder, source);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    files.sort();
    Ok(files)
}

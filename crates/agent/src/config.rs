//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_types::ComponentName;
use drover_uplink::{AddressError, server_address};
use serde::Deserialize;

/// The longest of all waits.
pub(crate) const DAY: Duration = Duration::from_hours(24);
const MIN_GIVE_UP_MS: u64 = 1000;
const MAX_GIVE_UP_MS: u64 = 7 * 24 * 60 * 60 * 1000;
const MAX_BALLAST_BYTES: u64 = 16 * 1024 * 1024;
const MAX_COMPONENTS: usize = 64;

/// A text that never shows itself in logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// What an agent is told. Keys that are not known are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the server; `https://`, or `http://` to this machine.
    pub server: String,
    /// The folder that belongs to the agent: identity, slots, journal, reports.
    pub data_dir: PathBuf,
    /// VIN or serial number: 1 to 128 printable characters.
    pub hardware_id: String,
    /// What kind of device it is: 1 to 64 characters `a-z0-9._-`.
    pub device_type: String,
    /// With what the device registers, once.
    #[serde(default)]
    pub enrolment_token: Option<Secret>,
    /// A file with the enrolment token, in place of the token.
    #[serde(default)]
    pub enrolment_token_file: Option<PathBuf>,
    /// PEM files with the public keys that may sign firmware. Without them, the keys that the server names at
    /// enrolment are pinned.
    #[serde(default)]
    pub release_keys: Vec<PathBuf>,
    /// Time between update checks; the server's wish when not given. 100 ms to 24 h.
    #[serde(default)]
    pub poll_interval_ms: Option<u64>,
    /// Time between signs of life; 100 ms to 24 h.
    #[serde(default = "default_heartbeat_interval_ms")]
    pub heartbeat_interval_ms: u64,
    /// The shortest wait after a failed call; 1 ms to 24 h.
    #[serde(default = "default_retry_min_ms")]
    pub retry_min_ms: u64,
    /// The longest wait after failed calls; at least `retry_min_ms`, at most 24 h.
    #[serde(default = "default_retry_max_ms")]
    pub retry_max_ms: u64,
    /// Download no faster, in bytes per second.
    #[serde(default)]
    pub throttle_bytes_per_s: Option<u64>,
    /// Give up a download when nothing came for so long; 100 ms to 24 h.
    #[serde(default = "default_stall_timeout_ms")]
    pub stall_timeout_ms: u64,
    /// Fail an update when its download brought no new byte for so long although there was an answer where it is: an
    /// error, too few bytes, or while the server can be reached a certificate that is refused. 1 s to 7 days.
    #[serde(default = "default_download_give_up_ms")]
    pub download_give_up_ms: u64,
    /// Space that is kept for going back when the disk is full, in bytes; 0 keeps none, at most 16 MiB.
    #[serde(default = "default_ballast_bytes")]
    pub ballast_bytes: u64,
    /// Refuse a firmware that was rolled back here so many times; at least 1.
    #[serde(default = "default_blacklist_after")]
    pub blacklist_after: u32,
    /// The parts of the device that are updated; only `main` when none is named.
    #[serde(default, rename = "component")]
    pub components: BTreeMap<ComponentName, ComponentConfig>,
}

/// How one component is started and judged. A command is a program and its arguments, run without a shell in the
/// content of its slot, with `DROVER_SLOT`, `DROVER_VERSION`, `DROVER_COMPONENT` and `DROVER_DEVICE_DIR` set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentConfig {
    /// (Re)starts the application from its slot. It runs again after a power cut: it has to bear that.
    pub activate: Vec<String>,
    /// Says whether the new version works: exit status 0.
    pub self_test: Vec<String>,
    /// Asked again and again until the deadline whether it still works: exit status 0.
    pub watch: Vec<String>,
    /// Time that activation may take; 1 ms to 24 h.
    pub activate_timeout_ms: u64,
    /// Time that the self-test may take; 1 ms to 24 h.
    pub self_test_timeout_ms: u64,
    /// How long the new version is watched before it is kept; at most 24 h.
    pub watch_ms: u64,
    /// Time between two looks; 1 ms to 24 h.
    pub watch_interval_ms: u64,
    /// Time that one look may take; 1 ms to 24 h.
    pub watch_timeout_ms: u64,
}

impl Default for ComponentConfig {
    fn default() -> Self {
        Self {
            activate: Vec::new(),
            self_test: Vec::new(),
            watch: Vec::new(),
            activate_timeout_ms: 60_000,
            self_test_timeout_ms: 60_000,
            watch_ms: 0,
            watch_interval_ms: 1_000,
            watch_timeout_ms: 10_000,
        }
    }
}

const fn default_heartbeat_interval_ms() -> u64 {
    60_000
}
const fn default_retry_min_ms() -> u64 {
    500
}
const fn default_retry_max_ms() -> u64 {
    60_000
}
const fn default_stall_timeout_ms() -> u64 {
    30_000
}
const fn default_download_give_up_ms() -> u64 {
    60 * 60 * 1000
}
const fn default_ballast_bytes() -> u64 {
    256 * 1024
}
const fn default_blacklist_after() -> u32 {
    2
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has a key that is not known.
    #[error("read {}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The server's address cannot be used.
    #[error("accept the configuration: server: {0}")]
    Server(#[from] AddressError),
    /// A value is out of its range.
    #[error("accept the configuration: {key}: {rule}")]
    Value {
        /// The key.
        key: String,
        /// What is expected.
        rule: &'static str,
    },
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_file(path)?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        config.validated()
    }

    /// Checks every limit that the fields document and fills in the component `main` when none is named.
    pub fn validated(mut self) -> Result<Self, ConfigError> {
        server_address(&self.server)?;
        if self.components.is_empty() {
            self.components.insert(ComponentName::main(), ComponentConfig::default());
        }
        let printable = |text: &str| text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        let is_type_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let hardware_id_fits = (1..=128).contains(&self.hardware_id.chars().count()) && printable(&self.hardware_id);
        let type_fits = (1..=64).contains(&self.device_type.len()) && self.device_type.chars().all(is_type_char);
        let one_token = self.enrolment_token.is_none() || self.enrolment_token_file.is_none();
        require(hardware_id_fits, "hardware_id", "expected 1 to 128 printable characters without spaces")?;
        require(type_fits, "device_type", "expected 1 to 64 characters a-z, 0-9, '.', '_' or '-'")?;
        require(one_token, "enrolment_token", "give either the token or enrolment_token_file, not both")?;
        require(self.blacklist_after >= 1, "blacklist_after", "expected at least 1")?;
        require(
            self.throttle_bytes_per_s != Some(0),
            "throttle_bytes_per_s",
            "expected at least 1; leave it out for none",
        )?;
        let gives_up_in_time = (MIN_GIVE_UP_MS..=MAX_GIVE_UP_MS).contains(&self.download_give_up_ms);
        require(gives_up_in_time, "download_give_up_ms", "expected milliseconds between 1 s and 7 days (604800000)")?;
        require(self.ballast_bytes <= MAX_BALLAST_BYTES, "ballast_bytes", "expected at most 16 MiB (16777216)")?;
        require(self.components.len() <= MAX_COMPONENTS, "component", "expected at most 64 components")?;
        require(self.retry_max_ms >= self.retry_min_ms, "retry_max_ms", "expected at least retry_min_ms")?;
        for (key, value_ms, min_ms) in [
            ("poll_interval_ms", self.poll_interval_ms.unwrap_or(1000), 100),
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, 100),
            ("retry_min_ms", self.retry_min_ms, 1),
            ("retry_max_ms", self.retry_max_ms, 1),
            ("stall_timeout_ms", self.stall_timeout_ms, 100),
        ] {
            require_time(key, value_ms, min_ms)?;
        }
        for (name, component) in &self.components {
            component.validate(name)?;
        }
        Ok(self)
    }

    /// The enrolment token, from wherever it is; none when the configuration names none.
    pub fn read_enrolment_token(&self) -> Result<Option<Secret>, ConfigError> {
        match (&self.enrolment_token, &self.enrolment_token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => Ok(Some(Secret(read_file(path)?.trim().to_owned()))),
            (None, None) => Ok(None),
        }
    }
}

impl ComponentConfig {
    fn validate(&self, name: &ComponentName) -> Result<(), ConfigError> {
        let key = |field: &str| format!("component.{name}.{field}");
        for (field, value_ms, min_ms) in [
            ("activate_timeout_ms", self.activate_timeout_ms, 1),
            ("self_test_timeout_ms", self.self_test_timeout_ms, 1),
            ("watch_ms", self.watch_ms, 0),
            ("watch_interval_ms", self.watch_interval_ms, 1),
            ("watch_timeout_ms", self.watch_timeout_ms, 1),
        ] {
            require_time(&key(field), value_ms, min_ms)?;
        }
        for (field, command) in [("activate", &self.activate), ("self_test", &self.self_test), ("watch", &self.watch)] {
            let names_a_program = command.first().is_none_or(|program| !program.is_empty());
            require(names_a_program, &key(field), "expected a program and its arguments")?;
        }
        Ok(())
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn require(holds: bool, key: &str, rule: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Value { key: key.to_owned(), rule }) }
}

fn require_time(key: &str, value_ms: u64, min_ms: u64) -> Result<(), ConfigError> {
    let fits = value_ms >= min_ms && Duration::from_millis(value_ms) <= DAY;
    require(fits, key, "expected milliseconds between the documented least value and 24 h (86400000)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str =
        "server = 'http://127.0.0.1:8080'\ndata_dir = '/tmp/x'\nhardware_id = 'SN-1'\ndevice_type = 'robot'\n";

    fn read(more: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(&format!("{SMALLEST}{more}")).map_err(|error| error.to_string())?;
        config.validated().map_err(|error| error.to_string())
    }

    #[test]
    fn the_smallest_configuration_has_the_component_main() {
        assert!(read("").expect("valid").components.contains_key(&ComponentName::main()));
    }

    #[test]
    fn mistakes_are_named() {
        for (more, expected) in [
            ("pol_interval_ms = 5", "unknown field `pol_interval_ms`"),
            ("poll_interval_ms = 5", "poll_interval_ms"),
            ("blacklist_after = 0", "blacklist_after"),
            ("download_give_up_ms = 999", "download_give_up_ms"),
            ("download_give_up_ms = 604800001", "download_give_up_ms"),
            ("ballast_bytes = 16777217", "ballast_bytes"),
            ("throttle_bytes_per_s = 0", "throttle_bytes_per_s"),
            ("enrolment_token = 'a'\nenrolment_token_file = 'b'", "not both"),
            ("[component.main]\nactivate = ['']", "component.main.activate"),
            ("[component.main]\nself_test_timeout_ms = 0", "component.main.self_test_timeout_ms"),
            ("[component.'../x']", "invalid component name"),
        ] {
            let error = read(more).unwrap_err();
            assert!(error.contains(expected), "{more}: {error}");
        }
    }

    #[test]
    fn a_token_never_shows() {
        let config = read("enrolment_token = 'hush'").expect("valid");
        assert!(!format!("{config:?}").contains("hush"));
    }
}

//! Who the device is, and which keys it trusts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use drover_protocol::{HeartbeatReply, RegisterReply};
use drover_trust::{KeyError, PublicKey, ServerPin};
use drover_types::{DeviceId, TenantId, Timestamp};
use drover_uplink::durable;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError, DAY};
use crate::layout::Layout;
use crate::slot;

const FORMAT: u32 = 1;
/// No more keys are pinned.
const MAX_KEYS: usize = 32;
/// No more keys of the server are pinned.
const MAX_PINS: usize = 8;
/// On so many days a key of the server that is not named any more is still accepted.
const DAYS_UNNAMED: u32 = 7;

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
    /// The keys one of which the server has to prove; the system's authorities count when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_pins: Vec<ServerPin>,
    /// Those of them that the server does not name any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins_missed: BTreeMap<String, Missed>,
    /// A moment that has passed: server and device agreed on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
}

/// How often a pin was not named. Counted is the device's own experience: neither time that it was off nor a clock that
/// was wrong makes a pin old that it hears of for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Whole days behind it, none of them with an answer that named it.
    pub days: u32,
    /// When the last of them was over, or the first began.
    pub at: Timestamp,
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

    /// What the server answered, to a device that came with this pin.
    pub fn new(reply: &RegisterReply, server_pin: Option<ServerPin>) -> Self {
        Self {
            format: FORMAT,
            tenant_id: reply.tenant_id,
            device_id: reply.device_id,
            token: reply.token.clone(),
            server_pins: server_pin.into_iter().collect(),
            pins_missed: BTreeMap::new(),
            seen_at: None,
        }
    }

    /// Keeps it. Release keys are pinned apart, before: whoever has an identity has its keys.
    pub fn store(&self, layout: &Layout) -> Result<(), IdentityError> {
        let path = layout.identity();
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| IdentityError::io(&path, error.into()))?;
        durable::replace_file(&path, &bytes, 0o600).map_err(|source| IdentityError::io(&path, source))
    }

    /// What a heartbeat's answer changes: the pins that the server names, and once a day the time. None when that is
    /// nothing. Only what both clocks say has passed: one that is ahead would end all certificates for good.
    ///
    /// Pins change only on a device that has some, and only by a list with one of them: the server that was asked has
    /// just proved one of the old, so a list without any is a mistake that would lock the device out. One that is not
    /// named any more stays for some days: another node may still name it, and be the only one that has it.
    pub(crate) fn after(&self, reply: &HeartbeatReply, now: Timestamp) -> Option<Self> {
        if self.server_pins.is_empty() {
            return None;
        }
        let named: Vec<ServerPin> =
            reply.server_pins.iter().take(MAX_PINS).filter_map(|pin| pin.parse().ok()).collect();
        let passed = reply.server_time.min(now);
        let mut after = self.clone();
        if self.seen_at.is_none_or(|seen| passed.since(seen) >= DAY) {
            after.seen_at = Some(passed);
        }
        if named.iter().any(|pin| self.server_pins.contains(pin)) {
            after.take_over(&named, passed.max(self.seen_at.unwrap_or(passed)));
        }
        (after != *self).then_some(after)
    }

    fn take_over(&mut self, named: &[ServerPin], at: Timestamp) {
        let mut pins = self.server_pins.clone();
        for pin in named {
            if !pins.contains(pin) {
                pins.push(*pin);
            }
        }
        let missed: BTreeMap<String, Missed> = pins
            .iter()
            .filter_map(|pin| {
                let text = pin.to_string();
                let missed = missed_after(self.pins_missed.get(&text).copied(), named.contains(pin), at)?;
                Some((text, missed))
            })
            .collect();
        let days = |pin: &ServerPin| missed.get(&pin.to_string()).map_or(0, |missed| missed.days);
        pins.retain(|pin| named.contains(pin) || days(pin) < DAYS_UNNAMED);
        while pins.len() > MAX_PINS
            && let Some(unnamed) = pins.iter().position(|pin| !named.contains(pin))
        {
            pins.remove(unnamed);
        }
        self.pins_missed = missed;
        self.pins_missed.retain(|text, _| pins.iter().any(|pin| pin.to_string() == *text));
        self.server_pins = pins;
    }
}

/// What is noted of a pin after an answer that names it or does not. Nodes that disagree change it twice a day at most, so
/// that a heartbeat writes nothing.
fn missed_after(before: Option<Missed>, is_named: bool, at: Timestamp) -> Option<Missed> {
    let Some(missed) = before else { return (!is_named).then_some(Missed { days: 0, at }) };
    let is_over = at.since(missed.at) >= DAY;
    match (is_named, missed.days) {
        (true, 0) => (!is_over).then_some(missed),
        (true, _) => Some(Missed { days: 0, at }),
        (false, days) if is_over => Some(Missed { days: days + 1, at }),
        (false, _) => Some(missed),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn pin(letter: char) -> ServerPin {
        // The last character of 32 bytes in base64 has two bits that are zero.
        format!("sha256/{}A", letter.to_string().repeat(42)).parse().expect("a pin")
    }

    fn identity(pins: &[ServerPin]) -> Identity {
        let (tenant_id, device_id) = (TenantId(uuid::Uuid::nil()), DeviceId(uuid::Uuid::nil()));
        Identity {
            format: FORMAT,
            tenant_id,
            device_id,
            token: String::new(),
            server_pins: pins.to_vec(),
            pins_missed: BTreeMap::new(),
            seen_at: None,
        }
    }

    fn reply(pins: &[ServerPin], server_time: Timestamp) -> HeartbeatReply {
        let server_pins = pins.iter().map(ToString::to_string).collect();
        HeartbeatReply { server_time, poll_interval_ms: 1, server_pins }
    }

    /// The device after an answer that names these keys; `now` is its clock and the server's.
    fn heard(device: Identity, named: &[ServerPin], now: Timestamp) -> Identity {
        device.after(&reply(named, now), now).unwrap_or(device)
    }

    #[test]
    fn the_server_may_name_its_next_key_and_later_leave_out_the_old_one() {
        let (old, new) = (pin('A'), pin('B'));
        let mut device = heard(identity(&[old]), &[old, new], NOW);
        assert_eq!(device.server_pins, [old, new]);
        for day in 0..7 {
            // Not at once: the node that was asked may be the only one that leaves it out.
            device = heard(device, &[new], NOW.plus(day * DAY));
            assert_eq!(device.server_pins, [old, new], "on day {day}");
            assert_eq!(device.after(&reply(&[new], NOW.plus(day * DAY)), NOW.plus(day * DAY)), None);
        }
        device = heard(device, &[new], NOW.plus(7 * DAY));
        assert_eq!(device.server_pins, [new]);
        assert!(device.pins_missed.is_empty());
    }

    #[test]
    fn neither_being_off_nor_a_wrong_clock_makes_a_key_old() {
        let (old, new) = (pin('A'), pin('B'));
        let both = heard(identity(&[old]), &[old, new], NOW);
        let mut later = NOW.plus(8 * DAY);
        let mut device = heard(both, &[new], later);
        assert_eq!(device.server_pins, [old, new], "it was off and did not hear that its key is left out");
        for _ in 1..7 {
            later = later.plus(DAY);
            device = heard(device, &[new], later);
        }
        assert_eq!(device.server_pins, [old, new]);
        // One that names it begins anew.
        device = heard(device, &[old, new], later.plus(DAY));
        device = heard(device, &[new], later.plus(2 * DAY));
        assert_eq!(device.server_pins, [old, new]);

        let woke_up = Timestamp::from_micros(0);
        let mut device = identity(&[old, new]);
        device = device.after(&reply(&[new], NOW), woke_up).expect("a change");
        device = heard(device, &[new], NOW);
        assert_eq!(device.server_pins, [old, new], "its clock was set right");
    }

    #[test]
    fn an_identity_of_before_can_be_read() {
        let mut before = serde_json::to_value(identity(&[pin('A')])).expect("JSON");
        before["pins_named_at"] = serde_json::json!({ pin('A').to_string(): NOW });
        let read: Identity = serde_json::from_value(before).expect("an identity");
        assert_eq!(read, identity(&[pin('A')]));
    }

    #[test]
    fn nodes_that_disagree_cost_nothing_and_nobody_is_forgotten() {
        let (old, new) = (pin('A'), pin('B'));
        let mut device = identity(&[old]);
        let mut writes = 0;
        let nodes = [vec![old, new], vec![old], vec![new, old]];
        for (hour, named) in (0..10 * 24).zip(nodes.iter().cycle()) {
            let now = NOW.plus(Duration::from_hours(hour));
            if let Some(after) = device.after(&reply(named, now), now) {
                device = after;
                writes += 1;
            }
            assert_eq!(device.server_pins, [old, new], "in hour {hour}");
        }
        assert!(writes <= 3 * 10, "{writes} writes in ten days, one of each day for the time");
    }

    #[test]
    fn pins_are_bounded_and_those_that_are_named_stay() {
        let all: Vec<ServerPin> = "ABCDEFGHIJ".chars().map(pin).collect();
        let device = identity(&all[..6]).after(&reply(&all[4..], NOW), NOW).expect("a change");
        assert_eq!(device.server_pins.len(), MAX_PINS);
        assert!(all[4..].iter().all(|pin| device.server_pins.contains(pin)), "{:?}", device.server_pins);
    }

    #[test]
    fn no_answer_locks_the_device_out() {
        let (old, new) = (pin('A'), pin('B'));
        for named in [&[][..], &[new]] {
            let after = identity(&[old]).after(&reply(named, NOW), NOW).expect("the time");
            assert_eq!(after.server_pins, [old]);
        }
        let mut garbled = reply(&[old], NOW);
        garbled.server_pins.push("nonsense".to_owned());
        assert_eq!(identity(&[old]).after(&garbled, NOW).expect("the time").server_pins, [old]);
        assert_eq!(identity(&[]).after(&reply(&[new], NOW), NOW), None, "without a pin none is taken over");
    }

    #[test]
    fn time_is_noted_once_a_day_and_only_what_both_clocks_have_seen() {
        let ahead = NOW.plus(1_000 * DAY);
        for (server, device) in [(ahead, NOW), (NOW, ahead)] {
            let noted = identity(&[pin('A')]).after(&reply(&[], server), device).expect("the time");
            assert_eq!(noted.seen_at, Some(NOW));
            let soon = NOW.plus(Duration::from_hours(23));
            assert_eq!(noted.after(&reply(&[], soon), soon), None);
            assert_eq!(noted.after(&reply(&[], Timestamp::from_micros(0)), soon), None, "it never goes back");
        }
    }
}

//! What a condition can read of a device.

use std::fmt;

use drover_types::ComponentName;

/// Something that a condition reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `device.id`, a UUID.
    Id,
    /// `device.hardware_id`: VIN or serial number.
    HardwareId,
    /// `device.type`.
    Type,
    /// `device.status`: one of the words of [`drover_types::DeviceStatus`].
    Status,
    /// `device.agent_version`, as text: it is no firmware and has no order.
    AgentVersion,
    /// `device.last_seen`; absent until the device first came with its own token.
    LastSeen,
    /// `device.created_at`: when it registered.
    CreatedAt,
    /// `device.version` for the component `main`, otherwise `device.components["name"].version`.
    Version(ComponentName),
    /// `device.attr.name`: text, number or truth value, whatever the device's attribute of that name is.
    Attribute(String),
    /// `device.tags`.
    Tags,
    /// `device.groups`, by name: those that it is in, and all above those.
    Groups,
    /// `telemetry.name`: the latest value of a metric, a number.
    Telemetry(String),
}

/// What can be done with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    /// Text that has an order: serial numbers come in ranges.
    OrderedText,
    Text,
    Status,
    Time,
    Version,
    /// Text, number or truth value: known when a device is looked at.
    Dynamic,
    Names,
    Number,
}

impl Kind {
    /// What it is, for messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Id => "an id",
            Self::OrderedText | Self::Text | Self::Status => "text",
            Self::Time => "a time",
            Self::Version => "a version",
            Self::Dynamic => "an attribute",
            Self::Names => "a list of names",
            Self::Number => "a number",
        }
    }
}

/// The fields that need no further name.
const PLAIN: [(&str, Field); 9] = [
    ("id", Field::Id),
    ("hardware_id", Field::HardwareId),
    ("type", Field::Type),
    ("status", Field::Status),
    ("agent_version", Field::AgentVersion),
    ("last_seen", Field::LastSeen),
    ("created_at", Field::CreatedAt),
    ("tags", Field::Tags),
    ("groups", Field::Groups),
];

/// What people write when they mean one of ours.
const OTHER_NAMES: [(&str, &str); 18] = [
    ("device_type", "type"),
    ("kind", "type"),
    ("current_version", "version"),
    ("firmware", "version"),
    ("firmware_version", "version"),
    ("last_seen_at", "last_seen"),
    ("lastseen", "last_seen"),
    ("created", "created_at"),
    ("registered_at", "created_at"),
    ("name", "hardware_id"),
    ("serial", "hardware_id"),
    ("serial_number", "hardware_id"),
    ("vin", "hardware_id"),
    ("attribute", "attr"),
    ("attributes", "attr"),
    ("tag", "tags"),
    ("group", "groups"),
    ("component", "components"),
];

impl Field {
    pub(crate) fn plain(name: &str) -> Option<Self> {
        if name == "version" {
            return Some(Self::Version(ComponentName::main()));
        }
        PLAIN.iter().find(|(plain, _)| *plain == name).map(|(_, field)| field.clone())
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Id => Kind::Id,
            Self::HardwareId => Kind::OrderedText,
            Self::Type | Self::AgentVersion => Kind::Text,
            Self::Status => Kind::Status,
            Self::LastSeen | Self::CreatedAt => Kind::Time,
            Self::Version(_) => Kind::Version,
            Self::Attribute(_) => Kind::Dynamic,
            Self::Tags | Self::Groups => Kind::Names,
            Self::Telemetry(_) => Kind::Number,
        }
    }
}

/// The name after `device.` that was probably meant.
pub(crate) fn similar(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(other, _)| *other == lower) {
        return Some(ours);
    }
    let ours = PLAIN.iter().map(|(plain, _)| *plain).chain(["version", "attr", "components"]);
    closest(&lower, ours)
}

/// The word that differs from `name` in at most two letters (one in short ones), the nearest first.
pub(crate) fn closest(name: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let most = if name.chars().count() <= 4 { 1 } else { 2 };
    words.map(|word| (distance(name, word), word)).filter(|(far, _)| *far <= most).min().map(|(_, word)| word)
}

/// Letters that were added, left out, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[left.len()][right.len()]
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(component) if *component == ComponentName::main() => f.write_str("device.version"),
            Self::Version(component) => write!(f, "device.components[\"{component}\"].version"),
            Self::Attribute(name) => Member("device.attr", name).fmt(f),
            Self::Telemetry(name) => Member("telemetry", name).fmt(f),
            plain => {
                let name = PLAIN.iter().find(|(_, field)| field == plain).map_or("?", |(name, _)| *name);
                write!(f, "device.{name}")
            }
        }
    }
}

/// `of.name`, or `of["name"]` when the name is no word of CEL.
struct Member<'a>(&'a str, &'a str);

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(of, name) = self;
        if crate::lex::is_word(name) {
            write!(f, "{of}.{name}")
        } else {
            write!(f, "{of}[{}]", crate::text::Quoted(name))
        }
    }
}

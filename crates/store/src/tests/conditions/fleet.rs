//! Random devices: much is missing, texts are awkward, numbers are at the edges.

use std::collections::BTreeMap;

use drover_db::{Db, Tx, on_tx};
use drover_rules::{Field, GroupIds, SlotValue};
use drover_types::{DeviceId, DeviceStatus, GroupId, TenantId, Timestamp, Version};

use super::super::fixture::{at, commit};
use super::draw::Draw;
use crate::{group_tree, tenants};

pub(super) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const HOUR_MICROS: i64 = 3_600_000_000;

/// Empty, quotes, signs of LIKE, upper and lower case, one letter in two spellings, text whose order differs in UTF-16,
/// text that looks like something else.
pub(super) const TEXTS: [&str; 30] = [
    "", " ", "eu", "EU", "Eu", "eu-west", "us", "a", "ab", "abc", "b", "é", "e\u{301}", "É", "ß", "SS", "日本", "😀",
    "😀x", "\u{FFFD}", "%", "_", "a_b", "a%b", "50%", "\\", "it's", "\"q\"", "5", "a\nb",
];
pub(super) const TYPES: [&str; 5] = ["robot", "ROBOT", "truck", "truck%", "日本"];
pub(super) const ATTRIBUTES: [&str; 8] = ["region", "slots", "parked", "site", "a_b", "x1", "for_hire", "if_"];
pub(super) const TAGS: [&str; 6] = ["canary", "canary-1", "eu", "eu:lab", "0", "a.b_c"];
pub(super) const METRICS: [&str; 3] = ["battery", "temp", "oil level"];
/// Of groups.
pub(super) const NAMES: [&str; 7] = ["canary", "Canary", "eu", "it's", "%", "", "日本"];
pub(super) const VERSIONS: [&str; 14] = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-1",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.0+build.7",
    "1.2.0",
    "1.10.0",
    "2.0.0-rc.1+x",
    "18446744073709551615.0.0",
];
/// With their spelling in CEL.
pub(super) const NUMBERS: [(f64, &str); 16] = [
    (0.0, "0"),
    (-0.0, "-0.0"),
    (1.0, "1"),
    (1.0, "1.0"),
    (-1.0, "-1"),
    (5.0, "5"),
    (5.5, "5.5"),
    (0.1, "0.1"),
    (0.300_000_000_000_000_04, "0.30000000000000004"),
    (1e300, "1e300"),
    (-1e300, "-1.0E+300"),
    (5e-324, "5e-324"),
    (9_007_199_254_740_992.0, "9007199254740992"),
    (9_007_199_254_740_991.0, "9007199254740991"),
    (9_223_372_036_854_774_784.0, "9223372036854774784"),
    (1e16, "10000000000000000.0"),
];
/// Microseconds before now.
pub(super) const AGES: [i64; 9] =
    [0, 1, 1_000, 1_500_000, HOUR_MICROS, 2 * HOUR_MICROS, 2 * HOUR_MICROS + 1, 168 * HOUR_MICROS, -HOUR_MICROS];

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attribute {
    Text(&'static str),
    Number(f64),
    Bool(bool),
}

/// A device with all that conditions read.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) hardware_id: String,
    /// Its type.
    pub(super) kind: &'static str,
    pub(super) status: DeviceStatus,
    pub(super) agent_version: Option<&'static str>,
    pub(super) last_seen: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    /// Versions of components, none when nothing is installed, with their keys.
    pub(super) components: BTreeMap<&'static str, Option<(&'static str, Vec<u8>)>>,
    pub(super) attributes: BTreeMap<&'static str, Attribute>,
    /// The latest values of its metrics.
    pub(super) metrics: BTreeMap<&'static str, f64>,
    pub(super) tags: Vec<String>,
    /// The groups that it was put into.
    pub(super) members: Vec<String>,
    /// The groups that it is in.
    pub(super) groups: Vec<String>,
}

impl Device {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let ago = |draw: &mut Draw| Timestamp::from_micros(NOW.as_micros() - draw.of(&AGES));
        let number = draw.below(1 << 40);
        let id = DeviceId::generate(at(0), u128::try_from(number).expect("a small number"));
        let mut components = BTreeMap::new();
        for name in ["main", "bms"] {
            if draw.chance(80) {
                let text = *draw.of(&VERSIONS);
                let key = text.parse::<Version>().expect("a version").sort_key();
                components.insert(name, draw.chance(80).then_some((text, key)));
            }
        }
        let members = some_names(draw, &NAMES);
        let mut attributes = BTreeMap::new();
        for name in ATTRIBUTES {
            let value = match draw.below(4) {
                0 => continue,
                1 => Attribute::Number(draw.of(&NUMBERS).0),
                2 if draw.chance(50) => Attribute::Bool(draw.chance(50)),
                _ => Attribute::Text(draw.of::<&str>(&TEXTS)),
            };
            attributes.insert(name, value);
        }
        let mut metrics = BTreeMap::new();
        for name in METRICS {
            if draw.chance(70) {
                metrics.insert(name, draw.of(&NUMBERS).0);
            }
        }
        Self {
            id,
            // Unique in the tenant, and with ends that differ.
            hardware_id: format!("{}-{number}-{}", draw.of(&TEXTS), draw.of(&TEXTS)),
            kind: draw.of::<&str>(&TYPES),
            status: *draw.of(DeviceStatus::ALL),
            agent_version: draw.chance(60).then(|| *draw.of(&VERSIONS)),
            last_seen: draw.chance(75).then(|| ago(draw)),
            created_at: ago(draw),
            components,
            attributes,
            metrics,
            tags: some_names(draw, &TAGS),
            groups: above(&members),
            members,
        }
    }

    /// What a flat program reads.
    pub(super) fn values(&self, fields: &[Field]) -> Vec<SlotValue<'_>> {
        fields.iter().map(|field| self.value(field)).collect()
    }

    fn value(&self, field: &Field) -> SlotValue<'_> {
        match field {
            Field::Id => SlotValue::Id(self.id.0),
            Field::HardwareId => SlotValue::Text(&self.hardware_id),
            Field::Type => SlotValue::Text(self.kind),
            Field::Status => SlotValue::Text(self.status.as_str()),
            Field::AgentVersion => self.agent_version.map_or(SlotValue::Absent, SlotValue::Text),
            Field::LastSeen => self.last_seen.map_or(SlotValue::Absent, SlotValue::Time),
            Field::CreatedAt => SlotValue::Time(self.created_at),
            Field::Version(name) => match self.components.get(name.as_str()) {
                Some(Some((_, key))) => SlotValue::Version(key),
                _ => SlotValue::Absent,
            },
            Field::Attribute(name) => match self.attributes.get(name.as_str()) {
                Some(Attribute::Text(text)) => SlotValue::Text(text),
                Some(Attribute::Number(number)) => SlotValue::Number(*number),
                Some(Attribute::Bool(truth)) => SlotValue::Bool(*truth),
                None => SlotValue::Absent,
            },
            Field::Tags => SlotValue::Names(&self.tags),
            Field::Groups => SlotValue::Names(&self.groups),
            Field::Telemetry(name) => match self.metrics.get(name.as_str()) {
                Some(number) => SlotValue::Number(*number),
                None => SlotValue::Absent,
            },
        }
    }
}

/// Groups and the one above each: a chain of three.
const PARENTS: [(&str, &str); 2] = [("it's", "eu"), ("eu", "canary")];

/// The groups with all above them.
fn above(members: &[String]) -> Vec<String> {
    let mut all = members.to_vec();
    for (child, parent) in PARENTS {
        if all.iter().any(|name| name == child) && !all.iter().any(|name| name == parent) {
            all.push(parent.to_owned());
        }
    }
    all
}

fn some_names(draw: &mut Draw, names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| !name.is_empty() && draw.chance(30)).map(|name| (*name).to_owned()).collect()
}

const DEVICE: &str = "INSERT INTO devices (tenant_id, id, hardware_id, device_type, status, bucket, metadata, agent_version, \
                      enrolment_token_id, last_seen_at, created_at, updated_at) \
                      VALUES ($1, $2, $3, $4, $5, 0, '{}', $6, $2, $7, $8, $8)";
const COMPONENT: &str = "INSERT INTO device_components (tenant_id, device_id, component, version, version_key, reported_at) \
                         VALUES ($1, $2, $3, $4, $5, 0)";
const ATTRIBUTE: &str = "INSERT INTO device_attributes (tenant_id, device_id, name, kind, text_value, number_value, \
                         bool_value, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)";
const TAG: &str = "INSERT INTO device_tags (tenant_id, device_id, tag) VALUES ($1, $2, $3)";
const GROUP: &str = "INSERT INTO device_groups (tenant_id, id, name, description, created_at, updated_at) \
                     VALUES ($1, $2, $3, '', 0, 0)";
const MEMBER: &str = "INSERT INTO group_members (tenant_id, group_id, device_id) \
                      VALUES ($1, (SELECT id FROM device_groups WHERE tenant_id = $1 AND name = $3), $2)";

/// Adds a tenant with these devices.
pub(super) async fn insert(db: &Db, tenant: TenantId, name: &str, devices: &[Device]) {
    commit!(db, |tx| tenants::insert(tx, tenant, None, name, at(0)));
    commit!(db, |tx| insert_rows(tx, tenant, devices));
}

/// The groups of every tenant: the ids are the same, too.
pub(super) fn group_ids() -> GroupIds {
    let ids = (0..).map(|number| DeviceId::generate(at(1), number).0);
    NAMES.iter().map(|name| (*name).to_owned()).zip(ids).collect()
}

async fn insert_rows(tx: &mut Tx, tenant: TenantId, devices: &[Device]) -> Result<(), sqlx::Error> {
    for (group, id) in group_ids() {
        on_tx!(tx, |c| sqlx::query(GROUP).bind(tenant).bind(id).bind(&group).execute(c).await.map(drop))?;
        group_tree::insert(tx, tenant, GroupId(id)).await?;
    }
    // From the top, so that each comes with all that are above its parent.
    for (child, parent) in PARENTS.into_iter().rev() {
        let id = |name: &str| GroupId(group_ids()[name]);
        group_tree::attach(tx, tenant, id(child), id(parent)).await?;
    }
    for device in devices {
        insert_device(tx, tenant, device).await?;
        insert_values(tx, tenant, device).await?;
    }
    Ok(())
}

async fn insert_device(tx: &mut Tx, tenant: TenantId, device: &Device) -> Result<(), sqlx::Error> {
    on_tx!(tx, |c| sqlx::query(DEVICE)
        .bind(tenant)
        .bind(device.id)
        .bind(&device.hardware_id)
        .bind(device.kind)
        .bind(device.status)
        .bind(device.agent_version)
        .bind(device.last_seen)
        .bind(device.created_at)
        .execute(c)
        .await
        .map(drop))?;
    for (name, version) in &device.components {
        let (text, key) = version.clone().unzip();
        on_tx!(tx, |c| sqlx::query(COMPONENT)
            .bind(tenant)
            .bind(device.id)
            .bind(*name)
            .bind(text)
            .bind(key)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

async fn insert_values(tx: &mut Tx, tenant: TenantId, device: &Device) -> Result<(), sqlx::Error> {
    for (name, value) in &device.attributes {
        let (kind, text, number, truth) = match value {
            Attribute::Text(text) => ("string", Some(*text), None, None),
            Attribute::Number(number) => ("number", None, Some(*number), None),
            Attribute::Bool(truth) => ("bool", None, None, Some(i64::from(*truth))),
        };
        on_tx!(tx, |c| sqlx::query(ATTRIBUTE)
            .bind(tenant)
            .bind(device.id)
            .bind(*name)
            .bind(kind)
            .bind(text)
            .bind(number)
            .bind(truth)
            .execute(c)
            .await
            .map(drop))?;
    }
    for (sql, names) in [(TAG, &device.tags), (MEMBER, &device.members)] {
        for name in names {
            on_tx!(tx, |c| sqlx::query(sql).bind(tenant).bind(device.id).bind(name).execute(c).await.map(drop))?;
        }
    }
    Ok(())
}

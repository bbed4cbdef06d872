//! The names of fields in RSQL.

use drover_types::{ComponentName, names};

use crate::field::{Field, similar};
use crate::literal;

/// The field of a selector; names but those of attributes are read without regard to case, as in hawkBit.
pub(super) fn field(selector: &str) -> Result<Field, String> {
    let lower = selector.to_ascii_lowercase();
    let plain = match lower.as_str() {
        "id" | "name" | "controllerid" | "hardware_id" | "hardwareid" => Some(Field::HardwareId),
        "type" | "devicetype" | "device_type" | "targettype.key" => Some(Field::Type),
        "status" | "updatestatus" => Some(Field::Status),
        "version" | "installedds.version" => Some(Field::Version(ComponentName::main())),
        "agentversion" | "agent_version" => Some(Field::AgentVersion),
        "lastseen" | "last_seen" | "lastcontrollerrequestat" => Some(Field::LastSeen),
        "createdat" | "created_at" => Some(Field::CreatedAt),
        "tag" | "tags" => Some(Field::Tags),
        "group" | "groups" => Some(Field::Groups),
        _ => None,
    };
    if let Some(field) = plain {
        return Ok(field);
    }
    match lower.split_once('.') {
        Some((family, _)) => named(family, &selector[family.len() + 1..]),
        None => Err(unknown(selector, &lower)),
    }
}

fn named(family: &str, name: &str) -> Result<Field, String> {
    match family {
        "attribute" | "attributes" | "attr" | "controllerattributes" => literal::attribute(name).map(Field::Attribute),
        "telemetry" => literal::name(name).map(Field::Telemetry),
        "component" | "components" => match name.strip_suffix(".version").unwrap_or(name).parse() {
            Ok(component) => Ok(Field::Version(component)),
            Err(invalid) => Err(format!("{invalid}")),
        },
        "metadata" if names::is_attribute(name) => {
            Err(format!("metadata is not searched; if it is an attribute, write attribute.{name}"))
        }
        "metadata" => Err("metadata is not searched".to_owned()),
        "assignedds" => Err("what is assigned to a device is not searched; what it runs is version".to_owned()),
        _ => Err(unknown(&format!("{family}.{name}"), family)),
    }
}

fn unknown(selector: &str, lower: &str) -> String {
    match similar(lower) {
        Some("attr") => format!("{selector}: no such field (did you mean attribute.name?)"),
        Some("components") => format!("{selector}: no such field (did you mean component.name?)"),
        Some(ours) => format!("{selector}: no such field (did you mean {ours}?)"),
        None if names::is_attribute(selector) => {
            format!("{selector}: no such field; an attribute of that name is attribute.{selector}")
        }
        None => format!("{selector}: no such field"),
    }
}

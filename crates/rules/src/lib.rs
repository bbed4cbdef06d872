//! Conditions: one language for device lists, groups, targets, alert rules and gates.
//!
//! It is a subset of CEL, read by the parser of the crate `cel`, given types here, and compiled to SQL (one text for
//! both databases) and to a flat program for values in memory:
//!
//! ```
//! use drover_rules::{Condition, GroupIds};
//! use drover_types::Timestamp;
//!
//! let text = r#"device.type == "robot" && device.version < semver("2.1.0") && device.attr.region in ["eu", "us"]"#;
//! let condition = Condition::parse(text)?;
//! let sql = condition.sql(2, Timestamp::from_micros(0), &GroupIds::new())?;
//! assert!(sql.text.starts_with("(d.device_type = $2 AND EXISTS ("));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What can be read
//!
//! | field | type |
//! |---|---|
//! | `device.id` | UUID, compared as lower-case text in quotes |
//! | `device.hardware_id` | text with order |
//! | `device.type`, `device.status`, `device.agent_version` | text without order |
//! | `device.version`, `device.components["bms"].version` | version; `device.version` is that of `main` |
//! | `device.last_seen`, `device.created_at` | time |
//! | `device.attr.region`, `device.attr["region"]` | text, number or truth value, as the device has it |
//! | `device.tags`, `device.groups` | names |
//! | `telemetry.battery`, `telemetry["any name"]` | number; in programs only, SQL refuses it |
//!
//! # What can be asked
//!
//! `==`, `!=`, `in [...]`; `<`, `<=`, `>`, `>=` where there is order; `startsWith`, `endsWith`, `contains` of text;
//! `"x" in device.tags`; `has(device.attr.x)` or `"x" in device.attr`; `&&`, `||`, `!`, brackets, `true`, `false`. An
//! attribute alone asks whether it is true. One side is always fixed: text, a number, `semver("2.1.0")`,
//! `timestamp("2026-01-31T12:00:00Z")`, `now`, `now - duration("2h")`; `now - device.last_seen > duration("2h")` is
//! understood too.
//!
//! # What it means
//!
//! Every condition is true or false for every device. There is no error at run time and no third value:
//!
//! - **A comparison with something that is not there is false**: no such attribute, never seen, nothing installed. The
//!   same holds for an attribute of another type than the value: the text `"5"` is not the number `5`, nor below it.
//! - **`!=` is exactly the negation of `==`**, and `!` is plain negation. So `device.attr.region != "eu"` is true for a
//!   device without a region: what is not there is different from everything. `has(device.attr.region) &&
//!   device.attr.region != "eu"` leaves those devices out. `!(device.version < semver("2.0.0"))` is therefore not the
//!   same as `device.version >= semver("2.0.0")`: the first includes devices whose version is not known.
//! - **Names of tags and attributes** have the form that [`drover_types::names`] gives them; others are refused. No device
//!   could have them, so that a slip, `!("Hold" in device.tags)`, would mean the whole fleet.
//! - **Text** is compared by its bytes in UTF-8, upper and lower case apart, on both databases and in memory.
//! - **Numbers** are 64-bit floating point; an integer that those cannot hold exactly is refused, not rounded.
//! - **Versions** have the precedence of semantic versioning: `2.0.0-rc.1` is below `2.0.0`, build metadata is ignored.
//! - **A group** has its members and those of the groups below it.
//! - **`now`** is the moment of the question. Times have microseconds.
//!
//! Where CEL itself would raise an error (a key that is missing, types that do not match), the comparison in which it
//! arises is false here; in all else the meaning is that of CEL. A differential test in `drover-store` holds SQL on both
//! databases, the program and the interpreter of the crate `cel` to one answer.

pub mod limits;

mod check;
mod condition;
mod error;
mod expr;
mod field;
mod lex;
mod literal;
mod parse;
mod path;
mod program;
mod rsql;
mod sql;
mod text;

pub use condition::Condition;
pub use error::ConditionError;
pub use field::Field;
pub use program::{Program, SlotValue, Slots};
pub use sql::{GroupIds, SqlCondition, SqlValue, Unselectable};

#[cfg(test)]
mod tests;

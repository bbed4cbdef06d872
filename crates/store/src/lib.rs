//! SQL: a file per noun, one text for both databases.
//!
//! Functions that read take `impl Into<Conn>` and work on the readers' pool or inside a transaction;
//! functions that write take the transaction. Every statement is listed by `statements!`, and tests
//! prepare each of them on both databases and refuse one without `tenant_id`.
//!
//! The clock is an argument, JSON is text, numbers are `i64`.

pub mod api_keys;
pub mod archive;
pub mod artifacts;
pub mod audit;
pub mod changes;
pub mod checkup;
pub mod condition_groups;
pub mod conditions;
pub mod content;
pub mod counters;
pub mod dependencies;
pub mod device_attributes;
pub mod device_components;
pub mod device_tags;
pub mod device_tokens;
pub mod devices;
pub mod enrolment_tokens;
pub mod firmware;
pub mod grants;
pub mod group_tree;
pub mod groups;
pub mod idempotency;
pub mod logins;
pub mod moves;
pub mod objects;
pub mod offers;
mod reach;
pub mod release_keys;
pub mod restored;
pub mod rollouts;
pub mod session_changes;
pub mod stages;
mod statements;
pub mod targets;
pub mod tenants;
pub mod unused_content;
pub mod update_sessions;
pub mod uploads;
pub mod users;

pub use reach::{REACH_GROUPS_MAX, Reach};
pub(crate) use statements::statements;

/// What a statement on the database returns.
pub type Result<T> = std::result::Result<T, sqlx::Error>;

#[cfg(test)]
mod tests;

//! One suite for both databases: the schema, the list of statements, and what every noun does.

mod access;
mod audit;
mod catalogue;
mod changes;
mod conditions;
mod content;
mod devices;
mod exclusions;
mod fixture;
mod idempotency;
mod isolation;
mod locale;
mod offers;
mod people;
mod plans;
mod reach;
mod restored;
mod rollouts;
mod schema;
mod stages;
mod statements;
mod targets;
mod update_sessions;
mod uploads;

//! The API over real HTTP, on both profiles: a file per noun.
#![expect(clippy::unwrap_used, reason = "tests: what must be there is asserted by taking it")]

mod scene;

mod api_keys;
mod archive;
mod artifacts;
mod audit;
mod audit_export;
mod audit_sequencer;
mod auth;
mod authorization;
mod backup;
mod change_feed;
mod checks;
mod conditions;
mod device_attributes;
mod devices;
mod enrolment_tokens;
mod firmware;
mod fleet;
mod gates;
mod groups;
mod hostile;
mod limits;
mod moving;
mod objects;
mod offers;
mod openapi;
mod people;
mod person;
mod presign;
mod problems;
mod races;
mod reach;
mod release_keys;
mod restart;
mod rollback;
mod rollout_preview;
mod rollouts;
mod second_thoughts;
mod stage_opening;
mod tenants;
mod timing;
mod twins;
mod update_sessions;
mod uploads;

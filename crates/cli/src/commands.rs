//! One file per noun: its arguments, and what they do.

pub(crate) mod account;
pub(crate) mod acquaintance;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod device;
mod device_attributes;
pub(crate) mod enrolment_token;
pub(crate) mod firmware;
mod firmware_pack;
pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod key;
pub(crate) mod object;
pub(crate) mod presign;
mod progress;
pub(crate) mod rollout;
mod rollout_args;
mod rollout_metrics;
mod rollout_preview;
mod rollout_watch;
pub(crate) mod tenant;
mod update_sessions;
pub(crate) mod upload;
pub(crate) mod user;

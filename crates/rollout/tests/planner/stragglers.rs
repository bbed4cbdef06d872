//! Stages that do not wait for everyone.

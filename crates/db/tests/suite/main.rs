//! The same tests on both databases. `PostgreSQL` is the one of `DROVER_TEST_POSTGRES`.

#![expect(clippy::unwrap_used, reason = "everything here is a test, also the functions that the tests share")]

mod batch;
mod copy;
mod crash;
mod errors;
mod leases;
mod migrations;
mod open;
mod partition;
mod questions;
mod set;
mod support;

mod write;

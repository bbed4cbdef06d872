//! Measures what update checks cost the server: the real program, in a process of its own, under load from this one.
//!
//! `cargo xtask bench checks` builds both optimised and runs it; a test runs the same with few devices.

mod load;
mod process;
mod scenarios;
mod seed;

pub use process::Usage;
pub use scenarios::{ChecksOptions, Measured, bench_checks};

//! What benchmarks stand on: the real program in a process of its own, and fleets that no test would wait for.
//!
//! `cargo xtask bench` builds everything optimised and runs `drover-bench`; an end-to-end test runs the same checks
//! with few devices.

mod checks;
mod fleet;
mod load;
mod place;
mod server;

pub use checks::{ChecksOptions, Measured, bench_checks};
pub use fleet::Fleet;
pub use place::{Database, Place};
pub use server::{Server, UNLIMITED, Usage};

//! The device daemon.
fn main() {}

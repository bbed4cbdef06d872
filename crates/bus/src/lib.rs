//! Live state: what a node knows of its devices at this moment, and may lose.
//!
//! [`HotState`] is the seam; [`MemoryHotState`] keeps it in this process. Nothing here is a promise: a back-end that
//! lost its state knows nothing, and *unknown* is never taken for *absent*.

#[cfg(feature = "conformance")]
pub mod conformance;
mod hot_state;
mod memory;

pub use hot_state::{HotState, Sighting};
pub use memory::{MemoryHotState, SIGHTINGS_MAX};

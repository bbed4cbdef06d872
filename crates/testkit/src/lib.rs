//! Fleets, clocks and faults for integration tests

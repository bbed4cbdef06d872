//! The device daemon: journal, slots, self-test, roll-back

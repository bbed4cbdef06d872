//! Virtual devices around the real agent

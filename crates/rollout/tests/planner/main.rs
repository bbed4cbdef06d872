//! The planner, from outside: examples, any snapshot whatever, and whole rollouts of a simulated fleet.

mod any;
mod any_snapshot;
mod driver;
mod examples;
mod policy;
mod rules;
mod simulation;
mod stragglers;
mod world;

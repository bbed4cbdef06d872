//! The agent against a server that speaks the protocol, with real files, processes and HTTP.

mod accidents;
mod attacks;
mod daemon;
mod damaged;
mod kill_everywhere;
mod standing;
mod support;
mod updates;
mod way_back;

//! Servers, clocks, devices and releases for integration tests.
//!
//! A test starts a [`TestServer`]: the real application over real HTTP, in this process, on back-ends of its own.
//! [`on_both_profiles!`] runs it on both accepted mixes of back-ends. Operators call through
//! [`TestServer::admin`], devices are played by hand with [`Device`] or by the real agent with [`TestFleet`], and
//! what lies below both is checked with [`TestServer::request`] and [`Answer`].
#![expect(clippy::missing_panics_doc, reason = "a test that cannot go on ends by a panic: all of this does")]

mod answer;
pub mod bench;
mod clock;
mod device;
pub mod http2;
mod options;
mod profile;
mod release;
mod server;
mod tenant;
mod wait;

pub use answer::{Answer, answer, refused};
pub use clock::SimClock;
pub use device::{DEVICE_TYPE, Device, failure};
pub use drover_sim::Fleet as TestFleet;
pub use options::ServerOptions;
pub use profile::Profile;
pub use release::{Release, ReleaseBuilder, private_key};
pub use server::{Node, TestServer};
pub use tenant::OtherTenant;
pub use wait::{DEADLINE, eventually};

//! The device daemon: journal, slots, self-test, roll-back.
//!
//! An update is a row of small effects. Before each, the journal says what is about to happen; after a power cut at
//! any point, [`next::next`] looks at the journal and at the disk and says how to go on. A device runs the old
//! release or the new one at every moment, never a mixture and never nothing.

mod admit;
mod agent;
mod ballast;
mod blacklist;
mod config;
mod context;
mod effect;
mod error;
mod failure;
mod hook;
mod identity;
mod journal;
mod layout;
pub mod next;
mod reporter;
mod slot;
mod state;
mod status;
mod transfer;
mod trial;
mod unpack;
mod worker;
mod world;

pub use agent::{Agent, Parts, Random};
pub use blacklist::BlacklistError;
pub use config::{ComponentConfig, Config, ConfigError, Secret};
pub use effect::{Effect, EffectObserver, NoObserver};
pub use error::AgentError;
pub use identity::{Identity, IdentityError, Missed, check_release_keys};
pub use journal::{JournalError, Outcome, Step, Update};
pub use layout::{ComponentPaths, Layout, Link};
pub use reporter::ReportError;
pub use slot::{Release, SlotError};
pub use state::{AgentState, ComponentState, LastUpdate, UpdateState};
pub use status::read_status;
pub use unpack::UnpackError;

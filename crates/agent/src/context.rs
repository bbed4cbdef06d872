//! What everything in one agent shares.

use std::sync::Arc;

use drover_types::{Backoff, Clock};
use drover_uplink::{DeviceTime, Network};
use tokio::sync::watch;

use crate::agent::Random;
use crate::config::Config;
use crate::effect::{Effect, EffectObserver};
use crate::layout::Layout;
use crate::reporter::Reporter;
use crate::state::AgentState;

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) network: Network,
    pub(crate) time: Arc<DeviceTime>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) observer: Arc<dyn EffectObserver>,
    pub(crate) layout: Layout,
    pub(crate) reporter: Reporter,
    pub(crate) state: watch::Sender<AgentState>,
}

impl Context {
    /// Does something that survives a power cut, seen by the observer. One that fails has no `after`.
    pub(crate) fn effect<T, E>(&self, effect: Effect, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.observer.before(effect);
        let done = act()?;
        self.observer.after(effect);
        Ok(done)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            min: std::time::Duration::from_millis(self.config.retry_min_ms),
            max: std::time::Duration::from_millis(self.config.retry_max_ms),
        }
    }

    pub(crate) fn random(&self) -> f64 {
        (self.random)()
    }
}

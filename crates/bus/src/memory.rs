//! Live state in the memory of this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use drover_types::{DeviceId, TenantId, Timestamp};

use crate::{HotState, Sighting};

/// Devices that wait at once, at some 70 bytes each. Beyond it, sightings of others are forgotten.
pub const SIGHTINGS_MAX: usize = 1 << 20;

/// Keeps sightings in this process: other nodes do not see them, and they end with it.
#[derive(Debug, Default)]
pub struct MemoryHotState {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest sighting of each device that waits.
    latest: HashMap<DeviceId, (TenantId, Timestamp)>,
    /// The same devices in the order of their first sightings.
    order: VecDeque<(Timestamp, DeviceId)>,
}

impl MemoryHotState {
    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic could leave half done is a sighting, and those may be lost.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HotState for MemoryHotState {
    fn seen(&self, sighting: Sighting) {
        let Sighting { tenant, device, at } = sighting;
        let mut state = self.state();
        if let Some((_, latest)) = state.latest.get_mut(&device) {
            *latest = at.max(*latest);
            return;
        }
        if state.latest.len() < SIGHTINGS_MAX {
            state.latest.insert(device, (tenant, at));
            state.order.push_back((at, device));
        }
    }

    async fn last_seen(&self, tenant: TenantId, devices: &[DeviceId]) -> Vec<Option<Timestamp>> {
        let state = self.state();
        let of = |device| state.latest.get(device).filter(|(owner, _)| *owner == tenant).map(|(_, at)| *at);
        devices.iter().map(of).collect()
    }

    async fn take(&self, now: Timestamp, before: Timestamp, max: usize) -> Vec<Sighting> {
        let mut state = self.state();
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((_, device)) = state.order.pop_front_if(|(first, _)| *first <= before || *first > now)
        {
            if let Some((tenant, at)) = state.latest.remove(&device) {
                taken.push(Sighting { tenant, device, at });
            }
        }
        taken
    }

    fn waiting(&self) -> usize {
        self.state().latest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::hot_state_suite;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        hot_state_suite(&MemoryHotState::default()).await;
    }

    #[tokio::test]
    async fn strangers_do_not_fill_the_memory() {
        let state = MemoryHotState::default();
        let time = Timestamp::from_micros(1);
        let tenant = TenantId::generate(time, 0);
        let sighting = |n: usize| Sighting { tenant, device: DeviceId::generate(time, n as u128), at: time };
        for n in 0..=SIGHTINGS_MAX {
            state.seen(sighting(n));
        }
        assert_eq!(state.waiting(), SIGHTINGS_MAX);
        let [first, last] = [0, SIGHTINGS_MAX].map(|n| sighting(n).device);
        assert_eq!(state.last_seen(tenant, &[first, last]).await, [Some(time), None]);
    }
}

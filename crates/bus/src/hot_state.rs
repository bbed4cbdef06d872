//! The seam.

use async_trait::async_trait;
use drover_types::{DeviceId, TenantId, Timestamp};

/// A device was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Whose device.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
}

/// When devices were last heard of, until that is written down for good.
///
/// Every call of every device passes through [`HotState::seen`], so it returns at once, whatever lies behind. The one
/// who writes takes sightings in batches, and hands back what it could not write by noting it again. A sighting that
/// is taken and not written is lost; so is everything when the process is killed. `crate::conformance` holds a
/// back-end to all of this.
#[async_trait]
pub trait HotState: Send + Sync + 'static {
    /// Notes a sighting. The latest time of a device counts, in whatever order they are noted. Never waits, never
    /// fails: a back-end that is full forgets it, and the device's next call brings a new one.
    fn seen(&self, sighting: Sighting);

    /// When each of these devices was last heard of, in their order. None is *unknown*: it was not heard of, it was
    /// taken, or it was lost.
    async fn last_seen(&self, tenant: TenantId, devices: &[DeviceId]) -> Vec<Option<Timestamp>>;

    /// Takes up to `max` sightings of devices that have waited since `before` or longer, those that waited longest
    /// first. A device waits from its first sighting after it was last taken; with it goes its latest. Each sighting
    /// is handed to one taker only. One from behind `now` was noted while the clock was wrong: nobody knows for how
    /// long it has waited, so it is taken at once.
    async fn take(&self, now: Timestamp, before: Timestamp, max: usize) -> Vec<Sighting>;

    /// How many devices wait to be taken.
    fn waiting(&self) -> usize;
}

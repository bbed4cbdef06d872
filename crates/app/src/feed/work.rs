//! Devices that may have something to do.
//!
//! A device that is not listed has no session that it may be told of. One that is listed may have: SQL says. It is
//! taken off when SQL says no; whatever can give it work puts it on again. An entry takes some 40 bytes.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use drover_types::DeviceId;

/// Devices that are listed. Beyond it, all of them count as listed until the node begins anew.
const DEVICES_MAX: usize = 1 << 20;

/// The list.
#[derive(Default)]
pub(crate) struct Work {
    list: RwLock<List>,
}

#[derive(Default)]
struct List {
    /// False until everything was read, and when there is more than there is room for.
    is_complete: bool,
    is_full: bool,
    /// With the round in which each was put on last.
    devices: HashMap<DeviceId, u32>,
    round: u32,
}

/// What the list says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has nothing to do.
    Nothing,
    /// Ask SQL. The round is for [`Work::settle`].
    Listed(u32),
    /// Ask SQL.
    Unknown,
}

impl Work {
    fn read(&self) -> RwLockReadGuard<'_, List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        // A panic inside of a map's own operation is the only one possible, and leaves the map usable.
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn look(&self, device: DeviceId) -> Look {
        let list = self.read();
        if !list.is_complete {
            return Look::Unknown;
        }
        list.devices.get(&device).map_or(Look::Nothing, |round| Look::Listed(*round))
    }

    /// Puts devices on the list.
    pub(crate) fn add(&self, devices: impl Iterator<Item = DeviceId>) {
        let mut list = self.write();
        list.round = list.round.wrapping_add(1);
        let round = list.round;
        for device in devices {
            if list.devices.len() >= DEVICES_MAX {
                list.is_full = true;
                list.is_complete = false;
                return;
            }
            list.devices.insert(device, round);
        }
    }

    /// SQL had nothing for a device that looked like this: takes it off, unless it was put on again since the look.
    pub(crate) fn settle(&self, device: DeviceId, look: Look) {
        let Look::Listed(round) = look else { return };
        let mut list = self.write();
        if list.devices.get(&device) == Some(&round) {
            list.devices.remove(&device);
        }
    }

    /// Begins anew: nothing is known until [`Work::loaded`].
    pub(crate) fn clear(&self) {
        let round = self.read().round;
        *self.write() = List { round, ..List::default() };
    }

    /// Everything that is in SQL was added.
    pub(crate) fn loaded(&self) {
        let mut list = self.write();
        list.is_complete = !list.is_full;
    }

    /// Whether devices are missing because there was no room.
    pub(crate) fn is_full(&self) -> bool {
        self.read().is_full
    }

    /// How many devices are listed.
    pub(crate) fn len(&self) -> usize {
        self.read().devices.len()
    }
}

#[cfg(test)]
mod tests {
    use drover_types::Timestamp;

    use super::*;

    fn device(n: u128) -> DeviceId {
        DeviceId::generate(Timestamp::from_micros(0), n)
    }

    #[test]
    fn nothing_is_known_before_everything_was_read() {
        let work = Work::default();
        assert_eq!(work.look(device(1)), Look::Unknown);
        work.add([device(1)].into_iter());
        assert_eq!(work.look(device(1)), Look::Unknown);
        work.loaded();
        assert!(matches!(work.look(device(1)), Look::Listed(_)));
        assert_eq!(work.look(device(2)), Look::Nothing);
        work.clear();
        assert_eq!(work.look(device(2)), Look::Unknown);
    }

    #[test]
    fn a_device_leaves_when_sql_has_nothing_unless_there_was_news_meanwhile() {
        let work = Work::default();
        work.loaded();
        work.add([device(1), device(2)].into_iter());
        let looks = [work.look(device(1)), work.look(device(2))];
        work.add([device(2)].into_iter());
        work.settle(device(1), looks[0]);
        work.settle(device(2), looks[1]);
        assert_eq!(work.look(device(1)), Look::Nothing);
        assert!(matches!(work.look(device(2)), Look::Listed(_)), "it was put on again after the look");
        work.settle(device(2), Look::Unknown);
        assert_eq!(work.len(), 1);
    }
}

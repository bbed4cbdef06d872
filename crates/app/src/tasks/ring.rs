//! The ring of buckets in which a stage looks at devices: from the rollout's shift to the last, then from the first to
//! the shift.

use drover_store::stages::Cursor;
use drover_store::targets::{CandidateRow, Range};
use drover_types::{DEVICE_BUCKETS, DeviceId};

/// A bucket before all buckets: the choice goes on at bucket 0.
const WRAPPED: i64 = -1;

/// A place in the ring: everybody up to it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    shift: i64,
    bucket: i64,
    device: Option<DeviceId>,
    is_wrapped: bool,
}

impl Spot {
    /// Where a stage's cursor stands in the ring that `shift` turns.
    pub(super) fn of(shift: i64, bucket: Option<i64>, device: Option<DeviceId>) -> Self {
        let is_wrapped = bucket.is_some_and(|bucket| bucket < shift);
        Self { shift, bucket: bucket.unwrap_or(shift - 1), device, is_wrapped }
    }

    /// What is to be looked at next, up to the end of the buckets or to the shift.
    pub(super) fn rest(self) -> Range {
        let (from, to) = if self.is_wrapped { (0, self.shift) } else { (self.shift, i64::from(DEVICE_BUCKETS)) };
        let after = self.device.unwrap_or(DeviceId(uuid::Uuid::nil()));
        Range { from, to, after_bucket: self.bucket, after, last: None }
    }

    /// Where to go on when `last` was the last of the rest that was looked at, or all of it was; none at the ring's end.
    pub(super) fn behind(self, last: Option<CandidateRow>) -> Option<Self> {
        match last {
            Some(last) => Some(Self { bucket: last.bucket, device: Some(last.device_id), ..self }),
            None if self.is_wrapped || self.shift == 0 => None,
            None => Some(Self { bucket: WRAPPED, device: None, is_wrapped: true, ..self }),
        }
    }

    /// The cursor that leads back here.
    pub(super) fn cursor(self, remaining: i64) -> Cursor {
        Cursor { remaining, bucket: Some(self.bucket), device: self.device }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(spot: Spot) -> (i64, i64, i64) {
        let Range { from, to, after_bucket, .. } = spot.rest();
        (from, to, after_bucket)
    }

    #[test]
    fn the_ring_begins_and_ends_at_the_shift() {
        let start = Spot::of(300, None, None);
        assert_eq!(buckets(start), (300, 65_536, 299));
        let seen = CandidateRow { bucket: 400, device_id: DeviceId(uuid::Uuid::max()) };
        let on = start.behind(Some(seen)).unwrap();
        assert_eq!((buckets(on), on.rest().after), ((300, 65_536, 400), seen.device_id));
        let turned = on.behind(None).unwrap();
        assert_eq!(buckets(turned), (0, 300, -1));
        assert_eq!(turned.behind(Some(CandidateRow { bucket: 7, ..seen })).unwrap().behind(None), None);
        assert_eq!(Spot::of(0, None, None).behind(None), None, "nothing is before the first bucket");
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let seen = CandidateRow { bucket: 400, device_id: DeviceId(uuid::Uuid::max()) };
        let spot = Spot::of(300, None, None).behind(Some(seen)).unwrap();
        for spot in [
            spot,
            spot.behind(None).unwrap(),
            spot.behind(None).unwrap().behind(Some(CandidateRow { bucket: 3, ..seen })).unwrap(),
        ] {
            let Cursor { bucket, device, .. } = spot.cursor(1);
            assert_eq!(Spot::of(300, bucket, device), spot);
        }
    }
}

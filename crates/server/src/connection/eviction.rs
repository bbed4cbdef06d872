//! Who leaves when all places are taken. Pure: `crowd.rs` asks and acts.
//!
//! Half of the places are for connections that proved a credential; the rest is for whoever comes. A stranger's place is
//! worth the less the more strangers of its address came after it: however many places a few addresses take, one that
//! comes alone keeps its own for as long as a slow link needs. What a stranger does meanwhile does not matter, as
//! nothing is cheaper than to look busy.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// So long nobody who proved a credential is disturbed at work. A download that has to go then has come on meanwhile,
/// and goes on elsewhere.
pub(super) const UNDISTURBED: Duration = Duration::from_mins(1);

/// What a connection is doing, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Resting(Instant),
    Working(Instant),
}

/// A connection that may be asked to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seated {
    /// In the order in which they came.
    pub(super) number: u64,
    /// Or network, as limits count it.
    pub(super) address: IpAddr,
    /// Whether it proved a credential.
    pub(super) is_known: bool,
    pub(super) doing: Doing,
}

/// The numbers of at most `wanted` connections; fewer when all others are at work.
pub(super) fn who_leaves(seated: &[Seated], wanted: usize, now: Instant) -> Vec<u64> {
    let strangers = || ranked(seated.iter().filter(|seated| !seated.is_known));
    let strangers_count = seated.iter().filter(|seated| !seated.is_known).count();
    if strangers_count * 2 > seated.len() {
        return first(strangers(), wanted);
    }
    let resting = seated.iter().filter_map(|seated| match seated.doing {
        Doing::Resting(since) if seated.is_known => Some((since, seated.number)),
        _ => None,
    });
    let resting: Vec<_> = resting.collect();
    if !resting.is_empty() {
        return first(resting, wanted);
    }
    let worked_long = |seated: &&Seated| {
        seated.is_known && matches!(seated.doing, Doing::Working(since) if now.duration_since(since) >= UNDISTURBED)
    };
    let at_work = ranked(seated.iter().filter(worked_long));
    if at_work.is_empty() { first(strangers(), wanted) } else { first(at_work, wanted) }
}

/// Each with its rank among those of its address: how many of them came later. The highest rank comes first, and among
/// equals whoever came first.
fn ranked<'s>(seated: impl Iterator<Item = &'s Seated>) -> Vec<(Reverse<usize>, u64)> {
    let mut ordered: Vec<_> = seated.map(|seated| (seated.address, Reverse(seated.number))).collect();
    ordered.sort_unstable();
    let mut ranks = Vec::with_capacity(ordered.len());
    for by_address in ordered.chunk_by(|left, right| left.0 == right.0) {
        ranks.extend(by_address.iter().enumerate().map(|(rank, (_, Reverse(number)))| (Reverse(rank), *number)));
    }
    ranks
}

/// The numbers of the first in order.
fn first<K: Ord>(mut keyed: Vec<(K, u64)>, wanted: usize) -> Vec<u64> {
    if wanted < keyed.len() {
        keyed.select_nth_unstable(wanted);
        keyed.truncate(wanted);
    }
    keyed.into_iter().map(|(_, number)| number).collect()
}

/// What the server keeps for a connection beyond what everybody may leave untaken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burden {
    pub(super) number: u64,
    pub(super) address: IpAddr,
    pub(super) bytes: usize,
}

/// The numbers of those without whom there are at least so many bytes less: always the largest of the address with most.
pub(super) fn who_is_cut_off(burdens: &[Burden], too_much_bytes: usize) -> Vec<u64> {
    let mut by_address: HashMap<IpAddr, Vec<&Burden>> = HashMap::new();
    for burden in burdens {
        by_address.entry(burden.address).or_default().push(burden);
    }
    let mut addresses = BinaryHeap::with_capacity(by_address.len());
    for (address, burdens) in &mut by_address {
        burdens.sort_unstable_by_key(|burden| (burden.bytes, Reverse(burden.number)));
        addresses.push((burdens.iter().map(|burden| burden.bytes).sum::<usize>(), *address));
    }
    let (mut cut_off, mut left_bytes) = (Vec::new(), too_much_bytes);
    while left_bytes > 0
        && let Some((bytes, address)) = addresses.pop()
    {
        let Some(largest) = by_address.get_mut(&address).and_then(Vec::pop) else { continue };
        cut_off.push(largest.number);
        left_bytes = left_bytes.saturating_sub(largest.bytes);
        addresses.push((bytes - largest.bytes, address));
    }
    cut_off
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        now: Instant,
        seated: Vec<Seated>,
    }

    impl House {
        fn new() -> Self {
            Self { now: Instant::now() + Duration::from_hours(1), seated: Vec::new() }
        }

        fn add(&mut self, last: u8, is_known: bool, doing: impl Fn(Instant) -> Doing, age_s: u64) -> u64 {
            let number = self.seated.len() as u64;
            let doing = doing(self.now - Duration::from_secs(age_s));
            self.seated.push(Seated { number, address: IpAddr::from([10, 0, 0, last]), is_known, doing });
            number
        }

        fn leaving(&self, wanted: usize) -> Vec<u64> {
            let mut leaving = who_leaves(&self.seated, wanted, self.now);
            leaving.sort_unstable();
            leaving
        }
    }

    /// Whatever the many do, and however young they are: a slow device in the middle of its handshake stays.
    #[test]
    fn whoever_comes_alone_outlasts_those_who_come_in_numbers() {
        for (works, age_s) in [(true, 0), (true, 59), (false, 0)] {
            let doing = |since| if works { Doing::Working(since) } else { Doing::Resting(since) };
            let mut house = House::new();
            let alone = house.add(1, false, Doing::Resting, 9);
            for number in 0..100 {
                house.add(2 + number % 2, false, doing, age_s);
            }
            assert_eq!(house.leaving(99).len(), 99);
            assert!(!house.leaving(98).contains(&alone));
            // Of each address, those who came first.
            assert_eq!(house.leaving(4), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn addresses_with_more_places_give_up_more() {
        let mut house = House::new();
        for _ in 0..10 {
            house.add(1, false, Doing::Resting, 0);
        }
        for _ in 0..4 {
            house.add(2, false, Doing::Working, 0);
        }
        assert_eq!(house.leaving(6), [0, 1, 2, 3, 4, 5], "until both have four");
        assert_eq!(house.leaving(8), [0, 1, 2, 3, 4, 5, 6, 10]);
    }

    #[test]
    fn strangers_do_not_drive_out_more_than_half() {
        let mut house = House::new();
        for age_s in [5, 300, 7] {
            house.add(1, true, Doing::Resting, age_s);
        }
        let first = house.add(2, false, Doing::Working, 0);
        house.add(3, false, Doing::Working, 0);
        assert_eq!(house.leaving(1), [1], "it has waited longest for its next request");
        for last in 4..6 {
            house.add(last, false, Doing::Working, 0);
        }
        assert_eq!(house.leaving(1), [first], "they are more than half");
    }

    #[test]
    fn whoever_proved_a_credential_is_not_disturbed_at_work_for_a_while() {
        let mut house = House::new();
        for age_s in [59, 60, 600, 1] {
            house.add(1, true, Doing::Working, age_s);
        }
        assert_eq!(house.leaving(10), [1, 2], "never those who just began");
        let mut house = House::new();
        for _ in 0..3 {
            house.add(1, true, Doing::Working, 59);
        }
        assert_eq!(house.leaving(10), Vec::<u64>::new());
        let stranger = house.add(2, false, Doing::Working, 0);
        assert_eq!(house.leaving(10), [stranger]);
    }

    #[test]
    fn the_largest_of_the_address_with_most_are_cut_off() {
        let burdens: Vec<Burden> = [(1, 50), (2, 20), (2, 40), (2, 40), (3, 30)]
            .into_iter()
            .zip(0..)
            .map(|((last, bytes), number)| Burden { number, address: IpAddr::from([10, 0, 0, last]), bytes })
            .collect();
        assert_eq!(who_is_cut_off(&burdens, 1), [2], "the first of the two, as its address has 100");
        assert_eq!(who_is_cut_off(&burdens, 41), [2, 3]);
        assert_eq!(who_is_cut_off(&burdens, 81), [2, 3, 0], "then the other address has most");
        assert_eq!(who_is_cut_off(&burdens, 1_000), [2, 3, 0, 4, 1]);
        assert_eq!(who_is_cut_off(&burdens, 0), Vec::<u64>::new());
    }
}

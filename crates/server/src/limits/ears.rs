//! Who is listened to before a credential came: only so many at once, and nobody is turned away for it.
//!
//! When all ears are taken, the address that has most of them loses the one it has held longest. So those who talk slowly
//! from a few addresses keep nobody else out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::account_of;

pub(crate) struct Ears {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next_number: u64,
    count: usize,
    /// In the order in which they came.
    by_account: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// Leave to read what one stranger says, until it is dropped.
pub(crate) struct Ear {
    ears: Arc<Ears>,
    account: IpAddr,
    number: u64,
    cut_off: CancellationToken,
}

impl Ears {
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here is left half done by a panic that would matter more than a wrong count.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listen(self: &Arc<Self>, address: IpAddr) -> Ear {
        let (account, cut_off) = (account_of(address), CancellationToken::new());
        let mut taken = self.taken();
        let number = taken.next_number;
        taken.next_number += 1;
        taken.count += 1;
        taken.by_account.entry(account).or_default().insert(number, cut_off.clone());
        if taken.count > self.max {
            taken.cut_one_off();
        }
        drop(taken);
        Ear { ears: Arc::clone(self), account, number, cut_off }
    }
}

impl Taken {
    /// Of accounts with equally many, the one whose oldest has been heard longest.
    fn cut_one_off(&mut self) {
        let oldest = |(account, taken): (&IpAddr, &BTreeMap<u64, CancellationToken>)| {
            let number = *taken.keys().next()?;
            Some((taken.len(), Reverse(number), *account))
        };
        if let Some((_, Reverse(number), account)) = self.by_account.iter().filter_map(oldest).max()
            && let Some(cut_off) = self.remove(account, number)
        {
            cut_off.cancel();
        }
    }

    fn remove(&mut self, account: IpAddr, number: u64) -> Option<CancellationToken> {
        let taken = self.by_account.get_mut(&account)?;
        let removed = taken.remove(&number)?;
        if taken.is_empty() {
            self.by_account.remove(&account);
        }
        self.count -= 1;
        Some(removed)
    }
}

impl Ear {
    /// Ends when somebody else is to be heard.
    pub(crate) async fn is_cut_off(&self) {
        self.cut_off.cancelled().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.ears.taken().remove(self.account, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(ears: &Arc<Ears>, last: u8) -> Ear {
        ears.listen(IpAddr::from([10, 0, 0, last]))
    }

    fn are_cut_off(ears: &[Ear]) -> Vec<bool> {
        ears.iter().map(|ear| ear.cut_off.is_cancelled()).collect()
    }

    #[test]
    fn whoever_holds_most_loses_its_oldest() {
        let ears = Arc::new(Ears::new(4));
        let alone = listen(&ears, 1);
        let mut many: Vec<Ear> = (0..3).map(|_| listen(&ears, 2)).collect();
        let newcomer = listen(&ears, 3);
        assert_eq!(are_cut_off(&many), [true, false, false]);
        many.push(listen(&ears, 2));
        assert_eq!(are_cut_off(&many), [true, true, false, false], "it counts with the others of its address");
        assert_eq!(are_cut_off(&[alone, newcomer]), [false, false]);
    }

    #[test]
    fn among_equals_whoever_was_heard_longest_is_cut_off() {
        let ears = Arc::new(Ears::new(3));
        let heard: Vec<Ear> = (0..5).map(|last| listen(&ears, last)).collect();
        assert_eq!(are_cut_off(&heard), [true, true, false, false, false]);
    }

    #[test]
    fn an_ear_that_is_free_again_costs_nobody_his() {
        let ears = Arc::new(Ears::new(2));
        let first = listen(&ears, 1);
        drop(listen(&ears, 2));
        let second = listen(&ears, 2);
        assert_eq!(are_cut_off(&[first, second]), [false, false]);
        let taken = ears.taken();
        assert_eq!((taken.count, taken.by_account.len()), (0, 0));
    }
}

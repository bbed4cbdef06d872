//! How often passwords may be tried. Why it is done like this: `docs/decisions/0013-bounded-log-in-attempts.md`.
//!
//! Three things are counted, each with waits that double: what one network tries at one account, what one network tries
//! at all, and what all networks together try at one account. The last one never holds up a network that has tries of
//! its own left at that account: nobody can lock out an owner who comes from somewhere else.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use drover_types::{ErrorKind, Timestamp};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::{Error, Result};

/// Failures before one has to wait.
const PAIR: Limit = Limit { free: 5, wait_max: Duration::from_mins(15) };
const NETWORK: Limit = Limit { free: 30, wait_max: Duration::from_mins(15) };
const ACCOUNT: Limit = Limit { free: 50, wait_max: Duration::from_mins(1) };

/// A count is forgotten when nothing was tried for so long.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Counts that are kept, some 10 MB: beyond it those that were not looked at for the longest are forgotten.
const COUNTS_MAX: u64 = 100_000;

#[derive(Clone, Copy)]
struct Limit {
    free: u32,
    wait_max: Duration,
}

impl Limit {
    /// How long to wait after so many failures in a row: 1, 2, 4 … seconds.
    fn wait(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1_u64 << over.min(20)).min(self.wait_max),
        }
    }
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Timestamp,
}

/// Counts of one node: several nodes together allow as many times as much as there are nodes.
pub(crate) struct LoginAttempts {
    counts: Cache<u64, Count>,
    /// Names and addresses are kept only as hashes with a key of this process: nobody can make two of them meet.
    hasher: RandomState,
}

/// An attempt that was let through. It counts as failed while it goes on; dropped without a verdict, because the server
/// was busy or the client went away, it does not count: else strangers who keep the server busy would use up an owner's
/// tries.
pub(crate) struct Attempt<'a> {
    attempts: &'a LoginAttempts,
    pair: u64,
    network: u64,
    account: u64,
    has_verdict: bool,
}

impl Attempt<'_> {
    /// The password was wrong.
    pub(crate) fn failed(mut self) {
        self.has_verdict = true;
    }

    /// The password was right: what this network failed at this account is forgotten, and the rest does not count it.
    pub(crate) fn succeeded(mut self) {
        self.has_verdict = true;
        self.attempts.counts.invalidate(&self.pair);
        self.attempts.take_back(&[self.network, self.account]);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_verdict {
            self.attempts.take_back(&[self.pair, self.network, self.account]);
        }
    }
}

impl Default for LoginAttempts {
    fn default() -> Self {
        let counts = Cache::builder().max_capacity(COUNTS_MAX).eviction_policy(EvictionPolicy::lru()).build();
        Self { counts, hasher: RandomState::new() }
    }
}

impl LoginAttempts {
    /// Lets an attempt at an account (tenant and user, there or not) through, or says how long to wait. It counts before
    /// the password is looked at: of many at once no more get through than of many in a row.
    pub(crate) fn begin(
        &self,
        account: &(String, String),
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Attempt<'_>> {
        let network = address.map(network_of);
        let pair = self.hasher.hash_one(("pair", account, network));
        let network = self.hasher.hash_one(("network", network));
        let account = self.hasher.hash_one(("account", account));
        // A network with tries of its own left does not wait for what others do to the account.
        let has_own_tries = self.count(pair, now).is_none_or(|count| count.failures < PAIR.free);
        let of_account = if has_own_tries { Duration::ZERO } else { self.left_to_wait(account, ACCOUNT, now) };
        let wait = self.left_to_wait(pair, PAIR, now).max(self.left_to_wait(network, NETWORK, now)).max(of_account);
        if !wait.is_zero() {
            let wait_s = wait.as_secs().max(1);
            let detail = format!("too many failed log-ins; try again in {wait_s} s");
            return Err(Error::new(ErrorKind::RateLimited, "too_many_attempts", detail));
        }
        for key in [pair, network, account] {
            self.counts.entry(key).and_upsert_with(|entry| {
                let before = entry.map(moka::Entry::into_value).filter(|count| !is_old(*count, now));
                Count { failures: before.map_or(0, |count| count.failures).saturating_add(1), last: now }
            });
        }
        Ok(Attempt { attempts: self, pair, network, account, has_verdict: false })
    }

    /// An attempt was no failure.
    fn take_back(&self, keys: &[u64]) {
        for key in keys {
            self.counts.entry(*key).and_compute_with(|entry| match entry {
                Some(entry) => {
                    let count = entry.into_value();
                    moka::ops::compute::Op::Put(Count { failures: count.failures.saturating_sub(1), ..count })
                }
                None => moka::ops::compute::Op::Nop,
            });
        }
    }

    fn count(&self, key: u64, now: Timestamp) -> Option<Count> {
        self.counts.get(&key).filter(|count| !is_old(*count, now))
    }

    fn left_to_wait(&self, key: u64, limit: Limit, now: Timestamp) -> Duration {
        let Some(count) = self.count(key, now) else { return Duration::ZERO };
        limit.wait(count.failures).saturating_sub(now.since(count.last))
    }
}

fn is_old(count: Count, now: Timestamp) -> bool {
    now.since(count.last) >= FORGET_AFTER
}

/// An IPv6 client owns a /64 and changes its address in it at will.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(1_000_000 + seconds))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is passed")]
    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    fn account(name: &str) -> (String, String) {
        ("default".to_owned(), name.to_owned())
    }

    /// How many of `tries` with a wrong password in a row get through.
    fn passed(attempts: &LoginAttempts, name: &str, from: u32, tries: u32, second: u64) -> u32 {
        let pass = |_: &u32| attempts.begin(&account(name), address(from), at(second)).map(Attempt::failed).is_ok();
        u32::try_from((0..tries).filter(pass).count()).expect("few")
    }

    #[test]
    fn one_network_gets_few_tries_and_then_waits_longer_and_longer() {
        let attempts = LoginAttempts::default();
        assert_eq!(passed(&attempts, "admin", 1, 99, 0), 5);
        let error = attempts.begin(&account("admin"), address(1), at(0)).map(drop).unwrap_err();
        assert_eq!(
            (error.code, error.to_string().as_str()),
            ("too_many_attempts", "too many failed log-ins; try again in 1 s")
        );
        for (second, expected) in [(1, 1), (2, 0), (3, 1), (6, 0), (7, 1)] {
            assert_eq!(passed(&attempts, "admin", 1, 9, second), expected, "second {second}");
        }
        // A day's worth: at the most one in 15 minutes.
        let in_a_day: u32 = (8..86_400).step_by(10).map(|second| passed(&attempts, "admin", 1, 1, second)).sum();
        assert!((90..=110).contains(&in_a_day), "{in_a_day}");
        assert_eq!(passed(&attempts, "admin", 1, 9, 86_400 * 3), 5, "and a day later it is forgotten");
    }

    #[test]
    fn nobody_locks_out_an_owner_who_comes_from_elsewhere() {
        let attempts = LoginAttempts::default();
        for network in 0..10_000 {
            passed(&attempts, "admin", network, 6, 0);
        }
        let owner = attempts.begin(&account("admin"), address(20_000), at(1)).expect("the owner gets in");
        owner.succeeded();
        assert_eq!(passed(&attempts, "admin", 20_000, 9, 1), 5, "the tries of that network are whole again");
        // Who used up its own tries waits for the account as well.
        let wait = attempts.begin(&account("admin"), address(7), at(2)).map(drop).unwrap_err().to_string();
        assert!(wait.contains("try again in 58 s") || wait.contains("try again in 59 s"), "{wait}");
    }

    #[test]
    fn attempts_without_a_verdict_do_not_count_and_count_while_they_go_on() {
        let attempts = LoginAttempts::default();
        for _ in 0..100 {
            drop(attempts.begin(&account("admin"), address(1), at(0)).expect("the one before is over"));
        }
        let at_once: Vec<_> =
            (0..9).filter_map(|_| attempts.begin(&account("admin"), address(1), at(0)).ok()).collect();
        assert_eq!(at_once.len(), 5, "no more at once than in a row");
        drop(at_once);
        assert_eq!(passed(&attempts, "admin", 1, 9, 0), 5, "whole again");
    }

    #[test]
    fn one_password_at_many_accounts_is_bounded_and_names_that_do_not_exist_count() {
        let attempts = LoginAttempts::default();
        let through = (0..1_000).filter(|n| passed(&attempts, &format!("user-{n}"), 1, 1, 0) == 1).count();
        assert_eq!(through, 30);
        assert_eq!(passed(&attempts, "user-1", 2, 1, 0), 1, "another network is another matter");
    }

    #[test]
    fn an_ipv6_client_cannot_change_its_address_at_will() {
        let attempts = LoginAttempts::default();
        let from = |n: u16| Some(format!("2001:db8::{n:x}").parse().expect("an address"));
        let pass = |n: &u16| attempts.begin(&account("admin"), from(*n), at(0)).map(Attempt::failed).is_ok();
        let through = (0..99).filter(pass).count();
        assert_eq!(through, 5);
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = LoginAttempts::default();
        for n in 0..120_000 {
            passed(&attempts, &n.to_string(), n, 1, 0);
        }
        attempts.counts.run_pending_tasks();
        assert!(attempts.counts.entry_count() <= COUNTS_MAX, "{}", attempts.counts.entry_count());
    }
}

//! How often: by identity where there is one, by address where there is none.

mod ears;
mod in_flight;

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use drover_app::{Actor, Caller, Error};
use drover_types::{DeviceId, ErrorKind};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use crate::config::HttpConfig;
use crate::problem::{Failure, Result};
use ears::{Ear, Ears};
pub(crate) use in_flight::admit;
use in_flight::{Flight, InFlight};

/// Addresses that are told apart at once. Beyond it they share accounts until some are forgotten, chance says which:
/// so many accounts that a flood from everywhere leaves most of them with something for others.
const ADDRESSES_MAX: usize = 100_000;
const SHARED_ACCOUNTS: u64 = 65_536;

/// Strangers that are listened to at once. What they say is at most 16 KiB each, so this is 32 MiB.
pub(crate) const INTRODUCTIONS_MAX: usize = 2_000;

/// How often accounts that are full again are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// The limits of one server.
pub(crate) struct Limits {
    check: Option<Limiter<DeviceId>>,
    report: Option<Limiter<DeviceId>>,
    strangers: Option<Limiter<IpAddr>>,
    chance: RandomState,
    ears: Arc<Ears>,
    in_flight: Arc<InFlight>,
    /// How long a stranger may take to say who it is: as long as for the head of its request.
    pub(crate) introduction_timeout: Duration,
    /// See [`HttpConfig::trust_forwarded_for`].
    pub(crate) trust_forwarded_for: bool,
}

impl Limits {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            check: limiter(config.check_per_minute),
            report: limiter(config.report_per_minute),
            strangers: limiter(config.stranger_per_minute),
            chance: RandomState::new(),
            ears: Arc::new(Ears::new(INTRODUCTIONS_MAX)),
            in_flight: Arc::new(InFlight::new(config.max_connections_per_address > 0)),
            introduction_timeout: config.header_read_timeout(),
            trust_forwarded_for: config.trust_forwarded_for,
        }
    }

    /// Counts an update check. Only devices are counted: nobody else gets further than this.
    pub(crate) fn count_check(&self, caller: &Caller) -> Result<Option<Standing>> {
        match (&self.check, &caller.actor) {
            (Some(limiter), Actor::Device { id, .. }) => limiter.count(id, "update checks of this device").map(Some),
            _ => Ok(None),
        }
    }

    /// Counts a heartbeat or a report.
    pub(crate) fn count_report(&self, caller: &Caller) -> Result<()> {
        match (&self.report, &caller.actor) {
            (Some(limiter), Actor::Device { id, .. }) => limiter.count(id, "reports of this device").map(drop),
            _ => Ok(()),
        }
    }

    /// Counts a request without a valid credential.
    pub(crate) fn count_stranger(&self, address: IpAddr) -> Result<()> {
        let Some(limiter) = &self.strangers else { return Ok(()) };
        let account = account_of(address);
        let account = if limiter.accounts.len() < ADDRESSES_MAX { account } else { self.shared_account(account) };
        limiter.count(&account, "requests without a valid credential from this address").map(drop)
    }

    /// One of the accounts for those who are not told apart. No client has such an address: of IPv6 only networks are
    /// counted. Nobody can know with whom it shares, as chance differs with each start.
    fn shared_account(&self, account: IpAddr) -> IpAddr {
        let number = 1 + self.chance.hash_one(account) % SHARED_ACCOUNTS;
        IpAddr::V6(Ipv6Addr::from_bits(number.into()))
    }

    /// Leave to read what a stranger from there says, until somebody else is to be heard.
    pub(crate) fn listen(&self, address: IpAddr) -> Ear {
        self.ears.listen(address)
    }

    /// A place for a request from there; none when there are too many.
    pub(crate) fn begin(&self, address: IpAddr) -> Option<Flight> {
        self.in_flight.begin(address)
    }

    /// Forgets those who have not called for a while, until the server shuts down.
    pub(crate) async fn keep_small(&self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            self.forget();
        }
    }

    fn forget(&self) {
        // Devices that call are as many as are registered, and each is forgotten soon after.
        for devices in [&self.check, &self.report].into_iter().flatten() {
            devices.forget();
        }
        if let Some(strangers) = &self.strangers {
            strangers.forget();
        }
    }
}

/// Zero lifts the limit.
fn limiter<K: Hash + Eq + Clone>(per_minute: u32) -> Option<Limiter<K>> {
    NonZeroU32::new(per_minute).map(|per_minute| Limiter::new(per_minute, DefaultClock::default()))
}

/// An IPv6 client owns a /64 and changes its address in it at will, so the network is what is counted.
pub(crate) fn account_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// An account per key: full at first, one request costs one, refilled evenly.
struct Limiter<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    per_minute: u32,
    accounts: RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>,
    clock: C,
}

/// What is left to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until the account is full again, or until the next request is let through when nothing remains.
    reset_s: u64,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    fn new(per_minute: NonZeroU32, clock: C) -> Self {
        let accounts = RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone()).with_middleware();
        Self { per_minute: per_minute.get(), accounts, clock }
    }

    /// Forgets accounts that are full again.
    fn forget(&self) {
        self.accounts.retain_recent();
        self.accounts.shrink_to_fit();
    }

    fn count(&self, key: &K, what: &str) -> Result<Standing> {
        let limit = self.per_minute;
        let refused = match self.accounts.check_key(key) {
            Ok(left) => {
                let remaining = left.remaining_burst_capacity();
                let reset_s = (u64::from(limit.saturating_sub(remaining)) * 60).div_ceil(u64::from(limit));
                return Ok(Standing { limit, remaining, reset_s });
            }
            Err(refused) => refused,
        };
        let wait_ms = refused.wait_time_from(self.clock.now()).as_millis();
        let reset_s = u64::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
        let detail = format!("more than {limit} {what} in a minute; try again in {reset_s} s");
        let failure = Failure::from(Error::new(ErrorKind::RateLimited, "rate_limited", detail));
        Err(failure.with_standing(Standing { limit, remaining: 0, reset_s }))
    }
}

impl Standing {
    /// As the client is told.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(self.limit));
        headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(self.remaining));
        headers.insert(HeaderName::from_static("ratelimit-reset"), HeaderValue::from(self.reset_s));
        if self.remaining == 0 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.reset_s));
        }
    }
}

#[cfg(test)]
mod tests;

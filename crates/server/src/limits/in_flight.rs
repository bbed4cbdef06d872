//! Requests that handlers work on: so many at once, and when there are many, so many of one address.
//!
//! Each takes memory, and a connection may have several. Those that are too many are refused before anything is done for
//! them, so that whoever comes from elsewhere is served all the while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use drover_app::Error;
use drover_types::ErrorKind;
use tokio::sync::Semaphore;

use super::account_of;
use crate::caller::address_of;
use crate::problem::Failure;
use crate::state::Server;

/// Requests at once; at some 20 KiB each.
const REQUESTS_MAX: usize = 4_096;

/// From so many on, an address has only its part.
const MANY: usize = 1_024;
const PART: usize = 128;

/// Who is told at once comes back at once, and waiting costs less than that.
const REFUSED_AFTER: Duration = Duration::from_secs(2);

/// Those who wait for their refusal at once. The others are told at once.
const WAITING_MAX: usize = 4_096;

/// Whether the server lives has an answer however much it has to do. It asks nothing else for it.
const LIFE: [&str; 2] = ["/healthz", "/health"];

pub(crate) struct InFlight {
    /// Whether an address has only its part.
    has_parts: bool,
    counts: Mutex<Counts>,
    pub(super) waiting: Semaphore,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_account: HashMap<IpAddr, usize>,
}

/// A request that is being worked on, until it is dropped.
pub(crate) struct Flight {
    in_flight: Arc<InFlight>,
    account: IpAddr,
}

impl InFlight {
    pub(super) fn new(has_parts: bool) -> Self {
        Self { has_parts, counts: Mutex::default(), waiting: Semaphore::new(WAITING_MAX) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing in here is left half done by a panic that would matter more than a wrong count.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: there are too many.
    pub(super) fn begin(self: &Arc<Self>, address: IpAddr) -> Option<Flight> {
        let account = account_of(address);
        let mut counts = self.counts();
        let own = counts.by_account.get(&account).copied().unwrap_or(0);
        if counts.total >= REQUESTS_MAX || (self.has_parts && counts.total >= MANY && own >= PART) {
            return None;
        }
        counts.total += 1;
        counts.by_account.insert(account, own + 1);
        Some(Flight { in_flight: Arc::clone(self), account })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut counts = self.in_flight.counts();
        counts.total -= 1;
        if let Some(own) = counts.by_account.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                counts.by_account.remove(&self.account);
            }
        }
    }
}

/// Lets a request through, or refuses it.
pub(crate) async fn admit(State(server): State<Server>, request: Request, next: Next) -> Response {
    if LIFE.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Some(_flight) = server.limits.begin(address_of(&parts, &server)) else {
        drop((parts, body, next));
        if let Ok(_place) = server.limits.in_flight.waiting.try_acquire() {
            tokio::time::sleep(REFUSED_AFTER).await;
        }
        let detail = "too many requests at this moment; try again in a second";
        return Failure::from(Error::new(ErrorKind::Unavailable, "busy", detail)).into_response();
    };
    next.run(Request::from_parts(parts, body)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(in_flight: &Arc<InFlight>, last: u8, count: usize) -> Vec<Flight> {
        (0..count).filter_map(|_| in_flight.begin(IpAddr::from([10, 0, 0, last]))).collect()
    }

    #[test]
    fn one_address_has_its_part_when_there_are_many() {
        let in_flight = Arc::new(InFlight::new(true));
        let first = begin(&in_flight, 1, 5_000);
        assert_eq!(first.len(), MANY, "as long as there is room for others");
        let others = begin(&in_flight, 2, 5_000);
        assert_eq!(others.len(), PART);
        drop(first);
        assert_eq!(begin(&in_flight, 2, 5_000).len(), MANY - PART);
    }

    #[test]
    fn behind_a_balancer_all_are_one_address() {
        let in_flight = Arc::new(InFlight::new(false));
        assert_eq!(begin(&in_flight, 1, 5_000).len(), REQUESTS_MAX);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let in_flight = Arc::new(InFlight::new(true));
        let flights: Vec<_> = (0..=255).map(|last| begin(&in_flight, last, PART)).collect();
        assert_eq!(flights.iter().map(Vec::len).sum::<usize>(), REQUESTS_MAX);
        drop(flights);
        let counts = in_flight.counts();
        assert_eq!((counts.total, counts.by_account.len()), (0, 0));
    }
}

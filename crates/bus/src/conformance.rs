//! The suite that every back-end passes. It panics with what is wrong.

use drover_types::{DeviceId, TenantId, Timestamp};

use crate::{HotState, Sighting};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn device(n: u128) -> DeviceId {
    DeviceId::generate(at(1), n)
}

/// Runs every case on an empty `state`, which nobody else uses.
///
/// # Panics
///
/// When the back-end breaks its contract, with what is wrong.
pub async fn hot_state_suite(state: &dyn HotState) {
    let tenant = TenantId::generate(at(1), 100);
    let other = TenantId::generate(at(1), 200);
    let seen = |n: u128, seconds: i64| state.seen(Sighting { tenant, device: device(n), at: at(seconds) });
    let devices = [device(1), device(2), device(3)];
    assert_eq!(state.waiting(), 0, "the suite begins with an empty state");
    assert_eq!(state.last_seen(tenant, &devices).await, [None; 3], "nothing was noted");

    seen(1, 10);
    seen(2, 11);
    seen(1, 30);
    seen(1, 20);
    assert_eq!(state.waiting(), 2, "a device waits once");
    let known = state.last_seen(tenant, &devices).await;
    assert_eq!(known, [Some(at(30)), Some(at(11)), None], "the latest time counts, in the order of the question");
    assert_eq!(state.last_seen(other, &devices).await, [None; 3], "another tenant sees nothing");

    assert_eq!(state.take(at(1_000), at(9), 10).await, [], "nobody has waited for that long");
    let expected = [Sighting { tenant, device: device(1), at: at(30) }];
    assert_eq!(
        state.take(at(1_000), at(10), 10).await,
        expected,
        "it waits since its first sighting and goes with its latest"
    );
    assert_eq!(state.take(at(1_000), at(10), 10).await, [], "it was handed out");
    assert_eq!(state.last_seen(tenant, &devices[..1]).await, [None], "what was taken is unknown");

    seen(3, 40);
    seen(1, 41);
    assert_eq!(state.take(at(1_000), at(99), 0).await, [], "none were asked for");
    let taken: Vec<DeviceId> = state.take(at(1_000), at(99), 2).await.iter().map(|sighting| sighting.device).collect();
    assert_eq!(taken, [device(2), device(3)], "those that waited longest come first");

    // What could not be written is noted again; a later sighting is not overwritten by it.
    state.seen(Sighting { tenant, device: device(1), at: at(5) });
    let last = Sighting { tenant, device: device(1), at: at(41) };
    assert_eq!(state.take(at(1_000), at(99), 10).await, [last], "a later sighting stands");
    assert_eq!(state.waiting(), 0, "everything was taken");

    // A clock that was ahead and was put right holds nobody up.
    seen(1, 90_000);
    seen(2, 950);
    let ahead = Sighting { tenant, device: device(1), at: at(90_000) };
    assert_eq!(state.take(at(1_000), at(940), 10).await, [ahead], "the next one has not waited for that long");
    let next = Sighting { tenant, device: device(2), at: at(950) };
    assert_eq!(state.take(at(1_020), at(960), 10).await, [next], "nobody waits behind a wrong clock");
}

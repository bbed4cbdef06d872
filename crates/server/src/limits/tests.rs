use axum::http::StatusCode;
use axum::response::IntoResponse;
use drover_app::{Origin, Rights};
use drover_types::{TenantId, Timestamp};
use governor::clock::FakeRelativeClock;

use super::*;

fn limiter(per_minute: u32) -> (Limiter<u8, FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limiter::new(NonZeroU32::new(per_minute).expect("not zero"), clock.clone()), clock)
}

#[test]
fn ten_at_once_then_one_every_six_seconds() {
    let (limiter, clock) = limiter(10);
    for left in (0..10).rev() {
        assert_eq!(limiter.count(&1, "calls").expect("let through").remaining, left);
    }
    assert!(limiter.count(&1, "calls").is_err());
    assert!(limiter.count(&2, "calls").is_ok(), "another key has an account of its own");
    clock.advance(Duration::from_secs(5));
    assert!(limiter.count(&1, "calls").is_err());
    clock.advance(Duration::from_secs(1));
    assert!(limiter.count(&1, "calls").is_ok());
    assert!(limiter.count(&1, "calls").is_err());
}

#[test]
fn a_refusal_tells_when_to_come_back() {
    let (limiter, _clock) = limiter(1);
    limiter.count(&1, "calls").expect("the first one");
    let response = limiter.count(&1, "calls").expect_err("the second one").into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    for (header, value) in
        [("retry-after", "60"), ("ratelimit-limit", "1"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "60")]
    {
        assert_eq!(response.headers()[header], value, "{header}");
    }
}

#[test]
fn accounts_that_are_full_again_are_forgotten() {
    let (limiter, clock) = limiter(60);
    for key in 0..100 {
        limiter.count(&key, "calls").expect("let through");
    }
    limiter.accounts.retain_recent();
    assert_eq!(limiter.accounts.len(), 100);
    clock.advance(Duration::from_secs(2));
    limiter.accounts.retain_recent();
    assert_eq!(limiter.accounts.len(), 0);
}

fn device(number: u128) -> Caller {
    let time = Timestamp::from_micros(0);
    let tenant = TenantId::generate(time, 0);
    let actor = Actor::Device { id: DeviceId::generate(time, number), is_new: false };
    Caller { home: tenant, tenant, actor, rights: Rights::default(), origin: Origin::default() }
}

#[test]
fn devices_have_an_account_each_and_zero_lifts_the_limit() {
    let limits = Limits::new(&HttpConfig { check_per_minute: 1, ..HttpConfig::default() });
    assert!(limits.count_check(&device(1)).is_ok());
    assert!(limits.count_check(&device(1)).is_err());
    assert!(limits.count_check(&device(2)).is_ok());

    let free = Limits::new(&HttpConfig { check_per_minute: 0, stranger_per_minute: 0, ..HttpConfig::default() });
    for _ in 0..1_000 {
        assert_eq!(free.count_check(&device(1)).expect("no limit"), None);
        free.count_stranger(IpAddr::from([127, 0, 0, 1])).expect("no limit");
    }
}

#[test]
fn strangers_are_counted_by_address_or_network() {
    let limits = Limits::new(&HttpConfig { stranger_per_minute: 1, ..HttpConfig::default() });
    let count = |address: &str| limits.count_stranger(address.parse().expect("an address"));
    assert!(count("10.0.0.1").is_ok());
    assert!(count("::ffff:10.0.0.1").is_err(), "the same address in another spelling");
    assert!(count("10.0.0.2").is_ok());
    assert!(count("2001:db8::1").is_ok());
    assert!(count("2001:db8::ffff:1").is_err(), "the same network");
    assert!(count("2001:db8:0:1::1").is_ok());
}

#[test]
fn a_flood_from_everywhere_leaves_something_for_others() {
    let limits = Limits::new(&HttpConfig { stranger_per_minute: 2, ..HttpConfig::default() });
    let flood = |from: u32, count: u32| {
        for number in from..from + count {
            // Whether it is let through does not matter.
            let _ = limits.count_stranger(IpAddr::V4(number.into()));
        }
    };
    flood(1, 100_000);
    // From here on nobody is told apart; of some thousand accounts these take a few.
    flood(200_000, 1_000);
    let others =
        (1_000_000..1_001_000_u32).filter(|number| limits.count_stranger(IpAddr::V4((*number).into())).is_ok());
    assert!(others.count() > 900, "one account for all would have nothing left");
    assert!(limits.strangers.as_ref().expect("a limit").accounts.len() <= 102_000);
}

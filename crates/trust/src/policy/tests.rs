use proptest::prelude::*;

use super::*;
use crate::manifest::tests::example;

fn release(release_counter: u64, rollback_floor: u64) -> Manifest {
    Manifest { release_counter, rollback_floor, ..example() }
}

#[test]
fn a_first_installation_is_no_downgrade() {
    assert_eq!(check_downgrade(None, &release(0, 0)), Ok(()));
}

#[test]
fn below_the_floor_is_refused_with_both_numbers() {
    let error = check_downgrade(Some(&release(9, 7)), &release(6, 0)).expect_err("refused");
    assert_eq!((error.release_counter, error.rollback_floor), (6, 7));
    let text = error.to_string();
    assert_eq!(check_downgrade(Some(&release(9, 7)), &release(7, 0)), Ok(()), "the floor itself is let in");
    assert!(text.contains("counter 6") && text.contains("floor 7"), "{text}");
}

/// The attack: an old release, genuinely signed, offered again; its own low floor must not help it.
#[test]
fn the_floor_of_the_offer_does_not_count() {
    assert!(check_downgrade(Some(&release(9, 9)), &release(8, 0)).is_err());
    assert!(check_downgrade(Some(&release(9, 0)), &release(8, 8)).is_ok());
}

/// The attack: a high version on an old counter.
#[test]
fn versions_do_not_count() {
    let offered = Manifest { version: Version::new(99, 0, 0), ..release(1, 0) };
    assert!(check_downgrade(Some(&release(9, 9)), &offered).is_err());
}

proptest! {
    #[test]
    fn accepted_exactly_from_the_floor_up(running: u64, floor: u64, offered: u64) {
        let accepted = check_downgrade(Some(&release(running, floor)), &release(offered, 0)).is_ok();
        prop_assert_eq!(accepted, offered >= floor);
    }
}

/// The example needs main ≥ 1.2.0 and 3.0.0 ≤ ecu-1 < 4.0.0.
fn check(main: Option<&str>, ecu: Option<&str>) -> Result<(), String> {
    let version = |text: Option<&str>| text.map(|text| text.parse().expect("a version"));
    let (main, ecu) = (version(main), version(ecu));
    let installed = |component: &ComponentName| match component.as_str() {
        "main" => main.clone(),
        "ecu-1" => ecu.clone(),
        other => panic!("asked for {other}"),
    };
    check_preconditions(&example(), installed).map_err(|error| error.to_string())
}

#[test]
fn the_lower_bound_belongs_to_the_range_and_the_upper_does_not() {
    assert_eq!(check(Some("1.2.0"), Some("3.0.0")), Ok(()));
    assert_eq!(check(Some("7.0.0"), Some("3.99.0")), Ok(()));
    let too_new = check(Some("1.2.0"), Some("4.0.0")).expect_err("refused");
    assert_eq!(too_new, "component ecu-1 must run a version below 4.0.0, but runs 4.0.0");
    let too_old = check(Some("1.2.0"), Some("2.9.9")).expect_err("refused");
    assert_eq!(too_old, "component ecu-1 must run 3.0.0 or newer first, but runs 2.9.9");
}

#[test]
fn the_minimum_version_is_that_of_the_own_component() {
    let too_old = check(Some("1.2.0-rc.1"), Some("3.0.0")).expect_err("refused");
    assert_eq!(too_old, "component main must run 1.2.0 or newer first, but runs 1.2.0-rc.1");
    let nothing = check(None, Some("3.0.0")).expect_err("refused");
    assert_eq!(nothing, "component main must run 1.2.0 or newer first, but nothing is installed there");
    assert!(check(Some("1.2.0"), None).expect_err("refused").contains("ecu-1"));
}

#[test]
fn build_metadata_does_not_count() {
    assert_eq!(check(Some("1.2.0+a"), Some("3.0.0+zzz")), Ok(()));
    assert!(check(Some("1.2.0"), Some("4.0.0+a")).is_err());
}

#[test]
fn without_conditions_nothing_is_asked() {
    let free = Manifest { min_version: None, dependencies: vec![], ..example() };
    assert_eq!(check_preconditions(&free, |component| panic!("asked for {component}")), Ok(()));
}

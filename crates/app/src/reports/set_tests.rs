//! What a set of reports makes of their sessions.

use drover_db::on_both;
use drover_protocol::{Directive, Failure, ReportReply, ValidationOutcome, ValidationReport};
use drover_store::rollouts::StateChange;
use drover_store::session_changes::{self, Move, Offer};
use drover_store::{counters, device_components, devices, rollouts};
use drover_types::{
    ComponentName, DeviceId, DeviceStatus, FailureClass, RolloutId, RolloutState, SessionState, UpdateSessionId,
};

use super::{Outcome, Report, take_all};
use crate::Result;
use crate::testing::{Fleet, at, commit};

/// A device that was told of session `n`.
async fn offered(fleet: &Fleet, n: u16, rollout: RolloutId) -> (DeviceId, UpdateSessionId) {
    let device = fleet.device(n, false).await;
    offered_to(fleet, device, n, rollout).await
}

async fn offered_to(fleet: &Fleet, device: DeviceId, n: u16, rollout: RolloutId) -> (DeviceId, UpdateSessionId) {
    let session = fleet.pending(n, rollout, device).await;
    let offer = Offer { from_version: None, from_firmware: None, next_action_at: at(99) };
    let offers = [(session, offer)];
    commit!(fleet.db, |tx| session_changes::offer(tx, fleet.tenant, &offers, at(50)));
    for (state, sessions) in [(SessionState::Pending, -1), (SessionState::Offered, 1)] {
        commit!(fleet.db, |tx| counters::add(tx, fleet.tenant, rollout, 0, state, None, sessions));
    }
    (device, session)
}

/// A device that was told of session `n`, and was not heard of again.
async fn given_up(fleet: &Fleet, n: u16, rollout: RolloutId) -> (DeviceId, UpdateSessionId) {
    let told = offered(fleet, n, rollout).await;
    let (from, to) = (SessionState::Offered, SessionState::TimedOut);
    let step = Move { from, to, progress: 0, failure: None, next_action_at: None };
    commit!(fleet.db, |tx| session_changes::change_states(tx, fleet.tenant, &[(told.1, step)], at(60)));
    told
}

fn report(fleet: &Fleet, (device, session): (DeviceId, UpdateSessionId), state: SessionState, progress: u8) -> Report {
    let failure = Failure { class: FailureClass::Download, code: "lost".to_owned(), message: "it is gone".to_owned() };
    Report {
        tenant: fleet.tenant,
        device,
        session,
        state,
        progress,
        failure: state.is_failure().then_some(failure),
        validation: None,
        now: at(100),
        return_id: UpdateSessionId(uuid::Uuid::max()),
    }
}

/// The device says that the new version runs.
fn success(fleet: &Fleet, of: (DeviceId, UpdateSessionId), component: &str) -> Report {
    let validation = ValidationReport {
        session_id: of.1,
        outcome: ValidationOutcome::Succeeded,
        component: component.parse().unwrap(),
        version: Some(fleet.firmware.version.clone()),
        manifest_sha256: Some(fleet.firmware.manifest_sha256),
        failure: None,
        device_time: None,
    };
    Report { validation: Some(validation), ..report(fleet, of, SessionState::Succeeded, 100) }
}

async fn take(fleet: &Fleet, reports: &[Report]) -> Vec<Result<Outcome>> {
    commit!(fleet.db, |tx| take_all(tx, reports))
}

/// Directive, state, and whether it moved; the code of a refusal.
fn said(outcome: &Result<Outcome>) -> std::result::Result<(Directive, SessionState, bool), &'static str> {
    match outcome {
        Ok(Outcome { reply: ReportReply { directive, state }, moved, .. }) => Ok((*directive, *state, *moved)),
        Err(error) => Err(error.code),
    }
}

const GO_ON: Directive = Directive::Continue;

on_both! {
    async fn reports_of_one_session_follow_each_other(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 9).await;
        let of = offered(&fleet, 10, rollout).await;
        let set = [
            report(&fleet, of, SessionState::Downloading, 40),
            report(&fleet, of, SessionState::Downloading, 20),
            report(&fleet, of, SessionState::Installing, 0),
            report(&fleet, of, SessionState::Downloading, 90),
        ];
        let outcomes = take(&fleet, &set).await;
        let expected = [
            Ok((GO_ON, SessionState::Downloading, true)),
            Ok((GO_ON, SessionState::Downloading, false)),
            Ok((GO_ON, SessionState::Installing, true)),
            Ok((GO_ON, SessionState::Installing, false)),
        ];
        assert_eq!(outcomes.iter().map(said).collect::<Vec<_>>(), expected);
        assert_eq!(fleet.counters(rollout).await, [(SessionState::Installing, 1)].into());

        let set = [
            report(&fleet, of, SessionState::Installing, 70),
            report(&fleet, of, SessionState::Installing, 30),
            report(&fleet, of, SessionState::Failed, 80),
            success(&fleet, of, "main"),
        ];
        let outcomes = take(&fleet, &set).await;
        assert_eq!(said(&outcomes[1]), Ok((GO_ON, SessionState::Installing, false)));
        assert_eq!(said(&outcomes[2]), Ok((GO_ON, SessionState::Failed, true)));
        assert_eq!(said(&outcomes[3]), Ok((Directive::Stop, SessionState::Failed, false)), "it failed before");
        assert_eq!(fleet.counters(rollout).await, [(SessionState::Failed, 1)].into());
        let row = fleet.session(of.1).await;
        assert_eq!((row.failure_class, row.failure_code.as_deref()), (Some(FailureClass::Download), Some("lost")));
        assert_eq!((row.progress, row.completed_at), (80, Some(at(100))));
    }

    async fn the_highest_progress_stays(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 9).await;
        let of = offered(&fleet, 10, rollout).await;
        let set = [40, 70, 30].map(|progress| report(&fleet, of, SessionState::Downloading, progress));
        take(&fleet, &set).await;
        assert_eq!(fleet.session(of.1).await.progress, 70);
        take(&fleet, &set[..1]).await;
        assert_eq!(fleet.session(of.1).await.progress, 70);
    }

    async fn one_that_is_refused_leaves_the_others(test: TestDb) {
        let (fleet, other) = (Fleet::new(&test, 1).await, Fleet::new(&test, 2).await);
        let (rollout, theirs) = (fleet.rollout(200, 9).await, other.rollout(200, 9).await);
        let (one, two) = (offered(&fleet, 10, rollout).await, offered(&fleet, 11, rollout).await);
        let twin = offered(&other, 10, theirs).await;
        let set = [
            success(&fleet, one, "ecu"),
            report(&fleet, (one.0, two.1), SessionState::Downloading, 1),
            report(&other, twin, SessionState::Downloading, 5),
            report(&fleet, (one.0, UpdateSessionId(uuid::Uuid::max())), SessionState::Downloading, 1),
            success(&fleet, two, "main"),
            report(&fleet, one, SessionState::Downloading, 9),
        ];
        let outcomes = take(&fleet, &set).await;
        let expected = [
            Err("invalid"),
            Err("not_found"),
            Ok((GO_ON, SessionState::Downloading, true)),
            Err("not_found"),
            Ok((GO_ON, SessionState::Succeeded, true)),
            Ok((GO_ON, SessionState::Downloading, true)),
        ];
        assert_eq!(outcomes.iter().map(said).collect::<Vec<_>>(), expected);
        let counted = [(SessionState::Downloading, 1), (SessionState::Succeeded, 1)].into();
        assert_eq!(fleet.counters(rollout).await, counted);
        assert_eq!(other.counters(theirs).await, [(SessionState::Downloading, 1)].into());
        let main = ComponentName::main();
        let runs = device_components::get(&fleet.db, fleet.tenant, two.0, &main).await.unwrap().unwrap();
        assert_eq!((runs.version, runs.firmware_id), (Some("2.0.0".parse().unwrap()), Some(fleet.firmware.id)));
        let device = devices::get(&fleet.db, fleet.tenant, two.0).await.unwrap().unwrap();
        assert_eq!(device.status, DeviceStatus::Success);
        let device = devices::get(&fleet.db, fleet.tenant, one.0).await.unwrap().unwrap();
        assert_eq!(device.status, DeviceStatus::Updating);
    }

    async fn a_device_does_what_its_last_report_says(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let (older, newer) = (fleet.rollout(200, 9).await, fleet.rollout(201, 9).await);
        for (n, failure_is_last) in [(10, true), (20, false)] {
            // One update was given up on, and comes to its end after all; the next one has begun meanwhile.
            let late = given_up(&fleet, n, older).await;
            let begun = offered_to(&fleet, late.0, n + 1, newer).await;
            let mut set = [success(&fleet, late, "main"), report(&fleet, begun, SessionState::Failed, 0)];
            if !failure_is_last {
                set.reverse();
            }
            let outcomes = take(&fleet, &set).await;
            assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|outcome| outcome.moved)), "{outcomes:?}");
            let device = devices::get(&fleet.db, fleet.tenant, late.0).await.unwrap().unwrap();
            let last = if failure_is_last { DeviceStatus::Failed } else { DeviceStatus::Success };
            assert_eq!(device.status, last);
        }
    }

    async fn of_two_words_about_a_component_the_last_one_counts(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let (older, newer) = (fleet.rollout(200, 9).await, fleet.rollout(201, 9).await);
        for (n, is_reversed) in [(10, false), (20, true)] {
            let late = given_up(&fleet, n, older).await;
            let begun = offered_to(&fleet, late.0, n + 1, newer).await;
            let mut set = ["1.8.0", "1.9.0"].into_iter().zip([late, begun]).map(|(version, of)| {
                let mut said = success(&fleet, of, "main");
                let body = said.validation.as_mut().unwrap();
                (body.version, body.manifest_sha256) = (Some(version.parse().unwrap()), None);
                said
            }).collect::<Vec<_>>();
            if is_reversed {
                set.reverse();
            }
            let outcomes = take(&fleet, &set).await;
            assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|outcome| outcome.moved)), "{outcomes:?}");
            let main = ComponentName::main();
            let runs = device_components::get(&fleet.db, fleet.tenant, late.0, &main).await.unwrap().unwrap();
            let last = set[1].validation.as_ref().unwrap().version.clone();
            assert_eq!((runs.version, runs.firmware_id), (last, None));
        }
    }

    async fn who_has_not_begun_stops_with_the_rollout(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 9).await;
        let (early, late) = (offered(&fleet, 10, rollout).await, offered(&fleet, 11, rollout).await);
        take(&fleet, &[report(&fleet, late, SessionState::Installing, 0)]).await;
        let change = StateChange { from: RolloutState::Active, to: RolloutState::Cancelled, reason: None };
        commit!(fleet.db, |tx| rollouts::set_state(tx, fleet.tenant, rollout, &change, at(60)));
        let set = [
            report(&fleet, early, SessionState::Downloading, 10),
            report(&fleet, late, SessionState::Validating, 0),
            report(&fleet, early, SessionState::Installing, 0),
        ];
        let outcomes = take(&fleet, &set).await;
        let expected = [
            Ok((Directive::Stop, SessionState::Cancelled, true)),
            Ok((GO_ON, SessionState::Validating, true)),
            Ok((Directive::Stop, SessionState::Cancelled, false)),
        ];
        assert_eq!(outcomes.iter().map(said).collect::<Vec<_>>(), expected);
        let device = devices::get(&fleet.db, fleet.tenant, early.0).await.unwrap().unwrap();
        assert_eq!(device.status, DeviceStatus::Idle);
    }
}

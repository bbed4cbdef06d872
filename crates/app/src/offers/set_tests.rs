//! What a set of devices that ask at the same moment is told.

use std::sync::Arc;

use drover_db::on_both;
use drover_rules::{Condition, GroupIds};
use drover_store::conditions::Selection;
use drover_store::counters;
use drover_store::offers::CandidateRow;
use drover_store::targets::Target;
use drover_types::{ComponentName, DeviceId, FailureClass, RolloutId, SessionState, StageState, UpdateSessionId};

use super::{Attempt, Verdict, make_all};
use crate::targets::RolloutTarget;
use crate::testing::{Fleet, at, commit};

fn attempt(fleet: &Fleet, rollout: RolloutId, device: DeviceId, session: UpdateSessionId) -> Attempt {
    let firmware = &fleet.firmware;
    let target = Target {
        tenant: fleet.tenant,
        rollout: Some(rollout),
        firmware: firmware.id,
        device_type: firmware.device_type.clone(),
        component: firmware.component.clone(),
        version: firmware.version.clone(),
        release_counter: firmware.release_counter,
        groups: Vec::new(),
        dynamic_groups: Vec::new(),
        condition: None,
    };
    Attempt {
        tenant: fleet.tenant,
        device,
        candidate: CandidateRow {
            id: session,
            rollout_id: rollout,
            stage: 0,
            component: ComponentName::main(),
            firmware_id: firmware.id,
            state: SessionState::Pending,
        },
        target: Some(Arc::new(RolloutTarget::of(0, target, at(100)))),
        now: at(100),
    }
}

/// The verdicts of a set; `None` for one that failed.
async fn told(fleet: &Fleet, attempts: Vec<Attempt>) -> Vec<Option<Verdict>> {
    let verdicts = commit!(fleet.db, |tx| make_all(tx, &attempts));
    verdicts.into_iter().map(Result::ok).collect()
}

const OFFERED: Option<Verdict> = Some(Verdict::Offered);
const REFUSED: Option<Verdict> = Some(Verdict::Refused);
const CLOSED: Option<Verdict> = Some(Verdict::Closed);
const SKIPPED: Option<Verdict> = Some(Verdict::Skipped);

on_both! {
    async fn who_comes_while_there_is_no_room_is_not_judged(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 1).await;
        let mut attempts = Vec::new();
        for (n, updated) in [(10, false), (11, true), (12, false)] {
            let device = fleet.device(n, updated).await;
            attempts.push(attempt(&fleet, rollout, device, fleet.pending(300 + n, rollout, device).await));
        }
        assert_eq!(told(&fleet, attempts.clone()).await, [OFFERED, CLOSED, CLOSED]);
        assert_eq!(fleet.counters(rollout).await, [(SessionState::Pending, 2), (SessionState::Offered, 1)].into());
        assert_eq!(told(&fleet, attempts[1..].to_vec()).await, [CLOSED, CLOSED], "the place is taken");
        assert_eq!(fleet.session(attempts[1].candidate.id).await.state, SessionState::Pending);
    }

    async fn each_of_a_set_is_judged_for_itself(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 9).await;
        let mut attempts = Vec::new();
        for (n, updated) in [(10, true), (11, false), (12, false), (13, true)] {
            let device = fleet.device(n, updated).await;
            attempts.push(attempt(&fleet, rollout, device, fleet.pending(300 + n, rollout, device).await));
        }
        // It asked before the rollout was paused and resumed.
        let mut stale = attempts[2].clone();
        stale.target = stale.target.map(|target| Arc::new(RolloutTarget::of(7, target.target.clone(), at(101))));
        attempts.insert(0, stale);
        assert_eq!(told(&fleet, attempts.clone()).await, [CLOSED, SKIPPED, OFFERED, OFFERED, SKIPPED]);
        let counted = [(SessionState::Offered, 2), (SessionState::Skipped, 2)].into();
        assert_eq!(fleet.counters(rollout).await, counted);
        let skipped = fleet.session(attempts[1].candidate.id).await;
        assert_eq!((skipped.state, skipped.failure_code.as_deref()), (SessionState::Skipped, Some("same_version")));
        let offered = fleet.session(attempts[2].candidate.id).await;
        assert_eq!(offered.from_version, Some("1.0.0".parse().unwrap()));
        assert_eq!(offered.started_at, Some(at(100)));
    }

    async fn a_device_is_told_of_one_rollout_and_another_tenant_has_its_own(test: TestDb) {
        let (fleet, other) = (Fleet::new(&test, 1).await, Fleet::new(&test, 2).await);
        let (first, second) = (fleet.rollout(200, 9).await, fleet.rollout(201, 9).await);
        let device = fleet.device(10, false).await;
        let ours = [
            attempt(&fleet, first, device, fleet.pending(300, first, device).await),
            attempt(&fleet, second, device, fleet.pending(301, second, device).await),
        ];
        // The same ids, elsewhere.
        let (twin, twins) = (other.device(10, false).await, other.rollout(200, 1).await);
        let theirs = attempt(&other, twins, twin, other.pending(300, twins, twin).await);
        let set = vec![ours[0].clone(), theirs, ours[1].clone()];
        assert_eq!(told(&fleet, set).await, [OFFERED, OFFERED, REFUSED]);
        assert_eq!(told(&fleet, vec![ours[1].clone()]).await, [REFUSED], "it is at work");
        assert_eq!(fleet.counters(second).await, [(SessionState::Pending, 1)].into());
    }

    async fn who_is_left_out_may_close_the_gate_for_the_others(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let states = [StageState::Passed, StageState::Running];
        let rollout = fleet.rollout_of(200, &states, |plan| {
            (plan.rollback_threshold, plan.min_sample) = (Some(0.2), Some(9));
        });
        let rollout = rollout.await;
        // One of four failed: too few to say so while a fifth is to come, and enough when it does not.
        let failed = Some(FailureClass::Crash);
        let so_far = [(0, SessionState::Succeeded, None, 9), (1, SessionState::Succeeded, None, 3), (1, SessionState::Failed, failed, 1)];
        for (stage, state, class, sessions) in so_far {
            commit!(fleet.db, |tx| counters::add(tx, fleet.tenant, rollout, stage, state, class, sessions));
        }
        let (straggler, misfit) = (fleet.device(10, false).await, fleet.device(11, true).await);
        let fits = attempt(&fleet, rollout, straggler, fleet.pending(300, rollout, straggler).await);
        let mut fifth = attempt(&fleet, rollout, misfit, fleet.pending_in(301, rollout, 1, misfit).await);
        fifth.candidate.stage = 1;
        assert_eq!(told(&fleet, vec![fits.clone(), fifth]).await, [CLOSED, SKIPPED]);
        assert_eq!(fleet.session(fits.candidate.id).await.state, SessionState::Pending);
    }

    async fn a_target_asks_about_the_moment_at_which_it_was_read(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let rollout = fleet.rollout(200, 9).await;
        let device = fleet.device(10, false).await;
        let mut attempt = attempt(&fleet, rollout, device, fleet.pending(300, rollout, device).await);
        let mut target = attempt.target.as_ref().unwrap().target.clone();
        // Who asks was seen in that moment, though it asks half a second later.
        let now_and_not_later = Condition::parse("device.last_seen <= now").unwrap();
        target.condition = Some(Selection::new(now_and_not_later, &GroupIds::new(), at(99)).unwrap());
        attempt.target = Some(Arc::new(RolloutTarget::of(0, target, at(99))));
        assert_eq!(told(&fleet, vec![attempt]).await, [OFFERED]);
    }

    async fn a_rollout_that_cannot_be_read_fails_alone(test: TestDb) {
        let fleet = Fleet::new(&test, 1).await;
        let (good, bad) = (fleet.rollout(200, 9).await, fleet.rollout(201, 9).await);
        let (one, two) = (fleet.device(10, false).await, fleet.device(11, false).await);
        let set = vec![
            attempt(&fleet, bad, two, fleet.pending(301, bad, two).await),
            attempt(&fleet, good, one, fleet.pending(300, good, one).await),
        ];
        let spoil = "UPDATE rollouts SET policy = '[]' WHERE name = 'rollout-201'";
        commit!(fleet.db, |tx| async { drover_db::on_tx!(tx, |c| sqlx::raw_sql(spoil).execute(c).await.map(drop)) });
        assert_eq!(told(&fleet, set).await, [None, OFFERED]);
    }
}

//! The database: reachable, of the right schema, with a clock like ours, with somebody at work.

use std::time::Duration;

use drover_app::checkup::{CheckupError, DatabaseFacts, DeviceCounts, LeaseFact, OverdueRollout};
use drover_types::Timestamp;

use super::finding::{Finding, chain};

const SLOW: Duration = Duration::from_millis(500);
const SKEW_TOLD: Duration = Duration::from_secs(1);
const SKEW_WRONG: Duration = Duration::from_secs(30);
/// A holder that went away this long ago should have been followed.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);

/// What it answered.
pub(crate) type Facts = Result<DatabaseFacts, CheckupError>;

/// Says whether it can be used at all.
pub(crate) fn judge_connection(address: &str, facts: &Facts) -> Vec<Finding> {
    let name = "database";
    let answer = match facts {
        Ok(answer) => answer,
        Err(error) if error.is_missing() => {
            let next = "a first start makes it; if there is one elsewhere, name it with --database or --data";
            return vec![Finding::warn(name, format!("{address} does not exist yet"), next)];
        }
        Err(error) if error.is_foreign_schema() => {
            let next = "use the drover that this database was last started with, or a newer one";
            return vec![Finding::fail("schema", chain(error), next)];
        }
        Err(error) => {
            let next = "check --database, that the server runs, and that user and password fit";
            return vec![Finding::fail(name, format!("{address}: {}", chain(error)), next)];
        }
    };
    let seen = format!("{address} answered in {} ms", answer.took.as_millis());
    let slow = "find out what keeps the database or the network to it busy";
    let speed = match answer.refuses_writes {
        Some(why) => {
            let next = "name the primary with --database, and a user who owns the tables";
            Finding::fail(name, format!("{address}: {why}"), next)
        }
        None if answer.took > SLOW => Finding::warn(name, seen, slow),
        None => Finding::ok(name, seen),
    };
    let schema = match answer.pending_steps {
        0 => Finding::ok("schema", "up to date"),
        steps => {
            let next = "take a backup, then `drover migrate`; a start does it too";
            Finding::warn("schema", format!("{steps} steps are pending"), next)
        }
    };
    let mut findings = vec![speed, schema, judge_clock(answer.clock, answer.asked_at)];
    if let Some((target, moved_at)) = &answer.moved {
        let next = "use --database and --blobs of there; to go on here, `drover admin undo-copy`";
        findings.push(Finding::fail("installation", format!("it was moved to {target} at {moved_at}"), next));
    }
    findings
}

fn judge_clock(theirs: Timestamp, ours: Timestamp) -> Finding {
    let name = "clock";
    let skew = theirs.since(ours).max(ours.since(theirs));
    let seen = format!("it differs by {} ms from the database's", skew.as_millis());
    let next = "let NTP set both clocks: timedatectl set-ntp true";
    match skew {
        skew if skew > SKEW_WRONG => Finding::fail(name, seen, next),
        skew if skew > SKEW_TOLD => Finding::warn(name, seen, next),
        _ => Finding::ok(name, seen),
    }
}

/// Says whether the work of the background gets done.
pub(crate) fn judge_work(facts: &DatabaseFacts) -> Vec<Finding> {
    let is_held = facts.leases.iter().any(|lease| lease.expires_at > facts.clock);
    let mut findings: Vec<Finding> = facts.leases.iter().map(|lease| judge_lease(lease, facts.clock)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("duties", "no server has run on this database"));
    }
    findings.extend(facts.overdue.iter().map(|rollout| judge_overdue(rollout, facts.clock, is_held)));
    findings.push(judge_devices(facts.devices));
    findings
}

fn judge_lease(lease: &LeaseFact, now: Timestamp) -> Finding {
    let name = "duties";
    let LeaseFact { name: duty, holder, expires_at } = lease;
    let since = now.since(*expires_at);
    if *expires_at > now {
        return Finding::ok(name, format!("{duty}: done by {holder}"));
    }
    if expires_at.as_micros() == 0 {
        return Finding::ok(name, format!("{duty}: given back by {holder}"));
    }
    let seen = format!("{duty}: {holder} went away {} s ago without giving it back", since.as_secs());
    if since < ABANDONED_AFTER {
        return Finding::ok(name, seen);
    }
    Finding::warn(
        name,
        format!("{seen}, and nobody took over"),
        "start a server; look into the log of the one that went",
    )
}

fn judge_overdue(rollout: &OverdueRollout, now: Timestamp, is_driven: bool) -> Finding {
    let OverdueRollout { name, state, next_tick_at, .. } = rollout;
    let minutes = now.since(*next_tick_at).as_secs() / 60;
    let seen = format!("rollout {name:?} is {state} and nobody has looked at it for {minutes} min");
    if is_driven {
        let next = "look for \"failed to drive a rollout\" in the servers' logs; `drover rollout pause` stops it";
        return Finding::fail("rollouts", seen, next);
    }
    Finding::warn("rollouts", seen, "start a server on this database: drover serve")
}

/// Half of the fleet silent is rarely the devices' fault.
fn judge_devices(counts: DeviceCounts) -> Finding {
    let DeviceCounts { devices, silent } = counts;
    let seen = format!("{devices} registered, {silent} of them not seen for an hour");
    if devices >= 10 && silent > devices / 2 {
        let next = "if they should be online: check that they reach public_url, and its certificate";
        return Finding::warn("devices", seen, next);
    }
    Finding::ok("devices", seen)
}

#[cfg(test)]
mod tests {
    use drover_types::{RolloutId, RolloutState, TenantId};

    use super::*;
    use crate::doctor::finding::Level;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn healthy() -> DatabaseFacts {
        let lease = LeaseFact {
            name: "rollout-driver".to_owned(),
            holder: "one".to_owned(),
            expires_at: NOW.plus(Duration::from_secs(3)),
        };
        let devices = DeviceCounts { devices: 100, silent: 3 };
        DatabaseFacts {
            pending_steps: 0,
            clock: NOW,
            asked_at: NOW,
            took: Duration::from_millis(3),
            refuses_writes: None,
            moved: None,
            leases: vec![lease],
            overdue: Vec::new(),
            devices,
        }
    }

    fn overdue() -> OverdueRollout {
        OverdueRollout {
            tenant_id: TenantId::generate(NOW, 1),
            id: RolloutId::generate(NOW, 2),
            name: "v2".to_owned(),
            state: RolloutState::Active,
            next_tick_at: NOW.minus(Duration::from_mins(9)),
        }
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().expect("something was found")
    }

    fn connected(answer: DatabaseFacts) -> Vec<Finding> {
        judge_connection("sqlite:x", &Ok(answer))
    }

    #[test]
    fn a_healthy_database() {
        assert_eq!(worst(&connected(healthy())), Level::Ok);
        assert_eq!(worst(&judge_work(&healthy())), Level::Ok);
    }

    #[test]
    fn slow_old_or_with_another_time() {
        assert_eq!(worst(&connected(DatabaseFacts { took: Duration::from_secs(1), ..healthy() })), Level::Warn);
        assert_eq!(worst(&connected(DatabaseFacts { pending_steps: 2, ..healthy() })), Level::Warn);
        for (skew, level) in [(500, Level::Ok), (5_000, Level::Warn), (60_000, Level::Fail)] {
            let skew = Duration::from_millis(skew);
            for clock in [NOW.plus(skew), NOW.minus(skew)] {
                assert_eq!(worst(&connected(DatabaseFacts { clock, ..healthy() })), level, "{skew:?}");
            }
        }
    }

    #[test]
    fn one_that_takes_no_changes_or_was_left() {
        assert_eq!(worst(&connected(DatabaseFacts { refuses_writes: Some("a standby"), ..healthy() })), Level::Fail);
        let moved = Some(("postgres://db/drover".to_owned(), NOW));
        assert_eq!(worst(&connected(DatabaseFacts { moved, ..healthy() })), Level::Fail);
    }

    #[test]
    fn work_that_nobody_does() {
        let mut abandoned = healthy();
        abandoned.leases[0].expires_at = NOW.minus(Duration::from_secs(20));
        assert_eq!(worst(&judge_work(&abandoned)), Level::Ok, "another may just take over");
        abandoned.leases[0].expires_at = NOW.minus(Duration::from_mins(5));
        assert_eq!(worst(&judge_work(&abandoned)), Level::Warn);
        abandoned.leases[0].expires_at = Timestamp::from_micros(0);
        assert_eq!(worst(&judge_work(&abandoned)), Level::Ok, "given back");
        abandoned.overdue.push(overdue());
        let found = judge_work(&abandoned);
        assert_eq!(worst(&found), Level::Warn);
        assert!(
            found.iter().any(|finding| finding.seen.contains("\"v2\" is active") && finding.seen.contains("9 min"))
        );
        let stuck = DatabaseFacts { overdue: vec![overdue()], ..healthy() };
        assert_eq!(worst(&judge_work(&stuck)), Level::Fail);
    }

    #[test]
    fn a_fleet_that_went_silent() {
        let silent = |devices, silent| DatabaseFacts { devices: DeviceCounts { devices, silent }, ..healthy() };
        assert_eq!(worst(&judge_work(&silent(100, 60))), Level::Warn);
        assert_eq!(worst(&judge_work(&silent(3, 3))), Level::Ok, "three parked vans are no sign");
    }
}

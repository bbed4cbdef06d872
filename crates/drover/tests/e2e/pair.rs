//! Two servers on one database, and the sudden death of either.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::run;
use serde_json::Value;
use tempfile::TempDir;

use crate::fleet::Fleet;
use crate::operator::Operator;
use crate::server::{Profile, Server};
use crate::story;
use crate::wait::until;

const DEVICES: usize = 110;
const KILLS: usize = 10;

/// In each stage devices are updated while one of the servers, now this, now that, is killed and comes back. In the end
/// every device was told of exactly one session, each session succeeded, and the counters say what the rows say.
pub(crate) async fn killed_ten_times() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut first = Server::start(Profile::Cluster, folder.path()).await;
    let mut second = Server::beside(&first, &folder.path().join("second")).await;
    let operator = Operator::log_in(folder.path(), &first);
    let fleet = Fleet::start(&[&first, &second], DEVICES).await;
    operator.publish(&story::content(folder.path(), "1.0.0", 64, 1, story::GOOD), "1.0.0", "1");
    let stages = [
        "--stage",
        "20",
        "--stage",
        "60",
        "--stage",
        "100",
        "--max-in-flight",
        "8",
        "--success-threshold",
        "100%",
        "--start",
    ];
    let create = ["rollout", "create", "--firmware", "robot@1.0.0", "--name", "1.0.0"];
    operator.run(&[&create[..], &stages].concat());

    for kill in 1..=KILLS {
        let goal = DEVICES * kill / (KILLS + 1);
        until(&format!("{goal} devices to be told"), async || (told(&fleet) >= goal).then_some(())).await;
        assert!(told(&fleet) < DEVICES, "killed in mid-rollout");
        if kill % 2 == 0 { &mut first } else { &mut second }.kill_and_restart().await;
    }
    operator.wait_for_rollout("1.0.0", "completed").await;

    for (number, sessions) in fleet.told().iter().enumerate() {
        assert_eq!(sessions.len(), 1, "device {number} was told of {sessions:?}");
    }
    let sessions: Vec<Value> = operator.all(&["rollout", "sessions", "1.0.0"]);
    let devices: BTreeSet<_> = sessions.iter().map(|one| one["device_id"].to_string()).collect();
    assert_eq!((sessions.len(), devices.len()), (DEVICES, DEVICES));
    assert!(sessions.iter().all(|one| one["state"] == "succeeded"));
    assert_eq!(counted(&first).await, real(&first).await);
}

fn told(fleet: &Fleet) -> usize {
    fleet.told().iter().filter(|sessions| !sessions.is_empty()).count()
}

/// Sessions by stage and state, as the counters have them.
async fn counted(server: &Server) -> BTreeMap<(i64, String), i64> {
    let sql = "SELECT stage, state, CAST(SUM(sessions) AS BIGINT) FROM rollout_counters GROUP BY stage, state \
               HAVING SUM(sessions) <> 0";
    rows(server, sql).await
}

/// Sessions by stage and state, as they are.
async fn real(server: &Server) -> BTreeMap<(i64, String), i64> {
    rows(server, "SELECT stage, state, COUNT(*) FROM update_sessions GROUP BY stage, state").await
}

async fn rows(server: &Server, sql: &'static str) -> BTreeMap<(i64, String), i64> {
    let rows: Result<Vec<(i64, String, i64)>, sqlx::Error> =
        async { run!(server.database(), |c| sqlx::query_as(sql).fetch_all(c).await) }.await;
    let rows = rows.expect("the counters can be read");
    rows.into_iter().map(|(stage, state, sessions)| ((stage, state), sessions)).collect()
}

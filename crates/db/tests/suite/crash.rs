//! A process that is killed has kept every promise it made.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use drover_db::{Db, OpenOptions, Writer, on_both};

use crate::support::{add, ids, set_up};

const URL_VARIABLE: &str = "DROVER_DB_CRASH_URL";
const WRITERS: i64 = 32;
const ANSWERS_BEFORE_THE_KILL: usize = 400;

/// Not a test by itself: the process that the test below starts and kills. It prints every answered item.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Ok(url) = std::env::var(URL_VARIABLE) else { return };
    let db = Db::open(&url, &OpenOptions::default()).await.unwrap();
    let writer = Writer::start(db);
    let writers = (0..WRITERS).map(|lane| {
        let writer = writer.clone();
        async move {
            for turn in 0.. {
                let id = writer.write_batched(add(turn * WRITERS + lane)).await.unwrap();
                println!("answered {id}");
            }
        }
    });
    futures::future::join_all(writers).await;
}

on_both! {
    async fn what_was_answered_survives_a_kill(test: TestDb) {
        let db = set_up(&test).await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_process_that_is_killed", "--nocapture"])
            .env(URL_VARIABLE, test.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let answer = |line: String| line.split_once("answered ").and_then(|(_, id)| id.parse::<i64>().ok());
        let answered: Vec<i64> = lines.filter_map(answer).take(ANSWERS_BEFORE_THE_KILL).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(answered.len(), ANSWERS_BEFORE_THE_KILL, "the process ended by itself");
        let kept = ids(&db).await;
        for id in answered {
            assert!(kept.binary_search(&id).is_ok(), "item {id} was answered and is not there");
        }
    }
}

//! A long file, and a command line that is killed while it sends it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::operator::Operator;
use crate::server::{Profile, Server};
use crate::wait::until;

/// Nine parts.
const SIZE_BYTES: usize = 136 * 1024 * 1024 + 5;
const PARTS: usize = 9;

fn file(folder: &Path) -> PathBuf {
    let path = folder.join("large.bin");
    let words = (0_u32..).map(|word| word.wrapping_mul(0x9E37_79B9).to_le_bytes());
    let bytes: Vec<u8> = words.take(SIZE_BYTES / 4 + 1).flatten().take(SIZE_BYTES).collect();
    std::fs::write(&path, bytes).expect("written");
    path
}

/// When each part arrived.
fn arrivals(upload: &Value) -> BTreeMap<u64, String> {
    let parts = upload["parts"].as_array().into_iter().flatten();
    let arrival = |part: &Value| {
        let number = part["number"].as_u64().expect("a number");
        (number, part["uploaded_at"].as_str().expect("a time").to_owned())
    };
    parts.map(arrival).collect()
}

/// The only upload there is, with its parts.
fn upload(operator: &Operator) -> Option<Value> {
    let list = operator.json(&["upload", "list"]);
    let id = list["items"].get(0)?["id"].as_str().expect("an id").to_owned();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "it is continued, not begun again: {list}");
    Some(operator.json(&["upload", "show", &id]))
}

/// Killed with some parts there; run again, it sends the others, and the server has the right bytes.
pub(crate) async fn killed_in_the_middle(profile: Profile) {
    let folder = TempDir::new().expect("a temporary folder");
    let mut server = Server::start(profile, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let path = file(folder.path());
    let put = ["object", "put", "large/file.bin", path.to_str().expect("a plain path")];

    let mut sending = operator.start(&put);
    let early =
        until("the first parts", async || upload(&operator).filter(|upload| !arrivals(upload).is_empty())).await;
    sending.kill().expect("it runs");
    assert!(!sending.wait().expect("it ended").success(), "it was killed before it was done: {early}");
    // What was on its way arrives or breaks off; then nothing comes any more.
    server.kill_and_restart().await;
    let before = upload(&operator).expect("the upload is known");
    let there = arrivals(&before);
    assert_eq!(before["state"], "open");
    assert!((1..PARTS).contains(&there.len()), "killed in the middle, with {} parts", there.len());

    let stored: Value = operator.json(&put);
    assert_eq!(stored["size_bytes"], SIZE_BYTES);
    let after = upload(&operator).expect("the upload is known");
    assert_eq!((&after["state"], &after["parts_received"]), (&Value::from("complete"), &Value::from(PARTS)));
    assert_eq!(stored["checksum"], after["sha256"]);
    let all = arrivals(&after);
    for (number, arrived_at) in &there {
        assert_eq!(all.get(number), Some(arrived_at), "part {number} was sent again");
    }
    if profile == Profile::Cluster {
        let parts = after["parts"].as_array().expect("parts");
        assert!(parts.iter().all(|part| part["sha256"].is_null()), "the parts went past the server: {parts:?}");
    }
    let url = operator.run(&["presign", "large/file.bin"]);
    let url = url.split_whitespace().find(|word| word.starts_with("http")).expect("an address").to_owned();
    let fetched = folder.path().join("fetched.bin");
    let curl = std::process::Command::new("curl").args(["-sf", "-o"]).arg(&fetched).arg(url).status();
    assert!(curl.expect("curl runs").success());
    assert!(std::fs::read(fetched).expect("fetched") == std::fs::read(path).expect("sent"), "the bytes differ");
}

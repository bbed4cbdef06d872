//! Downloads against a server that answers exactly what a test tells it to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drover_trust::testing::TestAuthority;
use drover_trust::{ServerPin, sha256};
use drover_types::{SystemClock, Timestamp};
use drover_uplink::{DeviceTime, Download, DownloadError, MinRate, Network, download, download_at_least, http_client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

const BODY: &[u8] = b"0123456789";

/// Answers each connection with the next of its answers and keeps what was asked.
struct Script {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// An answer; the connection is closed after it, or held open for ever.
#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
    holds: bool,
}

fn answer(head: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Answer { bytes, holds: false }
}

fn whole() -> Answer {
    answer("200 OK\r\ncontent-length: 10\r\netag: \"v1\"", BODY)
}

/// The first four bytes of ten.
fn cut() -> Answer {
    answer("200 OK\r\ncontent-length: 10\r\netag: \"v1\"", &BODY[..4])
}

impl Script {
    async fn new(answers: Vec<Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut held = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let request = read_request(&mut stream).await;
                log.lock().expect("whole").push(request);
                stream.write_all(&answer.bytes).await.expect("sent");
                stream.flush().await.expect("sent");
                if answer.holds {
                    held.push(stream);
                }
            }
            // Held connections stay open as long as the test runs.
            std::future::pending::<()>().await;
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    String::from_utf8_lossy(&request).to_lowercase()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn dest(&self) -> PathBuf {
        self.0.path().join("app.tar.gz")
    }

    fn part(&self) -> PathBuf {
        self.0.path().join("app.tar.gz.part")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("there");
        let mut names: Vec<_> = entries.map(|e| e.expect("there").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn assert_whole(&self) {
        assert_eq!(std::fs::read(self.dest()).expect("there"), BODY);
        assert_eq!(self.names(), ["app.tar.gz"]);
    }
}

fn request<'a>(url: &'a str, dest: &'a Path, body: &[u8]) -> Download<'a> {
    Download {
        url,
        dest,
        size_bytes: body.len() as u64,
        sha256: sha256(body),
        throttle_bytes_per_s: None,
        stall_timeout: Duration::from_secs(10),
    }
}

async fn fetch(script: &Script, place: &Place) -> Result<(), DownloadError> {
    let dest = place.dest();
    let http = Network::new(http_client().expect("a client"));
    download(&http, &request(&script.address, &dest, BODY), &mut |_| {}, &CancellationToken::new()).await
}

#[tokio::test]
async fn a_whole_body_gets_its_name() {
    let (script, place) = (Script::new(vec![whole()]).await, Place::new());
    let dest = place.dest();
    let mut seen = Vec::new();
    let http = Network::new(http_client().expect("a client"));
    let asked = request(&script.address, &dest, BODY);
    download(&http, &asked, &mut |bytes| seen.push(bytes), &CancellationToken::new()).await.expect("whole");
    place.assert_whole();
    assert_eq!(seen.last(), Some(&10));
    assert!(!script.asked()[0].contains("authorization"));
    // What is there is not asked for again.
    fetch(&script, &place).await.expect("there already");
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was() {
    let rest =
        answer("206 Partial Content\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6\r\netag: \"v1\"", &BODY[4..]);
    let (script, place) = (Script::new(vec![cut(), rest]).await, Place::new());
    let error = fetch(&script, &place).await.expect_err("cut");
    assert!(error.is_temporary(), "{error}");
    assert_eq!(std::fs::read(place.part()).expect("kept"), b"0123");
    fetch(&script, &place).await.expect("whole");
    place.assert_whole();
    let second = &script.asked()[1];
    assert!(second.contains("range: bytes=4-") && second.contains("if-range: \"v1\""), "{second}");
}

#[tokio::test]
async fn answers_that_do_not_go_with_what_is_there_start_again() {
    let partial = |range: &str, etag: &str| {
        let head = format!("206 Partial Content\r\ncontent-range: bytes {range}\r\ncontent-length: 6\r\netag: {etag}");
        answer(&head, b"EVIL!!")
    };
    for (what, second) in [
        ("the whole in place of a part", vec![whole()]),
        ("a wrong offset", vec![partial("3-8/10", "\"v1\""), whole()]),
        ("a wrong total", vec![partial("4-9/11", "\"v1\""), whole()]),
        ("no range at all", vec![answer("206 Partial Content\r\ncontent-length: 6", b"EVIL!!"), whole()]),
        ("another entity", vec![partial("4-9/10", "\"v2\""), whole()]),
        ("range not satisfiable", vec![answer("416 Range Not Satisfiable\r\ncontent-length: 0", b""), whole()]),
    ] {
        let answers = [vec![cut()], second].concat();
        let (script, place) = (Script::new(answers).await, Place::new());
        fetch(&script, &place).await.expect_err("cut");
        if let Err(error) = fetch(&script, &place).await {
            panic!("{what}: {error}");
        }
        place.assert_whole();
    }
}

#[tokio::test]
async fn a_weak_tag_is_no_promise_about_bytes() {
    let weak = answer("200 OK\r\ncontent-length: 10\r\netag: W/\"v1\"", &BODY[..4]);
    let (script, place) = (Script::new(vec![weak, whole()]).await, Place::new());
    fetch(&script, &place).await.expect_err("cut");
    fetch(&script, &place).await.expect("whole");
    assert!(!script.asked()[1].contains("if-range"));
}

#[tokio::test]
async fn more_bytes_than_the_manifest_says_are_cut_off_at_once() {
    let mut endless = answer("200 OK", &[b'x'; 5000]);
    endless.holds = true;
    for long in [answer("200 OK\r\ncontent-length: 5000", b""), endless] {
        let (script, place) = (Script::new(vec![long]).await, Place::new());
        let error = fetch(&script, &place).await.expect_err("too long");
        assert!(matches!(error, DownloadError::TooLong { expected_bytes: 10 }), "{error}");
        assert_eq!(place.names(), [""; 0]);
    }
}

#[tokio::test]
async fn a_short_body_is_kept_and_wrong_bytes_are_not() {
    let (script, place) = (Script::new(vec![answer("200 OK\r\ncontent-length: 4", &BODY[..4])]).await, Place::new());
    let error = fetch(&script, &place).await.expect_err("short");
    assert!(matches!(error, DownloadError::Truncated { received_bytes: 4, expected_bytes: 10 }), "{error}");
    assert_eq!(std::fs::read(place.part()).expect("kept"), b"0123");

    let evil = answer("200 OK\r\ncontent-length: 10", b"0123456780");
    let (script, place) = (Script::new(vec![evil]).await, Place::new());
    let error = fetch(&script, &place).await.expect_err("wrong");
    assert!(matches!(error, DownloadError::DigestMismatch { resumed: false, .. }) && !error.is_temporary(), "{error}");
    assert_eq!(place.names(), [""; 0]);
}

#[tokio::test]
async fn a_part_that_spoiled_on_disk_is_fetched_again() {
    let rest = answer("206 Partial Content\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6", &BODY[4..]);
    let (script, place) = (Script::new(vec![rest, whole()]).await, Place::new());
    std::fs::write(place.part(), b"012X").expect("written");
    let error = fetch(&script, &place).await.expect_err("spoiled");
    assert!(matches!(error, DownloadError::DigestMismatch { resumed: true, .. }) && error.is_temporary(), "{error}");
    fetch(&script, &place).await.expect("whole");
    std::fs::write(place.dest(), b"spoiled later").expect("written");
    let script = Script::new(vec![whole()]).await;
    fetch(&script, &place).await.expect("whole again");
    place.assert_whole();
}

#[tokio::test]
async fn a_part_that_is_too_long_or_a_link_is_not_used() {
    let (script, place) = (Script::new(vec![whole()]).await, Place::new());
    std::fs::write(place.part(), [b'x'; 50]).expect("written");
    fetch(&script, &place).await.expect("whole");
    place.assert_whole();
    let (script, place) = (Script::new(vec![whole()]).await, Place::new());
    std::os::unix::fs::symlink("/dev/null", place.part()).expect("made");
    assert!(matches!(fetch(&script, &place).await, Err(DownloadError::Io { .. })));
}

#[tokio::test]
async fn statuses_say_what_to_do() {
    for (status, is_expired, is_temporary) in [
        ("403 Forbidden", true, false),
        ("404 Not Found", true, false),
        ("410 Gone", true, false),
        ("429 Too Many Requests", false, true),
        ("503 Service Unavailable", false, true),
        ("400 Bad Request", false, false),
    ] {
        let script = Script::new(vec![answer(&format!("{status}\r\ncontent-length: 0"), b"")]).await;
        let error = fetch(&script, &Place::new()).await.expect_err("no body");
        assert_eq!(matches!(error, DownloadError::UrlExpired { .. }), is_expired, "{error}");
        assert_eq!(error.is_temporary(), is_temporary, "{error}");
    }
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_and_not_in_the_clear() {
    let (target, place) = (Script::new(vec![whole()]).await, Place::new());
    let there = format!("307 Temporary Redirect\r\ncontent-length: 0\r\nlocation: {}/x", target.address);
    let script = Script::new(vec![answer(&there, b"")]).await;
    fetch(&script, &place).await.expect("whole");
    place.assert_whole();
    assert!(!target.asked()[0].contains("authorization"));

    let away = "307 Temporary Redirect\r\ncontent-length: 0\r\nlocation: http://10.0.0.1/x";
    let script = Script::new(vec![answer(away, b"")]).await;
    let error = fetch(&script, &Place::new()).await.expect_err("refused");
    assert!(error.to_string().contains("plain HTTP is for loopback only"), "{error}");

    let round = "307 Temporary Redirect\r\ncontent-length: 0\r\nlocation: /again";
    let script = Script::new(vec![answer(round, b""); 4]).await;
    let error = fetch(&script, &Place::new()).await.expect_err("refused");
    assert!(matches!(error, DownloadError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn silence_ends_and_a_cancel_ends_at_once() {
    let silent = Answer { holds: true, ..cut() };
    let (script, place) = (Script::new(vec![silent.clone()]).await, Place::new());
    let dest = place.dest();
    let http = Network::new(http_client().expect("a client"));
    let mut asked = request(&script.address, &dest, BODY);
    asked.stall_timeout = Duration::from_millis(200);
    let error = download(&http, &asked, &mut |_| {}, &CancellationToken::new()).await.expect_err("stalled");
    assert!(matches!(error, DownloadError::Stalled { received_bytes: 4, .. }) && error.is_temporary(), "{error}");
    assert_eq!(std::fs::read(place.part()).expect("kept"), b"0123");

    let (script, place) = (Script::new(vec![silent]).await, Place::new());
    let dest = place.dest();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let mut on_progress = |bytes| {
        if bytes == 4 {
            stop.cancel();
        }
    };
    let asked = request(&script.address, &dest, BODY);
    let error = download(&http, &asked, &mut on_progress, &cancel).await.expect_err("called off");
    assert!(matches!(error, DownloadError::Cancelled), "{error}");
    assert_eq!(std::fs::read(place.part()).expect("kept"), b"0123");
}

/// A server that sends a byte every 10 ms for ever.
async fn dripping_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            sent = stream.write_all(b"x").await;
        }
    });
    address
}

#[tokio::test]
async fn a_byte_now_and_then_is_not_enough() {
    let (address, place) = (dripping_server().await, Place::new());
    let (dest, body) = (place.dest(), vec![b'x'; 1_000_000]);
    let asked = request(&address, &dest, &body);
    let min_rate = MinRate { bytes: 100_000, period: Duration::from_millis(300) };
    let http = Network::new(http_client().expect("a client"));
    let cancel = CancellationToken::new();
    let mut on_progress = |_| {};
    let fetched = download_at_least(&http, &asked, min_rate, &mut on_progress, &cancel);
    let error = tokio::time::timeout(Duration::from_secs(9), fetched).await.expect("it ends").expect_err("too slow");
    assert!(matches!(error, DownloadError::Stalled { received_bytes: 1.., .. }) && error.is_temporary(), "{error}");
    let kept = std::fs::metadata(place.part()).expect("kept").len();
    assert!((1..100_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_throttle_takes_its_time() {
    let (script, place) = (Script::new(vec![whole()]).await, Place::new());
    let dest = place.dest();
    let asked = Download { throttle_bytes_per_s: Some(50), ..request(&script.address, &dest, BODY) };
    let started = Instant::now();
    let http = Network::new(http_client().expect("a client"));
    download(&http, &asked, &mut |_| {}, &CancellationToken::new()).await.expect("whole");
    assert!(started.elapsed() >= Duration::from_millis(200));
}

/// A small file system, gone with the guard.
struct SmallDisk(tempfile::TempDir);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.path().display());
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_what_came_is_kept() {
    let disk = SmallDisk(tempfile::tempdir().expect("a folder"));
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(disk.0.path());
    assert!(mount.status().expect("mount runs").success(), "this test mounts a small tmpfs: run it as root");
    let body = vec![7_u8; 1_000_000];
    let script = Script::new(vec![answer("200 OK\r\ncontent-length: 1000000", &body)]).await;
    let dest = disk.0.path().join("app.tar.gz");
    let http = Network::new(http_client().expect("a client"));
    let asked = request(&script.address, &dest, &body);
    let error = download(&http, &asked, &mut |_| {}, &CancellationToken::new()).await.expect_err("full");
    assert!(matches!(error, DownloadError::Space { .. }) && !error.is_temporary(), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(disk.0.path().join("app.tar.gz.part").exists() && !dest.exists());
}

#[tokio::test]
async fn nobody_there_is_temporary() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}/x?signature=secret", listener.local_addr().expect("bound"));
    drop(listener);
    let place = Place::new();
    let dest = place.dest();
    let http = Network::new(http_client().expect("a client"));
    let asked = request(&address, &dest, BODY);
    let error = download(&http, &asked, &mut |_| {}, &CancellationToken::new()).await.expect_err("nobody");
    assert!(error.is_temporary(), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "an address with its authority is in a message");
}

/// A device that was told to pin `pins` for a server elsewhere, and whose system knows `system`.
fn pinned(pins: &[ServerPin], system: Option<&TestAuthority>) -> Network {
    let known = system.map(|authority| reqwest::Certificate::from_der(&authority.der()).expect("a certificate"));
    let http = reqwest::Client::builder().no_proxy().tls_certs_only(known).build().expect("a client");
    let time = Arc::new(DeviceTime::new(Arc::new(SystemClock), Timestamp::from_micros(0)));
    Network::new(http).with_pins("https://127.0.0.1:1", pins, &time).expect("a network")
}

/// The server under another name, an object store of the same authority: pins are for those, too.
#[tokio::test]
async fn whoever_the_system_or_the_server_vouches_for_is_asked() {
    let (ours, theirs) = (TestAuthority::default(), TestAuthority::default());
    let whole = |_: &str, _: &[u8]| whole().bytes;
    let (our_server, their_server) = (ours.serve(whole), theirs.serve(whole));
    let get = async |network: &Network, url: &str| {
        let place = Place::new();
        let dest = place.dest();
        download(network, &request(url, &dest, BODY), &mut |_| {}, &CancellationToken::new()).await
    };
    let pins = [ours.pin()];
    assert!(get(&pinned(&pins, None), &our_server).await.is_ok());
    assert!(get(&pinned(&pins, Some(&theirs)), &their_server).await.is_ok());
    for (network, url) in [(pinned(&pins, None), &their_server), (pinned(&[], None), &our_server)] {
        let refused = get(&network, url).await.expect_err("nobody vouches for it");
        let DownloadError::Untrusted { origin, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(origin, url);
    }
}

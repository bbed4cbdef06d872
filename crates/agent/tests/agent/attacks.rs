//! Attacks and accidents: each is refused with a reason, what ran goes on, and nothing half-done is left.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_protocol::{Failure, StatusReport};
use drover_trust::PrivateKey;
use drover_types::{FailureClass, SessionState};
use tar::{Builder, EntryType, Header};

use crate::support::{Device, Firmware, Server, device_with_one, firmware, firmware_of, gzip, new_key, settle};

/// Offers something to a device that runs `one` and gives the final report: nothing else may have changed.
pub(crate) async fn refused(
    key: &PrivateKey,
    offered: &Firmware,
    misbehave: impl FnOnce(&Server),
) -> (SessionState, Failure) {
    let server = Server::start().await;
    let device = device_with_one(&server, key).await;
    server.offer(offered, 2);
    misbehave(&server);
    settle(&mut device.agent(&server.address)).await;
    let report = last_report(&server);
    assert_eq!(device.app().as_deref(), Some("one"));
    assert_eq!(device.activated(), ["1.0.0"]);
    device.assert_clean(1);
    (report.state, report.failure.expect("a reason"))
}

pub(crate) fn last_report(server: &Server) -> StatusReport {
    let mut facts = server.facts();
    assert!(facts.validations.is_empty(), "the switch was never reached");
    facts.statuses.pop().expect("reported")
}

pub(crate) fn assert_is(
    refusal: &(SessionState, Failure),
    state: SessionState,
    class: FailureClass,
    code: &str,
    words: &str,
) {
    let (found, failure) = refusal;
    assert_eq!((*found, failure.class, failure.code.as_str()), (state, class, code), "{}", failure.message);
    assert!(failure.message.contains(words), "{}", failure.message);
}

#[tokio::test]
async fn a_tampered_artifact() {
    let key = new_key();
    let refusal = refused(&key, &firmware(&key, "2.0.0", 2, "two"), |server| {
        let mut facts = server.facts();
        let blob = facts.blobs.get_mut("2.0.0.tar.gz").expect("there");
        *blob.last_mut().expect("not empty") ^= 1;
    })
    .await;
    assert_is(&refusal, SessionState::Failed, FailureClass::Verification, "digest_mismatch", "the manifest says");
}

#[tokio::test]
async fn a_longer_artifact() {
    let key = new_key();
    let refusal = refused(&key, &firmware(&key, "2.0.0", 2, "two"), |server| {
        server.facts().blobs.get_mut("2.0.0.tar.gz").expect("there").extend(vec![0; 1_000_000]);
    })
    .await;
    assert_is(&refusal, SessionState::Failed, FailureClass::Verification, "size_mismatch", "sends more than");
}

#[tokio::test]
async fn a_truncated_artifact() {
    let key = new_key();
    let refusal = refused(&key, &firmware(&key, "2.0.0", 2, "two"), |server| {
        server.facts().cut_blobs_at = Some(40);
    })
    .await;
    assert_is(&refusal, SessionState::Failed, FailureClass::Download, "truncated", "ended after 40 of");
}

#[tokio::test]
async fn an_address_that_has_expired_for_good() {
    let key = new_key();
    for status in [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE] {
        let refusal = refused(&key, &firmware(&key, "2.0.0", 2, "two"), |server| {
            server.facts().blob_status = Some(status);
        })
        .await;
        assert_is(&refusal, SessionState::Failed, FailureClass::Download, "url_expired", status.as_str());
    }
}

#[tokio::test]
async fn signatures_that_do_not_hold() {
    let (key, attacker) = (new_key(), new_key());
    let honest = firmware(&key, "2.0.0", 2, "two");
    let other_release = firmware(&key, "3.0.0", 3, "three");
    let by_attacker = firmware(&attacker, "2.0.0", 2, "two");
    // The older form of cosign carries the key that made the signature.
    let carried = |bundle: &str| {
        let signature = drover_trust::Bundle::parse(bundle.as_bytes()).expect("a bundle");
        let signature = STANDARD.encode(signature.signature());
        let pem = STANDARD.encode(attacker.public_key().to_pem());
        format!("{{\"base64Signature\":\"{signature}\",\"cert\":\"{pem}\"}}")
    };
    let with_own_key = Firmware { bundle: carried(&by_attacker.bundle), ..by_attacker.clone() };
    let cases = [
        (Firmware { bundle: other_release.bundle, ..honest.clone() }, "manifest_not_trusted", "made for"),
        (by_attacker.clone(), "manifest_not_trusted", "not pinned"),
        (with_own_key, "manifest_not_trusted", "brings its own key"),
        (Firmware { bundle: String::new(), ..honest.clone() }, "manifest_not_trusted", "malformed bundle"),
        (Firmware { signatures: by_attacker.signatures, ..honest.clone() }, "artifact_not_trusted", "not pinned"),
        (Firmware { signatures: vec![honest.bundle.clone()], ..honest }, "artifact_not_trusted", "made for"),
    ];
    for (offered, code, words) in cases {
        let refusal = refused(&key, &offered, |_| {}).await;
        assert_is(&refusal, SessionState::Rejected, FailureClass::Verification, code, words);
    }
}

#[tokio::test]
async fn an_older_counter_below_the_floor() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let mut agent = device.agent(&server.address);
    let packed = &firmware(&key, "2.0.0", 5, "two").blobs[0].1.clone();
    server.offer(&firmware_of(&key, "2.0.0", 5, packed, |manifest| manifest.rollback_floor = 4), 2);
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("two"));
    server.facts().validations.clear();
    // The way back still holds it, and the signature is good.
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 3);
    settle(&mut agent).await;
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    assert_is(&refusal, SessionState::Rejected, FailureClass::Precondition, "downgrade", "below rollback floor 4");
    assert_eq!(device.app().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_device_without_keys_installs_nothing() {
    let (server, key) = (Server::start().await, new_key());
    server.facts().release_keys = vec![key.public_key().to_pem()];
    let device = Device::new();
    device.agent(&server.address).tick().await.expect("enrolled");
    // Enrolment does not end without a key, but a file may get lost.
    std::fs::remove_dir_all(device.data_dir().join("keys")).expect("pinned");
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 1);
    settle(&mut device.agent(&server.address)).await;
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    let (state, class) = (SessionState::Rejected, FailureClass::Verification);
    assert_is(&refusal, state, class, "no_release_keys", "release_keys");
    // The server's keys are not pinned by the way: enrolment is the one moment of trust.
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 2);
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app(), None);
}

#[tokio::test]
async fn pinned_keys_stay_when_a_server_names_others() {
    let (server, key, attacker) = (Server::start().await, new_key(), new_key());
    let device = device_with_one(&server, &key).await;
    server.facts().release_keys = vec![attacker.public_key().to_pem()];
    let mut agent = device.agent(&server.address);
    agent.enrol(&drover_agent::Secret("enrolment-token".to_owned())).await.expect("enrolled again");
    server.offer(&firmware(&attacker, "2.0.0", 2, "two"), 2);
    settle(&mut agent).await;
    assert_eq!(last_report(&server).failure.expect("a reason").code, "manifest_not_trusted");
    assert_eq!(device.app().as_deref(), Some("one"));
}

pub(crate) fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").expect("fits");
        }
        header.set_cksum();
        archive.append(&header, *content).expect("in memory");
    }
    gzip(&archive.into_inner().expect("in memory"))
}

#[tokio::test]
async fn hostile_archives_in_a_genuine_signature() {
    let key = new_key();
    let zeros = vec![0; 2_000_000];
    let names: Vec<String> = (0..101).map(|index| format!("file{index}")).collect();
    let many: Vec<_> = names.iter().map(|name| (EntryType::Regular, name.as_str(), &b""[..])).collect();
    let cases: [(Vec<u8>, &str, &str); 8] = [
        (archive(&[(EntryType::Regular, "../evil", b"x")]), "unsafe_path", "leads out"),
        (archive(&[(EntryType::Regular, "/tmp/evil", b"x")]), "unsafe_path", "absolute"),
        (archive(&[(EntryType::Symlink, "link", b"")]), "unsafe_entry", "symbolic link"),
        (archive(&[(EntryType::Link, "link", b"")]), "unsafe_entry", "hard link"),
        (archive(&[(EntryType::Char, "null", b"")]), "unsafe_entry", "character device"),
        (archive(&[(EntryType::Regular, "bomb", &zeros)]), "too_many_bytes", "1000000 bytes"),
        (archive(&many), "too_many_entries", "100 files and folders"),
        (gzip(b"this is no archive"), "unreadable_archive", "cannot be read"),
    ];
    for (packed, code, words) in cases {
        let refusal = refused(&key, &firmware_of(&key, "2.0.0", 2, &packed, |_| {}), |_| {}).await;
        assert_is(&refusal, SessionState::Failed, FailureClass::Install, code, words);
    }
}

#[tokio::test]
async fn a_slot_that_is_altered_before_the_switch() {
    /// Alters the slot when it has its name.
    struct Vandal(std::path::PathBuf);
    impl drover_agent::EffectObserver for Vandal {
        fn after(&self, effect: drover_agent::Effect) {
            if effect == drover_agent::Effect::PointNew {
                std::fs::write(self.0.join("NEW/root/app"), "evil").expect("written");
            }
        }
    }
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let vandal = std::sync::Arc::new(Vandal(device.main()));
    settle(&mut crate::support::open(device.config(&server.address), vandal)).await;
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    let (state, class) = (SessionState::Failed, FailureClass::Verification);
    assert_is(&refusal, state, class, "slot_altered", "not what was written");
    assert_eq!(device.app().as_deref(), Some("one"));
    device.assert_clean(1);
}

//! TLS with the real programs.

use std::path::Path;
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::agent::{Agent, HARDWARE_ID};
use crate::operator::Operator;
use crate::server::{Profile, Server, drover};
use crate::story::{GOOD, content};
use crate::wait::until;

/// TLS also on loopback, which is what tests have.
const OWN: &[&str] = &["--tls", "on"];
const UNPINNED: &str = "proves none of the pinned keys";

fn try_drover(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let output = drover(folder).args(arguments).output().expect("drover starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

/// The same names, the same port, another authority: neither the device nor the operator says a word to it.
pub(crate) async fn man_in_the_middle() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut server = Server::start_with(Profile::Local, folder.path(), "127.0.0.1:0", OWN).await;
    let pin = server.pin.clone().expect("the own authority is pinned");
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);

    // Nobody is there to ask: nothing is trusted, and the way on is said.
    let login = ["login", "--server", &server.url, "--username", "admin", "--password-stdin"];
    let (output, text) = try_drover(folder.path(), &login);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(&format!("--pin {pin}")), "{text}");

    let operator = Operator::log_in(folder.path(), &server);
    // The doctor trusts whom the operator trusts, also where the server's data is not.
    let nowhere = folder.path().join("nowhere").display().to_string();
    let doctor = ["doctor", "--json", "--data", &nowhere, "--server", &server.url];
    let (output, text) = try_drover(folder.path(), &doctor);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect(&text);
    assert!(findings.iter().any(|one| one["name"] == "server" && one["level"] == "ok"), "{findings:#?}");
    let agent = Agent::start(folder.path(), &server);
    operator.publish(&content(folder.path(), "1.0.0", 64, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    operator.wait_for_rollout("1.0.0", "completed").await;

    let address = server.address().to_owned();
    server.kill();
    let elsewhere = TempDir::new().expect("a temporary folder");
    let other = Server::start_with(Profile::Local, elsewhere.path(), &address, OWN).await;
    assert_ne!(other.pin.as_ref(), Some(&pin));
    until("the device to refuse it", async || agent.log().contains(UNPINNED).then_some(())).await;
    let (output, text) = try_drover(folder.path(), &["device", "list"]);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains(UNPINNED) && text.contains("tell it nothing"), "{text}");
    let (output, text) = try_drover(folder.path(), &["device", "list", "--ca", &authority_of(folder.path())]);
    assert_eq!(output.status.code(), Some(7), "by its authority's certificate, too: {text}");
    drop(other);

    server.restart().await;
    operator.run(&["device", "list", "--ca", &authority_of(folder.path())]);
    operator.publish(&content(folder.path(), "1.1.0", 64, 1, GOOD), "1.1.0", "2");
    operator.roll_out("1.1.0");
    operator.wait_for_rollout("1.1.0", "completed").await;
}

fn authority_of(folder: &Path) -> String {
    folder.join("data/tls/ca.pem").display().to_string()
}

/// Certificates of one authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "the fleet's own");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Writes a new certificate and its key, one after the other.
    fn issue(&self, certificate: &Path, key: &Path) {
        let own = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let issued = params.signed_by(&own, &self.0).expect("a certificate");
        std::fs::write(certificate, format!("{}{}", issued.pem(), self.0.pem())).expect("written");
        std::fs::write(key, own.serialize_pem()).expect("written");
    }
}

/// New certificates come while a device downloads and an operator asks, and neither notices.
pub(crate) async fn new_certificate() {
    let folder = TempDir::new().expect("a temporary folder");
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let authority = Authority::new();
    authority.issue(&certificate, &key);
    let (certificate_path, key_path) = (certificate.display().to_string(), key.display().to_string());
    let files = ["--tls-cert", &certificate_path, "--tls-key", &key_path, "--tls-pin", "chain"];
    let server = Server::start_with(Profile::Local, folder.path(), "127.0.0.1:0", &files).await;
    let operator = Operator::log_in(folder.path(), &server);
    let agent = Agent::start(folder.path(), &server);
    operator.publish(&content(folder.path(), "1.0.0", 24_000_000, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    let process = Pid::from_raw(i32::try_from(server.id()).expect("an id")).expect("a process");
    let taken_over = || server.log().matches("serving a new certificate").count();
    for number in 1..=3 {
        until("some of the download", async || (agent.downloaded_bytes() > number * 2_000_000).then_some(())).await;
        authority.issue(&certificate, &key);
        kill_process(process, Signal::HUP).expect("the server runs");
        until("the certificate to be taken over", async || {
            operator.run(&["device", "list"]);
            (taken_over() >= usize::try_from(number).expect("small")).then_some(())
        })
        .await;
    }
    // One of somebody else would lock the device out: it is refused.
    Authority::new().issue(&certificate, &key);
    kill_process(process, Signal::HUP).expect("the server runs");
    until("the certificate to be refused", async || server.log().contains("of another authority").then_some(())).await;
    operator.wait_for_rollout("1.0.0", "completed").await;
    assert_eq!(operator.session("1.0.0")["state"], "succeeded");
    assert!(!agent.log().contains("failed to finish a round"), "{}", agent.log());
}

/// As OpenSSL sees it.
pub(crate) async fn old_tls() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start_with(Profile::Local, folder.path(), "127.0.0.1:0", OWN).await;
    let shake_hands = |options: &[&str]| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", server.address(), "-CAfile", &authority_of(folder.path())])
            .args(options)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is installed: scripts/setup.sh");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    };
    for good in [&["-tls1_3"][..], &["-tls1_2"], &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]] {
        let text = shake_hands(good);
        assert!(text.contains("Verify return code: 0 (ok)") && !text.contains("Cipher is (NONE)"), "{good:?}: {text}");
    }
    let any = "ALL:@SECLEVEL=0";
    for bad in [
        &["-tls1_1", "-cipher", any][..],
        &["-tls1", "-cipher", any],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
    ] {
        let text = shake_hands(bad);
        // The server said no, not this program.
        assert!(text.contains("alert") && text.contains("Cipher is (NONE)"), "{bad:?}: {text}");
    }
}

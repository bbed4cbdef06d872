//! The JavaScript implementation of sigstore judges our bundles, and we judge its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drover_trust::{PrivateKey, PublicKey, VerifyError, sha256, verify_digest};
use drover_types::KeyAlgorithm;
use tempfile::TempDir;

const CONTENT: &[u8] = b"the bytes of an artifact\n";

struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A folder with an artifact in it.
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder") };
        bench.write("artifact", CONTENT);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("read")
    }

    fn sign_in_node(&self, algorithm: &str) -> (String, PublicKey) {
        let files = ["artifact", "bundle", "key.pem"].map(|name| self.path(name));
        let output = node("sign.mjs", &[Path::new(algorithm), &files[0], &files[1], &files[2]]);
        assert!(output.status.success(), "{output:?}");
        (self.read("bundle"), PublicKey::from_pem(&self.read("key.pem")).expect("a key"))
    }

    /// Whether node accepts the artifact, the bundle and the key of this folder.
    fn verifies_in_node(&self) -> bool {
        let files = ["artifact", "bundle", "key.pem"].map(|name| self.path(name));
        let output = node("verify.mjs", &[&files[0], &files[1], &files[2]]);
        match output.status.code() {
            Some(0) => true,
            Some(1) if String::from_utf8_lossy(&output.stderr).starts_with("refused: ") => false,
            _ => panic!("{output:?}"),
        }
    }
}

fn node(script: &str, arguments: &[&Path]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    assert!(folder.join("node_modules").is_dir(), "tests/interop/node_modules is missing: run `make setup` first");
    let output = Command::new("node").arg(folder.join(script)).args(arguments).output();
    output.expect("node starts: run `make setup` first")
}

fn node_judges_our_bundles(algorithm: KeyAlgorithm) {
    let bench = Bench::new();
    let key = PrivateKey::generate(algorithm).expect("a key");
    let bundle = key.sign_digest(&sha256(CONTENT)).expect("signed").to_json();
    bench.write("bundle", &bundle);
    bench.write("key.pem", key.public_key().to_pem());
    assert!(bench.verifies_in_node());

    bench.write("artifact", b"the bytes of an Artifact\n");
    assert!(!bench.verifies_in_node(), "another artifact");
    bench.write("artifact", CONTENT);
    bench.write("bundle", key.sign_digest(&sha256(b"other")).expect("signed").to_json());
    assert!(!bench.verifies_in_node(), "the bundle of another artifact");
    bench.write("bundle", &bundle);
    bench.write("key.pem", PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key").public_key().to_pem());
    assert!(!bench.verifies_in_node(), "another key");
}

fn we_judge_the_bundles_of_node(algorithm: &str) {
    let bench = Bench::new();
    let (bundle, key) = bench.sign_in_node(algorithm);
    let pinned = std::slice::from_ref(&key);
    let digest = sha256(CONTENT);
    assert_eq!(verify_digest(&digest, bundle.as_bytes(), pinned).expect("verified"), key.fingerprint());

    let other = verify_digest(&sha256(b"other"), bundle.as_bytes(), pinned);
    assert!(matches!(other, Err(VerifyError::DigestMismatch { .. })), "{other:?}");
    let (signature_of_another_key, other_key) = Bench::new().sign_in_node(algorithm);
    let unknown = verify_digest(&digest, signature_of_another_key.as_bytes(), pinned);
    assert!(matches!(unknown, Err(VerifyError::UnknownKey { .. })), "{unknown:?}");
    let forged = signature_of_another_key.replace(&other_key.hint(), &key.hint());
    let wrong = verify_digest(&digest, forged.as_bytes(), pinned);
    assert!(matches!(wrong, Err(VerifyError::WrongSignature { .. })), "{wrong:?}");
}

#[test]
fn node_verifies_our_p256_bundles() {
    node_judges_our_bundles(KeyAlgorithm::EcdsaP256);
}

#[test]
fn node_verifies_our_rsa_bundles() {
    node_judges_our_bundles(KeyAlgorithm::Rsa);
}

#[test]
fn we_verify_p256_bundles_of_node() {
    we_judge_the_bundles_of_node("p256");
}

#[test]
fn we_verify_rsa_bundles_of_node() {
    we_judge_the_bundles_of_node("rsa");
}

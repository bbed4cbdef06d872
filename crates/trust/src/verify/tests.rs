use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::manifest::tests::example;
use crate::{PrivateKey, SignError};

/// Some algorithms take their time to make a key: one each is enough.
static KEYS: LazyLock<Vec<PrivateKey>> = LazyLock::new(|| {
    KeyAlgorithm::ALL.iter().map(|algorithm| PrivateKey::generate(*algorithm).expect("a key")).collect()
});

fn new_key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key")
}

fn pin(key: &PrivateKey) -> Vec<PublicKey> {
    vec![key.public_key()]
}

fn signed(key: &PrivateKey) -> (Vec<u8>, String) {
    let manifest = example().to_bytes();
    let bundle = key.sign_message(&manifest).expect("signed").to_json();
    (manifest, bundle)
}

/// The older form of cosign around a signature, perhaps with a key in it.
fn legacy(signature: &[u8], carried: Option<&PublicKey>) -> String {
    let mut json = serde_json::json!({ "base64Signature": STANDARD.encode(signature) });
    if let Some(key) = carried {
        json["cert"] = STANDARD.encode(key.to_pem()).into();
    }
    json.to_string()
}

#[test]
fn every_algorithm_signs_and_verifies_a_manifest() {
    let all: Vec<_> = KEYS.iter().map(PrivateKey::public_key).collect();
    for key in KEYS.iter() {
        let (manifest, bundle) = signed(key);
        let verified = verify_manifest(&manifest, bundle.as_bytes(), &all).expect("verified");
        assert_eq!(verified.value, example());
        assert_eq!(verified.key_fingerprint, key.public_key().fingerprint());
    }
}

#[test]
fn p256_and_rsa_sign_artifacts_and_ed25519_says_why_not() {
    let digest = sha256(b"gigabytes");
    let all: Vec<_> = KEYS.iter().map(PrivateKey::public_key).collect();
    for key in KEYS.iter().filter(|key| key.public_key().algorithm() != KeyAlgorithm::Ed25519) {
        let bundle = key.sign_digest(&digest).expect("signed").to_json();
        assert_eq!(verify_digest(&digest, bundle.as_bytes(), &all).expect("verified"), key.public_key().fingerprint());
        // The same signature as over the bytes in memory.
        let of_bytes = key.sign_message(b"gigabytes").expect("signed").to_json();
        assert!(verify_digest(&digest, of_bytes.as_bytes(), &all).is_ok());
    }
    let ed25519 = PrivateKey::generate(KeyAlgorithm::Ed25519).expect("a key");
    assert_eq!(ed25519.sign_digest(&digest), Err(SignError::Ed25519Digest));
    let bundle = ed25519.sign_message(b"gigabytes").expect("signed").to_json();
    let refused = verify_digest(&digest, bundle.as_bytes(), &pin(&ed25519));
    assert!(matches!(refused, Err(VerifyError::Ed25519Digest)), "{refused:?}");
}

/// The attack: an artifact under a signature that only the pinned Ed25519 key could judge.
#[test]
fn an_ed25519_key_among_the_pinned_lets_no_artifact_through() {
    let digest = sha256(b"gigabytes");
    let ed25519 = PrivateKey::generate(KeyAlgorithm::Ed25519).expect("a key");
    let signature = ed25519.sign_message(b"gigabytes").expect("signed").signature().to_vec();
    let keys = [ed25519.public_key(), new_key().public_key()];
    for signature in [signature, vec![0; 64]] {
        let refused = verify_digest(&digest, legacy(&signature, None).as_bytes(), &keys);
        assert!(matches!(refused, Err(VerifyError::WrongSignature { .. })), "{refused:?}");
    }
}

#[test]
fn without_a_pinned_key_nothing_verifies() {
    let (manifest, bundle) = signed(&new_key());
    let refused = verify_manifest(&manifest, bundle.as_bytes(), &[]);
    assert!(matches!(refused, Err(VerifyError::NoPinnedKeys)), "{refused:?}");
}

#[test]
fn the_hint_of_a_key_that_is_not_pinned_is_named() {
    let attacker = new_key();
    let (manifest, bundle) = signed(&attacker);
    let refused = verify_manifest(&manifest, bundle.as_bytes(), &pin(&new_key())).expect_err("refused");
    let expected = format!("signed with a key that is not pinned (hint {:?})", attacker.public_key().hint());
    assert_eq!(refused.to_string(), expected);
}

/// The attack: the hint of the pinned key, the signature of another.
#[test]
fn the_hint_proves_nothing() {
    let (release, attacker) = (new_key(), new_key());
    let (manifest, bundle) = signed(&attacker);
    let forged = bundle.replace(&attacker.public_key().hint(), &release.public_key().hint());
    let refused = verify_manifest(&manifest, forged.as_bytes(), &pin(&release));
    assert!(matches!(refused, Err(VerifyError::WrongSignature { tried: 1 })), "{refused:?}");
}

#[test]
fn the_hint_may_be_spelt_in_four_ways_or_missing() {
    let key = new_key();
    let (manifest, bundle) = signed(&key);
    let public = key.public_key();
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        let respelt = bundle.replace(&public.hint(), &engine.encode(public.fingerprint().as_bytes()));
        assert!(verify_manifest(&manifest, respelt.as_bytes(), &pin(&key)).is_ok(), "{respelt}");
    }
    let without = bundle.replace(&format!("{{\"hint\":\"{}\"}}", public.hint()), "{}");
    assert!(!without.contains("hint"));
    let both = [new_key().public_key(), public];
    assert!(verify_manifest(&manifest, without.as_bytes(), &both).is_ok());
    let refused = verify_manifest(&manifest, without.as_bytes(), &pin(&new_key()));
    assert!(matches!(refused, Err(VerifyError::WrongSignature { .. })), "{refused:?}");
}

/// The attack: a good signature by a key that comes with it.
#[test]
fn a_key_in_the_bundle_is_never_used() {
    let (release, attacker) = (new_key(), new_key());
    let manifest = example().to_bytes();
    let signature = attacker.sign_message(&manifest).expect("signed").signature().to_vec();
    let own = legacy(&signature, Some(&attacker.public_key()));
    let refused = verify_manifest(&manifest, own.as_bytes(), &pin(&release)).expect_err("refused");
    assert!(matches!(refused, VerifyError::OwnKey { .. }), "{refused:?}");
    assert!(refused.to_string().contains("never trusted"));
    let forged = legacy(&signature, Some(&release.public_key()));
    let refused = verify_manifest(&manifest, forged.as_bytes(), &pin(&release));
    assert!(matches!(refused, Err(VerifyError::WrongSignature { .. })), "{refused:?}");
}

#[test]
fn the_older_form_verifies_with_the_pinned_key() {
    let key = new_key();
    let manifest = example().to_bytes();
    let signature = key.sign_message(&manifest).expect("signed").signature().to_vec();
    for carried in [None, Some(key.public_key())] {
        let bundle = legacy(&signature, carried.as_ref());
        assert!(verify_manifest(&manifest, bundle.as_bytes(), &pin(&key)).is_ok());
        let digest = sha256(&manifest);
        assert!(verify_digest(&digest, bundle.as_bytes(), &pin(&key)).is_ok());
        assert!(verify_digest(&sha256(b"other"), bundle.as_bytes(), &pin(&key)).is_err());
    }
}

/// The attack: the bundle of one file beside another file.
#[test]
fn a_bundle_of_another_file_names_both_digests() {
    let key = new_key();
    let (manifest, bundle) = signed(&key);
    let mut other = example();
    other.release_counter += 1;
    let refused = verify_manifest(&other.to_bytes(), bundle.as_bytes(), &pin(&key)).expect_err("refused").to_string();
    assert!(refused.contains(&sha256(&manifest).to_string()), "{refused}");
    assert!(refused.contains(&sha256(&other.to_bytes()).to_string()), "{refused}");
}

/// The attack: a stated digest that fits the file, over a signature of another one.
#[test]
fn the_stated_digest_proves_nothing() {
    let key = new_key();
    let bundle = key.sign_digest(&sha256(b"good")).expect("signed").to_json();
    let base64 = |bytes: &[u8]| STANDARD.encode(sha256(bytes).as_bytes());
    let forged = bundle.replace(&base64(b"good"), &base64(b"evil"));
    let refused = verify_digest(&sha256(b"evil"), forged.as_bytes(), &pin(&key));
    assert!(matches!(refused, Err(VerifyError::WrongSignature { .. })), "{refused:?}");
    let refused = verify_digest(&sha256(b"good"), forged.as_bytes(), &pin(&key));
    assert!(matches!(refused, Err(VerifyError::DigestMismatch { .. })), "{refused:?}");
}

/// The attack: a signature by another algorithm's key under the same name.
#[test]
fn a_signature_of_another_algorithm_is_wrong() {
    for signer in KEYS.iter() {
        for pinned in KEYS.iter().filter(|pinned| pinned.public_key() != signer.public_key()) {
            let (manifest, bundle) = signed(signer);
            let forged = bundle.replace(&signer.public_key().hint(), &pinned.public_key().hint());
            let refused = verify_manifest(&manifest, forged.as_bytes(), &pin(pinned));
            assert!(matches!(refused, Err(VerifyError::WrongSignature { .. })), "{refused:?}");
        }
    }
}

#[test]
fn what_is_signed_must_still_be_a_manifest() {
    let key = new_key();
    let bundle = key.sign_message(b"hello").expect("signed").to_json();
    let refused = verify_manifest(b"hello", bundle.as_bytes(), &pin(&key));
    assert!(matches!(refused, Err(VerifyError::Manifest(ManifestError::Json(_)))), "{refused:?}");
}

#[test]
fn an_endless_manifest_is_not_even_hashed() {
    let refused = verify_manifest(&vec![b' '; MAX_MANIFEST_BYTES + 1], b"", &[]);
    assert!(matches!(refused, Err(VerifyError::Manifest(ManifestError::TooLarge { .. }))), "{refused:?}");
}

fn flipped(bytes: &[u8], index: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let index = index % bytes.len();
    bytes[index] ^= 1 << bit;
    bytes
}

proptest! {
    #[test]
    fn any_flipped_bit_of_the_manifest_is_refused(index: usize, bit in 0_u8..8, which in 0..3_usize) {
        let key = &KEYS[which];
        let (manifest, bundle) = signed(key);
        let changed = flipped(&manifest, index, bit);
        prop_assert!(verify_manifest(&changed, bundle.as_bytes(), &pin(key)).is_err());
        // Also where the bundle says nothing about the digest.
        let signature = key.sign_message(&manifest).expect("signed").signature().to_vec();
        let bare = legacy(&signature, None);
        prop_assert!(verify_manifest(&manifest, bare.as_bytes(), &pin(key)).is_ok());
        prop_assert!(verify_manifest(&changed, bare.as_bytes(), &pin(key)).is_err());
    }

    #[test]
    fn any_flipped_bit_of_the_signature_is_refused(index: usize, bit in 0_u8..8, which in 0..3_usize) {
        let key = &KEYS[which];
        let manifest = example().to_bytes();
        let signature = key.sign_message(&manifest).expect("signed").signature().to_vec();
        let bare = legacy(&flipped(&signature, index, bit), None);
        prop_assert!(verify_manifest(&manifest, bare.as_bytes(), &pin(key)).is_err());
    }

    #[test]
    fn a_cut_or_stretched_signature_is_refused(
        keep: usize,
        tail in prop::collection::vec(any::<u8>(), 0..4),
        which in 0..3_usize,
    ) {
        let key = &KEYS[which];
        let manifest = example().to_bytes();
        let signature = key.sign_message(&manifest).expect("signed").signature().to_vec();
        let mut changed = signature[..=keep % signature.len()].to_vec();
        changed.extend(tail);
        prop_assume!(changed != signature);
        prop_assert!(verify_manifest(&manifest, legacy(&changed, None).as_bytes(), &pin(key)).is_err());
    }

    #[test]
    fn any_flipped_bit_of_the_digest_is_refused(index: usize, bit in 0_u8..8, which in 0..2_usize, content: Vec<u8>) {
        let key = &KEYS[which];
        let digest = sha256(&content);
        let bundle = key.sign_digest(&digest).expect("signed").to_json();
        let bytes: [u8; 32] = flipped(digest.as_bytes(), index, bit).try_into().expect("as long as before");
        let changed = Sha256Digest::from_bytes(bytes);
        let refused = verify_digest(&changed, bundle.as_bytes(), &pin(key));
        prop_assert!(matches!(refused, Err(VerifyError::DigestMismatch { .. })), "{:?}", refused);
        let stated = |digest: &Sha256Digest| STANDARD.encode(digest.as_bytes());
        let restated = bundle.replace(&stated(&digest), &stated(&changed));
        prop_assert!(verify_digest(&changed, restated.as_bytes(), &pin(key)).is_err());
        prop_assert!(verify_digest(&digest, restated.as_bytes(), &pin(key)).is_err());
    }

    #[test]
    fn any_bytes_as_bundle_are_refused_not_a_panic(bundle: Vec<u8>) {
        prop_assert!(verify_manifest(&example().to_bytes(), &bundle, &pin(&KEYS[0])).is_err());
    }
}

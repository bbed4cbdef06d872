//! Artifacts beyond 4 GiB: no length on the way from the bytes to the signature is a 32-bit number.

use drover_trust::{Hasher, PrivateKey, VerifyError, verify_digest};
use drover_types::KeyAlgorithm;

const MIB: usize = 1 << 20;

#[test]
fn five_gib_are_signed_and_a_changed_last_byte_is_refused() {
    let zeros = vec![0_u8; MIB];
    let mut but_one = Hasher::new();
    (0..5 * 1024 - 1).for_each(|_| but_one.update(&zeros));
    but_one.update(&zeros[1..]);
    let ended_by = |last: u8| {
        let mut hasher = but_one.clone();
        hasher.update(&[last]);
        hasher.finish()
    };
    // As `head -c 5G /dev/zero | sha256sum` computes it.
    assert_eq!(ended_by(0).to_string(), "7f06c62352aebd8125b2a1841e2b9e1ffcbed602f381c3dcb3200200e383d1d5");

    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let bundle = key.sign_digest(&ended_by(0)).expect("signed").to_json();
    assert!(verify_digest(&ended_by(0), bundle.as_bytes(), &[key.public_key()]).is_ok());
    let refused = verify_digest(&ended_by(1), bundle.as_bytes(), &[key.public_key()]);
    assert!(matches!(refused, Err(VerifyError::DigestMismatch { .. })), "{refused:?}");
}

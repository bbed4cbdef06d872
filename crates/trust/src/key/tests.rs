use super::*;
use crate::PrivateKey;

/// The example key of RFC 8410 §10.3, public knowledge.
const RFC_8410_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RFC_8410_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpe2uuxtu+LzwZn7nQWgRbPZ/Ajw7
ml7q/GyMFFQukuLns5+EghAT/zFgmZLbMIfqk+R2eBz8Fg+cOKUgTtu4gA==
-----END PUBLIC KEY-----
";
/// The same key with a compressed point.
const P256_COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACpe2uuxtu+LzwZn7nQWgRbPZ/Ajw7
ml7q/GyMFFQukuI=
-----END PUBLIC KEY-----
";
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEaIF7LulE4iRGPk1BaN8dv/UrNRt6XgYm
Mg7/9brPZN7kVUXaPVvLV8KfwmYXrS9KL9HLBNkDpU+kjHjkfrOrqzmdPHvNWuwz
ueMsHdpkRm/XGjxQxxfU0nZAGVK4aKRH
-----END PUBLIC KEY-----
";
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCvB6bXu+5pAbRj9gJLBkU+a9MW
34S3Ylr9IyHPOmYDXboWx2TWFy72AIVAdcrNmILX9jNtZc2xLO3OBrTgWdcYec6V
6rtsnVsbQDBA+HTykv5p7ul+YnHUbHOs/OM2tmDLZUjMbq2PP8XRm2AUV81ZLiO2
WoqzdGnB6MUjLD4pWwIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn the_key_of_rfc_8410_has_its_public_key_and_the_hint_that_openssl_computes() {
    let private = PrivateKey::from_pem(RFC_8410_PRIVATE).expect("a key");
    assert_eq!(private.to_pem(), RFC_8410_PRIVATE);
    let public = private.public_key();
    assert_eq!(public.to_pem(), RFC_8410_PUBLIC);
    assert_eq!(public, PublicKey::from_pem(RFC_8410_PUBLIC).expect("a key"));
    assert_eq!(public.algorithm(), KeyAlgorithm::Ed25519);
    assert_eq!(public.hint(), "oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8=");
    assert_eq!(STANDARD.encode(public.fingerprint().as_bytes()), public.hint());
}

#[test]
fn every_algorithm_survives_pem_both_ways() {
    for algorithm in KeyAlgorithm::ALL {
        let private = PrivateKey::generate(*algorithm).expect("a key");
        let again = PrivateKey::from_pem(&private.to_pem()).expect("own text");
        assert_eq!(again.public_key(), private.public_key());
        assert_eq!(PublicKey::from_pem(&private.public_key().to_pem()), Ok(private.public_key()));
        assert_eq!(private.public_key().algorithm(), *algorithm);
    }
}

#[test]
fn two_keys_are_never_the_same() {
    let key = || PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key").public_key().fingerprint();
    assert_ne!(key(), key());
}

#[test]
fn weak_and_foreign_keys_are_refused() {
    assert_eq!(PublicKey::from_pem(P384), Err(KeyError::Unsupported));
    assert_eq!(PublicKey::from_pem(RSA_1024), Err(KeyError::Unsupported));
    assert_eq!(PublicKey::from_pem(RFC_8410_PRIVATE), Err(KeyError::PrivateGiven));
    let label = PrivateKey::from_pem(P256).expect_err("a public key");
    assert!(label.to_string().contains("expected \"PRIVATE KEY\""), "{label}");
}

#[test]
fn a_key_has_one_spelling_and_one_fingerprint() {
    let key = PublicKey::from_pem(P256).expect("a key");
    assert_eq!(PublicKey::from_pem(P256_COMPRESSED), Err(KeyError::NotCanonical));
    let bare_point = &key.spki[26..];
    assert_eq!(PublicKey::from_spki(bare_point), Err(KeyError::NotCanonical));
    let with_a_tail = [&key.spki[..], b"\0"].concat();
    assert!(PublicKey::from_spki(&with_a_tail).is_err());
}

#[test]
fn the_secret_is_never_printed() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let key = PrivateKey::generate(algorithm).expect("a key");
        let shown = format!("{key:?}");
        let secret = key.to_pem();
        let middle = secret.lines().nth(1).expect("base64");
        assert!(shown.contains("secret not shown") && !shown.contains(middle), "{shown}");
        assert!(shown.contains(&key.public_key().fingerprint().to_string()), "{shown}");
    }
}

#[test]
fn keys_go_to_other_threads() {
    const fn check<T: Send + Sync>() {}
    check::<PublicKey>();
    check::<PrivateKey>();
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_an_answer_not_a_panic(der: Vec<u8>) {
        let _ = PublicKey::from_spki(&der);
        let _ = PublicKey::from_pem(&pem::encode(&der, pem::PUBLIC));
        let _ = PrivateKey::from_pem(&pem::encode(&der, pem::PRIVATE));
    }

    #[test]
    fn a_changed_key_is_refused_or_another_key(index in 0_usize..91, bit in 0_u8..8) {
        let key = PublicKey::from_pem(P256).expect("a key");
        let mut spki = key.spki.clone();
        spki[index] ^= 1 << bit;
        if let Ok(other) = PublicKey::from_spki(&spki) {
            proptest::prop_assert_ne!(other.fingerprint(), key.fingerprint());
        }
    }
}

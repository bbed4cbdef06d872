use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::PrivateKey;

/// The example key of RFC 8410 §10.3; openssl made the signature from it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const GOLDEN: &str = concat!(
    r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#,
    r#""verificationMaterial":{"publicKey":{"hint":"oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8="}},"#,
    r#""messageSignature":{"messageDigest":{"algorithm":"SHA2_256","#,
    r#""digest":"Sjw8k6Y+gDE+yfRHOIK0ua0XUDm5gaXH43U/xeIDwso="},"#,
    r#""signature":"5rbnmUJBCAmUtaJwSNMLo6PrHnenZaBbwOjJ2EdO6AFCCRTC/4/zY+KbwmMugfDF8Fb8s7R9Kb6R05s1ZbhGBQ=="}}"#,
);

fn parse(text: &str) -> Result<Bundle, BundleError> {
    Bundle::parse(text.as_bytes())
}

fn replaced(from: &str, to: &str) -> Result<Bundle, BundleError> {
    assert!(GOLDEN.contains(from), "{from}");
    parse(&GOLDEN.replace(from, to))
}

#[test]
fn the_golden_bundle_is_written_and_read() {
    let written = PrivateKey::from_pem(KEY).expect("a key").sign_message(b"hello fleet\n").expect("signed");
    assert_eq!(written.to_json(), GOLDEN);
    assert_eq!(parse(GOLDEN).expect("own text"), written);
}

#[test]
fn every_version_is_read_in_both_spellings_and_with_log_entries() {
    let golden = parse(GOLDEN).expect("own text");
    for version in ["0.1", "0.2", "0.3"] {
        for media_type in [format!("bundle.v{version}+json"), format!("bundle+json;version={version}")] {
            assert_eq!(replaced("bundle.v0.3+json", &media_type).expect("read"), golden);
        }
    }
    let evidence = r#"{"tlogEntries":[{"logIndex":"1"}],"timestampVerificationData":{},"publicKey""#;
    assert_eq!(replaced(r#"{"publicKey""#, evidence).expect("read"), golden);
}

#[test]
fn other_media_types_are_called_unsupported() {
    for other in ["bundle.v0.4+json", "bundle.v0.3+json;x"] {
        let error = replaced("bundle.v0.3+json", other).expect_err("refused");
        assert!(matches!(error, BundleError::UnsupportedMediaType { .. }), "{error}");
    }
    let newer = parse(r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v9+json","new":{}}"#);
    assert!(matches!(newer, Err(BundleError::UnsupportedMediaType { .. })));
}

#[test]
fn certificates_are_refused_also_beside_a_key() {
    let key = r#""publicKey":{"hint":"oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8="}"#;
    let leaf = r#""certificate":{"rawBytes":"AAAA"}"#;
    let chain = r#""x509CertificateChain":{"certificates":[{"rawBytes":"AAAA"}]}"#;
    for certificate in [leaf, chain] {
        for material in [certificate.to_owned(), format!("{key},{certificate}")] {
            let error = replaced(key, &material).expect_err("refused");
            assert!(matches!(error, BundleError::Certificate), "{error}");
            assert!(error.to_string().contains("certificate bundles are not accepted with pinned keys"));
        }
    }
}

#[test]
fn a_bundle_without_a_signature_is_refused() {
    let bundle = parse(GOLDEN).expect("own text");
    let signature = STANDARD.encode(bundle.signature());
    let without = [
        replaced(&signature, ""),
        replaced(&format!(r#","signature":"{signature}""#), ""),
        parse(r#"{"base64Signature":""}"#),
        parse(&format!("{}}}", GOLDEN.split(r#","messageSignature""#).next().expect("a head"))),
    ];
    for refused in without {
        assert!(matches!(refused, Err(BundleError::NoSignature)), "{refused:?}");
    }
}

#[test]
fn an_attestation_is_no_signature_of_a_file() {
    let attestation = replaced(r#""messageSignature""#, r#""dsseEnvelope":{},"messageSignature""#);
    assert!(matches!(attestation, Err(BundleError::Attestation)), "{attestation:?}");
}

#[test]
fn only_sha256_digests_of_full_length() {
    let other = replaced("SHA2_256", "SHA2_512").expect_err("refused");
    assert!(matches!(other, BundleError::UnsupportedDigest { .. }), "{other}");
    let short = replaced("Sjw8k6Y+gDE+yfRHOIK0ua0XUDm5gaXH43U/xeIDwso=", "Sjw8").expect_err("refused");
    assert!(short.to_string().contains("32 bytes"), "{short}");
}

#[test]
fn unknown_and_doubled_fields_are_malformed() {
    for (from, to) in [
        (r#""hint""#, r#""rawBytes""#),
        (r#""signature""#, r#""sig""#),
        (r#"{"mediaType""#, r#"{"extra":1,"mediaType""#),
        (r#""signature":"#, r#""signature":"AAAA","signature":"#),
    ] {
        let error = replaced(from, to).expect_err("refused");
        assert!(matches!(error, BundleError::Json(_)), "{to}: {error}");
    }
    let no_key = replaced(r#""publicKey":{"hint":"oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8="}"#, "");
    assert!(no_key.expect_err("refused").to_string().contains("names no publicKey"));
    assert!(parse("{}").expect_err("refused").to_string().contains("malformed bundle"));
}

#[test]
fn the_older_form_is_read_and_its_key_becomes_a_fingerprint() {
    let bare = parse(r#"{"base64Signature":"AAAA","rekorBundle":{"Payload":{"logIndex":1}}}"#).expect("read");
    assert_eq!((bare.signature(), bare.carried_key()), (&[0, 0, 0][..], None));
    let key = PrivateKey::from_pem(KEY).expect("a key").public_key();
    let cert = |text: &str| format!(r#"{{"base64Signature":"AAAA","cert":"{}"}}"#, STANDARD.encode(text));
    let carrying = parse(&cert(&key.to_pem())).expect("read");
    assert_eq!(carrying.carried_key(), Some(key.fingerprint()));
    let certificate = parse(&cert("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    assert!(matches!(certificate, Err(BundleError::Certificate)), "{certificate:?}");
    assert!(matches!(parse(&cert("hello")), Err(BundleError::Malformed { .. })));
}

#[test]
fn the_size_has_a_limit() {
    let padded = |size: usize| GOLDEN.to_owned() + &" ".repeat(size - GOLDEN.len());
    assert!(parse(&padded(MAX_BUNDLE_BYTES)).is_ok());
    assert!(matches!(parse(&padded(MAX_BUNDLE_BYTES + 1)), Err(BundleError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn there_and_back(
        hint in "[a-zA-Z0-9+/]{1,60}=?",
        digest: [u8; 32],
        signature in prop::collection::vec(any::<u8>(), 1..1024),
    ) {
        let bundle = Bundle::new(hint, Sha256Digest::from_bytes(digest), signature);
        prop_assert_eq!(parse(&bundle.to_json()).expect("own text"), bundle);
    }

    #[test]
    fn any_bytes_are_an_answer_not_a_panic(bytes: Vec<u8>) {
        let _ = Bundle::parse(&bytes);
    }

    #[test]
    fn a_damaged_bundle_is_an_answer_not_a_panic(at in 0..GOLDEN.len(), cut in 0_usize..40, put in "[\\PC]{0,8}") {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.into_bytes());
        if let Ok(bundle) = Bundle::parse(&bytes) {
            prop_assert!(!bundle.signature().is_empty());
        }
    }

    #[test]
    fn deep_nesting_is_an_answer_not_a_panic(depth in 1_usize..20_000, open in "[\\[{]") {
        let nested = format!(r#"{{"mediaType":"x","verificationMaterial":{}"#, open.repeat(depth));
        prop_assert!(parse(&nested).is_err());
    }
}

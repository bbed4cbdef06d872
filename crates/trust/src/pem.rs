//! PEM, the strict form of RFC 7468: one block, one label, standard base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::key::KeyError;

/// The label of a `SubjectPublicKeyInfo`.
pub(crate) const PUBLIC: &str = "PUBLIC KEY";
/// The label of an unencrypted PKCS#8 private key.
pub(crate) const PRIVATE: &str = "PRIVATE KEY";

/// An RSA private key of 8192 bits takes 6.4 KiB.
const MAX_TEXT_BYTES: usize = 16 * 1024;
const LINE_CHARS: usize = 64;

/// The bytes of the only block in `text`, which must carry `label`. They are wiped when dropped.
pub(crate) fn decode(text: &str, label: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(KeyError::TooLarge { size_bytes: text.len(), limit_bytes: MAX_TEXT_BYTES });
    }
    let not_pem = || KeyError::NotPem { expected: label };
    let after_dashes = text.trim().strip_prefix("-----BEGIN ").ok_or_else(not_pem)?;
    let (found, rest) = after_dashes.split_once("-----").ok_or_else(not_pem)?;
    if found != label {
        return Err(wrong_label(found, label));
    }
    let body = rest.strip_suffix(&format!("-----END {label}-----")).ok_or_else(not_pem)?;
    let mut digits = Zeroizing::new(String::with_capacity(body.len()));
    digits.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(digits.as_bytes()).map(Zeroizing::new).map_err(|_| not_pem())
}

fn wrong_label(found: &str, expected: &'static str) -> KeyError {
    if found.starts_with("ENCRYPTED") {
        return KeyError::Encrypted;
    }
    if expected == PUBLIC && found.ends_with(PRIVATE) {
        return KeyError::PrivateGiven;
    }
    KeyError::Label { expected, found: found.chars().take(40).collect() }
}

/// One block with `label` around `der`, lines of 64 characters.
pub(crate) fn encode(der: &[u8], label: &str) -> String {
    let digits = Zeroizing::new(STANDARD.encode(der));
    // Large enough at once: a text that grows leaves copies of a secret behind.
    let mut text = String::with_capacity(digits.len() + digits.len() / LINE_CHARS + 2 * label.len() + 40);
    let mut line = |words: &[&str]| {
        text.extend(words.iter().copied());
        text.push('\n');
    };
    line(&["-----BEGIN ", label, "-----"]);
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.len().min(LINE_CHARS));
        line(&[head]);
        rest = tail;
    }
    line(&["-----END ", label, "-----"]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_and_back(der: Vec<u8>) {
            let text = encode(&der, PUBLIC);
            prop_assert!(text.lines().all(|line| line.len() <= LINE_CHARS));
            prop_assert_eq!(&*decode(&text, PUBLIC).expect("own text"), &der);
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text in "(-----BEGIN (PUBLIC KEY)?(-----)?)?\\PC{0,200}(-----END)?") {
            let _ = decode(&text, PUBLIC);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let of = |text: &str, label| decode(text, label).expect_err("refused").to_string();
        assert!(of("hello", PUBLIC).contains("PEM"));
        assert!(of(&encode(b"x", "EC PRIVATE KEY"), PUBLIC).contains("private key"));
        assert!(of(&encode(b"x", "EC PRIVATE KEY"), PRIVATE).contains("openssl pkcs8"));
        assert!(of(&encode(b"x", "ENCRYPTED SIGSTORE PRIVATE KEY"), PRIVATE).contains("encrypted"));
        assert!(of(&"x".repeat(MAX_TEXT_BYTES + 1), PUBLIC).contains("16384"));
        let two = encode(b"x", PUBLIC) + &encode(b"y", PUBLIC);
        assert!(of(&two, PUBLIC).contains("PEM"));
    }
}

use drover_types::{Sha256Digest, TenantId};
use proptest::prelude::*;

use super::*;

const SIGNING_KEY: [u8; 32] = [7; 32];
const EXPIRES: i64 = 2_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn key(tenant: u128, digest: u8) -> ObjectKey {
    ObjectKey::content(TenantId(uuid::Uuid::from_u128(tenant)), Sha256Digest::from_bytes([digest; 32]))
}

/// A URL's path after `/blobs/`, and its query.
fn signed(method: PresignMethod, name: Option<&str>) -> (String, String) {
    let signer = FileUrlSigner::new("http://127.0.0.1:8080/", &SIGNING_KEY);
    let url = signer.sign(method, &key(1, 2), at(EXPIRES), name);
    let rest = url.strip_prefix("http://127.0.0.1:8080/blobs/").expect("the public URL");
    let (path, query) = rest.split_once('?').expect("a query");
    (path.to_owned(), query.to_owned())
}

fn verify(method: &str, path: &str, query: &str) -> Result<VerifiedUrl, UrlError> {
    verify_file_url(&SIGNING_KEY, method, path, query, at(EXPIRES - 1))
}

#[test]
fn what_was_signed_opens_the_object() {
    let (path, query) = signed(PresignMethod::Get, Some("app-v1.2.0+7.tar.gz"));
    let verified = verify("GET", &path, &query).expect("a valid URL");
    assert_eq!(verified.key, key(1, 2));
    assert_eq!(verified.file_name.as_deref(), Some("app-v1.2.0+7.tar.gz"));
    assert_eq!(verified.expires_at, at(EXPIRES));
}

#[test]
fn methods_are_kept_apart() {
    let (path, get) = signed(PresignMethod::Get, None);
    let (_, head) = signed(PresignMethod::Head, None);
    assert!(verify("HEAD", &path, &get).is_ok());
    assert!(verify("HEAD", &path, &head).is_ok());
    assert_eq!(verify("GET", &path, &head), Err(UrlError::WrongMethod { allowed: "HEAD" }));
    assert_eq!(verify("PUT", &path, &get), Err(UrlError::WrongMethod { allowed: "GET or HEAD" }));
    let swapped = head.replace("method=HEAD", "method=GET");
    assert_eq!(verify("GET", &path, &swapped), Err(UrlError::BadSignature));
}

#[test]
fn it_expires_in_its_second() {
    let (path, query) = signed(PresignMethod::Get, None);
    let in_time = verify_file_url(&SIGNING_KEY, "GET", &path, &query, Timestamp::from_micros(EXPIRES * 1_000_000 - 1));
    assert!(in_time.is_ok());
    let late = verify_file_url(&SIGNING_KEY, "GET", &path, &query, at(EXPIRES));
    assert_eq!(late, Err(UrlError::Expired { expired_at: at(EXPIRES) }));
}

#[test]
fn each_change_is_refused() {
    let (path, query) = signed(PresignMethod::Get, Some("a.bin"));
    let longer = query.replace(&EXPIRES.to_string(), &(EXPIRES + 1).to_string());
    let other_name = query.replace("a.bin", "b.bin");
    let no_name = query.replace("&name=a.bin", "");
    for changed in [&longer, &other_name, &no_name] {
        assert_eq!(verify("GET", &path, changed), Err(UrlError::BadSignature), "{changed}");
    }
    for other in [key(1, 3), key(2, 2)] {
        assert_eq!(verify("GET", &other.to_string(), &query), Err(UrlError::BadSignature));
    }
    let other_server = verify_file_url(&[8; 32], "GET", &path, &query, at(0));
    assert_eq!(other_server, Err(UrlError::BadSignature));
}

#[test]
fn a_second_spelling_is_refused() {
    let (path, query) = signed(PresignMethod::Get, None);
    let tricks = [
        query.replace("expires=", "expires=0"),
        query.replace("expires=", "expires=%2B"),
        format!("{query}="),
        format!("{query}&method=GET"),
        format!("{query}&X-Amz-Expires=1"),
        format!("{query}&name=../x"),
        query.replace("method=GET&", ""),
        String::new(),
    ];
    for trick in tricks {
        let refused = verify("GET", &path, &trick);
        assert!(matches!(refused, Err(UrlError::Malformed { .. })), "{trick}: {refused:?}");
    }
    for trick in [path.to_uppercase(), path.replace("t/", "t/%2e%2e/"), format!("{path}/../x"), path.replace('/', "//")]
    {
        let refused = verify("GET", &trick, &query);
        assert!(matches!(refused, Err(UrlError::Malformed { .. })), "{trick}: {refused:?}");
    }
}

proptest! {
    /// Any one byte of path or query changed to another: refused, or (an escaped spelling of the same value) the same.
    #[test]
    fn no_byte_can_be_changed(at_byte: prop::sample::Index, with in "[ -~]") {
        let (path, query) = signed(PresignMethod::Get, Some("a.bin"));
        let genuine = verify("GET", &path, &query).expect("valid");
        let mut text = format!("{path}?{query}");
        let index = at_byte.index(text.len());
        text.replace_range(index..=index, &with);
        prop_assume!(text != format!("{path}?{query}"));
        let (changed_path, changed_query) = text.split_once('?').unwrap_or((&text, ""));
        if let Ok(opened) = verify("GET", changed_path, changed_query) {
            prop_assert_eq!(opened, genuine);
            prop_assert!(false, "a changed URL was accepted: {}", text);
        }
    }

    #[test]
    fn nothing_sent_makes_it_panic(path in "\\PC{0,80}", query in "\\PC{0,80}", now: i64) {
        let opened = verify_file_url(&SIGNING_KEY, "GET", &path, &query, Timestamp::from_micros(now));
        prop_assert!(opened.is_err());
    }
}

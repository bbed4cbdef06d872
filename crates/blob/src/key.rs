//! Names of objects inside the store.

use drover_types::{Sha256Digest, TenantId};

/// The text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid object key {value:?}: expected t/<tenant>/sha256/<first two digits>/<64 hexadecimal digits>")]
pub struct InvalidKey {
    /// The text, cut to 140 characters.
    pub value: String,
}

/// The name of an object: whose it is and what it is, `t/<tenant>/sha256/<ab>/<hex>`. The tenant is part of the
/// name, so a signature over a key can never open another tenant's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    tenant: TenantId,
    sha256: Sha256Digest,
}

impl ObjectKey {
    /// The name of the content with this digest, of this tenant.
    pub const fn content(tenant: TenantId, sha256: Sha256Digest) -> Self {
        Self { tenant, sha256 }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The digest of the content.
    pub const fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// The entity tag of the content, with its quotes.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.sha256)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.sha256.as_bytes()[0];
        write!(f, "t/{}/sha256/{first:02x}/{}", self.tenant, self.sha256)
    }
}

impl std::str::FromStr for ObjectKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidKey { value: text.chars().take(140).collect() };
        let segments: Vec<&str> = text.split('/').take(6).collect();
        let &["t", tenant, "sha256", _, digest] = segments.as_slice() else {
            return Err(invalid());
        };
        let tenant = tenant.parse().map_err(|_| invalid())?;
        let sha256 = digest.parse().map_err(|_| invalid())?;
        let key = Self { tenant, sha256 };
        // One spelling per key: a UUID in capitals or braces, or wrong first digits, would be a second one.
        if key.to_string() == text { Ok(key) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = concat!(
        "t/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b/sha256/ab/",
        "ab00000000000000000000000000000000000000000000000000000000000000"
    );

    proptest! {
        #[test]
        fn text_and_back(tenant: u128, digest: [u8; 32]) {
            let key = ObjectKey::content(TenantId(uuid::Uuid::from_u128(tenant)), Sha256Digest::from_bytes(digest));
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn what_parses_is_the_one_spelling(
            text in "t?/{0,2}[0-9a-f.%-]{0,40}/sha256/[0-9a-f]{0,3}/[0-9a-fA-F]{0,66}",
        ) {
            if let Ok(key) = text.parse::<ObjectKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn no_other_byte_at_any_place(at in 0..GOOD.len(), with in "[^0-9a-f]") {
            let mut text = GOOD.to_owned();
            let was = text.remove(at);
            text.insert_str(at, &with);
            prop_assume!(!with.starts_with(was));
            prop_assert!(text.parse::<ObjectKey>().is_err(), "{}", text);
        }
    }

    #[test]
    fn tricks_are_refused() {
        let good: ObjectKey = GOOD.parse().expect("a key");
        assert_eq!(good.to_string(), GOOD);
        let tricks = [
            GOOD.to_uppercase(),
            format!("/{GOOD}"),
            format!("{GOOD}/"),
            format!("{GOOD}?X-Amz-Expires=1"),
            GOOD.replace("sha256/", "sha256//"),
            GOOD.replace("sha256", "sha256/.."),
            GOOD.replace("/ab/", "/ac/"),
            GOOD.replace('-', ""),
            GOOD.replace('/', "%2f"),
            GOOD.replace('/', "\\"),
            format!("{GOOD}\r\n"),
            String::new(),
        ];
        for trick in tricks {
            assert!(trick.parse::<ObjectKey>().is_err(), "{trick}");
        }
    }
}

//! SHA-256 of bytes in memory and of bytes that stream by.

use aws_lc_rs::digest;
use drover_types::Sha256Digest;

/// A SHA-256 in the making. Memory is constant however many bytes pass; up to 2^61 bytes.
#[derive(Clone)]
pub struct Hasher(digest::Context);

impl Hasher {
    /// Before the first byte.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that passed.
    pub fn finish(self) -> Sha256Digest {
        from_digest(&self.0.finish())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher(SHA-256)")
    }
}

/// The SHA-256 of bytes in memory.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    from_digest(&digest::digest(&digest::SHA256, bytes))
}

fn from_digest(digest: &digest::Digest) -> Sha256Digest {
    let mut bytes = [0_u8; 32];
    // The lengths agree: both are the 32 bytes of SHA-256.
    bytes.copy_from_slice(digest.as_ref());
    Sha256Digest::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_fips_180() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), expected);
    }

    proptest! {
        #[test]
        fn pieces_make_the_digest_of_the_whole(pieces: Vec<Vec<u8>>) {
            let mut hasher = Hasher::new();
            for piece in &pieces {
                hasher.update(piece);
            }
            prop_assert_eq!(hasher.finish(), sha256(&pieces.concat()));
        }
    }
}

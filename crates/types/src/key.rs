//! Algorithms of release keys.

use crate::text_enum::text_enum;

text_enum! {
    /// The algorithm of a key that signs firmware.
    KeyAlgorithm, "key algorithm" {
        /// ECDSA over P-256 with SHA-256; the default.
        EcdsaP256 = "ecdsa_p256",
        /// RSA PKCS#1 v1.5 with SHA-256, 2048 to 8192 bits.
        Rsa = "rsa",
        /// Ed25519; signs manifests, which bind the artifacts by digest.
        Ed25519 = "ed25519",
    }
}

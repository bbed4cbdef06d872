//! Signing and verifying: manifests, cosign bundles, digests while streaming.
//!
//! Everything that a device installs is bound to a pinned release key here: [`verify_manifest`] first, then the
//! bytes of each artifact against the digest in the manifest ([`Hasher`]) and their own bundle ([`verify_digest`]),
//! then what the running firmware allows ([`check_downgrade`], [`check_preconditions`]).
//! No input or output, no clock: the server, the operator's CLI and the device agent use the same code.
//!
//! A key or certificate that a bundle brings along is never trusted; only the keys that the caller pins count.

mod bundle;
mod digest;
mod key;
mod manifest;
mod pem;
mod policy;
mod private_key;
mod verify;

pub use bundle::{Bundle, BundleError};
pub use digest::{Hasher, sha256};
pub use key::{KeyError, PublicKey};
pub use manifest::{ArtifactFormat, Dependency, Manifest, ManifestArtifact, ManifestError};
pub use policy::{DowngradeError, PreconditionError, check_downgrade, check_preconditions};
pub use private_key::{PrivateKey, SignError};
pub use verify::{Verified, VerifyError, verify_digest, verify_manifest};

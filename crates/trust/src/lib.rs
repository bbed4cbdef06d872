//! Signing and verifying: manifests, cosign bundles, digests while streaming.
//!
//! Everything that a device installs is bound to a pinned release key here: [`verify_manifest`] first, then the
//! bytes of each artifact against the digest in the manifest ([`Hasher`]) and their own bundle ([`verify_digest`]),
//! then what the running firmware allows ([`check_downgrade`], [`check_preconditions`]).
//! No input or output, no clock: the server, the operator's CLI and the device agent use the same code.
//!
//! A key or certificate that a bundle brings along is never trusted; only the keys that the caller pins count. The same
//! holds for servers with an authority of their own: [`ServerPin`] names its key, [`pinned_tls`] checks it.

mod bundle;
mod digest;
mod key;
mod manifest;
mod pem;
mod pinned_tls;
mod policy;
mod private_key;
mod server_pin;
#[cfg(feature = "testing")]
pub mod testing;
mod verify;

pub use bundle::{Bundle, BundleError};
pub use digest::{Hasher, sha256};
pub use key::{KeyError, PublicKey};
pub use manifest::{ArtifactFormat, Dependency, Manifest, ManifestArtifact, ManifestError};
pub use pinned_tls::{PresentedChain, UnpinnedServer, is_untrusted, pinned_tls, probe_tls};
pub use policy::{DowngradeError, PreconditionError, check_downgrade, check_preconditions};
pub use private_key::{PrivateKey, SignError};
pub use server_pin::{InvalidCertificate, InvalidServerPin, ServerPin};
pub use verify::{Verified, VerifyError, verify_digest, verify_manifest};

//! A release as a folder: source 004's layout.
//!
//! ```text
//! app-v1.2.3.tar.gz          the artifact
//! app-v1.2.3.tar.gz.bundle   its signature, as cosign writes it
//! app-v1.2.3.sha256          its digest, for `sha256sum --check`
//! manifest.json              what the release is: name, version, digests, limits
//! manifest.json.bundle       the signature over it
//! ```

mod archive;
mod counter;
mod folder;
mod pack;
mod publish;
mod sign;
mod walk;

pub use counter::{UnclearCounter, counter_of_version};
pub use folder::{Release, ReleaseError};
pub use pack::{PackError, PackOptions, pack};
pub use publish::{PublishError, PublishEvent, publish};
pub use sign::{ReleaseSignError, Signed, sign};

//! Objects by content: a folder with signed URLs, or S3.
//!
//! A URL chooses the back-end once, in [`open`]: `file:PATH` or `s3://bucket?endpoint=…`. Everything else
//! sees [`BlobStore`]. Objects are immutable and named by tenant and SHA-256 ([`ObjectKey`]), so a put is
//! create-only by nature: the same name is always the same bytes.
//!
//! Long uploads come in parts ([`StagingStore`]), which lie apart until the whole was read back and found right.
//!
//! Devices fetch objects by presigned URLs. S3 answers its own; those of the folder are answered by our server,
//! for which [`verify_file_url`] checks the signature and [`resolve_range`] decides what part to send.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod file;
mod file_name;
mod intake;
mod key;
mod location;
mod name;
mod open;
mod random;
mod s3;
mod serve;
mod signed_url;
mod staging;
mod store;
mod ttl;

pub use error::{CheckError, ClearError, DeleteError, GetError, PresignError, PutError};
pub use file_name::attachment;
pub use key::{InvalidKey, ObjectKey};
pub use location::InvalidLocation;
pub use name::{InvalidObjectName, ObjectName};
pub use open::{OpenError, OpenOptions, S3Credentials, open};
pub use serve::{RangeDecision, RangeRequest, content_range, resolve_range, unsatisfied_range};
pub use signed_url::{FileUrlSigner, UrlError, VerifiedUrl, verify_file_url};
pub use staging::{PART_MIN_BYTES, PARTS_MAX, StagedPart, StagedUpload, StagingStore};
pub use store::{BlobInfo, BlobStore, ByteStream, ExpectedContent, PresignMethod, PresignedUrl, StoredBlob};

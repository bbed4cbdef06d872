//! One URL, one store.

use std::sync::Arc;

use crate::error::BoxError;
use crate::file::FileStore;
use crate::location::{InvalidLocation, Location};
use crate::s3::S3Store;
use crate::{BlobStore, FileUrlSigner};

/// What a back-end needs beside its URL.
#[derive(Clone)]
pub struct OpenOptions {
    /// What the folder's URLs start with, for instance `http://127.0.0.1:8080`.
    pub public_url: String,
    /// The key that signs the folder's URLs; [`crate::verify_file_url`] needs the same.
    pub signing_key: [u8; 32],
    /// Bytes of the folder's disk that uploads never take. None: 256 MiB, or 1 % of the disk where that is less.
    pub reserve_bytes: Option<u64>,
    /// Credentials of S3. None: from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub s3_credentials: Option<S3Credentials>,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { public_url, reserve_bytes, .. } = self;
        f.debug_struct("OpenOptions")
            .field("public_url", public_url)
            .field("reserve_bytes", reserve_bytes)
            .finish_non_exhaustive()
    }
}

/// A key of S3.
#[derive(Clone)]
pub struct S3Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// The token that temporary credentials come with.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl S3Credentials {
    /// Those of the environment; an empty variable counts as none.
    fn from_env() -> Option<Self> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self {
            access_key_id: read("AWS_ACCESS_KEY_ID")?,
            secret_access_key: read("AWS_SECRET_ACCESS_KEY")?,
            session_token: read("AWS_SESSION_TOKEN"),
        })
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is wrong.
    #[error("invalid object store URL")]
    Location(#[from] InvalidLocation),
    /// S3 without a key.
    #[error("no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    NoCredentials,
    /// The folder cannot be made or written to.
    #[error("the folder of objects cannot be used: check that {folder:?} can be created and written to")]
    Folder {
        /// The folder.
        folder: std::path::PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The S3 client refuses its configuration.
    #[error("the S3 client cannot be made: check endpoint and region")]
    S3 {
        /// The client's error.
        #[source]
        source: BoxError,
    },
}

/// Opens the store that `url` names.
///
/// - `file:PATH`: a folder, made with mode 0700 when it does not exist. What uploads left there more than 24 h ago
///   when a server was killed is removed. This touches the disk: call it at start, not in a request.
/// - `s3://bucket[/prefix]?endpoint=URL&public_endpoint=URL&region=R&virtual_hosted=BOOL`: a bucket that exists.
///   Without `endpoint` it is Amazon's own; `public_endpoint` is what presigned URLs name instead of `endpoint`;
///   `region` is `us-east-1` by default; names go into the path (`virtual_hosted=false`) when there is an endpoint.
///   Nothing is sent yet: [`BlobStore::check`] tells whether it answers. What a server that is killed in an upload
///   leaves is removed by [`crate::StagingStore::sweep`].
///
/// Credentials in the URL are refused: it would show up in logs.
pub fn open(url: &str, options: OpenOptions) -> Result<Arc<dyn BlobStore>, OpenError> {
    match url.parse::<Location>()? {
        Location::Folder(folder) => {
            let signer = FileUrlSigner::new(&options.public_url, &options.signing_key);
            let store = FileStore::open(folder.clone(), signer, options.reserve_bytes);
            Ok(Arc::new(store.map_err(|source| OpenError::Folder { folder, source })?))
        }
        Location::S3(location) => {
            let given = options.s3_credentials.or_else(S3Credentials::from_env);
            let credentials = given.ok_or(OpenError::NoCredentials)?;
            let store = S3Store::new(&location, &credentials);
            Ok(Arc::new(store.map_err(|source| OpenError::S3 { source })?))
        }
    }
}

//! What can be wrong with certificates and keys.

use std::path::PathBuf;

use drover_app::ServerPin;

/// The server's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Others could read a secret.
    #[error("{0} can be read by others: chmod 600 {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file has no certificate, or one that cannot be read.
    #[error("failed to read a certificate from {}: {reason}; expected PEM, the server's certificate first", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file has no private key, or one that cannot be used.
    #[error("failed to read a private key from {}: {reason}; expected PEM, without a password", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key are not a pair.
    #[error("the key in {} is not that of the certificate in {}: write both", key.display(), certificate.display())]
    NoPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A pin was asked for, and the file does not hold what could be pinned.
    #[error(
        "the last certificate in {} did not sign the first: {reason}; append the certificate of your authority, or \
         serve without a pin (--tls-pin none)", path.display()
    )]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A new certificate that pinned devices would refuse.
    #[error(
        "the new certificate is of another authority ({found}) than the one that clients have pinned ({pinned}): they \
         would refuse this server; write one of the old authority, or restart to change it all the same"
    )]
    OtherAuthority {
        /// What is pinned.
        pinned: ServerPin,
        /// What the file has.
        found: ServerPin,
    },
    /// The new certificate is over already.
    #[error("the certificate in {} ended at {not_after}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its end.
        not_after: drover_types::Timestamp,
    },
    /// A certificate could not be made.
    #[error("failed to make a certificate")]
    Make(#[source] rcgen::Error),
    /// TLS could not be set up.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

impl TlsError {
    /// For `map_err` on files.
    pub(super) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

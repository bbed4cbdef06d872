//! What a server would serve, found out without making or changing anything.

use std::path::PathBuf;

use drover_types::Timestamp;

use super::own_ca::OwnCa;
use super::pair::Pair;
use super::{CertificateSource, PinChoice, TlsError, files};

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The last moment: of the certificate, or of the own authority, which renews that by itself.
    pub not_after: Timestamp,
    /// What the certificate is for, as it says; none of an own authority, which makes one for what the server is called.
    pub names: Vec<String>,
    /// The key's file, when everybody on this machine can read it.
    pub exposed_key: Option<PathBuf>,
}

/// Reads what [`Tls::open`](super::Tls::open) would; none when that would make an authority.
pub fn inspect(
    source: &CertificateSource,
    pin: PinChoice,
    now: Timestamp,
) -> Result<Option<CertificateFacts>, TlsError> {
    match source {
        CertificateSource::Files { certificate, key } => {
            let pair = Pair::read(certificate, key)?;
            if pin == PinChoice::Chain && now < pair.not_after() {
                pair.authority(certificate, now)?;
            }
            let exposed_key = files::is_for_everybody(key).then(|| key.clone());
            let names = pair.names().map(str::to_owned).collect();
            Ok(Some(CertificateFacts { not_after: pair.not_after(), names, exposed_key }))
        }
        CertificateSource::OwnCa { folder, .. } => {
            // Where one of them is missing, opening would make it.
            if !folder.join("ca.key").exists() || !folder.join("ca.pem").exists() {
                return Ok(None);
            }
            let not_after = OwnCa::open(folder.clone(), now)?.not_after()?;
            Ok(Some(CertificateFacts { not_after, names: Vec::new(), exposed_key: None }))
        }
    }
}

//! The certificate files: readable, of one key, valid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_server::{CertificateSource, Tls, TlsError};
use drover_types::SystemClock;

use super::finding::{Finding, chain};
use crate::serve::tls::TlsPlan;

const NAME: &str = "certificate";

/// What came of reading the files, and the key's file when everybody can read it; none where the server makes its own,
/// or speaks no TLS.
pub(crate) type Facts = Option<Result<Option<PathBuf>, TlsError>>;

/// Reads certificate and key as the server would. Files are only read: an authority of its own is made by a start.
pub(crate) fn look(plan: &TlsPlan) -> Facts {
    let TlsPlan::Files { certificate, key, pin } = plan else { return None };
    let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
    let opened = Tls::open(source, *pin, Arc::new(SystemClock));
    Some(opened.map(|tls| tls.exposed_key().map(Path::to_owned)))
}

/// Says whether the server can prove who it is.
pub(crate) fn judge(plan: &TlsPlan, data: &Path, facts: &Facts) -> Finding {
    match (plan, facts) {
        (_, Some(Err(error))) => {
            let next = "check --tls-cert (chain, the server's first) and --tls-key: PEM files of one key, not expired";
            Finding::fail(NAME, chain(error), next)
        }
        (_, Some(Ok(Some(key)))) => {
            let next = format!("keep it to the server's user: chmod o-r {}", key.display());
            Finding::warn(NAME, format!("everybody on this machine can read {}", key.display()), next)
        }
        (TlsPlan::Files { certificate, .. }, _) => Finding::ok(NAME, format!("{} fits its key", certificate.display())),
        (TlsPlan::OwnCa { .. }, _) => {
            Finding::ok(NAME, format!("of the own authority in {}", data.join("tls").display()))
        }
        (TlsPlan::Plain, _) => Finding::ok(NAME, "none: plain HTTP on this machine only"),
    }
}

#[cfg(test)]
mod tests {
    use drover_server::PinChoice;

    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn files_that_are_no_certificate_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let plan = TlsPlan::Files { certificate: certificate.clone(), key: key.clone(), pin: PinChoice::Auto };
        let level = || judge(&plan, folder.path(), &look(&plan)).level;
        assert_eq!(level(), Level::Fail, "missing");
        std::fs::write(&certificate, "nonsense").unwrap();
        std::fs::write(&key, "nonsense").unwrap();
        assert_eq!(level(), Level::Fail, "nonsense");
        let exposed: Facts = Some(Ok(Some(key.clone())));
        assert_eq!(judge(&plan, folder.path(), &exposed).level, Level::Warn);
        assert_eq!(judge(&plan, folder.path(), &Some(Ok(None))).level, Level::Ok);
        let plain = TlsPlan::Plain;
        assert_eq!(judge(&plain, folder.path(), &look(&plain)).level, Level::Ok);
    }
}

//! An authority of our own, for servers that nobody gave a certificate.
//!
//! Its key is what clients pin, so it is made once and never replaced. Everything else follows from it: the
//! authority's certificate when it is missing, and the server's, which lives for 90 days and is renewed after 60.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_app::{ServerPin, sha256};
use drover_types::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use super::pair::{self, Facts, Pair};
use super::{TlsError, files};

const CA_LIFE: Duration = Duration::from_hours(24 * 3653);
const SERVER_LIFE: Duration = Duration::from_hours(24 * 90);

/// Certificates begin so long ago: not every client's clock is right to the minute.
const BACKDATED: Duration = Duration::from_hours(24);

/// The authority with its folder.
pub(super) struct OwnCa {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pin: ServerPin,
    folder: PathBuf,
}

impl OwnCa {
    /// Opens the authority in the folder; makes it when there is none.
    pub(super) fn open(folder: PathBuf, now: Timestamp) -> Result<Self, TlsError> {
        files::make_folder(&folder)?;
        let key = open_key(&folder.join("ca.key"))?;
        let path = folder.join("ca.pem");
        let params = ca_params(&key, now);
        if files::read_if_there(&path)?.is_none() {
            files::create(&path, params.self_signed(&key).map_err(TlsError::Make)?.pem().as_bytes())?;
        }
        let unusable = |reason: String| TlsError::Certificate { path: path.clone(), reason };
        let certificate =
            CertificateDer::from_pem_slice(&files::read(&path)?).map_err(|error| unusable(error.to_string()))?;
        let pin = ServerPin::of_certificate(&certificate).map_err(|error| unusable(error.to_string()))?;
        let begins = pair::not_before(&certificate).map_err(unusable)?;
        if begins > now {
            tracing::warn!(
                path = %path.display(), %begins,
                "the authority's certificate was made when a clock was wrong: browsers and --ca refuse it until it \
                 begins; remove this file and start again, the key and its pin stay"
            );
        }
        let own = params.self_signed(&key).map_err(TlsError::Make)?;
        if ServerPin::of_certificate(own.der()).ok() != Some(pin) {
            return Err(TlsError::NoPair { certificate: path, key: folder.join("ca.key") });
        }
        Ok(Self { issuer: Issuer::new(params, key), certificate, pin, folder })
    }

    pub(super) const fn pin(&self) -> ServerPin {
        self.pin
    }

    /// The last moment of the authority's own certificate.
    pub(super) fn not_after(&self) -> Result<Timestamp, TlsError> {
        let unusable = |reason| TlsError::Certificate { path: self.folder.join("ca.pem"), reason };
        Facts::of(&self.certificate).map(|facts| facts.not_after).map_err(unusable)
    }

    /// The pair that lies there, or a new one when that one is not there, damaged, two thirds through its life or for
    /// other names.
    pub(super) fn current_or_new(&self, names: &[String], now: Timestamp) -> Result<Pair, TlsError> {
        match self.current(names, now) {
            Some(pair) => Ok(pair),
            None => self.renew(names, now),
        }
    }

    fn current(&self, names: &[String], now: Timestamp) -> Option<Pair> {
        let path = self.server_path();
        let pair = match Pair::read(&path, &path) {
            Ok(pair) => pair,
            Err(TlsError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the server's certificate cannot be used; making a new one");
                return None;
            }
        };
        if files::is_for_everybody(&path) {
            tracing::warn!(path = %path.display(), "others could read the server's key; making a new one");
            return None;
        }
        let is_good = pair.is_for(names) && pair.is_current(now) && self.has_signed(&pair, now);
        is_good.then_some(pair)
    }

    fn has_signed(&self, pair: &Pair, now: Timestamp) -> bool {
        pair.check_signed_by(&self.certificate, now).is_ok()
    }

    fn renew(&self, names: &[String], now: Timestamp) -> Result<Pair, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::Make)?;
        let mut params = CertificateParams::new(names).map_err(TlsError::Make)?;
        params.distinguished_name = common_name(names.first().map_or("drover", String::as_str));
        (params.not_before, params.not_after) = (date(now.minus(BACKDATED)), date(now.plus(SERVER_LIFE)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(TlsError::Make)?;
        let authority = String::from_utf8_lossy(&files::read(&self.folder.join("ca.pem"))?).into_owned();
        // One file, so that certificate and key are always of one another.
        let pem = format!("{}{authority}{}", certificate.pem(), key.serialize_pem());
        let path = self.server_path();
        files::replace(&path, pem.as_bytes())?;
        let pair = Pair::read(&path, &path)?;
        pair.check_signed_by(&self.certificate, now).map_err(TlsError::Tls)?;
        tracing::info!(?names, not_after = %pair.not_after(), "the own authority issued a certificate for this server");
        Ok(pair)
    }

    fn server_path(&self) -> PathBuf {
        self.folder.join("server.pem")
    }
}

/// The authority's key; made when it is not there. It never leaves its file.
fn open_key(path: &Path) -> Result<KeyPair, TlsError> {
    if files::read_if_there(path)?.is_none() {
        let key = KeyPair::generate().map_err(TlsError::Make)?;
        files::create(path, key.serialize_pem().as_bytes())?;
    }
    files::require_private(path)?;
    // What lies there counts: another process may have been faster.
    let pem = files::read(path)?;
    KeyPair::from_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| TlsError::Key { path: path.to_owned(), reason: error.to_string() })
}

fn ca_params(key: &KeyPair, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    // A name of its own for each key: two authorities of one fleet are not mistaken for one another.
    let fingerprint = sha256(key.der_bytes()).to_string();
    params.distinguished_name = common_name(&format!("Drover authority {}", &fingerprint[..16]));
    (params.not_before, params.not_after) = (date(now.minus(BACKDATED)), date(now.plus(CA_LIFE)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn date(time: Timestamp) -> OffsetDateTime {
    let date = OffsetDateTime::from_unix_timestamp(time.as_micros() / 1_000_000);
    date.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

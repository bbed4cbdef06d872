//! A certificate with its key, and what can be read from it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drover_app::{ServerPin, sha256};
use drover_types::{Sha256Digest, Timestamp};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::extensions::GeneralName;

use super::{TlsError, files};

/// SHA-256 of the certificate's file and of the key's.
type Fingerprint = (Sha256Digest, Sha256Digest);

/// A certificate chain with the key of its first certificate.
pub(super) struct Pair {
    key: Arc<CertifiedKey>,
    not_before: Timestamp,
    not_after: Timestamp,
    names: BTreeSet<String>,
    source: Fingerprint,
}

impl Pair {
    /// From two files in PEM, which may be one.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain_pem, key_pem) = read_files(certificate, key)?;
        Self::parse((certificate, &chain_pem), (key, &key_pem))
    }

    fn parse((chain_path, chain_pem): (&Path, &[u8]), (key_path, key_pem): (&Path, &[u8])) -> Result<Self, TlsError> {
        let bad_chain = |reason: String| TlsError::Certificate { path: chain_path.to_owned(), reason };
        let bad_key = |reason: String| TlsError::Key { path: key_path.to_owned(), reason };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<_, _>>()
            .map_err(|error| bad_chain(error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| bad_chain("there is none".to_owned()))?;
        let facts = Facts::of(leaf).map_err(bad_chain)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| bad_key(error.to_string()))?;
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| bad_key(error.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(TlsError::NoPair { certificate: chain_path.to_owned(), key: key_path.to_owned() })
            }
            Err(error) => Err(bad_key(error.to_string())),
            Ok(()) => Ok(Self {
                key: Arc::new(key),
                not_before: facts.not_before,
                not_after: facts.not_after,
                names: facts.names,
                source: fingerprint(chain_pem, key_pem),
            }),
        }
    }

    pub(super) const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    pub(super) const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it has begun and two thirds of its life are not over yet. One that begins tomorrow was made when the
    /// clock was wrong: clients that pin its authority do not mind, all others do.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        let renew_at = self.not_before.plus(self.not_after.since(self.not_before) / 3 * 2);
        self.not_before <= now && now < renew_at
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }

    /// Whether the files hold what this pair was made from.
    pub(super) fn is_in(&self, certificate: &Path, key: &Path) -> Result<bool, TlsError> {
        let (chain_pem, key_pem) = read_files(certificate, key)?;
        Ok(self.source == fingerprint(&chain_pem, &key_pem))
    }

    /// The pin of the last certificate, which must have signed the others.
    pub(super) fn authority(&self, path: &Path, now: Timestamp) -> Result<ServerPin, TlsError> {
        let refused = |reason: String| TlsError::NoAuthority { path: path.to_owned(), reason };
        let last = self.key.cert.last().ok_or_else(|| refused("there is none".to_owned()))?;
        self.check_signed_by(last, now).map_err(|error| refused(error.to_string()))?;
        ServerPin::of_certificate(last).map_err(|error| refused(error.to_string()))
    }

    /// Whether a client that trusts this authority would accept the chain; names apart.
    pub(super) fn check_signed_by(&self, authority: &CertificateDer<'_>, now: Timestamp) -> Result<(), rustls::Error> {
        let (leaf, others) = self.key.cert.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let since_1970 = now.since(Timestamp::from_micros(0));
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &roots,
            others,
            UnixTime::since_unix_epoch(since_1970),
            aws_lc_rs::default_provider().signature_verification_algorithms.all,
        )
    }
}

fn read_files(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    let chain_pem = files::read(certificate)?;
    let key_pem = if certificate == key { chain_pem.clone() } else { files::read(key)? };
    Ok((chain_pem, key_pem))
}

/// What the files held. The key's bytes are not kept any longer than that.
fn fingerprint(chain_pem: &[u8], key_pem: &[u8]) -> Fingerprint {
    (sha256(chain_pem), sha256(key_pem))
}

/// The first moment of a certificate.
pub(super) fn not_before(certificate: &CertificateDer<'_>) -> Result<Timestamp, String> {
    Facts::of(certificate).map(|facts| facts.not_before)
}

/// What a certificate says.
pub(super) struct Facts {
    not_before: Timestamp,
    pub(super) not_after: Timestamp,
    names: BTreeSet<String>,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|error| error.to_string())?;
        let names = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(name);
        let time = |seconds: i64| {
            let since_1970 = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            Timestamp::from_micros(0).plus(since_1970)
        };
        let validity = parsed.validity();
        Ok(Self {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            names: names.collect(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

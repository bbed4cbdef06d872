//! TLS: where the server's certificate comes from, and how it is replaced while the server runs.
//!
//! TLS 1.3, and 1.2 with authenticated encryption and forward secrecy only: that is all that rustls speaks. The
//! cryptography is aws-lc-rs, passed explicitly.

mod error;
mod files;
mod inspect;
mod keeper;
mod own_ca;
mod pair;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use drover_app::ServerPin;
use drover_types::{Clock, Timestamp};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

pub use error::TlsError;
pub use inspect::{CertificateFacts, inspect};
use own_ca::OwnCa;
use pair::Pair;

/// Where the server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// Files that somebody else looks after; looked at every few seconds.
    Files {
        /// The server's certificate, then those of its authorities, in PEM.
        certificate: PathBuf,
        /// The private key, in PEM; it may be the same file.
        key: PathBuf,
    },
    /// An authority of our own, made when the folder is empty. It renews the server's certificate by itself.
    OwnCa {
        /// Its folder: `ca.pem`, `ca.key`, `server.pem`. Only this user can read it.
        folder: PathBuf,
        /// Names and addresses under which the server is reached; at least one.
        names: Vec<String>,
    },
}

/// Which key devices and command lines are told to pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinChoice {
    /// That of the own authority; none for certificate files, which a public authority is taken to have signed.
    Auto,
    /// That of the last certificate in the file, which has to be the authority that signed the others.
    Chain,
    /// None: clients have to know the authority.
    None,
}

/// The server's certificate, as it is now, and everything that makes it go on.
pub struct Tls {
    source: Source,
    pin: Option<ServerPin>,
    served: Arc<Served>,
    config: Arc<ServerConfig>,
    clock: Arc<dyn Clock>,
}

enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    OwnCa { ca: Box<OwnCa>, names: Vec<String> },
}

/// The pair that new connections get.
struct Served(ArcSwap<Pair>);

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(&self.0.load().not_after()).finish()
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.load().key()))
    }
}

impl Tls {
    /// Reads the certificate, or makes authority and certificate when there are none.
    pub fn open(source: CertificateSource, pin: PinChoice, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let now = clock.now();
        let (source, pair, authority) = match source {
            CertificateSource::Files { certificate, key } => {
                let pair = Pair::read(&certificate, &key)?;
                let authority = if pin == PinChoice::Chain { Some(pair.authority(&certificate, now)?) } else { None };
                (Source::Files { certificate, key }, pair, authority)
            }
            CertificateSource::OwnCa { folder, names } => {
                let ca = OwnCa::open(folder, now)?;
                let pair = ca.current_or_new(&names, now)?;
                let authority = (pin != PinChoice::None).then(|| ca.pin());
                (Source::OwnCa { ca: Box::new(ca), names }, pair, authority)
            }
        };
        let served = Arc::new(Served(ArcSwap::from_pointee(pair)));
        let config = Arc::new(server_config(Arc::<Served>::clone(&served))?);
        Ok(Self { source, pin: authority, served, config, clock })
    }

    /// What clients pin. It stays what it is until the server ends.
    pub const fn pin(&self) -> Option<ServerPin> {
        self.pin
    }

    /// The last moment of the certificate that is served now.
    pub fn not_after(&self) -> Timestamp {
        self.served.0.load().not_after()
    }

    /// The key's file, when everybody on this machine can read it. Groups are left alone: those who renew certificates
    /// share keys that way.
    pub fn exposed_key(&self) -> Option<&Path> {
        match &self.source {
            Source::Files { key, .. } if files::is_for_everybody(key) => Some(key),
            Source::Files { .. } | Source::OwnCa { .. } => None,
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn server_config(served: Arc<Served>) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TlsError::Tls)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(served);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions live in the clients' tickets: a flood of handshakes fills no memory here.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Tls)?;
    Ok(config)
}

#[cfg(test)]
mod tests;

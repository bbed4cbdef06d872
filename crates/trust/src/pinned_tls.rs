//! TLS to a server whose authority is pinned, and a look at the authority of one that is not known yet.
//!
//! A pinned key has to have signed the chain: it is not enough that a certificate with it lies in the list. Names and
//! the last day of every certificate are checked as usual. The first day is not held against a clock that is behind:
//! the pinned key has signed the certificate, so its first day has come. A device that wakes up in 1970 can call.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::ServerPin;

/// Certificates that a server may send; more are not looked at.
const CHAIN_MAX: usize = 8;

/// The server proves a key that is not pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server proves none of the pinned keys ({}): something else answers at this address, or the server has a new \
     authority",
    list(pinned)
)]
pub struct UnpinnedServer {
    /// What would be accepted.
    pub pinned: Vec<ServerPin>,
}

fn list(pins: &[ServerPin]) -> String {
    pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether `error` says, or was caused by one that says, that a server's certificate was refused.
pub fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(mut error) = next {
        // An error of the system that wraps another does not name it as its source, and they are nested.
        while let Some(wrapped) = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()) {
            error = wrapped;
        }
        if matches!(error.downcast_ref(), Some(Error::InvalidCertificate(_) | Error::Other(_))) {
            return true;
        }
        next = error.source();
    }
    false
}

/// TLS that talks to servers with a certificate of the pinned authorities, and to no other. `time` is asked in each
/// handshake.
pub fn pinned_tls(pins: Vec<ServerPin>, time: Arc<dyn TimeProvider>) -> Result<ClientConfig, Error> {
    client_config(Arc::new(PinnedServer { pins, algorithms: algorithms() }), time)
}

/// TLS that talks to nobody: it looks at what the server presents and gives up. Nothing was sent by then.
pub fn probe_tls(time: Arc<dyn TimeProvider>) -> Result<(ClientConfig, Arc<PresentedChain>), Error> {
    let presented = Arc::new(PresentedChain { algorithms: algorithms(), pin: Mutex::new(None) });
    Ok((client_config(Arc::<PresentedChain>::clone(&presented), time)?, presented))
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

fn client_config(verifier: Arc<dyn ServerCertVerifier>, time: Arc<dyn TimeProvider>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, time).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct PinnedServer {
    pins: Vec<ServerPin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedServer {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let others = &others[..others.len().min(CHAIN_MAX)];
        // A certificate that signed itself is its own authority.
        let presented = others.iter().chain([leaf]);
        let is_pinned = |certificate: &&CertificateDer<'_>| {
            ServerPin::of_certificate(certificate).is_ok_and(|pin| self.pins.contains(&pin))
        };
        let unpinned = UnpinnedServer { pinned: self.pins.clone() };
        let mut refused = Error::Other(OtherError(Arc::new(unpinned)));
        for authority in presented.filter(is_pinned) {
            match self.check_signed_by(authority, leaf, others, now) {
                Ok(()) => return verify_server_name(&ParsedCertificate::try_from(leaf)?, name),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn check_signed_by(
        &self,
        authority: &CertificateDer<'_>,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        let mut now = now;
        // Each pass gets past the first day of one certificate.
        for _ in 0..=CHAIN_MAX {
            match verify_server_cert_signed_by_trust_anchor(&leaf, &roots, others, now, self.algorithms.all) {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                    if not_before > now =>
                {
                    now = not_before;
                }
                checked => return checked,
            }
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What a server presented to [`probe_tls`].
#[derive(Debug)]
pub struct PresentedChain {
    algorithms: WebPkiSupportedAlgorithms,
    pin: Mutex<Option<ServerPin>>,
}

impl PresentedChain {
    /// The pin with which [`pinned_tls`] would accept the server; none when it presented no chain that holds for its
    /// name.
    pub fn pin(&self) -> Option<ServerPin> {
        *self.pin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for PresentedChain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.last().unwrap_or(end_entity);
        if let Ok(pin) = ServerPin::of_certificate(authority) {
            let pinned = PinnedServer { pins: vec![pin], algorithms: self.algorithms };
            pinned.check(end_entity, intermediates, server_name, now)?;
            *self.pin.lock().unwrap_or_else(PoisonError::into_inner) = Some(pin);
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;

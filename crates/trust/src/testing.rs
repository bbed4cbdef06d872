//! For tests: authorities, and small servers with certificates of theirs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::ServerPin;

const WORKS: &str = "certificates and loopback servers of a test can be made";

/// An authority that nobody knows.
pub struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

impl Default for TestAuthority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect(WORKS);
        params.distinguished_name.push(DnType::CommonName, "of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect(WORKS)).expect(WORKS))
    }
}

impl TestAuthority {
    /// The pin with which its servers are accepted.
    ///
    /// # Panics
    /// When it cannot be made, as all of this.
    pub fn pin(&self) -> ServerPin {
        ServerPin::of_certificate(self.0.der()).expect(WORKS)
    }

    /// Its certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Serves `https://127.0.0.1:PORT` with a certificate of this authority, as long as the process runs: `answer` is
    /// given the head and the body of a request, and gives all bytes of the response. Gives the address.
    ///
    /// # Panics
    /// When no port is free.
    pub fn serve(&self, answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> String {
        let key = KeyPair::generate().expect(WORKS);
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect(WORKS);
        let chain = vec![params.signed_by(&key, &self.0).expect(WORKS).der().clone(), self.der()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect(WORKS).with_no_client_auth();
        let tls = Arc::new(builder.with_single_cert(chain, key).expect(WORKS));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect(WORKS);
        let address = format!("https://{}", listener.local_addr().expect(WORKS));
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer) = (Arc::clone(&tls), Arc::clone(&answer));
                // A client that refuses the certificate hangs up.
                std::thread::spawn(move || serve_one(stream, tls, answer.as_ref()).ok());
            }
        });
        address
    }
}

fn serve_one(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    answer: &dyn Fn(&str, &[u8]) -> Vec<u8>,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let stream = reader.get_mut();
    stream.write_all(&answer(&head, &body))?;
    stream.conn.send_close_notify();
    stream.flush()
}

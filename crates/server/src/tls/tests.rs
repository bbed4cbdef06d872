//! Certificates on disk, and TLS over real sockets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::HttpConfig;
use crate::testing::{PATIENCE, Running, read_to_end};

const DAY: Duration = Duration::from_hours(24);

/// 2026-06-01.
struct SetClock(AtomicI64);

impl SetClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_780_272_000_000_000)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

fn own(folder: &Path, clock: &Arc<SetClock>, names: &[&str]) -> Result<Tls, TlsError> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    Tls::open(CertificateSource::OwnCa { folder: folder.to_owned(), names }, PinChoice::Auto, clock)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_own_authority_is_made_once_and_kept_private() {
    let folder = TempDir::new().unwrap();
    let (path, clock) = (folder.path().join("tls"), SetClock::new());
    let first = own(&path, &clock, &["fleet.example"]).unwrap();
    let served = std::fs::read(path.join("server.pem")).unwrap();
    assert_eq!((mode(&path), mode(&path.join("ca.key")), mode(&path.join("server.pem"))), (0o700, 0o600, 0o600));
    assert_eq!(first.not_after().since(clock.now()), 90 * DAY);

    let again = own(&path, &clock, &["fleet.example"]).unwrap();
    assert_eq!(again.pin(), first.pin());
    assert!(first.pin().is_some());
    assert_eq!(std::fs::read(path.join("server.pem")).unwrap(), served, "nothing is issued without need");
    let other = own(&folder.path().join("other"), &clock, &["fleet.example"]).unwrap();
    assert_ne!(other.pin(), first.pin());
}

#[test]
fn an_authority_key_that_others_can_read_is_refused() {
    let folder = TempDir::new().unwrap();
    let clock = SetClock::new();
    own(folder.path(), &clock, &["a"]).unwrap();
    std::fs::set_permissions(folder.path().join("ca.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = own(folder.path(), &clock, &["a"]).err().unwrap();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

/// Whatever is lost but the key comes back, and clients notice nothing.
#[test]
fn what_follows_from_the_key_is_made_again() {
    let folder = TempDir::new().unwrap();
    let clock = SetClock::new();
    let pin = own(folder.path(), &clock, &["a"]).unwrap().pin();
    let server = folder.path().join("server.pem");
    for damage in [&b""[..], b"nonsense", &std::fs::read(folder.path().join("ca.pem")).unwrap()] {
        std::fs::write(&server, damage).unwrap();
        assert_eq!(own(folder.path(), &clock, &["a"]).unwrap().pin(), pin);
        assert!(Pair::read(&server, &server).is_ok());
    }
    std::fs::remove_file(&server).unwrap();
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    assert_eq!(own(folder.path(), &clock, &["a"]).unwrap().pin(), pin);
    let foreign = TempDir::new().unwrap();
    own(foreign.path(), &clock, &["a"]).unwrap();
    std::fs::copy(foreign.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    assert!(matches!(own(folder.path(), &clock, &["a"]), Err(TlsError::NoPair { .. })));
}

#[test]
fn a_server_gets_a_new_certificate_for_new_names_and_after_two_thirds_of_its_life() {
    let folder = TempDir::new().unwrap();
    let (clock, server) = (SetClock::new(), folder.path().join("server.pem"));
    let certificate = || Pair::read(&server, &server).unwrap().key().cert[0].clone();
    own(folder.path(), &clock, &["a", "10.0.0.1"]).unwrap();
    let first = certificate();
    own(folder.path(), &clock, &["a"]).unwrap();
    assert_eq!(certificate(), first, "it is good for fewer names, too");
    let tls = own(folder.path(), &clock, &["a", "b"]).unwrap();
    let second = certificate();
    assert_ne!(second, first);

    clock.forward(58 * DAY);
    assert!(!tls.look().unwrap(), "two thirds are not over");
    clock.forward(3 * DAY);
    assert!(tls.look().unwrap());
    assert_ne!(certificate(), second);
    assert!(!tls.look().unwrap());
    clock.forward(400 * DAY);
    assert!(tls.look().unwrap(), "a server that slept for a year");
}

/// Its clock was a year ahead when it issued one; then the clock was set right, while it ran or before a start.
#[test]
fn a_certificate_that_begins_in_the_future_is_replaced() {
    for restarted in [false, true] {
        let folder = TempDir::new().unwrap();
        let clock = SetClock::new();
        clock.forward(365 * DAY);
        let mut tls = own(folder.path(), &clock, &["a"]).unwrap();
        let (pin, ahead) = (tls.pin(), tls.not_after());
        clock.0.fetch_sub(i64::try_from((365 * DAY).as_micros()).unwrap(), Ordering::SeqCst);
        if restarted {
            tls = own(folder.path(), &clock, &["a"]).unwrap();
        } else {
            assert!(tls.look().unwrap());
        }
        assert_eq!((tls.pin(), tls.not_after().since(clock.now())), (pin, 90 * DAY));
        assert!(tls.not_after() < ahead);
        assert!(!tls.look().unwrap());
    }
}

#[test]
fn a_server_key_that_everybody_can_read_is_replaced() {
    let folder = TempDir::new().unwrap();
    let (clock, server) = (SetClock::new(), folder.path().join("server.pem"));
    own(folder.path(), &clock, &["a"]).unwrap();
    let exposed = std::fs::read(&server).unwrap();
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o644)).unwrap();
    own(folder.path(), &clock, &["a"]).unwrap();
    assert_ne!(std::fs::read(&server).unwrap(), exposed);
    assert_eq!(mode(&server), 0o600);
}

#[test]
fn a_key_file_that_everybody_can_read_is_told() {
    let files = Files::new("fleet.example");
    let key = files.folder.path().join("k.pem");
    let tls = files.open(PinChoice::Auto).unwrap();
    for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(tls.exposed_key(), exposed.then_some(&*key), "{mode:o}");
    }
}

/// A certificate that signed itself and its key, in two files.
struct Files {
    folder: TempDir,
    clock: Arc<SetClock>,
}

impl Files {
    fn new(name: &str) -> Self {
        let files = Self { folder: TempDir::new().unwrap(), clock: SetClock::new() };
        let (certificate, key) = Self::pair(name);
        files.write("c.pem", &certificate);
        files.write("k.pem", &key);
        files
    }

    fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn open(&self, pin: PinChoice) -> Result<Tls, TlsError> {
        let (certificate, key) = (self.folder.path().join("c.pem"), self.folder.path().join("k.pem"));
        let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(&self.clock);
        Tls::open(CertificateSource::Files { certificate, key }, pin, clock)
    }
}

#[test]
fn a_broken_new_pair_is_refused_and_the_old_one_stays() {
    let files = Files::new("fleet.example");
    let tls = files.open(PinChoice::Auto).unwrap();
    assert_eq!(tls.pin(), None, "a public authority needs no pin");
    let served = || tls.served.0.load().key().cert[0].clone();
    let first = served();
    assert!(!tls.look().unwrap());

    let (certificate, key) = Files::pair("fleet.example");
    files.write("c.pem", &certificate);
    let half = tls.look();
    assert!(matches!(half, Err(TlsError::NoPair { .. })), "{half:?}");
    for broken in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        files.write("c.pem", broken);
        assert!(matches!(tls.look(), Err(TlsError::Certificate { .. })), "{broken}");
    }
    std::fs::remove_file(files.folder.path().join("c.pem")).unwrap();
    assert!(matches!(tls.look(), Err(TlsError::File { .. })));
    assert_eq!(served(), first);

    files.write("c.pem", &certificate);
    files.write("k.pem", "");
    assert!(matches!(tls.look(), Err(TlsError::Key { .. })));
    files.write("k.pem", &key);
    assert!(tls.look().unwrap(), "the whole pair is taken over");
    assert_ne!(served(), first);
}

#[test]
fn a_certificate_that_is_over_is_not_taken_over() {
    let files = Files::new("fleet.example");
    let tls = files.open(PinChoice::Auto).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["fleet.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2026, 5, 1);
    files.write("c.pem", &params.self_signed(&key).unwrap().pem());
    files.write("k.pem", &key.serialize_pem());
    assert!(matches!(tls.look(), Err(TlsError::Expired { .. })));
}

#[test]
fn a_new_authority_that_pinned_devices_would_refuse_is_not_taken_over() {
    let files = Files::new("fleet.example");
    let tls = files.open(PinChoice::Chain).unwrap();
    let pinned = tls.pin().expect("asked for");
    let (certificate, key) = Files::pair("fleet.example");
    files.write("c.pem", &certificate);
    files.write("k.pem", &key);
    let refused = tls.look();
    assert!(matches!(refused, Err(TlsError::OtherAuthority { pinned: told, .. }) if told == pinned), "{refused:?}");
    assert_ne!(files.open(PinChoice::Chain).unwrap().pin(), Some(pinned), "a restart is the operator's word");
}

#[test]
fn a_chain_without_its_authority_cannot_be_pinned() {
    let folder = TempDir::new().unwrap();
    let clock = SetClock::new();
    own(folder.path(), &clock, &["a"]).unwrap();
    let (leaf, key) = {
        let text = std::fs::read_to_string(folder.path().join("server.pem")).unwrap();
        let end = text.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
        (text[..end].to_owned(), text[text.find("-----BEGIN PRIVATE").unwrap()..].to_owned())
    };
    let files = Files { folder, clock };
    files.write("c.pem", &leaf);
    files.write("k.pem", &key);
    let refused = files.open(PinChoice::Chain).err().unwrap();
    assert!(refused.to_string().contains("append the certificate of your authority"), "{refused}");
    assert!(files.open(PinChoice::None).is_ok());
}

/// Accepts everything and notes the first certificate.
#[derive(Debug, Default)]
struct Anybody(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(
    server: &Running,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> (std::io::Result<TlsStream<TcpStream>>, Option<CertificateDer<'static>>) {
    let verifier = Arc::new(Anybody::default());
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::<Anybody>::clone(&verifier)).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("fleet.example").unwrap(), server.connect().await).await;
    let certificate = verifier.0.lock().unwrap().clone();
    (stream, certificate)
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /fine HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
    String::from_utf8(answer).unwrap()
}

fn fine() -> Router {
    Router::new().route("/fine", get(|| async { "fine" }))
}

async fn serving(tls: &Arc<Tls>, config: HttpConfig) -> Running {
    Running::start_with(fine(), config, Some(Arc::clone(tls))).await
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_protocol_is_agreed_upon() {
    let files = Files::new("fleet.example");
    let tls = Arc::new(files.open(PinChoice::Auto).unwrap());
    let server = serving(&tls, HttpConfig::default()).await;
    for version in [&TLS12, &TLS13] {
        let (stream, _) = connect(&server, version, &["http/1.1"]).await;
        let mut stream = stream.unwrap();
        let cipher = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        let cipher = cipher.as_str().unwrap();
        assert!(cipher.contains("GCM") || cipher.contains("CHACHA20_POLY1305"), "{cipher}");
        assert!(ask(&mut stream).await.ends_with("fine"));
    }
    let (stream, _) = connect(&server, &TLS13, &["h2", "http/1.1"]).await;
    assert_eq!(stream.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

/// A connection that was there before keeps going, a new one gets the new certificate.
#[tokio::test]
async fn a_new_certificate_disturbs_nobody() {
    let files = Files::new("fleet.example");
    let tls = Arc::new(files.open(PinChoice::Auto).unwrap());
    let server = serving(&tls, HttpConfig::default()).await;
    let (stream, before) = connect(&server, &TLS13, &[]).await;
    let mut stream = stream.unwrap();
    let (certificate, key) = Files::pair("fleet.example");
    files.write("c.pem", &certificate);
    files.write("k.pem", &key);
    assert!(tls.look().unwrap());
    assert!(ask(&mut stream).await.ends_with("fine"));
    let (stream, after) = connect(&server, &TLS13, &[]).await;
    assert!(ask(&mut stream.unwrap()).await.ends_with("fine"));
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_handshake_that_stops_is_cut_off() {
    let files = Files::new("fleet.example");
    let tls = Arc::new(files.open(PinChoice::Auto).unwrap());
    let server = serving(&tls, HttpConfig { header_read_timeout_ms: 200, ..HttpConfig::default() }).await;
    // Nothing; the head of a record; the head of a record and a part of what it announced.
    for beginning in [&b""[..], &[0x16, 3, 1], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
        let mut stream = server.connect().await;
        stream.write_all(beginning).await.unwrap();
        read_to_end(&mut stream).await;
    }
    // A handshake, and then no request.
    let (stream, _) = connect(&server, &TLS13, &[]).await;
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.unwrap().read_to_end(&mut rest)).await.expect("it is closed").ok();
}

#[tokio::test]
async fn whoever_speaks_plain_http_is_told_what_is_spoken() {
    let files = Files::new("fleet.example");
    let tls = Arc::new(files.open(PinChoice::Auto).unwrap());
    let server = serving(&tls, HttpConfig::default()).await;
    let answer = server.exchange("GET /fine HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("this port speaks TLS: use https://\n"), "{answer}");
}

#[test]
fn looking_tells_the_end_and_the_names_and_makes_nothing() {
    let files = Files::new("fleet.example");
    let source = CertificateSource::Files {
        certificate: files.folder.path().join("c.pem"),
        key: files.folder.path().join("k.pem"),
    };
    let facts = inspect(&source, PinChoice::Auto, files.clock.now()).unwrap().unwrap();
    assert_eq!(facts.names, ["fleet.example"]);
    assert!(facts.not_after > files.clock.now());

    let (folder, clock) = (TempDir::new().unwrap(), SetClock::new());
    let path = folder.path().join("tls");
    let source = CertificateSource::OwnCa { folder: path.clone(), names: vec!["a".to_owned()] };
    assert_eq!(inspect(&source, PinChoice::Auto, clock.now()).unwrap(), None);
    assert!(!path.exists());
    own(&path, &clock, &["a"]).unwrap();
    let facts = inspect(&source, PinChoice::Auto, clock.now()).unwrap().unwrap();
    assert!(facts.not_after.since(clock.now()) > 3_650 * DAY, "{facts:?}");
    std::fs::set_permissions(path.join("ca.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(inspect(&source, PinChoice::Auto, clock.now()), Err(TlsError::Exposed { .. })));
}

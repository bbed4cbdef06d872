//! Whether TLS is spoken, and with which certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_server::{CertificateSource, PinChoice, Tls, check_plain};
use drover_types::SystemClock;
use url::{Host, Url};

use crate::error::RunError;

/// When TLS is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsMode {
    /// With certificate files when they are given, with an authority of its own off loopback, else not.
    #[default]
    Auto,
    /// With certificate files when they are given, else with an authority of its own.
    On,
    /// Never: on loopback only.
    Off,
}

/// Which key enrolment tokens tell devices to pin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsPin {
    /// That of the own authority; none with certificate files.
    #[default]
    Auto,
    /// That of the last certificate in --tls-cert, which is the authority that signed the others.
    Chain,
    /// None.
    None,
}

/// What was set.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsSettings {
    pub(crate) mode: TlsMode,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) pin: TlsPin,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsPlan {
    Plain,
    Files { certificate: PathBuf, key: PathBuf, pin: PinChoice },
    OwnCa { pin: PinChoice },
}

impl TlsSettings {
    /// Decides, and refuses what does not go together. `may_have_authority`: a single node may make an authority of its
    /// own; one of several may have the one that they share.
    pub(crate) fn plan(self, listen: SocketAddr, may_have_authority: bool) -> Result<TlsPlan, RunError> {
        let refuse = |text: &str| Err(RunError::Setting(text.to_owned()));
        let pin = match self.pin {
            TlsPin::Auto => PinChoice::Auto,
            TlsPin::Chain => PinChoice::Chain,
            TlsPin::None => PinChoice::None,
        };
        let files = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return refuse(
                    "tls_cert and tls_key belong together: give both, or neither for an authority of its own",
                );
            }
        };
        let is_loopback = check_plain(listen);
        match (self.mode, files) {
            (TlsMode::Off, Some(_)) => refuse("tls off does not go with tls_cert and tls_key: leave out one of them"),
            (TlsMode::Off, None) => {
                is_loopback.map(|()| TlsPlan::Plain).map_err(|error| RunError::Setting(error.to_string()))
            }
            (_, Some((certificate, key))) => Ok(TlsPlan::Files { certificate, key, pin }),
            (TlsMode::Auto, None) if is_loopback.is_ok() => Ok(TlsPlan::Plain),
            (_, None) if !may_have_authority => refuse(
                "several nodes on one database would each make an authority of their own, and devices would trust only \
                 one of them: give all the same certificate with --tls-cert and --tls-key, or copy tls/ca.key and tls/ca.pem \
                 of one data folder into that of every server",
            ),
            (_, None) if pin == PinChoice::Chain => {
                refuse("tls_pin chain is for certificate files: give --tls-cert and --tls-key, or leave it out")
            }
            (_, None) => Ok(TlsPlan::OwnCa { pin }),
        }
    }
}

/// Whether an authority may be used without certificate files: a single node makes its own, and one of several has the
/// one that it was given, or went on with after a move.
pub(crate) fn may_have_authority(is_local: bool, data: &Path) -> bool {
    is_local || data.join("tls/ca.key").exists()
}

impl TlsPlan {
    /// The scheme under which the server answers.
    pub(crate) const fn scheme(&self) -> &'static str {
        if matches!(self, Self::Plain) { "http" } else { "https" }
    }

    /// The address that devices and people are told when none is set.
    pub(crate) fn default_url(&self, address: SocketAddr) -> String {
        if *self == Self::Plain {
            return format!("http://{address}");
        }
        if address.ip().is_unspecified() {
            return format!("https://{}:{}", host_name(), address.port());
        }
        format!("https://{address}")
    }

    /// Refuses a public address that this server does not answer. Behind a proxy, TLS ends there.
    pub(crate) fn check_url(&self, public_url: &str) -> Result<(), RunError> {
        if *self != Self::Plain && public_url.starts_with("http://") {
            let text = format!("public_url {public_url:?}: this server speaks TLS: write https://");
            return Err(RunError::Setting(text));
        }
        Ok(())
    }

    /// Reads or makes the certificate; none without TLS.
    pub(crate) fn open(self, data: &Path, public_url: &str, listen: SocketAddr) -> Result<Option<Arc<Tls>>, RunError> {
        let (source, pin) = match self {
            Self::Plain => return Ok(None),
            Self::Files { certificate, key, pin } => (CertificateSource::Files { certificate, key }, pin),
            Self::OwnCa { pin } => {
                (CertificateSource::OwnCa { folder: data.join("tls"), names: own_names(public_url, listen) }, pin)
            }
        };
        Ok(Some(Arc::new(Tls::open(source, pin, Arc::new(SystemClock))?)))
    }
}

/// What this server may be called by: the public name first.
fn own_names(public_url: &str, listen: SocketAddr) -> Vec<String> {
    let public = Url::parse(public_url).ok().and_then(|url| match url.host()? {
        Host::Domain(name) => Some(name.to_owned()),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    });
    let bound = (!listen.ip().is_unspecified()).then(|| listen.ip().to_string());
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names = Vec::new();
    for name in public.into_iter().chain([host_name()]).chain(bound).chain(own) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().to_lowercase();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !name.is_empty() && name.chars().all(is_plain) { name } else { "localhost".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut TlsSettings), listen: &str, may: bool) -> Result<TlsPlan, String> {
        let mut settings = TlsSettings::default();
        change(&mut settings);
        settings.plan(listen.parse().unwrap(), may).map_err(|error| error.to_string())
    }

    fn with_files(settings: &mut TlsSettings) {
        (settings.certificate, settings.key) = (Some("c.pem".into()), Some("k.pem".into()));
    }

    #[test]
    fn loopback_is_plain_and_everything_else_speaks_tls() {
        let own = TlsPlan::OwnCa { pin: PinChoice::Auto };
        let files = TlsPlan::Files { certificate: "c.pem".into(), key: "k.pem".into(), pin: PinChoice::Auto };
        assert_eq!(plan(|_| {}, "127.0.0.1:8080", true), Ok(TlsPlan::Plain));
        assert_eq!(plan(|_| {}, "0.0.0.0:8443", true), Ok(own.clone()));
        assert_eq!(plan(|set| set.mode = TlsMode::On, "127.0.0.1:8080", true), Ok(own));
        for listen in ["127.0.0.1:8080", "0.0.0.0:8443"] {
            assert_eq!(plan(with_files, listen, false), Ok(files.clone()));
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_way_out() {
        let refused = |change: fn(&mut TlsSettings), listen, is_local| plan(change, listen, is_local).unwrap_err();
        assert!(refused(|set| set.mode = TlsMode::Off, "0.0.0.0:80", true).contains("leave out --tls off"));
        assert!(refused(|set| set.key = Some("k".into()), "0.0.0.0:80", true).contains("give both"));
        assert!(refused(|_| {}, "0.0.0.0:80", false).contains("--tls-cert"));
        assert!(refused(|set| set.pin = TlsPin::Chain, "0.0.0.0:80", true).contains("--tls-cert"));
        let both = |set: &mut TlsSettings| {
            with_files(set);
            set.mode = TlsMode::Off;
        };
        assert!(refused(both, "127.0.0.1:80", true).contains("leave out one"));
    }

    #[test]
    fn several_servers_go_on_with_the_authority_that_they_share() {
        let data = tempfile::tempdir().unwrap();
        assert!(may_have_authority(true, data.path()), "a single server makes one");
        assert!(!may_have_authority(false, data.path()), "each would make another");
        std::fs::create_dir(data.path().join("tls")).unwrap();
        std::fs::write(data.path().join("tls/ca.key"), "key").unwrap();
        assert!(may_have_authority(false, data.path()));
    }

    #[test]
    fn the_address_says_what_is_spoken() {
        let (plain, own) = (TlsPlan::Plain, TlsPlan::OwnCa { pin: PinChoice::Auto });
        assert_eq!(plain.default_url("127.0.0.1:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(own.default_url("10.0.0.1:8443".parse().unwrap()), "https://10.0.0.1:8443");
        assert!(!own.default_url("0.0.0.0:8443".parse().unwrap()).contains("0.0.0.0"));
        assert!(own.check_url("http://127.0.0.1:80").is_err());
        assert!(plain.check_url("https://fleet.example").is_ok(), "a proxy speaks TLS in front");
    }

    #[test]
    fn the_certificate_is_for_all_names_of_the_server() {
        let names = own_names("https://fleet.example:8443", "10.0.0.1:8443".parse().unwrap());
        assert_eq!(names[0], "fleet.example");
        for name in ["10.0.0.1", "localhost", "127.0.0.1", "::1"] {
            assert!(names.iter().any(|own| own == name), "{name} is not in {names:?}");
        }
        let unspecified = own_names("https://[::1]:8443", "0.0.0.0:8443".parse().unwrap());
        assert!(!unspecified.iter().any(|name| name == "0.0.0.0"), "{unspecified:?}");
    }
}

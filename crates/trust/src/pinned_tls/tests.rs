use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;

/// 2026-06-01 and 2027-06-01.
const DURING: u64 = 1_780_272_000;
const AFTER: u64 = 1_811_808_000;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn pin(&self) -> ServerPin {
        ServerPin::of_certificate(self.0.der()).unwrap()
    }

    /// A server's certificate, good for the year 2026.
    fn issue(&self, name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn check(pin: ServerPin, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: u64) -> Result<(), Error> {
    let name = ServerName::try_from("fleet.example").unwrap();
    PinnedServer { pins: vec![pin], algorithms: algorithms() }.check(leaf, others, &name, at(now))
}

fn is_unpinned(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Other(OtherError(cause))) if cause.is::<UnpinnedServer>())
}

#[test]
fn a_chain_of_the_pinned_authority_is_accepted() {
    let ours = Authority::new("ours");
    assert_eq!(check(ours.pin(), &ours.issue("fleet.example"), &[ours.der()], DURING), Ok(()));
}

#[test]
fn an_authority_of_the_same_name_is_not() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("ours"));
    let refused = check(ours.pin(), &theirs.issue("fleet.example"), &[theirs.der()], DURING);
    assert!(is_unpinned(&refused), "{refused:?}");
}

#[test]
fn it_is_not_enough_to_show_the_pinned_certificate() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("ours"));
    let forged = theirs.issue("fleet.example");
    for others in [vec![ours.der()], vec![theirs.der(), ours.der()], vec![ours.der(), theirs.der()]] {
        let refused = check(ours.pin(), &forged, &others, DURING);
        let Err(Error::InvalidCertificate(cause)) = refused else { panic!("{refused:?}") };
        assert!(matches!(cause, CertificateError::BadSignature | CertificateError::UnknownIssuer), "{cause:?}");
    }
}

#[test]
fn name_and_last_day_are_checked() {
    let ours = Authority::new("ours");
    let elsewhere = check(ours.pin(), &ours.issue("other.example"), &[ours.der()], DURING);
    let Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) = elsewhere else {
        panic!("{elsewhere:?}")
    };
    let expired = check(ours.pin(), &ours.issue("fleet.example"), &[ours.der()], AFTER);
    let Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. })) = expired else {
        panic!("{expired:?}")
    };
}

#[test]
fn a_clock_that_is_behind_is_forgiven() {
    let ours = Authority::new("ours");
    for woke_up in [0, DURING - 366 * 86_400] {
        assert_eq!(check(ours.pin(), &ours.issue("fleet.example"), &[ours.der()], woke_up), Ok(()));
    }
    // Not to somebody else.
    let refused = check(ours.pin(), &Authority::new("ours").issue("fleet.example"), &[ours.der()], 0);
    assert!(refused.is_err());
}

#[test]
fn a_certificate_may_be_its_own_authority() {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["fleet.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pin = ServerPin::of_certificate(own.der()).unwrap();
    assert_eq!(check(pin, own.der(), &[], DURING), Ok(()));
    assert!(check(Authority::new("ours").pin(), own.der(), &[], DURING).is_err());
}

#[test]
fn any_of_several_pins_will_do() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let both = PinnedServer { pins: vec![old.pin(), new.pin()], algorithms: algorithms() };
    let name = ServerName::try_from("fleet.example").unwrap();
    for authority in [&old, &new] {
        assert_eq!(both.check(&authority.issue("fleet.example"), &[authority.der()], &name, at(DURING)), Ok(()));
    }
}

#[test]
fn a_probe_tells_the_pin_and_accepts_nothing() {
    let ours = Authority::new("ours");
    let probe = PresentedChain { algorithms: algorithms(), pin: Mutex::new(None) };
    let look = |leaf: &CertificateDer<'_>| {
        let name = ServerName::try_from("fleet.example").unwrap();
        probe.verify_server_cert(leaf, &[ours.der()], &name, &[], at(DURING)).map(drop)
    };
    assert!(look(&Authority::new("ours").issue("fleet.example")).is_err());
    assert_eq!(probe.pin(), None, "a chain that does not hold has no pin");
    assert!(look(&ours.issue("fleet.example")).is_err());
    assert_eq!(probe.pin(), Some(ours.pin()));
}

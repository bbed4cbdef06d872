//! The certificate: readable, of one key, for the right name, and not near its end.

use std::path::Path;
use std::time::Duration;

use drover_server::{CertificateFacts, CertificateSource, PinChoice, TlsError, inspect};
use drover_types::Timestamp;
use url::Url;

use super::finding::{Finding, chain};
use crate::serve::tls::TlsPlan;

const NAME: &str = "certificate";
/// As the server's log does.
const ENDS_SOON: Duration = Duration::from_hours(24 * 14);

/// What came of reading the files; none where there are none yet, or no TLS is spoken.
pub(crate) type Facts = Result<Option<CertificateFacts>, TlsError>;

/// Reads what the server would, and makes nothing.
pub(crate) fn look(plan: &TlsPlan, data: &Path, now: Timestamp) -> Facts {
    match plan {
        TlsPlan::Plain => Ok(None),
        TlsPlan::Files { certificate, key, pin } => {
            let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
            inspect(&source, *pin, now)
        }
        TlsPlan::OwnCa { .. } => {
            let source = CertificateSource::OwnCa { folder: data.join("tls"), names: Vec::new() };
            inspect(&source, PinChoice::Auto, now)
        }
    }
}

/// Says whether the server can prove who it is.
pub(crate) fn judge(plan: &TlsPlan, public_url: Option<&str>, facts: &Facts, now: Timestamp) -> Finding {
    let next = match plan {
        TlsPlan::Plain => return Finding::ok(NAME, "none: plain HTTP on this machine only"),
        TlsPlan::Files { .. } => "check --tls-cert (chain, the server's first) and --tls-key: PEM files of one key",
        TlsPlan::OwnCa { .. } => "bring the folder tls back from a backup: devices pin the key in it",
    };
    let facts = match facts {
        Ok(Some(facts)) => facts,
        Ok(None) => return Finding::ok(NAME, "a start makes an authority of its own"),
        Err(error) => return Finding::fail(NAME, chain(error), next),
    };
    let CertificateFacts { not_after, names, exposed_key } = facts;
    if not_after.since(now) < ENDS_SOON {
        return near_the_end(plan, *not_after, now);
    }
    if let Some(key) = exposed_key {
        let next = format!("keep it to the server's user: chmod o-r {}", key.display());
        return Finding::warn(NAME, format!("everybody on this machine can read {}", key.display()), next);
    }
    let name = public_url.and_then(host);
    match (plan, name) {
        (TlsPlan::Files { .. }, Some(name)) if !names.iter().any(|known| covers(known, &name)) => {
            let seen = format!("it is for {}, and public_url names {name}", names.join(", "));
            Finding::warn(NAME, seen, "devices refuse it, unless a proxy in front shows another: get one for that name")
        }
        (TlsPlan::OwnCa { .. }, _) => Finding::ok(NAME, format!("of the own authority, which lasts until {not_after}")),
        _ => Finding::ok(NAME, format!("for {}, until {not_after}", names.join(", "))),
    }
}

/// That it ended, or will soon.
fn near_the_end(plan: &TlsPlan, not_after: Timestamp, now: Timestamp) -> Finding {
    let next = "write a new one; it is taken over at once";
    match plan {
        // Devices hold to its key, which has no end.
        TlsPlan::OwnCa { .. } => Finding::warn(
            NAME,
            format!(
                "that of the own authority lasts until {not_after}: then browsers and --ca refuse it, devices do not"
            ),
            "remove tls/ca.pem from the data folder, and nothing else, and start again: the key and its pin stay; then \
             give out the new tls/ca.pem",
        ),
        _ if not_after <= now => Finding::fail(NAME, format!("it ended at {not_after}: devices refuse it"), next),
        _ => Finding::warn(NAME, format!("it ends at {not_after}"), next),
    }
}

/// As certificates name it.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_lowercase())
}

/// A star stands for one label.
fn covers(known: &str, name: &str) -> bool {
    let known = known.to_lowercase();
    match (known.strip_prefix("*."), name.split_once('.')) {
        (Some(parent), Some((_, rest))) => rest == parent,
        _ => known == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn files() -> TlsPlan {
        TlsPlan::Files { certificate: "c.pem".into(), key: "k.pem".into(), pin: PinChoice::Auto }
    }

    fn level(names: &[&str], days_left: u64, public_url: &str) -> Level {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let not_after = NOW.plus(Duration::from_hours(24 * days_left));
        judge(&files(), Some(public_url), &Ok(Some(CertificateFacts { not_after, names, exposed_key: None })), NOW)
            .level
    }

    #[test]
    fn files_that_are_no_certificate_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let plan = TlsPlan::Files { certificate: certificate.clone(), key: key.clone(), pin: PinChoice::Auto };
        let level = || judge(&plan, None, &look(&plan, folder.path(), NOW), NOW).level;
        assert_eq!(level(), Level::Fail, "missing");
        std::fs::write(&certificate, "nonsense").unwrap();
        std::fs::write(&key, "nonsense").unwrap();
        assert_eq!(level(), Level::Fail, "nonsense");
        let plain = TlsPlan::Plain;
        assert_eq!(judge(&plain, None, &look(&plain, folder.path(), NOW), NOW).level, Level::Ok);
        let own = TlsPlan::OwnCa { pin: PinChoice::Auto };
        assert_eq!(judge(&own, None, &look(&own, folder.path(), NOW), NOW).level, Level::Ok);
        assert!(!folder.path().join("tls").exists(), "looking makes nothing");
    }

    #[test]
    fn a_key_that_everybody_can_read_is_told() {
        let facts = CertificateFacts {
            not_after: NOW.plus(Duration::from_hours(24 * 60)),
            names: vec!["fleet.example".to_owned()],
            exposed_key: Some("k.pem".into()),
        };
        let finding = judge(&files(), Some("https://fleet.example"), &Ok(Some(facts)), NOW);
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.next.is_some_and(|next| next.ends_with("chmod o-r k.pem")));
    }

    #[test]
    fn the_end_of_the_own_authority_is_no_reason_to_replace_its_key() {
        let own = TlsPlan::OwnCa { pin: PinChoice::Auto };
        for not_after in [NOW.minus(Duration::from_hours(1)), NOW.plus(Duration::from_hours(1))] {
            let finding =
                judge(&own, None, &Ok(Some(CertificateFacts { not_after, names: Vec::new(), exposed_key: None })), NOW);
            assert_eq!(finding.level, Level::Warn, "{}", finding.seen);
            assert!(finding.next.is_some_and(|next| next.starts_with("remove tls/ca.pem ")));
        }
    }

    #[test]
    fn one_that_ended_or_is_for_another_name_is_told() {
        let url = "https://fleet.example:8443";
        assert_eq!(level(&["fleet.example"], 60, url), Level::Ok);
        assert_eq!(level(&["fleet.example"], 0, url), Level::Fail);
        assert_eq!(level(&["fleet.example"], 5, url), Level::Warn);
        assert_eq!(level(&["other.example"], 60, url), Level::Warn);
        assert_eq!(level(&["*.example"], 60, url), Level::Ok);
        assert_eq!(level(&["*.example"], 60, "https://a.fleet.example"), Level::Warn);
        assert_eq!(level(&["::1", "10.0.0.1"], 60, "https://[::1]:8443"), Level::Ok);
    }
}

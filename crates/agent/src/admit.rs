//! Whether an offer may be installed at all. Nothing is fetched before all of this holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_protocol::{Failure, Offer};
use drover_trust::{
    DowngradeError, Manifest, PublicKey, VerifyError, check_preconditions, verify_digest, verify_manifest,
};
use drover_types::{ComponentName, FailureClass, KeyAlgorithm, Sha256Digest, Version};

use crate::blacklist::Blacklist;
use crate::failure::failure;
use crate::slot::Release;

/// What an offer is held against.
pub(crate) struct Rules<'a> {
    pub(crate) keys: &'a [PublicKey],
    pub(crate) device_type: &'a str,
    pub(crate) is_known: bool,
    pub(crate) running: Option<&'a Release>,
    pub(crate) installed: &'a dyn Fn(&ComponentName) -> Option<Version>,
    pub(crate) blacklist: &'a Blacklist,
    pub(crate) blacklist_after: u32,
}

/// An offer whose manifest was verified.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) manifest: Manifest,
    pub(crate) release: Sha256Digest,
}

/// The bytes of the manifest in an offer.
pub(crate) fn manifest_bytes(offer: &Offer) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(&offer.manifest)
        .map_err(|error| failure(FailureClass::Verification, "malformed_offer", &format!("the manifest: {error}")))
}

/// Verifies the manifest first, and reads the rest only then.
pub(crate) fn admit(offer: &Offer, rules: &Rules<'_>) -> Result<Admitted, Failure> {
    if rules.keys.is_empty() {
        let message = "no release key is pinned on this device: name key files in release_keys of its configuration, \
                       or enrol it again with a server that has keys";
        return Err(failure(FailureClass::Verification, "no_release_keys", message));
    }
    let manifest_bytes = manifest_bytes(offer)?;
    let verified = verify_manifest(&manifest_bytes, offer.manifest_bundle.as_bytes(), rules.keys)
        .map_err(|error| refused("manifest_not_trusted", "the manifest", &error))?;
    let manifest = verified.value;
    check_target(offer, rules, &manifest)?;
    let precondition = |code, message: String| failure(FailureClass::Precondition, code, &message);
    check_floor(rules.running, &manifest).map_err(|error| precondition("downgrade", error.to_string()))?;
    check_preconditions(&manifest, rules.installed).map_err(|error| precondition("precondition", error.to_string()))?;
    let digests: Vec<_> = manifest.artifacts.iter().map(|artifact| artifact.sha256).collect();
    let failures = rules.blacklist.failures(&digests);
    if failures >= rules.blacklist_after as usize {
        let message =
            format!("{} was rolled back {failures} times on this device and is not tried again", manifest.version);
        return Err(precondition("blacklisted", message));
    }
    // An Ed25519 key signs whole files only: the manifest that it signed binds the artifacts by their digests.
    let signer = rules.keys.iter().find(|key| key.fingerprint() == verified.key_fingerprint);
    let needs_bundles = signer.is_none_or(|key| key.algorithm() != KeyAlgorithm::Ed25519);
    check_artifacts(offer, &manifest, rules.keys, needs_bundles)?;
    Ok(Admitted { release: Manifest::digest(&manifest_bytes), manifest })
}

/// The rule of [`drover_trust::check_downgrade`], on what the slot kept of its signed manifest.
fn check_floor(running: Option<&Release>, offered: &Manifest) -> Result<(), DowngradeError> {
    match running {
        Some(running) if offered.release_counter < running.rollback_floor => Err(DowngradeError {
            release_counter: offered.release_counter,
            rollback_floor: running.rollback_floor,
            offered: offered.version.clone(),
            running: running.version.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_target(offer: &Offer, rules: &Rules<'_>, manifest: &Manifest) -> Result<(), Failure> {
    let refuse = |code, message: String| Err(failure(FailureClass::Precondition, code, &message));
    if manifest.device_type != rules.device_type {
        let message = format!("it is made for {:?}, this device is a {:?}", manifest.device_type, rules.device_type);
        return refuse("wrong_device_type", message);
    }
    if manifest.component != offer.component {
        let message = format!("it is made for component {}, offered for {}", manifest.component, offer.component);
        return refuse("wrong_component", message);
    }
    if !rules.is_known {
        let message = format!("this device has no component {}; name it in the agent's configuration", offer.component);
        return refuse("unknown_component", message);
    }
    Ok(())
}

/// Every artifact of the manifest is offered, and signed. Its bytes are held against the same digest when they come.
fn check_artifacts(offer: &Offer, manifest: &Manifest, keys: &[PublicKey], needs_bundles: bool) -> Result<(), Failure> {
    for artifact in &manifest.artifacts {
        let Some(offered) = offer.artifacts.iter().find(|offered| offered.name == artifact.name) else {
            let message = format!("the offer has no address for artifact {}", artifact.name);
            return Err(failure(FailureClass::Verification, "malformed_offer", &message));
        };
        if needs_bundles {
            verify_digest(&artifact.sha256, offered.signature.as_bytes(), keys)
                .map_err(|error| refused("artifact_not_trusted", &artifact.name, &error))?;
        }
    }
    Ok(())
}

fn refused(code: &str, what: &str, error: &VerifyError) -> Failure {
    failure(FailureClass::Verification, code, &format!("{what}: {error}"))
}

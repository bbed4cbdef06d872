//! The firmware of the demo: packed, signed and published like anybody's.

use std::path::{Path, PathBuf};

use drover_api::Firmware;
use drover_cli::release::{self, PackOptions};
use drover_cli::{Client, Progress};
use drover_trust::PrivateKey;
use drover_types::{ComponentName, Version};

use crate::error::RunError;

/// Device type of the demo's fleet.
pub(super) const DEVICE_TYPE: &str = "demo-truck";

/// Source 000's object.
pub(super) const HELLO_OBJECT: &str = "firmware/v1/hello.bin";

/// A file in the device's folder that makes version 1.2.0 fail its self-test.
pub(super) const WORN_SENSOR: &str = "worn-sensor";

/// Bytes of the image in each release.
const IMAGE_BYTES: u64 = 1 << 20;

/// The self-test of good releases looks at the image that came with them.
const SELF_TEST: &str = "#!/bin/sh\n# Exit 0: this release works here.\nset -eu\n\
    test \"$(cat version)\" = \"$DROVER_VERSION\"\ntest \"$(wc -c < image.bin)\" -eq 1048576\n";

/// The bad release cannot live with a worn sensor.
const STRICT_SELF_TEST: &str = "#!/bin/sh\nset -eu\n\
    if test -e \"$DROVER_DEVICE_DIR/worn-sensor\"; then echo 'sensor out of range' >&2; exit 1; fi\n";

/// The demo's three releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demo {
    /// What the fleet starts with.
    First,
    /// Works everywhere.
    Good,
    /// Fails its self-test on devices with a worn sensor.
    Bad,
}

impl Demo {
    pub(super) const fn version(self) -> Version {
        match self {
            Self::First => Version::new(1, 0, 0),
            Self::Good => Version::new(1, 1, 0),
            Self::Bad => Version::new(1, 2, 0),
        }
    }

    const fn counter(self) -> u64 {
        match self {
            Self::First => 1,
            Self::Good => 2,
            Self::Bad => 3,
        }
    }

    const fn self_test(self) -> &'static str {
        match self {
            Self::First | Self::Good => SELF_TEST,
            Self::Bad => STRICT_SELF_TEST,
        }
    }
}

/// Packs, signs and publishes a release.
pub(super) async fn publish(
    client: &Client,
    folder: &Path,
    key: &PrivateKey,
    demo: Demo,
) -> Result<Firmware, RunError> {
    let version = demo.version();
    let content = folder.join(format!("content-{version}"));
    write_content(&content, demo).map_err(RunError::io("write the demo's firmware"))?;
    let out = folder.join(format!("release-{version}"));
    let options = PackOptions {
        inputs: vec![content],
        raw: Vec::new(),
        name: "demo".to_owned(),
        version,
        device_type: DEVICE_TYPE.to_owned(),
        component: ComponentName::main(),
        release_counter: demo.counter(),
        rollback_floor: 1,
        min_version: None,
        dependencies: Vec::new(),
        release_notes: Some("A release of the demo".to_owned()),
        metadata: std::collections::BTreeMap::new(),
        out: out.clone(),
    };
    let failed = |what: &str, error: &dyn std::fmt::Display| RunError::Demo(format!("{what}: {error}"));
    release::pack(&options).map_err(|error| failed("pack", &error))?;
    release::sign(&out, key).map_err(|error| failed("sign", &error))?;
    let published = release::publish(client, &out, &mut |_| {}, &|_| Progress::none()).await;
    published.map_err(|error| failed("publish", &error))
}

/// A version file, a self-test and an image whose bytes differ from release to release.
fn write_content(folder: &PathBuf, demo: Demo) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("version"), demo.version().to_string())?;
    std::fs::write(folder.join("self-test"), demo.self_test())?;
    let mut state = demo.counter();
    let image: Vec<u8> = (0..IMAGE_BYTES / 8)
        .flat_map(|_| {
            // A linear congruential generator: bytes that do not compress, the same on every run.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()
        })
        .collect();
    std::fs::write(folder.join("image.bin"), image)
}

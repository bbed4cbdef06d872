use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A manifest with every field set.
pub(crate) fn example() -> Manifest {
    Manifest {
        format: 1,
        name: "navigation".to_owned(),
        version: Version::new(1, 4, 0),
        device_type: "rover-2".to_owned(),
        component: ComponentName::main(),
        release_counter: 12,
        rollback_floor: 10,
        min_version: Some(Version::new(1, 2, 0)),
        dependencies: vec![Dependency {
            component: "ecu-1".parse().expect("a name"),
            min_version: Version::new(3, 0, 0),
            below_version: Some(Version::new(4, 0, 0)),
        }],
        artifacts: vec![ManifestArtifact {
            name: "navigation-1.4.0.tar.gz".to_owned(),
            format: ArtifactFormat::TarGz,
            size_bytes: 1_000,
            sha256: sha256(b"bytes"),
            unpacked_bytes: 4_000,
            unpacked_entries: 20,
        }],
        release_notes: Some("Faster start.".to_owned()),
        metadata: BTreeMap::from([("build".to_owned(), json!({ "commit": "abc", "number": 7 }))]),
    }
}

const GOLDEN: &str = r#"{
  "format": 1,
  "name": "navigation",
  "version": "1.4.0",
  "device_type": "rover-2",
  "component": "main",
  "release_counter": 12,
  "rollback_floor": 10,
  "min_version": "1.2.0",
  "dependencies": [
    {
      "component": "ecu-1",
      "min_version": "3.0.0",
      "below_version": "4.0.0"
    }
  ],
  "artifacts": [
    {
      "name": "navigation-1.4.0.tar.gz",
      "format": "tar_gz",
      "size_bytes": 1000,
      "sha256": "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",
      "unpacked_bytes": 4000,
      "unpacked_entries": 20
    }
  ],
  "release_notes": "Faster start.",
  "metadata": {
    "build": {
      "commit": "abc",
      "number": 7
    }
  }
}
"#;

#[test]
fn the_golden_manifest_is_written_and_read() {
    assert_eq!(String::from_utf8(example().to_bytes()).expect("UTF-8"), GOLDEN);
    assert_eq!(Manifest::parse(GOLDEN.as_bytes()).expect("own text"), example());
    assert_eq!(Manifest::digest(GOLDEN.as_bytes()), sha256(GOLDEN.as_bytes()));
}

#[test]
fn what_is_not_set_is_left_out() {
    let bare = Manifest {
        min_version: None,
        dependencies: vec![],
        release_notes: None,
        metadata: BTreeMap::new(),
        ..example()
    };
    let text = String::from_utf8(bare.to_bytes()).expect("UTF-8");
    for field in ["min_version", "dependencies", "release_notes", "metadata"] {
        assert!(!text.contains(field), "{text}");
    }
    assert_eq!(Manifest::parse(text.as_bytes()).expect("own text"), bare);
}

/// The refusal of a manifest after a change.
fn refusal(change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = example();
    change(&mut manifest);
    let from_validate = manifest.validate().expect_err("refused").to_string();
    let from_parse = Manifest::parse(&manifest.to_bytes()).expect_err("refused").to_string();
    assert_eq!(from_parse, from_validate);
    from_parse
}

#[test]
fn counters() {
    assert!(refusal(|m| m.rollback_floor = 13).contains("rollback_floor is 13, above release_counter 12"));
    assert!(refusal(|m| m.release_counter = 1 << 53).contains("release_counter"));
    assert!(Manifest { release_counter: (1 << 53) - 1, rollback_floor: 0, ..example() }.validate().is_ok());
}

#[test]
fn texts() {
    assert!(refusal(|m| m.name.clear()).contains("name has 0 characters"));
    assert!(refusal(|m| m.name = "n".repeat(129)).contains("expected 1 to 128"));
    assert!(refusal(|m| m.device_type = "a\u{1b}[2J".to_owned()).contains("device_type has a control character"));
    assert!(refusal(|m| m.release_notes = Some("ä".repeat(10_001))).contains("10001 characters"));
    assert!(refusal(|m| _ = m.metadata.insert("k".to_owned(), json!("x".repeat(16 * 1024)))).contains("metadata"));
    assert!(Manifest { release_notes: Some("ä".repeat(10_000)), ..example() }.validate().is_ok());
}

#[test]
fn artifacts_have_limits() {
    assert!(refusal(|m| m.artifacts.clear()).contains("artifacts has 0 entries, expected 1 to 50"));
    assert!(refusal(|m| m.artifacts[0].size_bytes = 0).contains("artifacts[0].size_bytes is 0"));
    assert!(refusal(|m| m.artifacts[0].size_bytes = (64 << 30) + 1).contains("artifacts[0].size_bytes"));
    assert!(refusal(|m| m.artifacts[0].unpacked_bytes = (1 << 40) + 1).contains("unpacked_bytes"));
    assert!(refusal(|m| m.artifacts[0].unpacked_entries = 1_000_001).contains("unpacked_entries"));
    assert!(refusal(|m| m.artifacts.push(m.artifacts[0].clone())).contains("artifacts[1].name"));
    let many = |count: usize| {
        let artifact = |index| ManifestArtifact { name: format!("part-{index}"), ..example().artifacts[0].clone() };
        Manifest { artifacts: (0..count).map(artifact).collect(), ..example() }
    };
    assert!(many(50).validate().is_ok());
    assert!(many(51).validate().is_err());
}

#[test]
fn names_of_artifacts_are_one_safe_segment() {
    for bad in ["", ".", "..", ".hidden", "../x", "a/b", "a\\b", "C:x", "a\0b", "-rf", "é", "a b", &"x".repeat(129)] {
        assert!(refusal(|m| m.artifacts[0].name = bad.to_owned()).contains("is no file name"), "{bad:?}");
    }
}

#[test]
fn dependencies_fit_and_come_once() {
    assert!(refusal(|m| m.dependencies.push(m.dependencies[0].clone())).contains("names ecu-1 a second time"));
    let empty_range = refusal(|m| m.dependencies[0].below_version = Some(Version::new(3, 0, 0)));
    assert!(
        empty_range.contains("dependencies[0].below_version is 3.0.0, not above min_version 3.0.0"),
        "{empty_range}"
    );
    let one = example().dependencies[0].clone();
    let numbered = |index| Dependency { component: format!("c{index}").parse().expect("a name"), ..one.clone() };
    assert!(refusal(|m| m.dependencies = (0..51).map(numbered).collect()).contains("more than 50"));
}

#[test]
fn unknown_fields_doubled_fields_and_other_formats_are_refused() {
    let refusal = |from: &str, to: &str| {
        Manifest::parse(GOLDEN.replacen(from, to, 1).as_bytes()).expect_err("refused").to_string()
    };
    assert!(refusal("\"name\"", "\"extra\": 1,\n  \"name\"").contains("unknown field `extra`"));
    assert!(refusal("\"name\"", "\"name\": \"x\",\n  \"name\"").contains("duplicate field `name`"));
    assert!(refusal("\"size_bytes\"", "\"mode\": 1, \"size_bytes\"").contains("unknown field `mode`"));
    assert!(refusal("\"format\": 1,", "\"format\": 2, \"new\": {},").contains("unsupported manifest format 2"));
    assert!(refusal("\"format\": 1,", "").contains("missing field `format`"));
    assert!(refusal("\"component\": \"main\"", "\"component\": \"../main\"").contains("component name"));
    assert!(refusal("\"tar_gz\"", "\"zip\"").contains("unknown variant `zip`"));
}

#[test]
fn the_size_has_a_limit() {
    let padded = |size: usize| GOLDEN.to_owned() + &" ".repeat(size - GOLDEN.len());
    assert!(Manifest::parse(padded(MAX_MANIFEST_BYTES).as_bytes()).is_ok());
    let refused = Manifest::parse(padded(MAX_MANIFEST_BYTES + 1).as_bytes());
    assert!(matches!(refused, Err(ManifestError::TooLarge { .. })));
}

#[test]
fn the_words_of_formats_are_those_of_the_json() {
    for format in ArtifactFormat::ALL {
        assert_eq!(serde_json::to_value(format).expect("JSON"), json!(format.as_str()));
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    assert!("zip".parse::<ArtifactFormat>().is_err());
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let artifacts = prop::collection::btree_map(
        "[A-Za-z0-9][A-Za-z0-9._-]{0,20}",
        (any::<[u8; 32]>(), 1_u64..=64 << 30, 0_u64..=1 << 40, 0_u64..=1_000_000, any::<bool>()),
        1..5,
    );
    let numbers = (0_u64..1 << 53).prop_flat_map(|counter| (Just(counter), 0..=counter));
    (artifacts, numbers, "[^\\p{Cc}]{1,128}", prop::option::of("\\PC{0,100}"), any::<(u8, u8, u8)>()).prop_map(
        |(artifacts, (release_counter, rollback_floor), name, release_notes, (major, minor, patch))| Manifest {
            name,
            version: Version::new(major.into(), minor.into(), patch.into()),
            release_counter,
            rollback_floor,
            release_notes,
            artifacts: artifacts
                .into_iter()
                .map(|(name, (digest, size_bytes, unpacked_bytes, unpacked_entries, raw))| ManifestArtifact {
                    name,
                    format: if raw { ArtifactFormat::Raw } else { ArtifactFormat::TarGz },
                    size_bytes,
                    sha256: Sha256Digest::from_bytes(digest),
                    unpacked_bytes,
                    unpacked_entries,
                })
                .collect(),
            ..example()
        },
    )
}

proptest! {
    #[test]
    fn there_and_back(manifest in any_manifest()) {
        let bytes = manifest.to_bytes();
        let again = Manifest::parse(&bytes).expect("own bytes");
        prop_assert_eq!(again.to_bytes(), bytes);
        prop_assert_eq!(again, manifest);
    }

    #[test]
    fn any_bytes_are_an_answer_not_a_panic(bytes: Vec<u8>) {
        let _ = Manifest::parse(&bytes);
    }

    #[test]
    fn a_damaged_manifest_is_an_answer_not_a_panic(at in 0..GOLDEN.len(), cut in 0_usize..60, put in "[\\PC]{0,8}") {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.into_bytes());
        if let Ok(manifest) = Manifest::parse(&bytes) {
            prop_assert!(manifest.validate().is_ok());
        }
    }
}

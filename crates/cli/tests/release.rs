//! Packing, signing and what the two refuse.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use drover_cli::release::{PackError, PackOptions, Release, ReleaseSignError, pack, sign};
use drover_trust::{ArtifactFormat, PrivateKey, sha256, verify_digest, verify_manifest};
use drover_types::{ComponentName, KeyAlgorithm, Version};
use tempfile::TempDir;

fn options(inputs: Vec<PathBuf>, out: PathBuf) -> PackOptions {
    PackOptions {
        inputs,
        raw: Vec::new(),
        name: "app".to_owned(),
        version: Version::new(1, 2, 3),
        device_type: "robot".to_owned(),
        component: ComponentName::main(),
        release_counter: 7,
        rollback_floor: 3,
        min_version: None,
        dependencies: Vec::new(),
        release_notes: None,
        metadata: BTreeMap::new(),
        out,
    }
}

/// The same content, made in another order and with other times and modes that do not count.
fn content(folder: &Path, reverse: bool) {
    let mut files = vec![("bin/run", 0o755), ("bin/lib.so", 0o644), ("etc/app.toml", 0o644), ("etc.d/x", 0o600)];
    if reverse {
        files.reverse();
    }
    for (name, mode) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, format!("content of {name}")).expect("written");
        let group_bits = if reverse { 0 } else { 0o020 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | group_bits)).expect("set");
    }
    fs::create_dir(folder.join("empty")).expect("made");
}

fn packed(reverse: bool) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a folder");
    let source = root.path().join("source");
    content(&source, reverse);
    let out = root.path().join("out");
    pack(&options(vec![source], out.clone())).expect("packed");
    (root, out)
}

fn names(folder: &Path) -> Vec<String> {
    let items = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        items.map(|item| item.expect("an item").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn the_same_content_gives_the_same_bytes_in_the_layout_of_source_004() {
    let ((_first_root, first), (_second_root, second)) = (packed(false), packed(true));
    assert_eq!(names(&first), ["app-v1.2.3.sha256", "app-v1.2.3.tar.gz", "manifest.json"]);
    for name in names(&first) {
        assert_eq!(
            fs::read(first.join(&name)).expect("a file"),
            fs::read(second.join(&name)).expect("a file"),
            "{name}"
        );
    }
    let archive = fs::read(first.join("app-v1.2.3.tar.gz")).expect("a file");
    let digest_line = fs::read_to_string(first.join("app-v1.2.3.sha256")).expect("a file");
    assert_eq!(digest_line, format!("{}  app-v1.2.3.tar.gz\n", sha256(&archive)));
}

#[test]
fn the_archive_holds_what_the_manifest_promises() {
    let (_root, out) = packed(false);
    let release = Release::open(&out).expect("a release");
    let [artifact] = &release.manifest.artifacts[..] else { panic!("one artifact") };
    assert_eq!(artifact.format, ArtifactFormat::TarGz);
    let file = fs::File::open(release.artifact_path(artifact)).expect("a file");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut found = Vec::new();
    let mut unpacked_bytes = 0;
    for entry in archive.entries().expect("entries") {
        let entry = entry.expect("an entry");
        let header = entry.header();
        let owners = (header.uid().expect("a number"), header.gid().expect("a number"));
        assert_eq!((header.mtime().expect("a number"), owners), (0, (0, 0)));
        unpacked_bytes += entry.size();
        found.push((entry.path().expect("a path").display().to_string(), header.mode().expect("a number")));
    }
    let expected = [
        ("bin/", 0o755),
        ("bin/lib.so", 0o644),
        ("bin/run", 0o755),
        ("empty/", 0o755),
        ("etc/", 0o755),
        ("etc.d/", 0o755),
        ("etc.d/x", 0o644),
        ("etc/app.toml", 0o644),
    ];
    assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
    assert_eq!((artifact.unpacked_bytes, artifact.unpacked_entries), (unpacked_bytes, 8));
}

#[test]
fn what_is_signed_verifies_and_what_was_changed_is_not_signed() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let (_root, out) = packed(false);
        let key = PrivateKey::generate(algorithm).expect("a key");
        let signed = sign(&out, &key).expect("signed");
        let release = Release::open(&out).expect("a release");
        let [artifact] = &release.manifest.artifacts[..] else { panic!("one artifact") };
        let pinned = [key.public_key()];
        let bundle = fs::read(release.manifest_bundle_path()).expect("a bundle");
        let verified = verify_manifest(&release.manifest_bytes, &bundle, &pinned).expect("verified");
        assert_eq!(verified.value, release.manifest);
        if algorithm == KeyAlgorithm::Ed25519 {
            assert_eq!(signed.bundles.len(), 1);
        } else {
            let bundle = fs::read(out.join("app-v1.2.3.tar.gz.bundle")).expect("a bundle");
            verify_digest(&artifact.sha256, &bundle, &pinned).expect("verified");
        }
        let stranger = [PrivateKey::generate(algorithm).expect("a key").public_key()];
        verify_manifest(&release.manifest_bytes, &bundle, &stranger).expect_err("another key");
        fs::write(release.artifact_path(artifact), b"something else").expect("written");
        let error = sign(&out, &key).expect_err("changed");
        assert!(matches!(error, ReleaseSignError::Release(_)), "{error:?}");
    }
}

#[test]
fn links_clashes_and_existing_releases_are_refused_and_nothing_is_left_behind() {
    let root = tempfile::tempdir().expect("a folder");
    let (source, out) = (root.path().join("source"), root.path().join("out"));
    content(&source, false);
    symlink("/etc/passwd", source.join("link")).expect("a link");
    let error = pack(&options(vec![source.clone()], out.clone())).expect_err("a link");
    assert!(matches!(&error, PackError::Special { path } if path.ends_with("link")), "{error:?}");
    assert!(names(&out).is_empty(), "{:?}", names(&out));
    fs::remove_file(source.join("link")).expect("removed");

    let error = pack(&options(vec![source.clone(), source.clone()], out.clone())).expect_err("twice");
    assert!(matches!(error, PackError::Twice { .. }), "{error:?}");
    let error = pack(&options(vec![source.clone()], source.join("out"))).expect_err("inside");
    assert!(matches!(error, PackError::Inside { .. }), "{error:?}");
    let error = pack(&options(vec![source.join("empty")], out.clone())).expect_err("empty");
    assert!(matches!(error, PackError::Empty), "{error:?}");
    let bad_floor = PackOptions { rollback_floor: 8, ..options(vec![source.clone()], out.clone()) };
    assert!(matches!(pack(&bad_floor), Err(PackError::Manifest(_))));

    pack(&options(vec![source.clone()], out.clone())).expect("packed");
    let error = pack(&options(vec![source], out)).expect_err("exists");
    assert!(matches!(error, PackError::Exists { .. }), "{error:?}");
}

#[test]
fn raw_files_are_artifacts_of_their_own() {
    let root = tempfile::tempdir().expect("a folder");
    let (raw, out) = (root.path().join("model.bin"), root.path().join("out"));
    fs::write(&raw, b"weights").expect("written");
    let manifest = pack(&PackOptions { raw: vec![raw], ..options(Vec::new(), out.clone()) }).expect("packed");
    assert_eq!(names(&out), ["manifest.json", "model.bin", "model.bin.sha256"]);
    let [artifact] = &manifest.artifacts[..] else { panic!("one artifact") };
    assert_eq!((artifact.format, artifact.size_bytes, artifact.unpacked_bytes), (ArtifactFormat::Raw, 7, 7));
    assert_eq!(artifact.sha256, sha256(b"weights"));
}

//! Hostile archives: each is refused, and nothing gets outside.

use std::io::Write as _;

use drover_trust::sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::*;

const MODE: u32 = 0o644;

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn target(&self) -> std::path::PathBuf {
        self.folder.path().join("target")
    }

    fn unpack(&self, archive: &[u8], limit_bytes: u64, limit_entries: u64) -> Result<Vec<FileEntry>, UnpackError> {
        let packed = gzip(archive);
        let path = self.folder.path().join("artifact");
        std::fs::write(&path, &packed).expect("written");
        std::fs::create_dir(self.target()).expect("made");
        let artifact = ManifestArtifact {
            name: "app.tar.gz".to_owned(),
            format: ArtifactFormat::TarGz,
            size_bytes: packed.len() as u64,
            sha256: sha256(&packed),
            unpacked_bytes: limit_bytes,
            unpacked_entries: limit_entries,
        };
        unpack(&[artifact], &[File::open(path).expect("there")], &self.target())
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// An entry whose name is written as it is: the builder would refuse the bad ones.
fn append(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    if kind.is_symlink() || kind.is_hard_link() {
        header.set_link_name("/etc/passwd").expect("fits");
    }
    header.set_cksum();
    archive.append(&header, content).expect("in memory");
}

fn one(kind: EntryType, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    append(&mut archive, kind, name, MODE, content);
    archive.into_inner().expect("in memory")
}

#[test]
fn an_honest_archive_comes_out_as_it_went_in() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut archive = Builder::new(Vec::new());
    append(&mut archive, EntryType::Directory, b"./", 0o755, b"");
    append(&mut archive, EntryType::Directory, b"./bin/", 0o777, b"");
    append(&mut archive, EntryType::Regular, b"./bin/app", 0o6777, b"#!/bin/sh\n");
    let long = format!("deep/{}/file", "x".repeat(200));
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o600);
    archive.append_data(&mut header, &long, &b"long"[..]).expect("in memory");
    let case = Case::new();
    let files = case.unpack(&archive.into_inner().expect("in memory"), 100, 10).expect("honest");
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["bin/app", &long]);
    let app = case.target().join("bin/app");
    assert_eq!(std::fs::read(&app).expect("there"), b"#!/bin/sh\n");
    let mode = app.metadata().expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o755, "setuid and write bits of others are gone");
    assert_eq!(std::fs::read(case.target().join(long)).expect("there"), b"long");
}

#[test]
fn a_posix_extension_may_name_a_path_and_nothing_else() {
    let with = |record: &[u8]| {
        let mut archive = Builder::new(Vec::new());
        append(&mut archive, EntryType::XHeader, b"pax", MODE, record);
        append(&mut archive, EntryType::Regular, b"short", MODE, b"x");
        Case::new().unpack(&archive.into_inner().expect("in memory"), 100, 10)
    };
    assert_eq!(with(b"14 path=other\n").expect("fine")[0].path, "other");
    assert!(matches!(with(b"17 path=../other\n"), Err(UnpackError::Path { .. })));
    assert!(matches!(with(b"10 size=9\n"), Err(UnpackError::Header { .. })));
    assert!(matches!(with(b"99 path=x\n"), Err(UnpackError::Header { .. })));
    assert!(matches!(with(b"22 GNU.sparse.major=1\n"), Err(UnpackError::Header { .. })));
}

#[test]
fn paths_that_lead_out_are_refused() {
    for name in [&b"../evil"[..], b"/etc/evil", b"a/../../evil", b"C:\\evil", b"a/\xff", b"..", b"a//b"] {
        let case = Case::new();
        let error = case.unpack(&one(EntryType::Regular, name, b"x"), 100, 10).unwrap_err();
        assert!(matches!(error, UnpackError::Path { .. }), "{name:?}: {error}");
        assert!(!case.folder.path().join("evil").exists());
    }
}

#[test]
fn links_and_devices_are_refused() {
    for (kind, expected) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "character device"),
        (EntryType::Block, "block device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse file"),
    ] {
        let error = Case::new().unpack(&one(kind, b"x", b""), 100, 10).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_same_path_twice_is_refused() {
    let regular = EntryType::Regular;
    for (first, second) in [
        ((regular, &b"a"[..]), (regular, &b"./a"[..])),
        ((regular, b"a"), (EntryType::Directory, b"a/")),
        ((EntryType::Directory, b"a"), (regular, b"a")),
        ((regular, b"a"), (regular, b"a/b")),
        ((regular, b"a/b"), (regular, b"a")),
    ] {
        let mut archive = Builder::new(Vec::new());
        append(&mut archive, first.0, first.1, MODE, b"");
        append(&mut archive, second.0, second.1, MODE, b"");
        let error = Case::new().unpack(&archive.into_inner().expect("in memory"), 100, 10).unwrap_err();
        assert!(matches!(error, UnpackError::Duplicate { .. }), "{first:?} {second:?}: {error}");
    }
}

#[test]
fn bombs_end_at_the_signed_limits() {
    let zeros = vec![0_u8; 20 * 1024 * 1024];
    let error = Case::new().unpack(&one(EntryType::Regular, b"zeros", &zeros), 1000, 10).unwrap_err();
    assert!(matches!(error, UnpackError::TooManyBytes { limit_bytes: 1000 }), "{error}");
    // A stream that never gets to an entry of its own.
    let error = Case::new().unpack(&one(EntryType::XHeader, b"pax", &zeros), 1000, 10).unwrap_err();
    assert!(matches!(error, UnpackError::Header { .. }), "{error}");
    let mut many_headers = Builder::new(Vec::new());
    for _ in 0..9000 {
        append(&mut many_headers, EntryType::XGlobalHeader, b"pax", MODE, b"12 abc=defg\n");
    }
    let error = Case::new().unpack(&many_headers.into_inner().expect("in memory"), 1000, 10).unwrap_err();
    assert!(matches!(error, UnpackError::StreamTooLong), "{error:?}");
    let mut many = Builder::new(Vec::new());
    for index in 0..11 {
        append(&mut many, EntryType::Regular, format!("f{index}").as_bytes(), MODE, b"");
    }
    let error = Case::new().unpack(&many.into_inner().expect("in memory"), 1000, 10).unwrap_err();
    assert!(matches!(error, UnpackError::TooManyEntries { limit: 10 }), "{error}");
    let deep = one(EntryType::Regular, b"a/b/c/d/e/f/g/h/i/j/k", b"");
    assert!(matches!(Case::new().unpack(&deep, 1000, 10), Err(UnpackError::TooManyEntries { .. })));
}

#[test]
fn what_was_altered_or_cut_after_it_was_verified_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = one(EntryType::Regular, b"app", b"content");
    let packed = gzip(&archive);
    let artifact = ManifestArtifact {
        name: "app.tar.gz".to_owned(),
        format: ArtifactFormat::TarGz,
        size_bytes: packed.len() as u64,
        sha256: sha256(&packed),
        unpacked_bytes: 100,
        unpacked_entries: 10,
    };
    let other = gzip(&one(EntryType::Regular, b"app", b"CONTENT"));
    for (index, (bytes, expected)) in [(&other[..], "altered"), (&packed[..40], "cannot be read")].iter().enumerate() {
        let path = folder.path().join(format!("artifact{index}"));
        let target = folder.path().join(format!("target{index}"));
        std::fs::write(&path, bytes).expect("written");
        std::fs::create_dir(&target).expect("made");
        let source = File::open(path).expect("there");
        let error = unpack(std::slice::from_ref(&artifact), &[source], &target).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_raw_artifact_is_copied_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("blob");
    std::fs::write(&path, b"model").expect("written");
    let artifact = ManifestArtifact {
        name: "model.bin".to_owned(),
        format: ArtifactFormat::Raw,
        size_bytes: 5,
        sha256: sha256(b"model"),
        unpacked_bytes: 5,
        unpacked_entries: 1,
    };
    let target = folder.path().join("target");
    std::fs::create_dir(&target).expect("made");
    unpack(&[artifact], &[File::open(path).expect("there")], &target).expect("fine");
    assert_eq!(std::fs::read(target.join("model.bin")).expect("there"), b"model");
}

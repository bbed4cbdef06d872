use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use drover_types::Sha256Digest;
use futures::TryStreamExt;

use super::*;
use crate::conformance::Content;
use crate::{OpenOptions, open};

const MIB: u64 = 1024 * 1024;

fn tenant() -> TenantId {
    TenantId(uuid::Uuid::from_u128(1))
}

fn store(root: &Path, reserve_bytes: Option<u64>) -> Arc<dyn BlobStore> {
    let public_url = "http://127.0.0.1:8080".to_owned();
    let options = OpenOptions { public_url, signing_key: [1; 32], reserve_bytes, s3_credentials: None };
    open(&format!("file:{}", root.display()), options).expect("a store")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn the_reserve_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path(), Some(u64::MAX));
    let content = Content { seed: 1, size_bytes: 10 };
    for announced in [None, Some(content.expected())] {
        let put = store.put(tenant(), announced.as_ref(), u64::MAX, content.stream()).await;
        let error = put.expect_err("no room");
        assert!(matches!(error, PutError::NoSpace { reserve_bytes: u64::MAX, .. }), "{error:?}");
        assert_eq!(error.kind(), drover_types::ErrorKind::InsufficientStorage);
    }
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

/// A small disk of our own, unmounted at the end.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.expect("mount runs").success(), "a tmpfs cannot be mounted: run as root with CAP_SYS_ADMIN");
        Self { folder }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        let gone = unmounted.is_ok_and(|status| status.success());
        assert!(gone || std::thread::panicking(), "{:?} stays mounted", self.folder.path());
    }
}

/// Mounting a small disk needs root, as which the tests run.
#[tokio::test]
async fn a_full_disk_refuses_and_leaves_nothing() {
    let disk = SmallDisk::mount("4m");
    let store = store(&disk.folder.path().join("blobs"), Some(0));
    let small = Content { seed: 2, size_bytes: MIB };
    let kept = store.put(tenant(), None, u64::MAX, small.stream()).await.expect("there is room").key;
    let large = Content { seed: 3, size_bytes: 8 * MIB };

    let announced = store.put(tenant(), Some(&large.expected()), u64::MAX, large.stream()).await;
    assert!(matches!(announced, Err(PutError::NoSpace { needed_bytes, .. }) if needed_bytes == 8 * MIB));
    let unannounced = store.put(tenant(), None, u64::MAX, large.stream()).await;
    assert!(matches!(unannounced, Err(PutError::DiskFull { .. })), "{unannounced:?}");

    let left = files_below(disk.folder.path());
    assert_eq!(left, [disk.folder.path().join("blobs").join(kept.to_string())], "only what fitted stays");
    let room = Content { seed: 4, size_bytes: 2 * MIB };
    assert!(store.put(tenant(), None, u64::MAX, room.stream()).await.is_ok(), "the room is free again");
}

#[tokio::test]
async fn the_far_end_of_five_gigabytes_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path(), Some(0));
    let key = ObjectKey::content(tenant(), Sha256Digest::from_bytes([9; 32]));
    let path = folder.path().join(key.to_string());
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let size_bytes = 5 * 1024 * MIB;
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(size_bytes).expect("a sparse file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", size_bytes - 3).expect("the end");

    assert_eq!(store.head(&key).await.expect("it is there").size_bytes, size_bytes);
    let tail = store.get(&key, Some(size_bytes - 3..size_bytes)).await.expect("it is there");
    let chunks: Vec<_> = tail.try_collect().await.expect("it can be read");
    assert_eq!(chunks.concat(), b"end");
}

#[tokio::test]
async fn a_damaged_object_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path(), Some(0));
    let content = Content { seed: 5, size_bytes: 1000 };
    for announced in [None, Some(content.expected())] {
        let key = store.put(tenant(), None, u64::MAX, content.stream()).await.expect("stored").key;
        std::fs::write(folder.path().join(key.to_string()), b"cut").expect("damage");
        let again = store.put(tenant(), announced.as_ref(), u64::MAX, content.stream()).await.expect("stored");
        assert!(!again.already_there);
        assert_eq!(store.head(&key).await.expect("it is there").size_bytes, 1000);
    }
    assert_eq!(files_below(&folder.path().join("tmp")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn only_old_uploads_are_cleared_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(store(folder.path(), Some(0)));
    let (old, recent) = (folder.path().join("tmp/old"), folder.path().join("tmp/recent"));
    for (path, hours) in [(&old, 25), (&recent, 23)] {
        let file = std::fs::File::create(path).expect("a file");
        let written = file.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        file.set_modified(written - Duration::from_hours(hours)).expect("an earlier time");
    }
    drop(store(folder.path(), Some(0)));
    assert!(!old.exists() && recent.exists());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("blobs");
    let store = store(&root, Some(0));
    assert!(store.check().await.is_ok());
    std::fs::remove_dir_all(&root).expect("it is removed");
    assert!(store.check().await.is_err());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let options =
        OpenOptions { public_url: String::new(), signing_key: [1; 32], reserve_bytes: None, s3_credentials: None };
    let error = open("file:/dev/null/blobs", options).err().expect("it cannot be opened");
    assert!(error.to_string().contains("/dev/null/blobs"), "{error}");
}

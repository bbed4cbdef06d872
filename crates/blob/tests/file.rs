//! The folder passes the suite, its URLs served by a small server.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use drover_blob::conformance::{Harness, blob_suite};
use drover_types::SystemClock;

/// All files in a folder, which need not exist, and in those below it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn the_folder_passes_the_suite() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("blobs");
    let places = [root.join("tmp"), root.join("uploads")];
    let harness = Harness {
        store: support::serve_folder(&root).await,
        http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        tenant: support::new_tenant(),
        other_tenant: support::new_tenant(),
        clock: std::sync::Arc::new(SystemClock),
        left_behind: Box::new(move || {
            let names = places.iter().flat_map(|place| files_below(place));
            let names = names.map(|path| path.display().to_string()).collect();
            Box::pin(std::future::ready(names))
        }),
    };
    blob_suite(&harness).await;
    for private in [root.clone(), root.join("tmp"), root.join("t")] {
        let mode = std::fs::metadata(&private).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{private:?}");
    }
}

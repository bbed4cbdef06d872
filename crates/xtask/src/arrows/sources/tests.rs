use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

const BLOB: &str =
    "//! Objects.\n#[async_trait]\nimpl BlobStore for FileStore {\n}\nimpl BlobStore for Arc<FileStore> {\n}\n";

/// Checks one file beside the crate that owns the back-ends.
fn check_one(path: &str, text: &str) -> Vec<String> {
    check(&[file("crates/blob/src/lib.rs", BLOB), file(path, text)])
}

#[test]
fn sources_in_order_pass() {
    let text = "//! The rules.\nuse drover_blob::{BlobStore, Key};\nuse drover_db::Db;\nfn open(db: &Db) {}\n";
    assert_eq!(check_one("crates/store/src/lib.rs", text), Vec::<String>::new());
}

#[test]
fn the_databases_are_told_apart_in_one_crate_only() {
    let text = "//! The rows.\nmatch db {\n    Db::Sqlite(pool) => pool.close(),\n    MyDb::Sqlite => {}\n}\n";
    let violations = check_one("crates/store/src/lib.rs", text);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with("crates/store/src/lib.rs:3: "), "{violations:?}");
    assert_eq!(check_one("crates/db/src/lib.rs", text), Vec::<String>::new());
    assert_eq!(check_one("crates/store/src/lib.rs", "//! As in Db::Sqlite.\n// Db::Postgres\n"), Vec::<String>::new());
}

#[test]
fn a_back_end_is_named_where_programs_are_composed_and_in_tests() {
    for text in [
        "//! x\nlet blobs = drover_blob::open(&url)?;\n",
        "//! x\nlet db = drover_db::Db::open(&url)?;\n",
        "//! x\nuse drover_blob::{\n    BlobStore,\n    FileStore,\n};\n",
        "//! x\nuse drover_blob::file::FileStore;\n",
    ] {
        let violations = check_one("crates/server/src/lib.rs", text);
        assert!(violations.iter().any(|line| line.contains("names a concrete back-end")), "{text}: {violations:?}");
        assert_eq!(check_one("crates/app/src/compose.rs", text), Vec::<String>::new());
        assert_eq!(check_one("crates/testkit/src/fleet.rs", text), Vec::<String>::new());
        assert_eq!(check_one("crates/store/tests/suite.rs", text), Vec::<String>::new());
        let in_test = format!("//! x\n#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(check_one("crates/server/src/lib.rs", &in_test), Vec::<String>::new());
    }
}

/// A module of tests in a file of its own is named at the top, and hides nothing that follows.
#[test]
fn tests_in_another_file_hide_nothing() {
    let text = "//! x\n#[cfg(test)]\nmod tests;\n\nfn run() {\n    let db = Db::open(&url)?;\n}\n";
    assert_eq!(check_one("crates/server/src/lib.rs", text).len(), 1);
}

#[test]
fn a_file_has_a_length_that_one_reads() {
    let lines = |count: usize| "//! x\n".repeat(count);
    assert_eq!(check_one("crates/api/src/lib.rs", &lines(MAX_LINES)), Vec::<String>::new());
    let violations = check_one("crates/api/src/lib.rs", &lines(MAX_LINES + 1));
    assert_eq!(violations.len(), 1, "{violations:?}");
}

#[test]
fn a_crate_says_what_it_is_for() {
    let bare = file("crates/api/src/lib.rs", "pub mod problem;\n");
    let told = file("crates/drover/src/main.rs", "//! The binary.\n");
    let beside_a_library = file("crates/api/src/main.rs", "fn main() {}\n");
    let violations = check(&[bare, told, beside_a_library]);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with("crates/api/src/lib.rs"), "{violations:?}");
}

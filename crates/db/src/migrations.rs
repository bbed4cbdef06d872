//! The schema's steps, in order. Files in `migrations/sqlite` and `migrations/postgres`, in pairs of one name.

use crate::Migration;

macro_rules! step {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// Every step of the schema that this program knows.
pub const MIGRATIONS: &[Migration] = &[
    step!(1, "init", "0001_init"),
    step!(2, "people", "0002_people"),
    step!(3, "audit", "0003_audit"),
    step!(4, "conditions", "0004_conditions"),
    step!(5, "uploads", "0005_uploads"),
    step!(6, "checks", "0006_checks"),
    step!(7, "archive", "0007_archive"),
    step!(8, "scale", "0008_scale"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use aws_lc_rs::digest::{SHA256, digest};
    use drover_types::Sha256Digest;

    use super::*;

    fn files(folder: &str) -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let Ok(entries) = std::fs::read_dir(path) else { return BTreeSet::new() };
        entries.map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_file_is_listed_and_has_its_twin() {
        let listed: BTreeSet<String> =
            MIGRATIONS.iter().map(|step| format!("{:04}_{}.sql", step.version, step.name)).collect();
        assert_eq!(listed, files("sqlite"));
        assert_eq!(listed, files("postgres"));
    }

    /// A database that was made by a released step refuses another text of it: what changes is a step of its own.
    #[test]
    fn released_steps_stay_as_they_are() {
        let released = include_str!("../migrations/released.txt");
        let pinned: BTreeSet<&str> = released.lines().filter_map(|line| line.split_whitespace().next()).collect();
        // The newest one may be new.
        for step in &MIGRATIONS[..MIGRATIONS.len() - 1] {
            for folder in ["sqlite", "postgres"] {
                let file = format!("{folder}/{:04}_{}.sql", step.version, step.name);
                assert!(pinned.contains(file.as_str()), "{file} has no line in released.txt");
            }
        }
        for line in released.lines() {
            let [file, expected] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("not a line: {line}")
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(file);
            let text = std::fs::read(&path).expect("a released step is there");
            let found = Sha256Digest::from_bytes(digest(&SHA256, &text).as_ref().try_into().expect("32 bytes"));
            assert_eq!(found.to_string(), expected, "{file} was released: leave it, and write a further step");
        }
    }

    #[test]
    fn versions_count_up_from_one() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|step| step.version).collect();
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected);
    }
}

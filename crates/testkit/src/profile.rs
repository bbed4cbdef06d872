//! The accepted mixes of back-ends.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;

/// The variable that names an S3 bucket in which tests may make objects.
const S3_VARIABLE: &str = "DROVER_TEST_S3";

/// A mix of back-ends on which everything has to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One machine: `SQLite` and a folder.
    Local,
    /// Several: `PostgreSQL` and S3.
    Cluster,
}

impl Profile {
    /// Where a new server keeps its objects: apart from those of all other servers.
    pub fn blobs(self, folder: &Path) -> String {
        match self {
            Self::Local => format!("file:{}", folder.join("blobs").display()),
            Self::Cluster => with_prefix(&s3_location()),
        }
    }
}

fn s3_location() -> String {
    std::env::var(S3_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{S3_VARIABLE} is not set, and this test needs an S3 server. \
             start one: scripts/s3-server.sh, or `make test`"
        )
    })
}

/// `s3://bucket?…` with a key prefix that nobody has used.
fn with_prefix(location: &str) -> String {
    let prefix = format!("test-{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
    match location.split_once('?') {
        Some((bucket, options)) => format!("{}/{prefix}?{options}", bucket.trim_end_matches('/')),
        None => format!("{}/{prefix}", location.trim_end_matches('/')),
    }
}

/// Makes of each function two tests, `name::local` and `name::cluster`.
///
/// ```text
/// on_both_profiles! {
///     async fn a_group_has_a_name(profile: Profile) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both_profiles {
    ($($(#[$attribute:meta])* async fn $name:ident($profile:ident: $type:ty) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn body($profile: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn local() {
                body($crate::Profile::Local).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn cluster() {
                body($crate::Profile::Cluster).await;
            }
        }
    )+};
}

/// Makes of each function one test, on [`Profile::Local`]: for what no back-end has a part in.
#[macro_export]
macro_rules! on_the_local_profile {
    ($($(#[$attribute:meta])* async fn $name:ident($profile:ident: $type:ty) $body:block)+) => {$(
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $profile: $type = $crate::Profile::Local;
            $body
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_prefix_of_its_own() {
        let [one, other] = [(); 2].map(|()| with_prefix("s3://bucket?endpoint=http://127.0.0.1:1"));
        assert!(one.starts_with("s3://bucket/test-") && one.ends_with("?endpoint=http://127.0.0.1:1"), "{one}");
        assert_ne!(one, other);
    }
}

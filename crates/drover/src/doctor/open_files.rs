//! The limit of open files: each connection is one. What is seen is this shell's; a unit has its own.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;

const NAME: &str = "open files";
/// What the server needs beside its connections.
const BESIDE: u64 = 1_000;

/// The most that this process may raise its limit to; none for no limit.
pub(crate) fn look() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Says whether it is enough for that many connections.
pub(crate) fn judge(limit: Option<u64>, max_connections: usize) -> Finding {
    let needed = (max_connections as u64).saturating_add(BESIDE);
    match limit {
        None => Finding::ok(NAME, "no limit in this shell"),
        Some(limit) if limit >= needed => Finding::ok(NAME, format!("up to {limit} in this shell")),
        Some(limit) => {
            let seen = format!("up to {limit} in this shell; {max_connections} connections need {needed}");
            Finding::warn(
                NAME,
                seen,
                "see that the server has more: LimitNOFILE=65536 in its unit, or `ulimit -Hn 65536` before a start from here",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn fewer_files_than_connections_are_told() {
        assert_eq!(judge(None, 10_000).level, Level::Ok);
        assert_eq!(judge(Some(11_000), 10_000).level, Level::Ok);
        assert_eq!(judge(Some(1_024), 10_000).level, Level::Warn);
    }
}

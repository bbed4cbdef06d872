//! Which crate may use which. Pure: names in, violations out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// Stands for every crate, in a row of [`ALLOWED`].
const ALL: &str = "*";

/// The crates in their order, each with those it may use; all of them stand in a row above it. `types` is free to all.
///
/// The rows of crates that do not exist yet are those of the design: a crate that is not listed here is refused.
pub(super) const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("protocol", &[]),
    ("trust", &[]),
    ("delta", &[]),
    ("rules", &[]),
    ("rollout", &[]),
    ("api", &[]),
    ("db", &[]),
    ("store", &["db", "rules"]),
    ("blob", &[]),
    ("bus", &[]),
    ("telemetry", &["db", "blob", "bus", "rules"]),
    ("mqtt", &["protocol"]),
    ("app", &["protocol", "trust", "delta", "rules", "rollout", "api", "db", "store", "blob", "bus", "telemetry"]),
    ("server", &["app", "api", "mqtt", "protocol", "telemetry", "rules"]),
    ("uplink", &["protocol", "trust"]),
    ("agent", &["protocol", "trust", "delta", "uplink"]),
    ("gateway", &["protocol", "trust", "delta", "uplink"]),
    ("sim", &["agent", "protocol", "uplink"]),
    ("cli", &["api", "trust", "delta"]),
    ("console", &[]),
    ("drover", &["app", "server", "gateway", "sim", "cli", "console", "trust", "api"]),
    ("testkit", &[ALL]),
    ("xtask", &[]),
];

/// The crates that stay free of run time, database and web server.
pub(super) const PURE: &[&str] = &["types", "protocol", "trust", "delta", "rules", "rollout", "api"];

/// What no crate of [`PURE`] builds upon, at any depth: the package of this name and those named `name-…`.
const IMPURE: &[&str] = &["tokio", "sqlx", "axum"];

/// Whether the arrow exists when the crate is used, or only when it is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeKind {
    /// `[dependencies]` and `[build-dependencies]`.
    Normal,
    /// `[dev-dependencies]`.
    Dev,
}

/// One crate of the workspace names another in its manifest.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) kind: EdgeKind,
}

/// Returns one line for each crate without a row, each arrow that the table does not have, and each development
/// dependency that closes a circle (only `testkit`, which uses everything, may).
pub(super) fn check_edges(allowed: &[(&str, &[&str])], crates: &[String], edges: &[Edge]) -> Vec<String> {
    let mut violations = Vec::new();
    for name in crates {
        if !allowed.iter().any(|(row, _)| row == name) {
            violations.push(format!(
                "{name}: the table of crates has no row for it: add one to crates/xtask/src/arrows/graph.rs and to \
                 docs/architecture.md"
            ));
        }
    }
    let below = reachable(edges);
    for Edge { from, to, kind } in edges {
        match kind {
            EdgeKind::Normal if !may_use(allowed, from, to) => violations.push(format!(
                "{from} → {to}: this arrow is not in the table of crates: move the shared part up (to types, protocol \
                 or api) or pass it as an argument"
            )),
            EdgeKind::Dev if closes_circle(&below, from, to) => violations.push(format!(
                "{from} → {to} (dev-dependency): {to} is built upon {from}: move the test to crates/testkit/tests"
            )),
            EdgeKind::Normal | EdgeKind::Dev => {}
        }
    }
    violations
}

fn may_use(allowed: &[(&str, &[&str])], from: &str, to: &str) -> bool {
    let uses = allowed.iter().find(|(row, _)| *row == from).map_or(&[][..], |(_, uses)| uses);
    to == "types" || uses.contains(&to) || (uses.contains(&ALL) && from != to)
}

/// A crate that names itself (to switch on a feature for its own tests) closes no circle of crates.
fn closes_circle(below: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    to != "testkit" && to != from && below.get(to).is_some_and(|names| names.contains(from))
}

/// For every crate, all crates that it is built upon.
fn reachable(edges: &[Edge]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut direct: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::Normal) {
        direct.entry(&edge.from).or_default().push(&edge.to);
    }
    let mut below = BTreeMap::new();
    for start in direct.keys() {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![*start];
        while let Some(name) = waiting.pop() {
            for next in direct.get(name).into_iter().flatten() {
                if seen.insert(*next) {
                    waiting.push(next);
                }
            }
        }
        below.insert(*start, seen);
    }
    below
}

/// Returns one line for each package that a pure crate must not build upon.
pub(super) fn check_pure(name: &str, packages: &[String]) -> Vec<String> {
    let is_impure = |package: &str| {
        IMPURE
            .iter()
            .any(|banned| package.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    let found: BTreeSet<&String> = packages.iter().filter(|package| is_impure(package)).collect();
    found
        .into_iter()
        .map(|package| {
            format!(
                "{name} → … → {package}: {name} is a pure crate: `cargo tree -p drover-{name} -e normal,build -i \
                 {package}` shows the way it came in"
            )
        })
        .collect()
}

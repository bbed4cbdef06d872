//! `check-arrows`: the table of crates, and rules for sources that the compiler cannot hold.

mod graph;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata};

use self::graph::{Edge, EdgeKind};
use crate::{Result, workspace};

/// Checks everything, prints each violation on a line of its own, and fails when there is one.
pub(crate) fn check() -> Result<()> {
    let metadata = workspace::metadata()?;
    let crates = crate_names(&metadata);
    let edges = declared_edges(&metadata);
    let mut violations = graph::check_edges(graph::ALLOWED, &crates, &edges);
    for name in graph::PURE.iter().filter(|name| crates.iter().any(|known| known == *name)) {
        violations.extend(graph::check_pure(name, &packages_below(name)?));
    }
    let files = read_sources(&workspace::root())?;
    violations.extend(sources::check(&files));

    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        return Err(format!("check-arrows found {} violation(s), listed above", violations.len()).into());
    }
    println!("check-arrows: {} crates, {} edges, {} files: in order", crates.len(), edges.len(), files.len());
    Ok(())
}

/// A package's name as the table has it: `drover-store` is `store`.
fn short(package: &str) -> &str {
    package.strip_prefix("drover-").unwrap_or(package)
}

fn crate_names(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().map(|package| short(&package.name).to_owned()).collect()
}

/// The edges between crates of the workspace, as their manifests declare them: optional ones too.
fn declared_edges(metadata: &Metadata) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let kind = if dependency.kind == DependencyKind::Development { EdgeKind::Dev } else { EdgeKind::Normal };
            edges.push(Edge { from: short(&package.name).to_owned(), to: short(&dependency.name).to_owned(), kind });
        }
    }
    edges
}

/// Names of all packages that a crate builds upon with its default features.
///
/// `cargo tree -p`, because the resolve graph in `cargo metadata` adds up the features of the whole workspace: there,
/// `types` has the `sqlx` that only `db` asks for.
fn packages_below(name: &str) -> Result<Vec<String>> {
    let package = format!("drover-{name}");
    let tree = workspace::output(workspace::cargo().args([
        "tree",
        "--quiet",
        "--package",
        &package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Every `.rs` file below `crates/`, by its path from the repository's folder.
fn read_sources(root: &Path) -> Result<Vec<sources::File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("failed to list {}: {error}", folder.display()))? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    fs::read_to_string(&path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
                files.push(sources::File { path: path.strip_prefix(root)?.to_string_lossy().into_owned(), text });
            }
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

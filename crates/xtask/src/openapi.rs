//! `openapi`: the checked-in description of the REST API.

use std::fs;

use serde_json::Value;

use crate::{Result, workspace};

/// From the repository's folder.
const DOCUMENT: &str = "openapi/v1.json";

/// Writes what `drover openapi` prints, byte for byte; with `check`, only compares.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut printed =
        workspace::output(workspace::cargo().args(["run", "--quiet", "--package", "drover", "--", "openapi"]))?;
    let document: Value = serde_json::from_str(&printed)
        .map_err(|error| format!("`drover openapi` did not print a JSON document: {error}"))?;
    if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")) {
        return Err("`drover openapi` did not print an OpenAPI 3.1 document".into());
    }
    if !printed.ends_with('\n') {
        printed.push('\n');
    }

    let path = workspace::root().join(DOCUMENT);
    let operations = document["paths"].as_object().map_or(0, serde_json::Map::len);
    if fs::read_to_string(&path).is_ok_and(|written| written == printed) {
        println!("{DOCUMENT}: up to date, {operations} paths");
        return Ok(());
    }
    if check {
        return Err(format!("{DOCUMENT} is not what the code says: run `cargo xtask openapi`").into());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, printed).map_err(|error| format!("failed to write {DOCUMENT}: {error}"))?;
    println!("{DOCUMENT}: written, {operations} paths");
    Ok(())
}

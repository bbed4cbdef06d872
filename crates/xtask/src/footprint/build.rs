//! The programs as they are released.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, workspace};

/// The agent is one static file. Naming the target keeps build scripts and procedural macros, which must be dynamic,
/// away from the flag.
const AGENT_TARGET: &str = "x86_64-unknown-linux-gnu";
const AGENT_FLAGS: &str = "-C target-feature=+crt-static";

/// A built program.
pub(super) struct Binary {
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) is_static: bool,
    /// What to type to build it.
    pub(super) command: String,
}

/// Builds the device daemon with the profile made for it.
pub(super) fn agent() -> Result<Binary> {
    let arguments = ["build", "--profile", "agent", "--package", "drover-agent", "--target", AGENT_TARGET];
    workspace::run(workspace::cargo().args(arguments).env("RUSTFLAGS", AGENT_FLAGS))?;
    let path = target_folder()?.join(AGENT_TARGET).join("agent/drover-agent");
    binary(path, format!("RUSTFLAGS='{AGENT_FLAGS}' cargo {}", arguments.join(" ")))
}

/// Builds the server.
pub(super) fn server() -> Result<Binary> {
    let arguments = ["build", "--release", "--package", "drover"];
    workspace::run(workspace::cargo().args(arguments))?;
    binary(target_folder()?.join("release/drover"), format!("cargo {}", arguments.join(" ")))
}

fn binary(path: PathBuf, command: String) -> Result<Binary> {
    Ok(Binary { size_bytes: super::size_bytes(&path)?, is_static: is_static(&path)?, path, command })
}

fn target_folder() -> Result<PathBuf> {
    Ok(workspace::metadata()?.target_directory.into_std_path_buf())
}

/// `ldd` fails on a program without an interpreter, and lists nothing for one that is static but relocatable.
fn is_static(path: &Path) -> Result<bool> {
    let output = Command::new("ldd").env("LC_ALL", "C").arg(path).output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(said.contains("statically linked") || said.contains("not a dynamic executable"))
}

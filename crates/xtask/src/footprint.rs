//! `bench footprint`: what the programs weigh, and what they hold in memory while nothing happens.

mod build;
mod idle;

use std::path::Path;

use self::build::Binary;
use self::idle::Memory;
use crate::Result;

/// Builds both programs, measures them, and prints a table in Markdown.
pub(crate) fn run() -> Result<()> {
    let agent = build::agent()?;
    let server = build::server()?;
    let (server_memory, agent_memory) = idle::measure(&server.path, &agent.path)?;

    println!("\n| what | figure | budget | how |");
    println!("|---|---|---|---|");
    print_binary("`drover-agent`", &agent, "6 MB stripped, static");
    print_binary("`drover`", &server, "–");
    print_memory("`drover serve`, idle for 3 s", &server_memory, "60 MB", "drover serve --data DIR --listen ADDRESS");
    print_memory("`drover-agent`, idle for 3 s", &agent_memory, "–", "drover-agent run --config FILE");
    Ok(())
}

fn print_binary(name: &str, binary: &Binary, budget: &str) {
    let linked = if binary.is_static { "static" } else { "dynamic" };
    println!("| {name}, size | {} bytes, {linked} | {budget} | `{}` |", binary.size_bytes, binary.command);
}

fn print_memory(name: &str, memory: &Memory, budget: &str, command: &str) {
    let Memory { resident_kib, peak_kib } = memory;
    println!("| {name} | VmRSS {resident_kib} KiB, VmHWM {peak_kib} KiB | {budget} | `{command}` |");
}

/// The size of a file in bytes.
fn size_bytes(path: &Path) -> Result<u64> {
    let about = std::fs::metadata(path).map_err(|error| format!("failed to look at {}: {error}", path.display()))?;
    Ok(about.len())
}

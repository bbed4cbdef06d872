//! What the disk says about an agent, without disturbing it.

use std::io;

use crate::config::Config;
use crate::error::AgentError;
use crate::identity::{Identity, release_keys};
use crate::journal;
use crate::layout::{Layout, Link};
use crate::worker::{running, state_of};

/// A few lines for a person: who the device is, which keys it trusts, what each component runs and becomes.
pub fn read_status(config: &Config) -> Result<String, AgentError> {
    let layout = Layout::new(&config.data_dir);
    let mut lines = vec![match Identity::load(&layout) {
        Ok(Some(identity)) => format!("device     {} (tenant {})", identity.device_id, identity.tenant_id),
        Ok(None) => "device     not enrolled".to_owned(),
        Err(error) => format!("device     unknown: failed to {error}"),
    }];
    lines.push(format!("server     {}", config.server));
    match release_keys(config, &layout) {
        Err(error) => lines.push(format!("keys       unknown: failed to {error}")),
        Ok(keys) if keys.is_empty() => lines.push("keys       none: every offer is rejected".to_owned()),
        Ok(keys) => {
            lines.extend(keys.iter().map(|key| format!("key        {} {}", key.algorithm(), key.fingerprint())));
        }
    }
    for name in config.components.keys() {
        let paths = layout.component(name);
        let (version, _) = running(&paths);
        let version = version.map_or_else(|| "nothing".to_owned(), |version| version.to_string());
        let old = paths.target(Link::Old).map_err(|source| AgentError::io(paths.root(), source))?;
        let way_back = if old.is_some() { ", with a way back" } else { "" };
        lines.push(format!("component  {name}: runs {version}{way_back}"));
        if let Some(update) = journal::peek(&paths.journal()) {
            let state = state_of(&update.step);
            lines.push(format!(
                "           update to {}: {state} (session {})",
                update.offer.version, update.session_id
            ));
        }
    }
    let waiting = match std::fs::read_dir(layout.reports()) {
        Ok(entries) => entries.count(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(AgentError::io(&layout.reports(), error)),
    };
    lines.push(format!("reports    {waiting} waiting"));
    Ok(lines.join("\n"))
}

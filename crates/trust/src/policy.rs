//! What a verified manifest may do to a device that runs something already.

use drover_types::{ComponentName, Version};

use crate::Manifest;

/// The offered firmware is older than what the running one lets back in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "downgrade refused: release counter {release_counter} of the offered {offered} is below rollback floor \
     {rollback_floor} of the running {running}; release the older content under a new counter"
)]
pub struct DowngradeError {
    /// Release counter of the offered firmware.
    pub release_counter: u64,
    /// Rollback floor of the running firmware.
    pub rollback_floor: u64,
    /// Version of the offered firmware.
    pub offered: Version,
    /// Version of the running firmware.
    pub running: Version,
}

/// Refuses an offer below the rollback floor of the running firmware of the same component. Nothing running, nothing
/// to go back from.
pub fn check_downgrade(running: Option<&Manifest>, offered: &Manifest) -> Result<(), DowngradeError> {
    match running {
        Some(running) if offered.release_counter < running.rollback_floor => Err(DowngradeError {
            release_counter: offered.release_counter,
            rollback_floor: running.rollback_floor,
            offered: offered.version.clone(),
            running: running.version.clone(),
        }),
        _ => Ok(()),
    }
}

/// A component of the device does not run what the offered firmware needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreconditionError {
    /// Nothing is installed.
    #[error("component {component} must run {min_version} or newer first, but nothing is installed there")]
    NotInstalled {
        /// The component.
        component: ComponentName,
        /// The lowest version that would do.
        min_version: Version,
    },
    /// Too old.
    #[error("component {component} must run {min_version} or newer first, but runs {installed}")]
    TooOld {
        /// The component.
        component: ComponentName,
        /// The lowest version that would do.
        min_version: Version,
        /// What it runs.
        installed: Version,
    },
    /// Too new.
    #[error("component {component} must run a version below {below_version}, but runs {installed}")]
    TooNew {
        /// The component.
        component: ComponentName,
        /// The lowest version that would not do.
        below_version: Version,
        /// What it runs.
        installed: Version,
    },
}

/// Checks `min_version` and `dependencies` of the offered firmware against what the device runs; the first that does
/// not hold is the error. Versions compare by precedence (semver.org §11), as they do in SQL.
pub fn check_preconditions(
    offered: &Manifest,
    installed: impl Fn(&ComponentName) -> Option<Version>,
) -> Result<(), PreconditionError> {
    if let Some(min_version) = &offered.min_version {
        check_range(&offered.component, min_version, None, &installed)?;
    }
    for dependency in &offered.dependencies {
        check_range(&dependency.component, &dependency.min_version, dependency.below_version.as_ref(), &installed)?;
    }
    Ok(())
}

fn check_range(
    component: &ComponentName,
    min_version: &Version,
    below_version: Option<&Version>,
    installed: impl Fn(&ComponentName) -> Option<Version>,
) -> Result<(), PreconditionError> {
    let (component, min_version) = (component.clone(), min_version.clone());
    let Some(installed) = installed(&component) else {
        return Err(PreconditionError::NotInstalled { component, min_version });
    };
    // The sort key leaves build metadata out, which says nothing about what a version can do.
    if installed.sort_key() < min_version.sort_key() {
        return Err(PreconditionError::TooOld { component, min_version, installed });
    }
    match below_version {
        Some(below) if installed.sort_key() >= below.sort_key() => {
            Err(PreconditionError::TooNew { component, below_version: below.clone(), installed })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

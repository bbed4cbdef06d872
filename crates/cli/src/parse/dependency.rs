//! Dependencies such as `bootloader>=1.2.0,<2.0.0`.

use drover_trust::Dependency;

use super::Unreadable;

const EXPECTED: &str = "a dependency such as bootloader>=1.2.0 or bootloader>=1.2.0,<2.0.0";

/// What another component must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DependencyArg(pub(crate) Dependency);

impl std::str::FromStr for DependencyArg {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).ok_or_else(|| Unreadable::new(EXPECTED, text))
    }
}

fn parse(text: &str) -> Option<Dependency> {
    let (component, range) = text.split_once(">=")?;
    let (min_version, below_version) = match range.split_once(',') {
        Some((min, below)) => (min, Some(below.trim().strip_prefix('<')?.trim().parse().ok()?)),
        None => (range, None),
    };
    let component = component.trim().parse().ok()?;
    Some(Dependency { component, min_version: min_version.trim().parse().ok()?, below_version })
}

#[cfg(test)]
mod tests {
    use drover_types::Version;

    use super::*;

    #[test]
    fn a_lower_bound_and_perhaps_an_upper_one() {
        let DependencyArg(open) = "bootloader>=1.2.0".parse().expect("a dependency");
        assert_eq!((open.component.as_str(), open.below_version), ("bootloader", None));
        assert_eq!(open.min_version, Version::new(1, 2, 0));
        let DependencyArg(closed) = "ecu-1 >= 1.0.0, < 2.0.0".parse().expect("a dependency");
        assert_eq!(closed.below_version, Some(Version::new(2, 0, 0)));
        for bad in ["bootloader", "bootloader=1.0.0", ">=1.0.0", "Boot>=1.0.0", "boot>=1.0", "boot>=1.0.0,2.0.0"] {
            assert!(bad.parse::<DependencyArg>().is_err(), "{bad}");
        }
    }
}

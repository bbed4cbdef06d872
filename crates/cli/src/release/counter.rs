//! A release counter from a version, for products without one of their own.

use drover_types::Version;

/// Decimal digits for each of the two lower numbers.
const RADIX: u64 = 100_000;

/// The version says too little or too much for a counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no release counter follows from version {version}: it needs three numbers below 100000 and nothing else; \
     give one with --release-counter"
)]
pub struct UnclearCounter {
    /// The version.
    pub version: Version,
}

/// `MAJOR * 10^10 + MINOR * 10^5 + PATCH`: rises with the version. Pre-releases have no counter of their own.
pub fn counter_of_version(version: &Version) -> Result<u64, UnclearCounter> {
    let unclear = || UnclearCounter { version: version.clone() };
    let text = version.to_string();
    let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
    let [major, minor, patch] = numbers.map_err(|_| unclear())?[..] else { return Err(unclear()) };
    if [major, minor, patch].iter().any(|number| *number >= RADIX) {
        return Err(unclear());
    }
    Ok((major * RADIX + minor) * RADIX + patch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_rises_with_the_version(a in (0..RADIX, 0..RADIX, 0..RADIX), b in (0..RADIX, 0..RADIX, 0..RADIX)) {
            let (first, second) = (Version::new(a.0, a.1, a.2), Version::new(b.0, b.1, b.2));
            let counters = (counter_of_version(&first), counter_of_version(&second));
            prop_assert_eq!(counters.0?.cmp(&counters.1?), first.cmp(&second));
        }
    }

    #[test]
    fn what_has_no_counter() {
        assert_eq!(counter_of_version(&Version::new(1, 2, 3)), Ok(10_000_200_003));
        for bad in ["1.2.3-rc.1", "1.2.3+5", "1.100000.0"] {
            let version: Version = bad.parse().expect("a version");
            assert!(counter_of_version(&version).is_err(), "{bad}");
        }
    }
}

//! Shares such as `0.05` and `5%`.

use super::Unreadable;

/// A share of a whole, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    /// Between 0 and 1.
    pub(crate) const fn as_fraction(self) -> f64 {
        self.0
    }
}

impl std::str::FromStr for Share {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || Unreadable::new("a share such as 0.05 or 5%", text);
        let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let share = number.parse::<f64>().map_err(|_| unreadable())? / whole;
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(unreadable()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_percentages() {
        assert_eq!("0.05".parse(), Ok(Share(0.05)));
        assert_eq!("5%".parse(), Ok(Share(0.05)));
        assert_eq!("100%".parse(), Ok(Share(1.0)));
        for bad in ["5", "-0.1", "NaN", "101%", "", "%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}

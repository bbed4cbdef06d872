//! Values in the form that tables show.

use drover_types::Timestamp;

/// A value, or `-`.
pub(crate) fn optional(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// A time to the second.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(known) => known.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => time.to_string(),
    }
}

/// A size to three digits: `512 B`, `200 MiB`.
pub(crate) fn short_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        assert_eq!(time(Some(Timestamp::from_micros(1_767_225_600_000_001))), "2026-01-01 00:00:00Z");
        assert_eq!(time(None), "-");
        assert_eq!(short_bytes(200 * 1024 * 1024), "200.00 MiB");
        assert_eq!(optional(None::<&u32>), "-");
    }
}

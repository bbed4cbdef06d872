//! Values of attributes.

/// No number is as far from zero: what JSON writes with more digits than 64 bits hold comes rounded.
const NUMBER_END: f64 = 9_223_372_036_854_775_808.0;

/// The number that 64 floating bits hold, when it is this very integer: all up to 9007199254740992, beyond it some.
pub fn exact_integer(number: i128) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a loss is looked for")]
    let (float, back) = (number as f64, number as f64 as i128);
    (back == number && float.abs() < NUMBER_END).then_some(float)
}

/// The value of an attribute of a device: a truth value, a number or a text.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum AttributeValue {
    /// True or false.
    Bool(bool),
    /// A number: 64 bits, floating. An integer that those cannot hold exactly is refused when it is read.
    Number(#[serde(serialize_with = "write_number")] f64),
    /// A text.
    Text(String),
}

/// An integer is written as one: a reader that is fast with fractions may change their last digit, and so a serial number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn write_number<S: serde::Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() < NUMBER_END {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer of 64 bits")]
        return serializer.serialize_i64(*number as i64);
    }
    serializer.serialize_f64(*number)
}

impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl<'de> serde::Deserialize<'de> for AttributeValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a value as it was written: a serial number of many digits must not become another one.
struct Reader;

impl Reader {
    fn integer<E: serde::de::Error>(number: i128) -> Result<AttributeValue, E> {
        let inexact = || {
            let text = "would be rounded, as an integer beyond 9007199254740992 may be: put it in quotes, as text";
            E::custom(format!("{number} {text}"))
        };
        exact_integer(number).map(AttributeValue::Number).ok_or_else(inexact)
    }
}

impl serde::de::Visitor<'_> for Reader {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<AttributeValue, E> {
        Self::integer(i128::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<AttributeValue, E> {
        Self::integer(i128::from(value))
    }

    // An integer too long for 64 bits comes as this, rounded already.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<AttributeValue, E> {
        if value.abs() < NUMBER_END {
            return Ok(AttributeValue::Number(value));
        }
        Err(E::custom("a number lies below 9223372036854775808: put a longer one in quotes, as text"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AttributeValue;

    fn read(json: &str) -> Result<AttributeValue, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_stays_what_was_written() {
        for (json, number) in
            [("3", 3.0), ("-1.5", -1.5), ("9007199254740992", 9_007_199_254_740_992.0), ("1e18", 1e18)]
        {
            assert_eq!(read(json), Ok(AttributeValue::Number(number)));
        }
        assert_eq!(read("true"), Ok(AttributeValue::Bool(true)));
        assert_eq!(read("\"89490200001052718735\""), Ok(AttributeValue::Text("89490200001052718735".to_owned())));
        for json in [
            "9007199254740993",
            "-9007199254740993",
            "9223372036854775808",
            "-9223372036854775808",
            "10000000000000000000",
            "18446744073709551615",
            "89490200001052718735",
            "1e300",
        ] {
            assert!(read(json).is_err_and(|error| error.contains("in quotes, as text")), "{json}");
        }
        for json in ["null", "[1]", "{}"] {
            assert!(read(json).is_err_and(|error| error.contains("a text, a number, true or false")), "{json}");
        }
    }

    /// What clients read when the server was given this, if it takes it.
    fn taken_and_read_back(json: &str) -> Option<(AttributeValue, AttributeValue)> {
        let taken = read(json).ok()?;
        let written = serde_json::to_string(&taken).expect("JSON");
        let back = read(&written).unwrap_or_else(|error| panic!("{json} is written {written}: {error}"));
        Some((taken, back))
    }

    #[test]
    fn the_largest_integers_can_be_read_back() {
        for json in ["9007199254740991", "9223372036854774784", "-9223372036854774784"] {
            let (taken, back) = taken_and_read_back(json).expect("it is taken");
            assert_eq!(taken, back, "{json}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_be_read_back(integer: i64, bits: u64, power in 0_u32..66, near in -2_i128..=2) {
            let near_power = (1_i128 << power) + near;
            for integer in [i128::from(integer), i128::from(integer >> 10), near_power, -near_power] {
                if let Some((taken, back)) = taken_and_read_back(&integer.to_string()) {
                    prop_assert_eq!(taken, back);
                }
            }
            let float = f64::from_bits(bits);
            if float.is_finite() {
                taken_and_read_back(&format!("{float:e}"));
            }
        }
    }
}

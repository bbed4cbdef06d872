//! Values of attributes.

/// The value of an attribute of a device: a truth value, a number or a text.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum AttributeValue {
    /// True or false.
    Bool(bool),
    /// A number: 64 bits, floating. An integer that those cannot hold exactly is refused when it is read.
    Number(f64),
    /// A text.
    Text(String),
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
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a loss is looked for")]
        let (float, back) = (number as f64, number as f64 as i128);
        if back == number { Ok(AttributeValue::Number(float)) } else { Err(inexact(number)) }
    }
}

fn inexact<E: serde::de::Error>(number: impl std::fmt::Display) -> E {
    E::custom(format!("numbers are exact up to 9007199254740992 only: put {number} in quotes, as text"))
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
        if value.is_finite() && value.abs() < 9.2e18 { Ok(AttributeValue::Number(value)) } else { Err(inexact("it")) }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
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
        for json in ["9007199254740993", "-9007199254740993", "18446744073709551615", "89490200001052718735", "1e300"] {
            assert!(read(json).is_err_and(|error| error.contains("in quotes, as text")), "{json}");
        }
        for json in ["null", "[1]", "{}"] {
            assert!(read(json).is_err_and(|error| error.contains("a text, a number, true or false")), "{json}");
        }
    }
}

//! Attributes such as `region=eu`, `axles=3` and `leased=true`.

use drover_types::AttributeValue;

use super::Unreadable;

/// One attribute: a name and what it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttributeArg {
    /// The name.
    pub(crate) name: String,
    /// The value. `true` and `false` are truth values, what looks like a number is one, all else is a text; text in
    /// double quotes is a text whatever it looks like.
    pub(crate) value: AttributeValue,
}

impl std::str::FromStr for AttributeArg {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || Unreadable::new("NAME=VALUE such as region=eu, axles=3 or leased=true", text);
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(unreadable)?;
        Ok(Self { name: name.to_owned(), value: read(value)? })
    }
}

fn read(text: &str) -> Result<AttributeValue, Unreadable> {
    // JSON's own numbers: "inf", "nan" and "0x1" are texts.
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if serde_json::from_str::<serde_json::Number>(text).is_ok() => {
            let expected = "a number that is kept exactly, or a text in double quotes such as 'serial=\"8949…\"'";
            Err(Unreadable::new(expected, text))
        }
        Err(_) => Ok(AttributeValue::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_value_decides_on_its_type() {
        let value = |text: &str| text.parse::<AttributeArg>().expect("an attribute").value;
        assert_eq!(value("a=3"), AttributeValue::Number(3.0));
        assert_eq!(value("a=-1.5"), AttributeValue::Number(-1.5));
        assert_eq!(value("a=true"), AttributeValue::Bool(true));
        for text in ["eu", "inf", "0x10", "3 axles", "", "null", "a=b"] {
            assert_eq!(value(&format!("a={text}")), AttributeValue::Text(text.to_owned()));
        }
        assert_eq!(value("a=\"3\""), AttributeValue::Text("3".to_owned()));
        assert!("=3".parse::<AttributeArg>().is_err());
        assert!("serial=89490200001052718735".parse::<AttributeArg>().is_err(), "it would become another number");
        assert_eq!(value("a=\"89490200001052718735\""), AttributeValue::Text("89490200001052718735".to_owned()));
    }
}

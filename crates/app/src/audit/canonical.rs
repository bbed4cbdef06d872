//! JSON in its one canonical form (RFC 8785), so that anybody who kept an answer of the API can compute its digest:
//! members sorted by their names' UTF-16, no white space, numbers as ECMAScript prints them. For most objects that is
//! what `jq -cjS .` prints. Whole numbers keep all their digits: none in the API needs more than 53 bits.

use serde_json::{Number, Value};

/// The canonical text of `value`.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(items) => write_list(out, ['[', ']'], items, write),
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            write_list(out, ['{', '}'], &members, |(name, value), out| {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
            });
        }
    }
}

fn write_list<T>(out: &mut String, brackets: [char; 2], items: &[T], write_item: impl Fn(&T, &mut String)) {
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_item(item, out);
    }
    out.push(brackets[1]);
}

/// The shortest digits that read back as the same number; with an exponent below 10^-6 and from 10^21 on.
fn number_text(number: &Number) -> String {
    let (false, false, Some(value)) = (number.is_i64(), number.is_u64(), number.as_f64()) else {
        return number.to_string();
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8785 §3.2.2, and the order of §3.2.3.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        let input = r#"{"numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
        let value: Value = serde_json::from_str(input).expect("JSON");
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(text(&value), expected);
        let order = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let value: Value = serde_json::from_str(order).expect("JSON");
        assert_eq!(text(&value), "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn numbers_are_as_ecmascript_prints_them() {
        for (input, expected) in [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("0.9", "0.9"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("0.000001", "0.000001"),
            ("1.5e-7", "1.5e-7"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            let value: Value = serde_json::from_str(input).expect("JSON");
            assert_eq!(text(&value), expected);
        }
    }
}

//! Fixed values: numbers, names, times, durations and versions as text gives them. Pure text in, value or message out.

use drover_types::{DeviceStatus, Timestamp, Version, exact_integer, names};
use uuid::Uuid;

use crate::expr::{Value, VersionValue};
use crate::{lex, limits};

/// A message; the caller knows where.
pub(crate) type Parsed<T> = Result<T, String>;

pub(crate) fn integer(number: i128) -> Parsed<Value> {
    // Attributes and metrics are 64-bit floating point: an integer that is none would never be equal to any.
    exact_integer(number).map(Value::Number).ok_or_else(|| {
        "this would be rounded, as an integer beyond 9007199254740992 may be: keep it in quotes, as text".to_owned()
    })
}

pub(crate) fn float(number: f64) -> Parsed<Value> {
    if number.is_finite() { Ok(Value::Number(number)) } else { Err("this number is too large".to_owned()) }
}

pub(crate) fn text(text: &str) -> Parsed<String> {
    if text.contains('\0') { Err(lex::NUL.to_owned()) } else { Ok(text.to_owned()) }
}

/// A tag, as devices can have it.
pub(crate) fn tag(name: &str) -> Parsed<String> {
    possible(name, "tag", names::is_tag, names::TAG_RULE)
}

/// The name of an attribute, as devices can have it.
pub(crate) fn attribute(name: &str) -> Parsed<String> {
    possible(name, "attribute", names::is_attribute, names::ATTRIBUTE_RULE)
}

/// Refuses a name that no device can have: what is absent from all would make "not this one" true for all.
fn possible(name: &str, noun: &str, is_possible: fn(&str) -> bool, rule: &str) -> Parsed<String> {
    if is_possible(name) {
        return Ok(name.to_owned());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(70).collect();
    let lower = name.to_lowercase();
    let hint = if is_possible(&lower) { format!(" (did you mean {lower}?)") } else { String::new() };
    Err(format!("no device can have the {noun} {}{hint}: its name has {rule}", crate::text::Quoted(&shown)))
}

/// The name of a group or metric.
pub(crate) fn name(name: &str) -> Parsed<String> {
    if name.is_empty() || name.len() > limits::NAME_BYTES {
        return Err(format!("a name has 1 to {} bytes", limits::NAME_BYTES));
    }
    text(name)
}

pub(crate) fn id(text: &str) -> Parsed<Value> {
    match text.parse::<Uuid>() {
        Ok(id) if id.to_string() == text => Ok(Value::Id(id)),
        Ok(id) => Err(format!("an id is written \"{id}\"")),
        Err(_) => Err("this is no id: device.id is a UUID; a serial number is in device.hardware_id".to_owned()),
    }
}

pub(crate) fn status(text: &str) -> Parsed<Value> {
    if text.parse::<DeviceStatus>().is_ok() {
        return Ok(Value::Text(text.to_owned()));
    }
    let words: Vec<&str> = DeviceStatus::ALL.iter().map(|status| status.as_str()).collect();
    Err(format!("a device has no such status: it is one of {}", words.join(", ")))
}

pub(crate) fn version(text: &str) -> Parsed<VersionValue> {
    // A leading v is no part of a version: one spelling, and the one that CEL has.
    match text.parse::<Version>() {
        Ok(version) if !text.starts_with('v') => Ok(version.into()),
        _ => Err(format!(
            "{} is no version: it has three numbers, such as 2.1.0 or 2.1.0-rc.1",
            crate::text::Quoted(text)
        )),
    }
}

/// RFC 3339 with at most microseconds, years 0001 to 9999.
pub(crate) fn timestamp(text: &str) -> Parsed<Timestamp> {
    let wrong = || {
        let text = crate::text::Quoted(text);
        format!("{text} is no time: it is written 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00")
    };
    if !has_form_of_time(text) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// `0000-00-00T00:00:00`, a fraction of up to six digits, and `Z` or an offset; no leap second, which no clock here has.
fn has_form_of_time(text: &str) -> bool {
    let matches_form = |text: &[u8], form: &str| {
        text.len() == form.len()
            && text
                .iter()
                .zip(form.bytes())
                .all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { *byte == form })
    };
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches_form(&bytes[..19], "0000-00-00T00:00:00") {
        return false;
    }
    if &bytes[..4] == b"0000" || &bytes[17..19] == b"60" {
        return false;
    }
    let mut zone = &bytes[19..];
    if zone[0] == b'.' {
        let digits = zone[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&digits) {
            return false;
        }
        zone = &zone[1 + digits..];
    }
    zone == b"Z" || matches_form(zone, "+00:00") || matches_form(zone, "-00:00")
}

/// Microseconds of a duration such as `2h`, `1h30m`, `-0.5s`.
pub(crate) fn duration(text: &str) -> Parsed<i64> {
    let (is_negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        return Err(WRONG_DURATION.to_owned());
    }
    let mut total_micros: i128 = 0;
    while !rest.is_empty() {
        let number_length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, tail) = rest.split_at(number_length);
        let unit_length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        total_micros += micros(number, nanos_of(unit)?)?;
        rest = tail;
    }
    if total_micros > i128::from(limits::DURATION_MICROS) {
        return Err("a duration is at most 100 years: 876000h".to_owned());
    }
    let micros = i64::try_from(total_micros).map_err(|_| WRONG_DURATION.to_owned())?;
    Ok(if is_negative { -micros } else { micros })
}

const WRONG_DURATION: &str = "a duration is written \"2h\", \"1h30m\" or \"45s\"";

fn nanos_of(unit: &str) -> Parsed<i128> {
    match unit {
        "h" => Ok(3_600_000_000_000),
        "m" => Ok(60_000_000_000),
        "s" => Ok(1_000_000_000),
        "ms" => Ok(1_000_000),
        "us" => Ok(1_000),
        "ns" => Ok(1),
        "d" | "day" | "days" | "w" => Err("CEL knows no days: write hours, 168h for a week".to_owned()),
        _ => Err(format!("{WRONG_DURATION}; the units are h, m, s, ms and us")),
    }
}

fn micros(number: &str, unit_nanos: i128) -> Parsed<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(WRONG_DURATION.to_owned());
    }
    let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    let value = |digits: &str| digits.parse::<i128>().map_err(|_| WRONG_DURATION.to_owned());
    let scaled_nanos = (value(whole)? * scale + value(fraction)?) * unit_nanos;
    if scaled_nanos % (scale * 1_000) != 0 {
        return Err("times are kept in microseconds: nothing smaller can be compared".to_owned());
    }
    Ok(scaled_nanos / (scale * 1_000))
}

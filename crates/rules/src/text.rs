//! The canonical spelling of a condition in CEL.

use std::fmt::{self, Display, Formatter};

use crate::expr::{Check, Expr, Moment, Test, Value};
use crate::field::Field;

/// Text in double quotes, with the escapes that it needs.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// A duration as CEL reads it: `1h30m`, `0.5s` as `500ms`.
pub(crate) struct Span(pub(crate) u64);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, micros) in [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)] {
            if rest >= micros {
                write!(f, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            // Adding zero takes the sign from a negative one.
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => write!(f, "{:.0}", number + 0.0),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Id(id) => write!(f, "\"{id}\""),
            Self::Version(value) => write!(f, "semver(\"{}\")", value.version),
        }
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(0) => f.write_str("now"),
            Self::Now(offset_micros) => {
                let sign = if *offset_micros < 0 { '-' } else { '+' };
                write!(f, "now {sign} duration(\"{}\")", Span(offset_micros.unsigned_abs()))
            }
            Self::At(time) => write!(f, "timestamp(\"{time}\")"),
        }
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.check {
            Check::Present => match field {
                // has() of CEL takes a field by its word only.
                Field::Telemetry(name) if !crate::lex::is_word(name) => write!(f, "{} in telemetry", Quoted(name)),
                field => write!(f, "has({field})"),
            },
            Check::Compare(order, value) => write!(f, "{field} {} {value}", order.sign()),
            Check::Time(order, moment) => write!(f, "{field} {} {moment}", order.sign()),
            Check::OneOf(values) => {
                write!(f, "{field} in [")?;
                for (position, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if position > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Check::StartsWith(part) => write!(f, "{field}.startsWith({})", Quoted(part)),
            Check::EndsWith(part) => write!(f, "{field}.endsWith({})", Quoted(part)),
            Check::Contains(part) => write!(f, "{field}.contains({})", Quoted(part)),
            Check::Has(name) => write!(f, "{} in {field}", Quoted(name)),
        }
    }
}

impl Test {
    /// Whether its text is one operand, to which `!` can be put without brackets.
    fn is_call(&self) -> bool {
        match &self.check {
            Check::StartsWith(_) | Check::EndsWith(_) | Check::Contains(_) => true,
            Check::Present => self.to_string().starts_with("has("),
            _ => false,
        }
    }

    /// The text of its negation, when `!=` says it.
    fn different(&self) -> Option<String> {
        match &self.check {
            Check::Compare(crate::expr::Order::Equal, value) => Some(format!("{} != {value}", self.field)),
            Check::Time(crate::expr::Order::Equal, moment) => Some(format!("{} != {moment}", self.field)),
            _ => None,
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(truth) => truth.fmt(f),
            Self::Test(test) => test.fmt(f),
            Self::Not(inner) => match inner.as_ref() {
                Self::Test(test) => match test.different() {
                    Some(text) => f.write_str(&text),
                    None if test.is_call() => write!(f, "!{test}"),
                    None => write!(f, "!({test})"),
                },
                Self::Always(truth) => write!(f, "!{truth}"),
                inner => write!(f, "!({inner})"),
            },
            Self::All(parts) => join(f, parts, " && ", |part| matches!(part, Self::Any(_))),
            Self::Any(parts) => join(f, parts, " || ", |_| false),
        }
    }
}

fn join(f: &mut Formatter<'_>, parts: &[Expr], sign: &str, needs_brackets: impl Fn(&Expr) -> bool) -> fmt::Result {
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            f.write_str(sign)?;
        }
        if needs_brackets(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
    }
    Ok(())
}

//! Values in RSQL: text with or without quotes, in which a star stands for anything.

use std::ops::Range;

use drover_types::Timestamp;

use crate::expr::{Check, Moment, Order, Value};
use crate::field::{Field, Kind};
use crate::literal::{self, Parsed};
use crate::text::Quoted;

/// A value as it was written.
pub(super) struct Literal {
    pub(super) pieces: Vec<Piece>,
    pub(super) is_quoted: bool,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    Star,
}

/// The pieces up to the closing quote, and how many bytes they take; none when it does not close.
pub(super) fn quoted(text: &str, quote: char) -> Option<(Vec<Piece>, usize)> {
    let mut pieces = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => pieces.push(Piece::Char(chars.next()?.1)),
            '*' => pieces.push(Piece::Star),
            c if c == quote => return Some((pieces, at)),
            c => pieces.push(Piece::Char(c)),
        }
    }
    None
}

/// The bytes of a value without quotes.
pub(super) fn bare_length(text: &str) -> usize {
    text.find(super::is_reserved).unwrap_or(text.len())
}

pub(super) fn bare(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next_if_eq(&'*').is_some() => pieces.push(Piece::Char('*')),
            '*' => pieces.push(Piece::Star),
            c => pieces.push(Piece::Char(c)),
        }
    }
    pieces
}

impl Literal {
    /// Its text, when it has no star.
    fn plain(&self) -> Option<String> {
        text_of(&self.pieces)
    }

    fn without_star(&self, field: &Field) -> Parsed<String> {
        self.plain().ok_or_else(|| match field.kind() {
            Kind::Version => "a version has no star: write version=ge=1.0.0;version=lt=2.0.0".to_owned(),
            Kind::Names => "a name of a tag or group has no star: name it whole".to_owned(),
            _ => "a star cannot stand here: write the whole value".to_owned(),
        })
    }
}

fn text_of(pieces: &[Piece]) -> Option<String> {
    pieces.iter().map(|piece| if let Piece::Char(c) = piece { Some(*c) } else { None }).collect()
}

/// The check that `field` is so: [`Check::OneOf`] where it is a matter of values.
pub(super) fn equal(field: &Field, literal: &Literal) -> Parsed<Check> {
    match field.kind() {
        Kind::OrderedText | Kind::Text | Kind::Dynamic if literal.plain().is_none() => pattern(&literal.pieces),
        Kind::Time => moment(&literal.without_star(field)?).map(|moment| Check::Time(Order::Equal, moment)),
        Kind::Names => {
            let read = if *field == Field::Tags { literal::tag } else { literal::name };
            read(&literal.without_star(field)?).map(Check::Has)
        }
        _ => values(field, literal).map(Check::OneOf),
    }
}

/// The check that `field` stands in that order to the value.
pub(super) fn ordered(field: &Field, order: Order, literal: &Literal) -> Parsed<Check> {
    if field.kind() == Kind::Time {
        return moment(&literal.without_star(field)?).map(|moment| Check::Time(order, moment));
    }
    // A number is below numbers, and a text below texts: an attribute is asked for the first reading.
    match values(field, literal)?.into_iter().next() {
        Some(Value::Bool(_)) | None => Err("true and false have no order: use == or !=".to_owned()),
        Some(value) => Ok(Check::Compare(order, value)),
    }
}

/// The ways to read the value.
fn values(field: &Field, literal: &Literal) -> Parsed<Vec<Value>> {
    let text = literal.without_star(field)?;
    match field.kind() {
        Kind::Id => literal::id(&text).map(|value| vec![value]),
        Kind::Status => literal::status(&text).map(|value| vec![value]),
        Kind::Version => literal::version(&text).map(|version| vec![Value::Version(version)]),
        Kind::Number => match number(&text)? {
            Some(number) => Ok(vec![number]),
            None => Err(format!("{field} is a number, and {} is none", Quoted(&text))),
        },
        Kind::Dynamic if !literal.is_quoted => {
            let mut values = Vec::new();
            match text.as_str() {
                "true" => values.push(Value::Bool(true)),
                "false" => values.push(Value::Bool(false)),
                text => values.extend(number(text)?),
            }
            values.push(Value::Text(text));
            Ok(values)
        }
        Kind::Dynamic | Kind::OrderedText | Kind::Text | Kind::Time | Kind::Names => Ok(vec![Value::Text(text)]),
    }
}

/// Stars at the ends only.
fn pattern(pieces: &[Piece]) -> Parsed<Check> {
    let starts = pieces.first() == Some(&Piece::Star);
    let ends = pieces.last() == Some(&Piece::Star);
    let from = usize::from(starts);
    let to = pieces.len().saturating_sub(usize::from(ends)).max(from);
    let Some(part) = text_of(&pieces[from..to]) else {
        return Err("a star stands at the beginning or the end only; a star itself is written \\*".to_owned());
    };
    Ok(match (starts, ends) {
        _ if part.is_empty() => Check::Present,
        (true, true) => Check::Contains(part),
        (true, false) => Check::EndsWith(part),
        (false, _) => Check::StartsWith(part),
    })
}

/// The number that the text spells, if it does.
fn number(text: &str) -> Parsed<Option<Value>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !is_number {
        return Ok(None);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is too long to be read would be rounded, too.
        return literal::integer(text.parse().unwrap_or(i128::MAX)).map(Some);
    }
    match text.parse::<f64>() {
        Ok(number) => literal::float(number).map(Some),
        Err(_) => Ok(None),
    }
}

fn moment(text: &str) -> Parsed<Moment> {
    if let Some(ago) = text.strip_prefix('-') {
        return literal::duration(ago).map(|micros| Moment::Now(-micros));
    }
    if text == "${NOW_TS}" {
        return Ok(Moment::Now(0));
    }
    if let Ok(millis) = text.parse::<i64>() {
        let time = Timestamp::from_micros(millis.saturating_mul(1_000));
        return literal::timestamp(&time.to_string()).map(Moment::At);
    }
    literal::timestamp(text).map(Moment::At).map_err(|message| format!("{message}, or -2h for two hours ago"))
}

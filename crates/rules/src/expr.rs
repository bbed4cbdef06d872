//! A condition after it was typed: what SQL, program and canonical text are made from.

use drover_types::{Timestamp, Version};
use uuid::Uuid;

use crate::field::Field;

/// Two-valued throughout: a [`Test`] of something absent is false, and `a != b` is kept as the negation of `a == b`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Always(bool),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Test(Test),
}

/// One question about one field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) field: Field,
    pub(crate) check: Check,
}

/// The question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Check {
    /// There is a value.
    Present,
    Compare(Order, Value),
    /// The time is so compared with one that may depend on now.
    Time(Order, Moment),
    /// One of the values of a list.
    OneOf(Vec<Value>),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    /// The list of names has this one.
    Has(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Order {
    /// `a ORDER b` is `b ORDER.mirrored() a`.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Equal => Self::Equal,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Greater => Self::Less,
        }
    }

    /// The sign in CEL.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
        }
    }

    /// Whether `left ORDER right`; false when the two cannot be compared.
    pub(crate) fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
            Self::GreaterOrEqual => left >= right,
            Self::Greater => left > right,
        }
    }
}

/// A fixed value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// Finite, and exactly what was written when that was an integer.
    Number(f64),
    Bool(bool),
    Id(Uuid),
    Version(VersionValue),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Id(_) => "an id",
            Self::Version(_) => "a version",
        }
    }
}

/// A version and the key that it is compared by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VersionValue {
    pub(crate) version: Version,
    pub(crate) key: Vec<u8>,
}

impl From<Version> for VersionValue {
    fn from(version: Version) -> Self {
        Self { key: version.sort_key(), version }
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So many microseconds after now, or before it when negative.
    Now(i64),
    At(Timestamp),
}

impl Moment {
    /// When that is; saturates at the ends of the range.
    pub(crate) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now(offset_micros) => Timestamp::from_micros(now.as_micros().saturating_add(offset_micros)),
            Self::At(time) => time,
        }
    }
}

impl Expr {
    pub(crate) fn test(field: Field, check: Check) -> Self {
        Self::Test(Test { field, check })
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// All of them; those that are conjunctions themselves are merged in.
    pub(crate) fn all(parts: Vec<Self>) -> Self {
        let parts = parts.into_iter().flat_map(|part| if let Self::All(inner) = part { inner } else { vec![part] });
        one_or(parts.collect(), Self::All)
    }

    /// Any of them; those that are disjunctions themselves are merged in.
    pub(crate) fn any(parts: Vec<Self>) -> Self {
        let parts = parts.into_iter().flat_map(|part| if let Self::Any(inner) = part { inner } else { vec![part] });
        one_or(parts.collect(), Self::Any)
    }

    /// Calls `visit` for every test.
    pub(crate) fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a Test)) {
        match self {
            Self::Always(_) => {}
            Self::Not(inner) => inner.for_each_test(visit),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.for_each_test(visit)),
            Self::Test(test) => visit(test),
        }
    }

    /// Its size, as [`crate::limits::NODES`] counts.
    pub(crate) fn nodes(&self) -> usize {
        match self {
            Self::Not(inner) => 1 + inner.nodes(),
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::nodes).sum::<usize>(),
            Self::Test(Test { check: Check::OneOf(values), .. }) => 1 + values.len(),
            Self::Always(_) | Self::Test(_) => 1,
        }
    }
}

fn one_or(mut parts: Vec<Expr>, join: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            join(parts)
        }
        (_, None) => join(Vec::new()),
    }
}

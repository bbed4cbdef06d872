//! RSQL, for people who come from hawkBit: `attribute.region=in=(eu,us);version=lt=2.1.0`.
//!
//! | RSQL | here |
//! |---|---|
//! | `;` or ` and `, `,` or ` or `, brackets | `&&`, `\|\|`, brackets; `;` binds tighter |
//! | `==`, `!=`, `=in=(a,b)`, `=out=(a,b)` | `==`, `!=`, `in [...]` and its negation |
//! | `=lt=` `<`, `=le=` `<=`, `=gt=` `>`, `=ge=` `>=` | `<`, `<=`, `>`, `>=` |
//! | `name==VIN*`, `*7`, `*x*`, `*` | `startsWith`, `endsWith`, `contains`, `has`; a star itself is `\*` |
//! | `name`, `controllerid`, `id` | `device.hardware_id` |
//! | `type`, `status`, `version`, `createdat` | the field of that name |
//! | `lastseen`, `lastcontrollerrequestat` | `device.last_seen` |
//! | `tag`, `group`, `attribute.x`, `component.x`, `telemetry.x` | `device.tags`, … |
//!
//! RSQL has no types, so the field gives the value its own. A number or truth value without quotes that an attribute is
//! compared with means the text of it as well: `attribute.slots==4` is `device.attr.slots in [4, "4"]`. Times are RFC
//! 3339, milliseconds since 1970, or so long before now: `lastseen=lt=-2h`. Unlike in hawkBit upper and lower case differ.

mod selector;
mod value;

use std::ops::Range;

use crate::error::ConditionError;
use crate::expr::{Check, Expr, Order};
use crate::field::{Field, Kind};
use crate::{lex, limits};
use value::Literal;

/// Reads a condition in RSQL.
pub(crate) fn parse(text: &str) -> Result<Expr, ConditionError> {
    if text.len() > limits::TEXT_BYTES {
        let message = format!("a condition has at most {} bytes, this one has {}", limits::TEXT_BYTES, text.len());
        return Err(ConditionError::new(text, limits::TEXT_BYTES..limits::TEXT_BYTES, message));
    }
    let mut reader = Reader { text, at: 0, depth: 0 };
    let expr = reader.alternatives()?;
    reader.space();
    match reader.rest().chars().next() {
        None => Ok(expr),
        Some(')') => Err(reader.error_here("this bracket was never opened")),
        Some(_) => Err(reader.error_here("; or , is missing before this: they write and and or")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Different,
    In,
    Out,
    Ordered(Order),
}

/// Longest first.
const OPERATORS: [(&str, Operator); 12] = [
    ("=out=", Operator::Out),
    ("=in=", Operator::In),
    ("=lt=", Operator::Ordered(Order::Less)),
    ("=le=", Operator::Ordered(Order::LessOrEqual)),
    ("=gt=", Operator::Ordered(Order::Greater)),
    ("=ge=", Operator::Ordered(Order::GreaterOrEqual)),
    ("==", Operator::Equal),
    ("!=", Operator::Different),
    ("<=", Operator::Ordered(Order::LessOrEqual)),
    (">=", Operator::Ordered(Order::GreaterOrEqual)),
    ("<", Operator::Ordered(Order::Less)),
    (">", Operator::Ordered(Order::Greater)),
];

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConditionError {
        ConditionError::new(self.text, span, message)
    }

    fn error_here(&self, message: &str) -> ConditionError {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.error(self.at..self.at + length, message)
    }

    /// Takes `sign`, or the word for it with space behind.
    fn take(&mut self, sign: char, word: &str) -> bool {
        self.space();
        let rest = self.rest();
        if rest.starts_with(sign) {
            self.at += sign.len_utf8();
            return true;
        }
        let is_word = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && rest[word.len()..].starts_with([' ', '\t', '\n', '\r', '(']);
        if is_word {
            self.at += word.len();
        }
        is_word
    }

    fn alternatives(&mut self) -> Result<Expr, ConditionError> {
        let mut parts = vec![self.conjunction()?];
        while self.take(',', "or") {
            parts.push(self.conjunction()?);
        }
        Ok(Expr::any(parts))
    }

    fn conjunction(&mut self) -> Result<Expr, ConditionError> {
        let mut parts = vec![self.constraint()?];
        while self.take(';', "and") {
            parts.push(self.constraint()?);
        }
        Ok(Expr::all(parts))
    }

    fn constraint(&mut self) -> Result<Expr, ConditionError> {
        self.space();
        if !self.rest().starts_with('(') {
            return self.comparison();
        }
        let open = self.at..self.at + 1;
        if self.depth == limits::DEPTH {
            let message = format!("more than {} brackets inside one another: split the condition", limits::DEPTH);
            return Err(self.error(open, message));
        }
        self.at += 1;
        self.depth += 1;
        let inner = self.alternatives()?;
        self.depth -= 1;
        self.space();
        if !self.rest().starts_with(')') {
            return Err(self.error(open, "this bracket is never closed"));
        }
        self.at += 1;
        Ok(inner)
    }

    fn comparison(&mut self) -> Result<Expr, ConditionError> {
        let start = self.at;
        let length = self.rest().find(is_reserved).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.error_here("a field is expected here, such as type or attribute.region"));
        }
        self.at += length;
        let name_span = start..self.at;
        let field =
            selector::field(&self.text[name_span.clone()]).map_err(|message| self.error(name_span.clone(), message))?;
        self.space();
        let found = OPERATORS
            .iter()
            .find(|(sign, _)| self.rest().get(..sign.len()).is_some_and(|head| head.eq_ignore_ascii_case(sign)));
        let Some((sign, operator)) = found else {
            return Err(self.error_here("a comparison is expected here: == != =lt= =le= =gt= =ge= =in= or =out="));
        };
        let operator_span = self.at..self.at + sign.len();
        self.at += sign.len();
        let literals = self.arguments(*operator, &operator_span)?;
        self.translate(&field, *operator, &operator_span, &literals)
    }

    /// The values behind the operator: one, or a list in brackets.
    fn arguments(&mut self, operator: Operator, operator_span: &Range<usize>) -> Result<Vec<Literal>, ConditionError> {
        self.space();
        let takes_list = matches!(operator, Operator::In | Operator::Out);
        if !self.rest().starts_with('(') {
            if takes_list {
                return Err(self.error(operator_span.clone(), "a list in brackets is expected: =in=(a,b)"));
            }
            return Ok(vec![self.literal()?]);
        }
        if !takes_list {
            return Err(self.error(operator_span.clone(), "a list is compared with =in= or =out="));
        }
        let open = self.at..self.at + 1;
        self.at += 1;
        let mut literals = Vec::new();
        loop {
            if literals.len() == limits::LIST_ITEMS {
                let message = format!("a list has at most {} values", limits::LIST_ITEMS);
                return Err(self.error_here(&message));
            }
            literals.push(self.literal()?);
            self.space();
            match self.rest().chars().next() {
                Some(',') => self.at += 1,
                Some(')') => {
                    self.at += 1;
                    return Ok(literals);
                }
                _ => return Err(self.error(open, "this list is never closed")),
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, ConditionError> {
        self.space();
        let start = self.at;
        let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\''));
        let (pieces, length) = if let Some(quote) = quote {
            let closed = value::quoted(&self.rest()[1..], quote).map(|(pieces, length)| (pieces, length + 2));
            let open = || self.error(start..self.text.len(), format!("this text has no closing {quote}"));
            closed.ok_or_else(open)?
        } else {
            let length = value::bare_length(self.rest());
            (value::bare(&self.rest()[..length]), length)
        };
        if length == 0 {
            return Err(self.error_here("a value is expected here; other than letters and digits stand in quotes"));
        }
        self.at += length;
        let span = start..self.at;
        if self.text[span.clone()].contains('\0') {
            return Err(self.error(span, lex::NUL));
        }
        Ok(Literal { pieces, is_quoted: quote.is_some(), span })
    }

    fn translate(
        &self,
        field: &Field,
        operator: Operator,
        operator_span: &Range<usize>,
        literals: &[Literal],
    ) -> Result<Expr, ConditionError> {
        let at = |literal: &Literal| {
            let span = literal.span.clone();
            move |message: String| self.error(span, message)
        };
        match operator {
            Operator::Ordered(order) => {
                if !matches!(
                    field.kind(),
                    Kind::OrderedText | Kind::Version | Kind::Time | Kind::Dynamic | Kind::Number
                ) {
                    return Err(self.error(operator_span.clone(), "this field has no order: use ==, !=, =in= or =out="));
                }
                let [literal] = literals else { return Err(self.error_here("one value is expected")) };
                let check = value::ordered(field, order, literal).map_err(at(literal))?;
                Ok(Expr::test(field.clone(), check))
            }
            Operator::Equal | Operator::Different | Operator::In | Operator::Out => {
                // What is equal to one of many values becomes one test, where the field has such.
                let (mut values, mut parts) = (Vec::new(), Vec::new());
                for literal in literals {
                    match value::equal(field, literal).map_err(at(literal))? {
                        Check::OneOf(more) => values.extend(more),
                        check => parts.push(Expr::test(field.clone(), check)),
                    }
                }
                if values.len() > limits::LIST_ITEMS {
                    let message =
                        format!("a list has at most {} values, each way to read one counted", limits::LIST_ITEMS);
                    return Err(self.error(operator_span.clone(), message));
                }
                match values.len() {
                    0 => {}
                    1 => parts
                        .extend(values.pop().map(|only| Expr::test(field.clone(), Check::Compare(Order::Equal, only)))),
                    _ => parts.push(Expr::test(field.clone(), Check::OneOf(values))),
                }
                let any = Expr::any(parts);
                Ok(if matches!(operator, Operator::Equal | Operator::In) { any } else { any.not() })
            }
        }
    }
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | ';' | ',' | '=' | '!' | '~' | '<' | '>')
}

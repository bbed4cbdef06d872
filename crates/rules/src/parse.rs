//! From text to the syntax tree of the crate `cel`.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo, operators};
use cel::parser::{ParseError, Parser};

use crate::error::ConditionError;
use crate::lex::{self, Token};

/// What the parser may use. Without optimisation it needs 5 MiB for [`crate::limits::DEPTH`] brackets, and overflows the
/// 2 MiB of a usual thread at 12. Only what is used becomes real memory.
const STACK_BYTES: usize = 32 << 20;

/// A condition's syntax tree, and where its parts stand.
pub(crate) struct Syntax<'t> {
    pub(crate) text: &'t str,
    pub(crate) root: IdedExpr,
    tokens: Vec<Token>,
    source: SourceInfo,
}

/// Parses `text` within the limits of [`crate::limits`].
pub(crate) fn parse(text: &str) -> Result<Syntax<'_>, ConditionError> {
    let tokens = lex::read(text)?;
    let parsed = on_a_thread_of_its_own(text)?;
    match parsed {
        Ok((root, source)) => Ok(Syntax { text, root, tokens, source }),
        Err(error) => Err(explain(text, &tokens, error.as_ref())),
    }
}

type Parsed = Result<(IdedExpr, SourceInfo), Option<ParseError>>;

fn on_a_thread_of_its_own(text: &str) -> Result<Parsed, ConditionError> {
    let run = || Parser::new().parse_with_source_info(text).map_err(|found| found.errors.into_iter().next());
    let busy = || ConditionError::new(text, 0..0, "the server could not read the condition just now: try again");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK_BYTES);
        let handle = thread.spawn_scoped(scope, run).map_err(|_| busy())?;
        handle.join().map_err(|_| busy())
    })
}

/// Turns the first complaint of the parser into one for people.
fn explain(text: &str, tokens: &[Token], error: Option<&ParseError>) -> ConditionError {
    let Some(error) = error else {
        return ConditionError::new(text, 0..text.len(), "this is no condition");
    };
    let start = offset(text, error.pos);
    let index = tokens.partition_point(|token| token.span.end <= start);
    let Some(token) = tokens.get(index) else {
        let before = tokens.last().map_or("", |token| &text[token.span.clone()]);
        return ConditionError::new(text, text.len()..text.len(), format!("something is missing after {before}"));
    };
    let word = &text[token.span.clone()];
    let message = match error.msg.as_str() {
        "invalid argument to has() macro" => {
            "has() takes a field, such as has(device.attr.region); for a metric of another name write \"name\" in telemetry"
                .to_owned()
        }
        "invalid int literal" | "invalid double literal" => "this number is too large".to_owned(),
        message if message.starts_with("reserved identifier") => format!("{word} is a reserved word"),
        message if message.starts_with("Syntax error") => format!("{word} is not expected here"),
        message => message.to_owned(),
    };
    ConditionError::new(text, token.span.clone(), message)
}

/// The byte at a line and column, both from 1, the column in characters.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line), usize::try_from(column)) else { return 0 };
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

impl Syntax<'_> {
    /// A complaint about that part of the condition.
    pub(crate) fn error(&self, expr: &IdedExpr, message: impl Into<String>) -> ConditionError {
        ConditionError::new(self.text, self.span(expr), message)
    }

    /// The text of that part.
    pub(crate) fn text_of(&self, expr: &IdedExpr) -> &str {
        self.text.get(self.span(expr)).unwrap_or_default()
    }

    /// The bytes that a part of the tree stands for.
    pub(crate) fn span(&self, expr: &IdedExpr) -> Range<usize> {
        let start = self.start(expr);
        start..self.end(expr).max(start)
    }

    fn token_at(&self, expr: &IdedExpr) -> Option<usize> {
        let (start, _) = self.source.offset_for(expr.id)?;
        let start = usize::try_from(start).ok()?;
        let index = self.tokens.partition_point(|token| token.span.start < start);
        (index < self.tokens.len()).then_some(index)
    }

    /// The parser notes one token of each part: the name, the sign, the dot, or the opening bracket of a call.
    fn start(&self, expr: &IdedExpr) -> usize {
        let Some(index) = self.token_at(expr) else { return 0 };
        let own = self.tokens[index].span.start;
        match &expr.expr {
            Expr::Select(select) => self.start(&select.operand),
            Expr::Call(CallExpr { target: Some(target), .. }) => self.start(target),
            Expr::Call(call) if is_prefix(&call.func_name) => own,
            Expr::Call(call) if is_sign(&call.func_name) => call.args.first().map_or(own, |left| self.start(left)),
            // The name stands before its bracket.
            Expr::Call(_) => index.checked_sub(1).map_or(own, |name| self.tokens[name].span.start),
            Expr::Comprehension(macro_call) => self.start(&macro_call.iter_range),
            _ => own,
        }
    }

    fn end(&self, expr: &IdedExpr) -> usize {
        let Some(index) = self.token_at(expr) else { return self.text.len() };
        let own = &self.tokens[index];
        match &expr.expr {
            // Behind has(…) the dot is not known: its argument ends where the brackets of it do.
            Expr::Select(select) if select.test => {
                let from = self.tokens.partition_point(|token| token.span.end < self.end(&select.operand));
                self.tokens.get(from + 2).map_or(own.span.end, |token| token.span.end)
            }
            Expr::Select(_) => self.tokens.get(index + 1).map_or(own.span.end, |token| token.span.end),
            Expr::Call(call) if call.func_name == operators::INDEX => own.closed_at,
            Expr::Call(call) if is_prefix(&call.func_name) || is_sign(&call.func_name) => {
                call.args.last().map_or(own.span.end, |right| self.end(right))
            }
            _ => own.closed_at,
        }
    }
}

fn is_prefix(name: &str) -> bool {
    name == operators::LOGICAL_NOT || name == operators::NEGATE
}

fn is_sign(name: &str) -> bool {
    name.starts_with('_') && name.ends_with(['_', ']']) || name == operators::IN
}

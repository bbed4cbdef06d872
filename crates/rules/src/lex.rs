//! Words, signs and brackets of a condition, read before the parser of the crate `cel` sees the text.
//!
//! That parser is a generated one (ANTLR). It recurses for each bracket and each operator, on more stack than a thread
//! has, and a stack that overflows ends the process. So what it gets is bounded here: only tokens of our subset, each
//! ended where the parser ends it, brackets that match, and not too many inside one another. On the way the commonest
//! mistakes get a message of their own.

use std::ops::Range;

use drover_types::names;

use crate::error::ConditionError;
use crate::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    /// Behind the bracket that belongs to this one, when this one opens.
    pub(crate) closed_at: usize,
}

/// The signs of the subset, longest first.
const SIGNS: [&str; 16] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ",", "+"];

/// Whether `name` can stand after a dot.
pub(crate) fn is_word(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|head| head.is_ascii_alphabetic() || head == b'_')
        && bytes.all(is_word_byte)
        && !matches!(name, "in" | "true" | "false" | "null")
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Reads the tokens, or says what is wrong with the first that is.
pub(crate) fn read(text: &str) -> Result<Vec<Token>, ConditionError> {
    if text.len() > limits::TEXT_BYTES {
        let message = format!("a condition has at most {} bytes, this one has {}", limits::TEXT_BYTES, text.len());
        return Err(ConditionError::new(text, limits::TEXT_BYTES..limits::TEXT_BYTES, message));
    }
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), open: Vec::new(), runs: vec![0], run: 0 };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
    /// The brackets that are open, as indexes of tokens.
    open: Vec<usize>,
    /// Tokens since the last `&&`, `||` or comma, for each open bracket.
    runs: Vec<usize>,
    /// Their sum.
    run: usize,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), ConditionError> {
        while let Some(head) = self.rest().chars().next() {
            match head {
                ' ' | '\t' | '\n' | '\r' => self.at += 1,
                '"' | '\'' => self.quoted(head)?,
                '0'..='9' => self.number()?,
                'a'..='z' | 'A'..='Z' | '_' => self.word()?,
                _ => self.sign(head)?,
            }
        }
        match self.open.pop() {
            Some(open) => {
                let span = self.tokens[open].span.clone();
                Err(self.error(span, "this bracket is never closed"))
            }
            None if self.tokens.is_empty() => {
                Err(self.error(0..0, "the condition is empty: write true for every device"))
            }
            None => Ok(()),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConditionError {
        ConditionError::new(self.text, span, message)
    }

    fn push(&mut self, kind: Kind, length: usize) -> Result<(), ConditionError> {
        let span = self.at..self.at + length;
        let word = &self.text[span.clone()];
        let starts_operand = kind != Kind::Sign && word != "in";
        if starts_operand && self.ends_operand() {
            let message = match word {
                "and" | "AND" | "And" => "this language writes && for and".to_owned(),
                "or" | "OR" | "Or" => "this language writes || for or".to_owned(),
                "not" | "NOT" | "Not" => "this language writes ! for not: !(device.type in [\"a\", \"b\"])".to_owned(),
                _ => "something is missing before this: && or || or a comparison such as ==".to_owned(),
            };
            return Err(self.error(span, message));
        }
        self.at = span.end;
        self.tokens.push(Token { kind, closed_at: span.end, span });
        self.count()
    }

    /// Bounds what the parser recurses for.
    fn count(&mut self) -> Result<(), ConditionError> {
        let Some(run) = self.runs.last_mut() else { return Ok(()) };
        *run += 1;
        self.run += 1;
        if self.run > limits::RUN {
            let span = self.tokens.last().map_or(0..0, |token| token.span.clone());
            return Err(self.error(span, "this is too long without && or ||: split the condition"));
        }
        Ok(())
    }

    fn ends_operand(&self) -> bool {
        self.tokens.last().is_some_and(|token| match &self.text[token.span.clone()] {
            ")" | "]" => true,
            "in" => false,
            _ => token.kind != Kind::Sign,
        })
    }

    fn word(&mut self) -> Result<(), ConditionError> {
        let length = self.rest().bytes().take_while(|byte| is_word_byte(*byte)).count();
        let span = self.at..self.at + length;
        if self.rest()[length..].starts_with(['"', '\'']) {
            return Err(self.error(span, "text has nothing before its quotes: write \"…\""));
        }
        self.push(Kind::Word, length)
    }

    fn number(&mut self) -> Result<(), ConditionError> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = digits(0);
        if bytes.get(length) == Some(&b'.') && bytes.get(length + 1).is_some_and(u8::is_ascii_digit) {
            length += 1 + digits(length + 1);
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            if bytes.get(length + 1 + sign).is_some_and(u8::is_ascii_digit) {
                length += 1 + sign + digits(length + 1 + sign);
            }
        }
        let whole = bytes.iter().take_while(|byte| is_word_byte(**byte) || **byte == b'.').count();
        if whole > length {
            let span = self.at..self.at + whole;
            let message = match &self.text[span.clone()] {
                text if text.matches('.').count() >= 2 => format!("a version is written semver(\"{text}\")"),
                _ => "this is no number: write digits, such as 15 or 0.25; text stands in quotes".to_owned(),
            };
            return Err(self.error(span, message));
        }
        self.push(Kind::Number, length)
    }

    /// Text in quotes. Its escapes are checked, because the parser reads on inside of a text with a wrong one.
    fn quoted(&mut self, quote: char) -> Result<(), ConditionError> {
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            let at = self.at + offset;
            match c {
                '\n' | '\r' => break,
                '\0' => return Err(self.error(at..at + 1, NUL)),
                '\\' => {
                    let escape = chars.next().map_or(' ', |(_, escape)| escape);
                    let digits = match escape {
                        '\\' | '"' | '\'' | 'n' | 'r' | 't' => 0,
                        'u' => 4,
                        'U' => 8,
                        _ => {
                            let end = at + 1 + escape.len_utf8();
                            return Err(self.error(at..end, "unknown escape: a backslash itself is written \\\\"));
                        }
                    };
                    let code: String = (0..digits).filter_map(|_| chars.next()).map(|(_, digit)| digit).collect();
                    if digits > 0 && !is_character(&code, digits) {
                        return Err(self.error(
                            at..at + 2,
                            format!("\\{escape} needs {digits} hexadecimal digits of a character"),
                        ));
                    }
                }
                c if c == quote => {
                    let end = offset + c.len_utf8();
                    if self.rest()[end..].starts_with(['"', '\'']) {
                        let span = at..at + 2;
                        return Err(self.error(span, "two texts in a row: a quote inside of a text is written \\\""));
                    }
                    return self.push(Kind::Text, end);
                }
                _ => {}
            }
        }
        let end = self.rest().find(['\n', '\r']).map_or(self.text.len(), |length| self.at + length);
        Err(self.error(self.at..end, format!("this text has no closing {quote}")))
    }

    fn sign(&mut self, head: char) -> Result<(), ConditionError> {
        let rest = self.rest();
        let Some(sign) = SIGNS.iter().chain(&["-"]).find(|sign| rest.starts_with(**sign)) else {
            let span = self.at..self.at + head.len_utf8();
            return Err(self.error(span, foreign(head)));
        };
        if *sign == "." && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            let span = self.at..self.at + 2;
            return Err(self.error(span, "a number starts with a digit: write 0.5 for .5"));
        }
        match *sign {
            "(" | "[" => self.bracket(),
            ")" | "]" => self.close(sign),
            "&&" | "||" | "," => {
                self.push(Kind::Sign, sign.len())?;
                self.run -= self.runs.last().copied().unwrap_or_default();
                if let Some(run) = self.runs.last_mut() {
                    *run = 0;
                }
                Ok(())
            }
            sign => self.push(Kind::Sign, sign.len()),
        }
    }

    fn bracket(&mut self) -> Result<(), ConditionError> {
        if self.open.len() == limits::DEPTH {
            let message = format!("more than {} brackets inside one another: split the condition", limits::DEPTH);
            return Err(self.error(self.at..self.at + 1, message));
        }
        self.push(Kind::Sign, 1)?;
        self.open.push(self.tokens.len() - 1);
        self.runs.push(0);
        Ok(())
    }

    fn close(&mut self, sign: &str) -> Result<(), ConditionError> {
        let span = self.at..self.at + 1;
        let Some(open) = self.open.pop() else {
            return Err(self.error(span, "this bracket was never opened"));
        };
        self.run -= self.runs.pop().unwrap_or_default();
        let opened = &self.text[self.tokens[open].span.clone()];
        if (opened == "(") != (sign == ")") {
            let message = format!("this closes the {opened} with the wrong bracket");
            return Err(self.error(span, message));
        }
        self.tokens[open].closed_at = span.end;
        self.push(Kind::Sign, 1)
    }
}

/// No database takes it in a text.
pub(crate) const NUL: &str = "a text cannot hold the character U+0000";

fn is_character(code: &str, digits: usize) -> bool {
    code.len() == digits
        && code.bytes().all(|byte| byte.is_ascii_hexdigit())
        && u32::from_str_radix(code, 16).ok().and_then(char::from_u32).is_some_and(|c| c != '\0')
}

/// Why a character is not part of the language.
fn foreign(head: char) -> String {
    match head {
        '=' => "equality is written ==".to_owned(),
        '&' => "and is written &&".to_owned(),
        '|' => "or is written ||".to_owned(),
        '?' | ':' => "there is no choice with ? and : here: write it with && and ||".to_owned(),
        '{' | '}' => "there are no maps here: a list of values is written [\"a\", \"b\"]".to_owned(),
        '*' | '/' | '%' => "there is no arithmetic here, and no comment: compare a field with a fixed value".to_owned(),
        ';' => "and is written && here: a condition in RSQL must be given as one".to_owned(),
        '`' => "a metric of another name is written telemetry[\"name\"]".to_owned(),
        '“' | '”' | '„' | '‘' | '’' | '«' | '»' => {
            "these are not the quotes of a keyboard: write \"…\"".to_owned()
        }
        c if c.is_control() || c.is_whitespace() => {
            format!("the invisible character U+{:04X} does not belong here", u32::from(c))
        }
        c => format!(
            "the character {c} does not belong here: a metric of such a name is written telemetry[\"…\"], the name of an \
             attribute has {}",
            names::ATTRIBUTE_RULE
        ),
    }
}

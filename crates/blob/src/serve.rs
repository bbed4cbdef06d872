//! What part of an object an HTTP request gets (RFC 9110 §13 and §14). Pure: the server sends it.

use std::ops::Range;

/// The headers that decide, as they were sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeRequest<'a> {
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

/// What to answer to a GET or HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeDecision {
    /// 200 with everything.
    Whole,
    /// 206 with these bytes and [`content_range`]. Never empty, always inside the object.
    Partial(Range<u64>),
    /// 304 without a body.
    NotModified,
    /// 416 with [`unsatisfied_range`].
    NotSatisfiable,
}

/// Decides for an object of `size_bytes` with the strong entity tag `etag` (with its quotes).
///
/// One range is served. Several, other units and what is not a range at all are answered with the whole object,
/// as the RFC allows; so is a range whose `If-Range` names another version, so that a resumed download never joins
/// two of them. A date in `If-Range` never matches: there is no modification date, only content.
pub fn resolve_range(request: RangeRequest<'_>, size_bytes: u64, etag: &str) -> RangeDecision {
    if request.if_none_match.is_some_and(|tags| names_version(tags, etag)) {
        return RangeDecision::NotModified;
    }
    let Some(range) = request.range else { return RangeDecision::Whole };
    if request.if_range.is_some_and(|tag| tag.trim() != etag) {
        return RangeDecision::Whole;
    }
    match parse_single(range) {
        None => RangeDecision::Whole,
        Some(asked) => asked.within(size_bytes).map_or(RangeDecision::NotSatisfiable, RangeDecision::Partial),
    }
}

/// The value of `Content-Range` for a partial answer. `range` must not be empty.
pub fn content_range(range: &Range<u64>, size_bytes: u64) -> String {
    format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1))
}

/// The value of `Content-Range` for a range that cannot be satisfied.
pub fn unsatisfied_range(size_bytes: u64) -> String {
    format!("bytes */{size_bytes}")
}

/// Whether an `If-None-Match` list names this version (weak comparison).
fn names_version(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// One range as it was asked for.
enum Asked {
    /// `a-b` and `a-`: from a to b, both included.
    FromTo(u64, u64),
    /// `-n`: the last n bytes.
    Last(u64),
}

impl Asked {
    /// The bytes of an object of this size, or none when there is no byte to send.
    fn within(self, size_bytes: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::FromTo(first, last) => first..last.saturating_add(1).min(size_bytes),
            Self::Last(count) => size_bytes.saturating_sub(count)..size_bytes,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The one range of a header, or none when it holds none, several, or nonsense.
fn parse_single(header: &str) -> Option<Asked> {
    let (unit, spec) = header.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    match (first, last) {
        ("", count) => parse_position(count).map(Asked::Last),
        (first, "") => Some(Asked::FromTo(parse_position(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (parse_position(first)?, parse_position(last)?);
            (first <= last).then_some(Asked::FromTo(first, last))
        }
    }
}

/// Digits only; a number beyond 64 bits lies beyond every object, so it saturates.
fn parse_position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

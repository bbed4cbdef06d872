//! The trace that a request belongs to (W3C Trace Context, level 1).

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a trace: 32 lower-case hexadecimal digits, not all of them zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceId(String);

impl TraceId {
    /// The caller's trace, or a new one when there is none or it is not valid.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // More than one header is no header.
        let mut values = headers.get_all(TRACEPARENT).iter();
        let only = values.next().filter(|_| values.next().is_none());
        only.and_then(|value| value.to_str().ok()).and_then(Self::parse).unwrap_or_else(Self::generate)
    }

    /// From `VERSION-TRACE-PARENT-FLAGS`. A later version may have more behind the flags.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let rest = parts.next();
        let is_hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_id = |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || rest.is_none());
        (is_known && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)).then(|| Self(trace.to_owned()))
    }

    #[expect(clippy::disallowed_methods, reason = "it names a request in the log, nothing is decided or stored by it")]
    fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parsed(text: &str) -> Option<String> {
        TraceId::parse(text).map(|id| id.to_string())
    }

    #[test]
    fn a_valid_header_gives_its_trace() {
        for rest in ["00f067aa0ba902b7-01", "00f067aa0ba902b7-00"] {
            assert_eq!(parsed(&format!("00-{TRACE}-{rest}")).as_deref(), Some(TRACE));
        }
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes-next");
        assert_eq!(parsed(&later).as_deref(), Some(TRACE), "a later version");
    }

    #[test]
    fn anything_else_is_no_trace() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("0-{TRACE}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(parsed(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_a_valid_header_there_is_a_new_trace() {
        let mut headers = HeaderMap::new();
        let (one, other) = (TraceId::of(&headers), TraceId::of(&headers));
        assert_ne!(one, other);
        assert_eq!(one.0.len(), 32);
        let own = HeaderValue::from_str(&format!("00-{TRACE}-00f067aa0ba902b7-01")).expect("a header");
        headers.append(TRACEPARENT, own.clone());
        assert_eq!(TraceId::of(&headers).0, TRACE);
        headers.append(TRACEPARENT, own);
        assert_ne!(TraceId::of(&headers).0, TRACE, "two headers are none");
    }
}

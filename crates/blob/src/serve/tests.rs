use proptest::prelude::*;

use super::*;

const ETAG: &str = "\"abc\"";

fn ranged(range: &str, size_bytes: u64) -> RangeDecision {
    resolve_range(RangeRequest { range: Some(range), ..RangeRequest::default() }, size_bytes, ETAG)
}

proptest! {
    /// Against the plain meaning of the words, byte by byte.
    #[test]
    fn a_range_is_the_bytes_it_says(first in 0_u64..40, last in 0_u64..40, size in 0_u64..40) {
        let bytes: Vec<u64> = (0..size).collect();
        let meant: Vec<u64> = bytes.iter().copied().filter(|b| (first..=last).contains(b)).collect();
        let expected = match meant.as_slice() {
            _ if first > last => RangeDecision::Whole,
            [] => RangeDecision::NotSatisfiable,
            [start, ..] => RangeDecision::Partial(*start..*start + meant.len() as u64),
        };
        prop_assert_eq!(ranged(&format!("bytes={first}-{last}"), size), expected);
    }

    #[test]
    fn a_suffix_is_the_last_bytes(count in 0_u64..40, size in 0_u64..40) {
        let expected = match count.min(size) {
            0 => RangeDecision::NotSatisfiable,
            length => RangeDecision::Partial(size - length..size),
        };
        prop_assert_eq!(ranged(&format!("bytes=-{count}"), size), expected);
    }

    #[test]
    fn an_open_range_goes_to_the_end(first: u64, size: u64) {
        let expected = if first < size { RangeDecision::Partial(first..size) } else { RangeDecision::NotSatisfiable };
        prop_assert_eq!(ranged(&format!("bytes={first}-"), size), expected);
    }

    /// Nothing that can be sent makes it panic or leave the object.
    #[test]
    fn whatever_is_sent_the_answer_is_inside(range in "(bytes=)?[0-9,=\\- ]{0,30}|\\PC{0,20}", size: u64) {
        if let RangeDecision::Partial(part) = ranged(&range, size) {
            prop_assert!(part.start < part.end && part.end <= size);
        }
    }

    #[test]
    fn another_version_is_never_joined(tag in "(W/)?\"?[a-d]{0,4}\"?", first in 0_u64..10) {
        prop_assume!(tag != ETAG);
        let range = format!("bytes={first}-");
        let request = RangeRequest { range: Some(&range), if_range: Some(&tag), if_none_match: None };
        prop_assert_eq!(resolve_range(request, 100, ETAG), RangeDecision::Whole);
    }
}

#[test]
fn what_is_not_one_range_gets_the_whole() {
    for header in ["bytes=0-1,5-6", "items=0-1", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2", "bytes=1--2"]
    {
        assert_eq!(ranged(header, 100), RangeDecision::Whole, "{header}");
    }
}

#[test]
fn numbers_beyond_64_bits_lie_beyond_the_end() {
    assert_eq!(ranged("bytes=99999999999999999999999-", 100), RangeDecision::NotSatisfiable);
    assert_eq!(ranged("bytes=10-99999999999999999999999", 100), RangeDecision::Partial(10..100));
    assert_eq!(ranged("bytes=-99999999999999999999999", 100), RangeDecision::Partial(0..100));
}

#[test]
fn the_same_version_continues() {
    let request = RangeRequest { range: Some("bytes=40-"), if_range: Some(ETAG), if_none_match: None };
    assert_eq!(resolve_range(request, 100, ETAG), RangeDecision::Partial(40..100));
}

#[test]
fn a_known_version_is_not_sent_again() {
    for tags in [ETAG, "W/\"abc\"", "\"x\", \"abc\"", "*"] {
        let request = RangeRequest { range: Some("bytes=0-1"), if_range: None, if_none_match: Some(tags) };
        assert_eq!(resolve_range(request, 100, ETAG), RangeDecision::NotModified, "{tags}");
    }
    let request = RangeRequest { if_none_match: Some("\"x\""), ..RangeRequest::default() };
    assert_eq!(resolve_range(request, 100, ETAG), RangeDecision::Whole);
}

#[test]
fn the_headers_of_the_answer() {
    assert_eq!(content_range(&(10..20), 100), "bytes 10-19/100");
    assert_eq!(unsatisfied_range(100), "bytes */100");
}

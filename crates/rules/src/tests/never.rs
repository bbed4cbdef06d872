//! No text makes the parsers panic, hang or run out of stack; what they accept, they accept again as they spell it.

use proptest::prelude::*;

use crate::Condition;

/// Pieces from which texts are glued that get far into the parsers.
const PIECES: [&str; 44] = [
    "device",
    "type",
    "attr",
    "telemetry",
    "now",
    "x",
    "\"a\"",
    "'",
    "\"",
    "1",
    "2.5",
    "-",
    ".",
    ",",
    "(",
    ")",
    "[",
    "]",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "in",
    "has",
    "semver",
    "duration",
    "(\"1.0.0\")",
    "(\"2h\")",
    " ",
    "\n",
    "é",
    "\\",
    "=in=",
    ";",
    "*",
    "version",
    "device.attr.x",
    "device.type",
    "true",
    "device.last_seen",
    "tag==a",
];

fn glued() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn looks_right(text: &str) {
    for parsed in [Condition::parse(text), Condition::parse_rsql(text)] {
        match parsed {
            Ok(condition) => assert_eq!(Condition::parse(condition.text()).as_ref(), Ok(&condition), "{text:?}"),
            Err(error) => {
                assert!(error.line() >= 1 && error.column() >= 1);
                assert!(text.get(error.span()).is_some(), "{text:?} {:?}", error.span());
                assert_eq!(error.to_string().lines().count(), 3, "{error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        looks_right(&text);
    }

    #[test]
    fn any_pieces_are_read_or_refused(text in glued()) {
        looks_right(&text);
    }
}

/// Each of these overflows the stack of a usual thread when the crate `cel` gets it as it is.
#[test]
fn the_deepest_texts_are_refused_or_read() {
    let repeated = |head: &str, middle: &str, tail: &str| {
        let times = 4096 / (head.len() + tail.len()).max(1);
        format!("{}{middle}{}", head.repeat(times), tail.repeat(times))
    };
    for text in [
        repeated("(", "", ")"),
        repeated("(", "", ""),
        repeated("[", "", "]"),
        repeated("has(", "device.type", ")"),
        repeated("!(", "true", ")"),
        repeated("!", "true", ""),
        repeated("-", "1", ""),
        repeated("1+", "1", ""),
        repeated("device.", "x", ""),
        repeated("x[", "1", "]"),
        repeated("true&&", "true", ""),
        repeated("true||(", "true", ")"),
        repeated("a?b:", "c", ""),
        repeated("{1:", "1", "}"),
        repeated("\"\\q(((((", "", ""),
        repeated("\"\"\"((((", "", ""),
        repeated("r\"((((", "", ""),
        repeated("`(((", "", ""),
        format!("\"\\x0(\"{}", "(".repeat(4000)),
        format!("//\n{}", "(".repeat(4000)),
        format!("{}{}{}", "(".repeat(32), "-".repeat(90), ")".repeat(32)),
        format!("{}now{}{}", "(".repeat(32), "-now".repeat(45), ")".repeat(32)),
    ] {
        looks_right(&text);
    }
}

#[test]
fn a_small_stack_is_enough() {
    let text = format!("{}has(device.version){}", "!(true && (".repeat(15), "))".repeat(15));
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let read = small.spawn(move || Condition::parse(&text).is_ok()).expect("a thread starts");
    assert!(read.join().expect("the thread ends"));
}

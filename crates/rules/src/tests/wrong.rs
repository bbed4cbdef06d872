//! Wrong conditions, with exactly the text that a person sees.

use crate::Condition;

/// Blocks with an empty line between them: the condition behind `> `, then the error as it is shown.
const WRONG: &str = include_str!("wrong.txt");

#[test]
fn a_wrong_condition_is_explained() {
    let blocks: Vec<&str> = WRONG.trim_end().split("\n\n").collect();
    assert!(blocks.len() >= 10);
    for block in blocks {
        let text: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        let error = Condition::parse(&text.join("\n")).expect_err(block);
        let expected: Vec<&str> = block.lines().skip(text.len()).collect();
        assert_eq!(error.to_string(), expected.join("\n"));
    }
}

#[test]
fn places_are_told_in_lines_and_characters() {
    let error = Condition::parse("device.attr.ß == \"é\"").expect_err("a name of other letters");
    assert_eq!((error.line(), error.column()), (1, 13));
    let error = Condition::parse("device.type == \"é😀\" &&\n\n  device.typ == 1").expect_err("no such field");
    assert_eq!((error.line(), error.column()), (3, 3));
    assert_eq!(error.message(), "device.typ: no such field (did you mean device.type?)");
}

#[test]
fn a_long_line_is_shown_around_the_fault() {
    let text =
        format!("{}device.typ == \"x\" && {}", "has(device.version) && ".repeat(20), "true && ".repeat(30) + "true");
    let shown = Condition::parse(&text).expect_err("no such field").to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("line 1, column 461: device.typ"), "{shown}");
    let at = lines[2].find('^').expect("there is a mark");
    let marked: String = lines[1].chars().skip(at).take(10).collect();
    assert_eq!(marked, "device.typ");
    assert!(lines[1].chars().count() < 110 && lines[1].trim_start().starts_with('…') && lines[1].ends_with('…'));
}

#[test]
fn what_is_too_large_is_refused() {
    let deep = format!("{}true{}", "(".repeat(33), ")".repeat(33));
    let list = format!("device.attr.x in [{}]", vec!["1"; 101].join(","));
    let lists = vec![format!("device.attr.x in [{}]", vec!["1"; 90].join(",")); 3].join(" && ");
    let long = format!("device.type == \"{}\"", "x".repeat(4096));
    let run = format!("device{}", ".a".repeat(200));
    let sum = format!("now{} > now", " + duration(\"1h\")".repeat(60));
    let tabs = format!("'{}'", "\t".repeat(30));
    let grown = format!("device.type in [{}]", vec![tabs; 100].join(","));
    for (text, message) in [
        (deep, "more than 32 brackets inside one another: split the condition"),
        (list, "a list has at most 100 values, this one has 101"),
        (lists, "a condition has at most 256 parts, this one has 274: split it"),
        (long, "a condition has at most 4096 bytes, this one has 4113"),
        (run, "this is too long without && or ||: split the condition"),
        (sum, "this is too long without && or ||: split the condition"),
        (grown, "a condition has at most 4096 bytes: split it"),
    ] {
        assert_eq!(
            Condition::parse(&text).map(|_| ()).map_err(|error| error.message().to_owned()),
            Err(message.to_owned())
        );
    }
}

//! What is accepted, how it is spelled, and what it means for one device in memory.

use drover_types::{Timestamp, Version};

use crate::{Condition, Field, GroupIds, SlotValue, Slots, Unselectable};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn parse(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A robot of version 2.0.0-rc.1, seen an hour ago, with some attributes and tags.
fn holds(text: &str) -> bool {
    let key = "2.0.0-rc.1".parse::<Version>().expect("a version").sort_key();
    let names = ["canary".to_owned(), "eu:lab".to_owned()];
    let mut slots = Slots::new();
    let program = parse(text).program(&mut slots);
    let values: Vec<SlotValue<'_>> = slots
        .fields()
        .iter()
        .map(|field| match field {
            Field::Type => SlotValue::Text("robot"),
            Field::HardwareId => SlotValue::Text("VIN-é7"),
            Field::Status => SlotValue::Text("idle"),
            Field::LastSeen => SlotValue::Time(Timestamp::from_micros(NOW.as_micros() - 3_600_000_000)),
            Field::Version(component) if component.as_str() == "main" => SlotValue::Version(&key),
            Field::Tags => SlotValue::Names(&names),
            Field::Attribute(name) => match name.as_str() {
                "region" => SlotValue::Text("eu"),
                "slots" => SlotValue::Number(4.0),
                "parked" => SlotValue::Bool(true),
                "empty" => SlotValue::Text(""),
                _ => SlotValue::Absent,
            },
            Field::Telemetry(name) if name == "battery" => SlotValue::Number(40.5),
            _ => SlotValue::Absent,
        })
        .collect();
    program.eval(NOW, &values)
}

#[test]
fn conditions_mean_what_the_page_says() {
    let truths = [
        r#"device.type == "robot" && device.version < semver("2.1.0") && device.attr.region in ["eu", "us"] && telemetry.battery > 40"#,
        r#"device.version < semver("2.0.0") && device.version == semver("2.0.0-rc.1+build.7")"#,
        r#"device.last_seen > now - duration("2h") && now - device.last_seen < duration("1h0.001s")"#,
        r#"!(now - device.last_seen > duration("1h")) && now - device.last_seen >= duration("60m")"#,
        r#"device.last_seen + duration("1h") == now && duration("2h") > now - device.last_seen"#,
        r#"device.last_seen > timestamp("2026-01-01T01:00:00+01:00") - duration("0s")"#,
        r#"device.hardware_id.startsWith("VIN-é") && device.hardware_id.endsWith("é7") && device.hardware_id.contains("N-")"#,
        r#"device.hardware_id >= "VIN" && device.hardware_id < "VIO" && !device.hardware_id.contains("vin")"#,
        r#""canary" in device.tags && "eu:lab" in device.tags && !("canary-2" in device.tags)"#,
        r#"!("x" in device.groups) && 'eu' == device.attr.region && 3 < device.attr.slots"#,
        "device.attr.parked && !device.attr.nothing && device.attr.parked == true",
        "device.attr.slots == 4 && device.attr.slots in [1, 4.0] && device.attr.slots > -0.0",
        r#"has(device.attr.region) && "region" in device.attr && !has(device.attr.nothing) && has(device.version)"#,
        r#"device.attr.empty == "" && device.attr.empty.contains("") && device.attr["empty"].startsWith("")"#,
        "true && !false",
    ];
    for text in truths {
        assert!(holds(text), "{text}");
        assert!(!holds(&format!("!({text})")), "{text}");
    }
}

#[test]
fn what_is_not_there_is_different_from_everything() {
    for absent in ["device.attr.nothing", "device.components[\"bms\"].version", "device.created_at", "telemetry.none"] {
        let value = match absent {
            "device.created_at" => "now",
            text if text.ends_with("version") => "semver(\"1.0.0\")",
            _ => "1",
        };
        for sign in ["==", "<", "<=", ">", ">="] {
            assert!(!holds(&format!("{absent} {sign} {value}")), "{absent} {sign}");
        }
        assert!(holds(&format!("{absent} != {value}")), "{absent}");
        assert!(!holds(&format!("has({absent})")), "{absent}");
    }
    // Another type is as different as nothing.
    assert!(holds(r#"device.attr.slots != "4" && device.attr.region != 4 && !(device.attr.region < 4)"#));
    assert!(holds("device.attr.parked != 1 && !device.attr.slots.contains(\"4\")"));
}

#[test]
fn the_canonical_text_is_one_spelling() {
    let spellings = [
        ("device.type=='robot'", r#"device.type == "robot""#),
        ("!(device.type == 'a')", r#"device.type != "a""#),
        ("!!has(device.version)", "has(device.version)"),
        ("3<device.attr.x", "device.attr.x > 3"),
        ("device.attr['x'] == -3.0", "device.attr.x == -3"),
        ("device.attr['a_b'] == 1.5e300", "device.attr.a_b == 1.5e300"),
        ("telemetry['a b'] == 1.5e300", r#"telemetry["a b"] == 1.5e300"#),
        ("device.attr.x", "device.attr.x == true"),
        ("device.components['main'].version >= semver('1.0.0')", r#"device.version >= semver("1.0.0")"#),
        ("device.components.bms.version >= semver('1.0.0')", r#"device.components["bms"].version >= semver("1.0.0")"#),
        ("now - device.last_seen > duration('90m')", r#"device.last_seen < now - duration("1h30m")"#),
        (
            "device.last_seen < timestamp('2026-01-01T00:00:00Z') + duration('1h')",
            r#"device.last_seen < timestamp("2026-01-01T01:00:00Z")"#,
        ),
        (
            "(device.type=='a' || true) && (has(device.version) && true)",
            r#"(device.type == "a" || true) && has(device.version) && true"#,
        ),
        ("!(device.type in ['a'])", r#"!(device.type in ["a"])"#),
        ("device.type == '\\u00e9\\n\\\\'", r#"device.type == "é\n\\""#),
        (" device.type\n\t== \"a\" ", r#"device.type == "a""#),
    ];
    for (text, canonical) in spellings {
        assert_eq!(parse(text).text(), canonical, "{text}");
        assert_eq!(parse(canonical), parse(text));
    }
}

#[test]
fn the_fields_and_groups_are_known() {
    let condition = parse(r#"device.attr.x > 1 && !("a" in device.groups || "b" in device.groups) && telemetry.t < 1"#);
    let fields: Vec<String> = condition.fields().iter().map(ToString::to_string).collect();
    assert_eq!(fields, ["device.attr.x", "device.groups", "telemetry.t"]);
    assert_eq!(condition.groups().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let unknown = Unselectable::UnknownGroup { name: "b".to_owned() };
    let mut groups = GroupIds::from([("a".to_owned(), uuid::Uuid::from_u128(1))]);
    assert_eq!(condition.sql(1, NOW, &groups), Err(unknown), "it does not pass for a group without members");
    groups.insert("b".to_owned(), uuid::Uuid::from_u128(2));
    let refused = condition.sql(1, NOW, &groups).expect_err("telemetry is not in the database");
    assert_eq!(refused.to_string(), "conditions on telemetry cannot select devices yet: remove telemetry.t");
}

#[test]
fn the_largest_conditions_are_accepted() {
    let nested = format!("{}has(device.version){}", "(".repeat(31), ")".repeat(31));
    assert_eq!(parse(&nested).text(), "has(device.version)");
    let mixed = format!("{}true{}", "!(device.type == \"a\" && (true || ".repeat(15), "))".repeat(15));
    assert_eq!(parse(&mixed), parse(parse(&mixed).text()));
    let long = vec!["has(device.version)"; 150].join(" && ");
    assert_eq!(parse(&long).text(), long);
    let list = format!("device.attr.x in [{}]", (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    assert_eq!(parse(&list).text(), list);
}

#[test]
fn programs_share_slots() {
    let mut slots = Slots::new();
    let left = parse("telemetry.a > 1 && telemetry.b > 1").program(&mut slots);
    let right = parse("telemetry.b > 2").program(&mut slots);
    assert_eq!(slots.fields().len(), 2);
    let values = [SlotValue::Number(2.0), SlotValue::Number(3.0)];
    assert!(left.eval(NOW, &values) && right.eval(NOW, &values));
    assert!(!left.eval(NOW, &values[..1]), "what lies behind the end is absent");
    assert!(!right.eval(NOW, &[SlotValue::Absent, SlotValue::Number(f64::NAN)]));
}

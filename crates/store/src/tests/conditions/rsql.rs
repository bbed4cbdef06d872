//! Random conditions in RSQL, each with what it means in CEL.

use super::draw::Draw;
use super::fleet::{ATTRIBUTES, NAMES, NUMBERS, TAGS, TEXTS, TYPES, VERSIONS};

/// RSQL and its twin.
pub(super) type Twins = (String, String);

/// Some parts, joined in both ways.
pub(super) fn condition(draw: &mut Draw, depth: usize) -> Twins {
    if depth == 0 {
        return part(draw);
    }
    let ((left, left_twin), (right, right_twin)) = (condition(draw, depth - 1), condition(draw, depth - 1));
    let (sign, twin_sign) = *draw.of(&[(";", "&&"), (",", "||"), (" and ", "&&"), (" or ", "||")]);
    if draw.chance(50) {
        return (format!("({left}){sign}({right})"), format!("({left_twin}) {twin_sign} ({right_twin})"));
    }
    // Both bind the sign for and tighter.
    (format!("{left}{sign}{right}"), format!("{left_twin} {twin_sign} {right_twin}"))
}

fn part(draw: &mut Draw) -> Twins {
    match draw.below(7) {
        0 => pattern(draw),
        1 => number(draw),
        2 => version(draw),
        3 | 4 => list(draw),
        5 => name(draw),
        _ => text(draw),
    }
}

/// In the quotes of RSQL and of CEL; none of the texts has a star.
fn quoted(text: &str) -> Twins {
    let escaped = text.replace('\\', "\\\\");
    (format!("'{}'", escaped.replace('\'', "\\'")), format!("'{}'", escaped.replace('\'', "\\'").replace('\n', "\\n")))
}

fn text(draw: &mut Draw) -> Twins {
    let (field, twin, texts) = field(draw);
    let (text, text_twin) = quoted(draw.of::<&str>(texts));
    let sign = *draw.of(&["==", "!="]);
    (format!("{field}{sign}{text}"), format!("{twin} {sign} {text_twin}"))
}

fn field(draw: &mut Draw) -> (String, String, &'static [&'static str]) {
    if draw.chance(30) {
        return ("type".to_owned(), "device.type".to_owned(), &TYPES);
    }
    let name = *draw.of(&ATTRIBUTES);
    (format!("attribute.{name}"), format!("device.attr.{name}"), &TEXTS)
}

fn list(draw: &mut Draw) -> Twins {
    let (field, twin, texts) = field(draw);
    let items: Vec<Twins> = (0..=draw.below(4)).map(|_| quoted(draw.of::<&str>(texts))).collect();
    let (items, twins): (Vec<String>, Vec<String>) = items.into_iter().unzip();
    let (items, twins) = (items.join(","), twins.join(", "));
    if draw.chance(50) {
        return (format!("{field}=in=({items})"), format!("{twin} in [{twins}]"));
    }
    (format!("{field}=out=({items})"), format!("!({twin} in [{twins}])"))
}

fn pattern(draw: &mut Draw) -> Twins {
    let (field, twin) = *draw.of(&[("name", "device.hardware_id"), ("attribute.site", "device.attr.site")]);
    let part = *draw.of(&["e", "eu", "5", "EU", "us", "%"]);
    let (rsql, function) = match draw.below(3) {
        0 => (format!("{part}*"), "startsWith"),
        1 => (format!("*{part}"), "endsWith"),
        _ => (format!("*{part}*"), "contains"),
    };
    if draw.chance(50) {
        return (format!("{field}=='{rsql}'"), format!("{twin}.{function}('{part}')"));
    }
    (format!("{field}!='{rsql}'"), format!("!{twin}.{function}('{part}')"))
}

/// A number without quotes means its text, too.
fn number(draw: &mut Draw) -> Twins {
    let name = *draw.of(&ATTRIBUTES);
    let number = *draw.of(&["0", "1", "5", "5.5"]);
    if draw.chance(50) {
        let (sign, twin) = *draw.of(&[("=lt=", "<"), ("<", "<"), ("=ge=", ">="), (">", ">"), ("<=", "<=")]);
        let number = *draw.of(&["0", "1", "5", "5.5", NUMBERS[7].1]);
        return (format!("attribute.{name}{sign}{number}"), format!("device.attr.{name} {twin} {number}"));
    }
    (format!("attribute.{name}=={number}"), format!("device.attr.{name} in [{number}, '{number}']"))
}

fn version(draw: &mut Draw) -> Twins {
    let (sign, twin) = *draw.of(&[("==", "=="), ("!=", "!="), ("=lt=", "<"), ("=ge=", ">="), (">", ">")]);
    let (field, twin_field) =
        *draw.of(&[("version", "device.version"), ("component.bms", "device.components['bms'].version")]);
    let version = *draw.of(&VERSIONS);
    (format!("{field}{sign}{version}"), format!("{twin_field} {twin} semver('{version}')"))
}

fn name(draw: &mut Draw) -> Twins {
    let (field, twin, names) = *draw.of(&[("tag", "device.tags", &TAGS[..5]), ("group", "device.groups", &NAMES[..5])]);
    let (name, name_twin) = quoted(draw.of::<&str>(names));
    if draw.chance(50) {
        return (format!("{field}=={name}"), format!("{name_twin} in {twin}"));
    }
    (format!("{field}!={name}"), format!("!({name_twin} in {twin})"))
}

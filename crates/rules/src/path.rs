//! Names: `device.type`, `device.attr["…"]`, `telemetry.battery`.

use cel::common::ast::{Expr as Cel, IdedExpr, LiteralValue, operators};
use drover_types::names;

use crate::error::ConditionError;
use crate::field::{Field, similar};
use crate::literal;
use crate::parse::Syntax;

/// What a path leads to.
pub(crate) enum Place {
    Field(Field),
    /// `device.attr`.
    Attributes,
    /// `device.components`.
    Components,
    /// `telemetry`.
    Metrics,
}

/// Where the path of `expr` leads.
pub(crate) fn place(syntax: &Syntax<'_>, expr: &IdedExpr) -> Result<Place, ConditionError> {
    let mut steps = Vec::new();
    let root = walk(syntax, expr, &mut steps)?;
    let steps: Vec<&str> = steps.into_iter().collect();
    let error = |message: String| Err(syntax.error(expr, message));
    match (root, steps.as_slice()) {
        ("device", []) => error("name a field of the device, such as device.type".to_owned()),
        ("device", ["attr"]) => Ok(Place::Attributes),
        ("device", ["attr", name]) => named(syntax, expr, literal::attribute(name), Field::Attribute),
        ("device", ["attr", ..]) => {
            error(format!("an attribute has no fields: its name has {}", names::ATTRIBUTE_RULE))
        }
        ("device", ["components"]) => Ok(Place::Components),
        ("device", ["components", name, "version"]) => match name.parse() {
            Ok(component) => Ok(Place::Field(Field::Version(component))),
            Err(invalid) => error(format!("{invalid}")),
        },
        ("device", ["components", name, ..]) => {
            error(format!("of a component the version is known: device.components[\"{name}\"].version"))
        }
        ("device", [name, rest @ ..]) => match (Field::plain(name), rest) {
            (Some(field), []) => Ok(Place::Field(field)),
            (Some(field), _) => error(format!("{field} has no fields")),
            (None, _) => error(format!("device.{name}: no such field{}", suggestion(name))),
        },
        ("telemetry", []) => Ok(Place::Metrics),
        ("telemetry", [name]) => named(syntax, expr, literal::name(name), Field::Telemetry),
        ("telemetry", names) => {
            error(format!("a metric has no fields: write telemetry[\"{}\"] if that is its name", names.join(".")))
        }
        (root, _) => error(format!("{root}: no such name{}", root_suggestion(root))),
    }
}

fn named(
    syntax: &Syntax<'_>,
    expr: &IdedExpr,
    name: literal::Parsed<String>,
    make: fn(String) -> Field,
) -> Result<Place, ConditionError> {
    let name = name.map_err(|message| syntax.error(expr, message))?;
    Ok(Place::Field(make(name)))
}

fn suggestion(name: &str) -> String {
    match similar(name) {
        Some(ours) => format!(" (did you mean device.{ours}?)"),
        None if names::is_attribute(name) => format!("; an attribute of that name is device.attr.{name}"),
        None => format!("; the name of an attribute has {}", names::ATTRIBUTE_RULE),
    }
}

fn root_suggestion(root: &str) -> String {
    if root == "version" || Field::plain(root).is_some() {
        return format!(" (did you mean device.{root}?)");
    }
    match crate::field::closest(root, ["device", "telemetry", "now"].into_iter()).or_else(|| similar(root)) {
        Some(ours @ ("device" | "telemetry" | "now")) => format!(" (did you mean {ours}?)"),
        Some(ours) => format!(" (did you mean device.{ours}?)"),
        None => ": fields start with device. or telemetry., text stands in quotes".to_owned(),
    }
}

/// Collects the steps of a path behind its root.
fn walk<'e>(syntax: &Syntax<'_>, expr: &'e IdedExpr, steps: &mut Vec<&'e str>) -> Result<&'e str, ConditionError> {
    match &expr.expr {
        Cel::Ident(name) => Ok(name),
        Cel::Select(select) => {
            let root = walk(syntax, &select.operand, steps)?;
            steps.push(&select.field);
            Ok(root)
        }
        Cel::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
            let root = walk(syntax, &call.args[0], steps)?;
            let Cel::Literal(LiteralValue::String(name)) = &call.args[1].expr else {
                return Err(syntax.error(&call.args[1], "a name in quotes is expected between these brackets"));
            };
            steps.push(name.inner());
            Ok(root)
        }
        _ => Err(syntax.error(expr, "a field is expected here, such as device.type")),
    }
}

//! Gives a condition its types: from the syntax tree of the crate `cel` to our own, or to the first mistake.

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, LiteralValue, operators};
use drover_types::Timestamp;

use crate::error::ConditionError;
use crate::expr::{Check, Expr, Moment, Order, Value};
use crate::field::{Field, Kind, closest};
use crate::parse::Syntax;
use crate::path::{self, Place};
use crate::{limits, literal};

type Result<T> = std::result::Result<T, ConditionError>;

/// One side of a comparison.
enum Operand {
    Field(Field),
    Value(Value),
    Moment(Moment),
    Duration(i64),
    /// A field of time plus so many microseconds.
    Shifted(Field, i64),
    /// The moment minus a field of time.
    Age(Moment, Field),
}

impl Operand {
    fn noun(&self) -> &'static str {
        match self {
            Self::Field(field) => field.kind().noun(),
            Self::Value(value) => value.noun(),
            Self::Moment(_) | Self::Shifted(..) => "a time",
            Self::Duration(_) | Self::Age(..) => "a duration",
        }
    }
}

/// The functions of the language, for suggestions.
const FUNCTIONS: [&str; 7] = ["has", "semver", "duration", "timestamp", "startsWith", "endsWith", "contains"];

/// Gives the tree its types.
pub(crate) fn check(syntax: &Syntax<'_>) -> Result<Expr> {
    Checker { syntax }.condition(&syntax.root)
}

struct Checker<'s> {
    syntax: &'s Syntax<'s>,
}

impl Checker<'_> {
    fn error<T>(&self, expr: &IdedExpr, message: impl Into<String>) -> Result<T> {
        Err(self.syntax.error(expr, message))
    }

    /// Puts the place to a message.
    fn at<T>(&self, expr: &IdedExpr, parsed: literal::Parsed<T>) -> Result<T> {
        parsed.map_err(|message| self.syntax.error(expr, message))
    }

    /// A part that is true or false.
    fn condition(&self, expr: &IdedExpr) -> Result<Expr> {
        match &expr.expr {
            Cel::Call(call) => self.call(expr, call),
            Cel::Literal(LiteralValue::Boolean(truth)) => Ok(Expr::Always(*truth.inner())),
            Cel::Select(select) if select.test => self.presence(expr),
            Cel::Comprehension(_) => self.error(
                expr,
                "exists(), all(), map() and filter() are not supported: write \"x\" in device.tags, or device.attr.x in [\"a\", \"b\"]",
            ),
            _ => self.truth(expr),
        }
    }

    fn call(&self, expr: &IdedExpr, call: &CallExpr) -> Result<Expr> {
        if let (Some(target), name) = (&call.target, call.func_name.as_str()) {
            return self.method(expr, target, name, &call.args);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, parts) => Ok(Expr::all(self.conditions(parts)?)),
            (operators::LOGICAL_OR, parts) => Ok(Expr::any(self.conditions(parts)?)),
            (operators::LOGICAL_NOT, [inner]) => Ok(self.condition(inner)?.not()),
            (operators::IN, [left, right]) => self.membership(left, right),
            (operators::NOT_EQUALS, [left, right]) => Ok(self.comparison(expr, Order::Equal, left, right)?.not()),
            (name, [left, right]) => match order(name) {
                Some(order) => self.comparison(expr, order, left, right),
                None => self.truth(expr),
            },
            _ => self.truth(expr),
        }
    }

    fn conditions(&self, parts: &[IdedExpr]) -> Result<Vec<Expr>> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    /// Something that stands alone where a condition is wanted: an attribute that is true.
    fn truth(&self, expr: &IdedExpr) -> Result<Expr> {
        match self.operand(expr)? {
            Operand::Field(field) if field.kind() == Kind::Dynamic => {
                Ok(Expr::test(field, Check::Compare(Order::Equal, Value::Bool(true))))
            }
            other => {
                let text = self.syntax.text_of(expr);
                self.error(
                    expr,
                    format!("{text} is {}, not true or false: compare it, for example with ==", other.noun()),
                )
            }
        }
    }

    fn presence(&self, expr: &IdedExpr) -> Result<Expr> {
        match path::place(self.syntax, expr)? {
            Place::Field(field) if field.kind() != Kind::Names => Ok(Expr::test(field, Check::Present)),
            Place::Field(field) => {
                self.error(expr, format!("{field} is always there: ask for one name, as in \"name\" in {field}"))
            }
            _ => self.error(expr, "has() takes one field, such as has(device.attr.region)"),
        }
    }

    fn method(&self, expr: &IdedExpr, target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Expr> {
        let make: fn(String) -> Check = match name {
            "startsWith" => Check::StartsWith,
            "endsWith" => Check::EndsWith,
            "contains" => Check::Contains,
            "matches" => {
                return self.error(
                    expr,
                    "matches() is not supported: databases differ in regular expressions; use startsWith(), endsWith() or contains()",
                );
            }
            _ => return self.unknown_function(expr, name),
        };
        let [arg] = args else {
            return self.error(expr, format!("{name}() takes one text, as in device.hardware_id.{name}(\"VIN\")"));
        };
        let field = match self.operand(target)? {
            Operand::Field(field) if matches!(field.kind(), Kind::OrderedText | Kind::Text | Kind::Dynamic) => field,
            Operand::Field(field) if field.kind() == Kind::Names => {
                return self.error(expr, format!("{field} is a list: write \"name\" in {field}"));
            }
            other => return self.error(target, format!("{name}() looks into text, and this is {}", other.noun())),
        };
        match self.operand(arg)? {
            Operand::Value(Value::Text(part)) => Ok(Expr::test(field, make(part))),
            other => self.error(arg, format!("{name}() takes a text in quotes, not {}", other.noun())),
        }
    }

    fn unknown_function<T>(&self, expr: &IdedExpr, name: &str) -> Result<T> {
        if matches!(name, "startsWith" | "endsWith" | "contains") {
            return self.error(expr, format!("{name}() stands behind a field: device.hardware_id.{name}(\"VIN\")"));
        }
        let hint = match closest(name, FUNCTIONS.into_iter()) {
            Some(similar) => format!(": did you mean {similar}()?"),
            None => format!(": there are {}", FUNCTIONS.map(|function| format!("{function}()")).join(", ")),
        };
        self.error(expr, format!("there is no function {name}(){hint}"))
    }

    fn membership(&self, left: &IdedExpr, right: &IdedExpr) -> Result<Expr> {
        if let Cel::List(list) = &right.expr {
            return self.one_of(left, right, &list.elements);
        }
        if matches!(right.expr, Cel::Literal(_)) {
            return self.error(right, "a list is expected after in, such as [\"a\", \"b\"]");
        }
        let (name, place) = match (&left.expr, path::place(self.syntax, right)?) {
            (Cel::Literal(LiteralValue::String(name)), place) => {
                let read = match &place {
                    Place::Field(Field::Tags) => literal::tag,
                    Place::Attributes => literal::attribute,
                    _ => literal::name,
                };
                (self.at(left, read(name.inner()))?, place)
            }
            (_, Place::Field(field)) if field.kind() == Kind::Names => {
                return self.error(left, format!("{field} is asked for one name in quotes: \"name\" in {field}"));
            }
            _ => return self.error(right, "a list is expected after in, such as [\"a\", \"b\"]"),
        };
        match place {
            Place::Field(field) if field.kind() == Kind::Names => Ok(Expr::test(field, Check::Has(name))),
            Place::Attributes => Ok(Expr::test(Field::Attribute(name), Check::Present)),
            Place::Metrics => Ok(Expr::test(Field::Telemetry(name), Check::Present)),
            Place::Field(field) => {
                let text = crate::text::Quoted(&name).to_string();
                self.error(right, format!("{field} is {}, not a list: write {field} == {text}", field.kind().noun()))
            }
            Place::Components => self.error(right, "ask for its version: has(device.components[\"name\"].version)"),
        }
    }

    fn one_of(&self, left: &IdedExpr, right: &IdedExpr, elements: &[IdedExpr]) -> Result<Expr> {
        let field = match self.operand(left)? {
            Operand::Field(field) if field.kind() == Kind::Names => {
                return self
                    .error(left, format!("{field} is a list itself: write \"a\" in {field} || \"b\" in {field}"));
            }
            Operand::Field(field) if field.kind() == Kind::Time => {
                return self.error(left, format!("{field} is a time: compare it with < or >"));
            }
            Operand::Field(field) => field,
            _ => return self.error(left, "a field is expected before in: both sides are fixed"),
        };
        if elements.is_empty() {
            return self.error(right, "the list is empty: no device could ever be in it");
        }
        if let Some(surplus) = elements.get(limits::LIST_ITEMS) {
            return self.error(
                surplus,
                format!("a list has at most {} values, this one has {}", limits::LIST_ITEMS, elements.len()),
            );
        }
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            match self.operand(element)? {
                Operand::Value(value) => values.push(self.value_for(element, &field, Order::Equal, value)?),
                other => {
                    return self.error(element, format!("a list holds fixed values, and this is {}", other.noun()));
                }
            }
        }
        Ok(Expr::test(field, Check::OneOf(values)))
    }

    fn comparison(&self, expr: &IdedExpr, order: Order, left: &IdedExpr, right: &IdedExpr) -> Result<Expr> {
        let (left_operand, right_operand) = (self.operand(left)?, self.operand(right)?);
        match (left_operand, right_operand) {
            (Operand::Field(field), fixed) if !is_of_device(&fixed) => self.compare(right, field, order, fixed),
            (fixed, Operand::Field(field)) if !is_of_device(&fixed) => {
                self.compare(left, field, order.mirrored(), fixed)
            }
            (Operand::Shifted(field, by), Operand::Moment(moment)) => self.time(expr, field, order, moment, by),
            (Operand::Moment(moment), Operand::Shifted(field, by)) => {
                self.time(expr, field, order.mirrored(), moment, by)
            }
            // An age of more than two hours: a time before two hours ago.
            (Operand::Age(moment, field), Operand::Duration(age)) => {
                self.time(expr, field, order.mirrored(), moment, age)
            }
            (Operand::Duration(age), Operand::Age(moment, field)) => self.time(expr, field, order, moment, age),
            (left_operand, right_operand) if is_of_device(&left_operand) && is_of_device(&right_operand) => {
                self.error(expr, "two fields cannot be compared with each other: compare each with a fixed value")
            }
            (left_operand, right_operand) if is_of_device(&left_operand) || is_of_device(&right_operand) => {
                let message = format!("{} cannot be compared with {}", left_operand.noun(), right_operand.noun());
                self.error(expr, message)
            }
            _ => self.error(expr, "both sides are fixed: compare a field of the device, such as device.type"),
        }
    }

    fn compare(&self, fixed_expr: &IdedExpr, field: Field, order: Order, fixed: Operand) -> Result<Expr> {
        match fixed {
            Operand::Moment(moment) if field.kind() == Kind::Time => Ok(Expr::test(field, Check::Time(order, moment))),
            Operand::Value(value) => {
                let value = self.value_for(fixed_expr, &field, order, value)?;
                Ok(Expr::test(field, Check::Compare(order, value)))
            }
            Operand::Duration(_) if field.kind() == Kind::Time => {
                let text = self.syntax.text_of(fixed_expr);
                self.error(fixed_expr, format!("{field} is a time, not an age: write now - {field} > {text}"))
            }
            other => {
                self.error(fixed_expr, format!("{field} is {}, and this is {}", field.kind().noun(), other.noun()))
            }
        }
    }

    /// `field ORDER moment - by`.
    fn time(&self, expr: &IdedExpr, field: Field, order: Order, moment: Moment, by_micros: i64) -> Result<Expr> {
        let moment = self.at(expr, shift(moment, -by_micros))?;
        Ok(Expr::test(field, Check::Time(order, moment)))
    }

    /// The value as one that the field can be compared with.
    fn value_for(&self, expr: &IdedExpr, field: &Field, order: Order, value: Value) -> Result<Value> {
        let has_order =
            matches!(field.kind(), Kind::OrderedText | Kind::Version | Kind::Time | Kind::Dynamic | Kind::Number);
        if order != Order::Equal && (!has_order || matches!(value, Value::Bool(_))) {
            return self.error(expr, format!("{field} has no order here: use ==, != or in"));
        }
        match (field.kind(), value) {
            (Kind::OrderedText | Kind::Text | Kind::Dynamic, value @ Value::Text(_))
            | (Kind::Dynamic | Kind::Number, value @ Value::Number(_))
            | (Kind::Dynamic, value @ Value::Bool(_))
            | (Kind::Version, value @ Value::Version(_)) => Ok(value),
            (Kind::Id, Value::Text(text)) => self.at(expr, literal::id(&text)),
            (Kind::Status, Value::Text(text)) => self.at(expr, literal::status(&text)),
            (Kind::Version, Value::Text(text)) => {
                self.error(expr, format!("{field} is a version: write semver({})", crate::text::Quoted(&text)))
            }
            (Kind::Time, Value::Text(_)) => self.error(
                expr,
                format!("{field} is a time: write timestamp(\"2026-01-31T12:00:00Z\") or now - duration(\"2h\")"),
            ),
            (Kind::Names, Value::Text(text)) => {
                self.error(expr, format!("{field} is a list: write {} in {field}", crate::text::Quoted(&text)))
            }
            (Kind::Dynamic, Value::Version(_)) => {
                self.error(expr, "attributes are text, numbers or truth values: versions are those of components")
            }
            (Kind::OrderedText | Kind::Text | Kind::Status, Value::Number(_)) => {
                let text = self.syntax.text_of(expr);
                self.error(expr, format!("{field} is text, and {text} is a number: write \"{text}\""))
            }
            (kind, value) => self.error(expr, format!("{field} is {}, and this is {}", kind.noun(), value.noun())),
        }
    }

    /// One side of a comparison.
    fn operand(&self, expr: &IdedExpr) -> Result<Operand> {
        match &expr.expr {
            Cel::Literal(value) => self.literal(expr, value),
            Cel::Ident(name) if name == "now" => Ok(Operand::Moment(Moment::Now(0))),
            Cel::Ident(_) | Cel::Select(_) => self.field(expr),
            Cel::Call(call) if call.func_name == operators::INDEX => self.field(expr),
            Cel::Call(CallExpr { target: Some(_), func_name, .. }) if FUNCTIONS.contains(&func_name.as_str()) => self
                .error(expr, format!("{func_name}() gives true or false already: there is nothing to compare it with")),
            Cel::Call(call) => self.function(expr, call),
            Cel::List(_) => self.error(expr, "a list stands after in: device.type in [\"a\", \"b\"]"),
            _ => self.error(expr, "this is not supported in a condition"),
        }
    }

    fn field(&self, expr: &IdedExpr) -> Result<Operand> {
        match path::place(self.syntax, expr)? {
            Place::Field(field) => Ok(Operand::Field(field)),
            Place::Attributes => self.error(expr, "name one attribute: device.attr.region or device.attr[\"region\"]"),
            Place::Components => {
                self.error(expr, "name one component and its version: device.components[\"bms\"].version")
            }
            Place::Metrics => self.error(expr, "name one metric: telemetry.battery or telemetry[\"battery\"]"),
        }
    }

    fn literal(&self, expr: &IdedExpr, value: &LiteralValue) -> Result<Operand> {
        let value = match value {
            LiteralValue::Boolean(truth) => Ok(Value::Bool(*truth.inner())),
            LiteralValue::Int(number) => literal::integer(i128::from(*number.inner())),
            LiteralValue::Double(number) => literal::float(*number.inner()),
            LiteralValue::String(text) => literal::text(text.inner()).map(Value::Text),
            LiteralValue::Null => {
                Err("there is no null: has(device.attr.region) asks whether there is a value".to_owned())
            }
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => Err("this is not supported in a condition".to_owned()),
        };
        self.at(expr, value).map(Operand::Value)
    }

    fn function(&self, expr: &IdedExpr, call: &CallExpr) -> Result<Operand> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (name @ ("semver" | "duration" | "timestamp"), args) => self.constructor(expr, name, args),
            (operators::ADD, [left, right]) => self.sum(expr, left, right),
            (operators::SUBSTRACT, [left, right]) => self.difference(expr, left, right),
            (operators::NEGATE, _) => self.error(expr, "only a number can have a minus before it"),
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::IN, _) => {
                self.error(expr, "this is true or false already: there is nothing to compare it with")
            }
            (name, _) if order(name).is_some() || name == operators::NOT_EQUALS => {
                self.error(expr, "comparisons cannot follow one another: join them with &&")
            }
            ("size", _) => self.error(expr, "size() is not supported: ask for one name, as in \"name\" in device.tags"),
            ("now", _) => self.error(expr, "now is no function: write now - duration(\"2h\")"),
            (name, _) => self.unknown_function(expr, name),
        }
    }

    fn constructor(&self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Operand> {
        let [arg] = args else { return self.error(expr, format!("{name}() takes one text in quotes")) };
        let Cel::Literal(LiteralValue::String(text)) = &arg.expr else {
            return self.error(arg, format!("{name}() takes a text in quotes"));
        };
        let text = text.inner();
        match name {
            "semver" => self.at(arg, literal::version(text)).map(|version| Operand::Value(Value::Version(version))),
            "duration" => self.at(arg, literal::duration(text)).map(Operand::Duration),
            _ => self.at(arg, literal::timestamp(text)).map(|time| Operand::Moment(Moment::At(time))),
        }
    }

    fn sum(&self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Result<Operand> {
        match (self.operand(left)?, self.operand(right)?) {
            (Operand::Moment(moment), Operand::Duration(by)) | (Operand::Duration(by), Operand::Moment(moment)) => {
                self.at(expr, shift(moment, by)).map(Operand::Moment)
            }
            (Operand::Field(field), Operand::Duration(by)) | (Operand::Duration(by), Operand::Field(field))
                if field.kind() == Kind::Time =>
            {
                Ok(Operand::Shifted(field, by))
            }
            _ => self.error(expr, "only a time and a duration can be added: now + duration(\"2h\")"),
        }
    }

    fn difference(&self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Result<Operand> {
        match (self.operand(left)?, self.operand(right)?) {
            (Operand::Moment(moment), Operand::Duration(by)) => self.at(expr, shift(moment, -by)).map(Operand::Moment),
            (Operand::Moment(moment), Operand::Field(field)) if field.kind() == Kind::Time => {
                Ok(Operand::Age(moment, field))
            }
            (Operand::Field(field), Operand::Duration(by)) if field.kind() == Kind::Time => {
                Ok(Operand::Shifted(field, -by))
            }
            _ => self.error(expr, "only a duration or a time can be taken from a time: now - duration(\"2h\")"),
        }
    }
}

fn is_of_device(operand: &Operand) -> bool {
    matches!(operand, Operand::Field(_) | Operand::Shifted(..) | Operand::Age(..))
}

fn order(name: &str) -> Option<Order> {
    match name {
        operators::LESS => Some(Order::Less),
        operators::LESS_EQUALS => Some(Order::LessOrEqual),
        operators::EQUALS => Some(Order::Equal),
        operators::GREATER_EQUALS => Some(Order::GreaterOrEqual),
        operators::GREATER => Some(Order::Greater),
        _ => None,
    }
}

/// The moment so many microseconds later.
fn shift(moment: Moment, by_micros: i64) -> literal::Parsed<Moment> {
    match moment {
        Moment::Now(offset) => {
            let offset = offset.saturating_add(by_micros);
            if offset.abs() > limits::DURATION_MICROS {
                return Err("that is more than 100 years from now".to_owned());
            }
            Ok(Moment::Now(offset))
        }
        Moment::At(time) => {
            let time = Timestamp::from_micros(time.as_micros().saturating_add(by_micros));
            // A year of four digits, as its text has.
            literal::timestamp(&time.to_string()).map(Moment::At).map_err(|_| "that time is out of range".to_owned())
        }
    }
}

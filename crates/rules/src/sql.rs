//! A condition as the text of a WHERE clause, one for SQLite and PostgreSQL.
//!
//! Every part of it is true or false, never NULL, so that NOT means the same in SQL as in the language. What the two
//! databases do differently is not used: LIKE (which folds case on SQLite), negative positions of `substr`, `instr` and
//! `strpos`, and the order of text, for which the columns have the collation of bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drover_types::{ComponentName, Timestamp};
use uuid::Uuid;

use crate::expr::{Check, Expr, Order, Test, Value};
use crate::field::Field;

/// A condition for `FROM devices d`.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlCondition {
    /// An expression that stands after AND or NOT as it is. It reads the alias `d` of the table `devices`; each subquery
    /// binds its table to `d.tenant_id`. The same for both databases, and the same at any time: only the binds change.
    pub text: String,
    /// The values of its placeholders, in their order.
    pub binds: Vec<SqlValue>,
}

/// A value for a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// TEXT.
    Text(String),
    /// DOUBLE PRECISION.
    Number(f64),
    /// BIGINT.
    Integer(i64),
    /// BYTEA.
    Bytes(Vec<u8>),
    /// UUID.
    Id(Uuid),
}

/// The ids of groups by their names: devices are chosen by id.
pub type GroupIds = BTreeMap<String, Uuid>;

/// Why a condition cannot choose devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unselectable {
    /// Telemetry is not in the tables of devices.
    #[error("conditions on telemetry cannot select devices yet: remove {metric}")]
    Telemetry {
        /// The metric as the condition names it, for instance `telemetry.battery`.
        metric: String,
    },
    /// There is no id for this name. It is not taken for an empty group: every device would be outside of that.
    #[error("there is no group {name:?}")]
    UnknownGroup {
        /// The name.
        name: String,
    },
}

pub(crate) fn compile(
    expr: &Expr,
    first_bind: usize,
    now: Timestamp,
    groups: &GroupIds,
) -> Result<SqlCondition, Unselectable> {
    let mut writer = Writer { text: String::new(), binds: Vec::new(), first_bind, now, groups };
    writer.expr(expr)?;
    Ok(SqlCondition { text: writer.text, binds: writer.binds })
}

/// The same in the form that lets an index find devices, where all of them are asked.
pub(crate) fn compile_search(
    expr: &Expr,
    tenant_bind: usize,
    first_bind: usize,
    now: Timestamp,
    groups: &GroupIds,
) -> Result<SqlCondition, Unselectable> {
    let mut writer = Writer { text: String::new(), binds: Vec::new(), first_bind, now, groups };
    writer.search(expr, tenant_bind)?;
    Ok(SqlCondition { text: writer.text, binds: writer.binds })
}

/// Where the values of a field are.
enum Storage<'f> {
    /// A column of the device itself; it may be NULL.
    Column {
        name: &'static str,
        is_nullable: bool,
    },
    Component(&'f ComponentName),
    Attribute(&'f str),
    Tags,
    Groups,
}

fn storage(field: &Field) -> Result<Storage<'_>, Unselectable> {
    let column = |name, is_nullable| Ok(Storage::Column { name, is_nullable });
    match field {
        Field::Id => column("d.id", false),
        Field::HardwareId => column("d.hardware_id", false),
        Field::Type => column("d.device_type", false),
        Field::Status => column("d.status", false),
        Field::CreatedAt => column("d.created_at", false),
        Field::AgentVersion => column("d.agent_version", true),
        Field::LastSeen => column("d.last_seen_at", true),
        Field::Version(component) => Ok(Storage::Component(component)),
        Field::Attribute(name) => Ok(Storage::Attribute(name)),
        Field::Tags => Ok(Storage::Tags),
        Field::Groups => Ok(Storage::Groups),
        Field::Telemetry(_) => Err(Unselectable::Telemetry { metric: field.to_string() }),
    }
}

struct Writer<'g> {
    text: String,
    binds: Vec<SqlValue>,
    first_bind: usize,
    now: Timestamp,
    groups: &'g GroupIds,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, value: SqlValue) -> String {
        self.binds.push(value);
        format!("${}", self.first_bind + self.binds.len() - 1)
    }

    /// The placeholder of a group's id.
    fn group(&mut self, name: &str) -> Result<String, Unselectable> {
        let unknown = || Unselectable::UnknownGroup { name: name.to_owned() };
        let id = *self.groups.get(name).ok_or_else(unknown)?;
        Ok(self.bind(SqlValue::Id(id)))
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), Unselectable> {
        match expr {
            Expr::Always(true) => self.push("1 = 1"),
            Expr::Always(false) => self.push("1 = 0"),
            Expr::Not(inner) => {
                self.push("NOT (");
                self.expr(inner)?;
                self.push(")");
            }
            Expr::All(parts) => self.join(parts, " AND ")?,
            Expr::Any(parts) => self.join(parts, " OR ")?,
            Expr::Test(test) => self.test(test)?,
        }
        Ok(())
    }

    fn join(&mut self, parts: &[Expr], sign: &str) -> Result<(), Unselectable> {
        self.push("(");
        for (position, part) in parts.iter().enumerate() {
            if position > 0 {
                self.push(sign);
            }
            self.expr(part)?;
        }
        self.push(")");
        Ok(())
    }

    /// Parts that all have to hold, each as a set of devices where an index knows that set: then the rarest of them can
    /// lead. Elsewhere, below a NOT or an OR, each device is asked.
    fn search(&mut self, expr: &Expr, tenant_bind: usize) -> Result<(), Unselectable> {
        let Expr::All(parts) = expr else { return self.search_one(expr, tenant_bind) };
        self.push("(");
        for (position, part) in parts.iter().enumerate() {
            self.push(if position > 0 { " AND " } else { "" });
            self.search(part, tenant_bind)?;
        }
        self.push(")");
        Ok(())
    }

    fn search_one(&mut self, expr: &Expr, tenant: usize) -> Result<(), Unselectable> {
        let Expr::Test(Test { field, check }) = expr else { return self.expr(expr) };
        match (storage(field)?, check) {
            (Storage::Tags, Check::Has(tag)) => {
                let tag = self.bind(SqlValue::Text(tag.clone()));
                let _ = write!(
                    self.text,
                    "d.id IN (SELECT t.device_id FROM device_tags t WHERE t.tenant_id = ${tenant} AND t.tag = {tag})"
                );
                Ok(())
            }
            (Storage::Groups, Check::Has(name)) => {
                let id = self.group(name)?;
                let _ = write!(
                    self.text,
                    "d.id IN (SELECT m.device_id FROM group_members m WHERE m.tenant_id = ${tenant} AND m.group_id IN \
                     (SELECT t.descendant_id FROM group_tree t WHERE t.tenant_id = ${tenant} AND t.ancestor_id = {id}))"
                );
                Ok(())
            }
            (Storage::Attribute(attribute), Check::OneOf(_) | Check::Compare(..)) => {
                let attribute = self.bind(SqlValue::Text(attribute.to_owned()));
                let _ = write!(
                    self.text,
                    "d.id IN (SELECT a.device_id FROM device_attributes a WHERE a.tenant_id = ${tenant} \
                     AND a.name = {attribute}"
                );
                self.attribute(check);
                self.push(")");
                Ok(())
            }
            _ => self.expr(expr),
        }
    }

    fn test(&mut self, Test { field, check }: &Test) -> Result<(), Unselectable> {
        match storage(field)? {
            Storage::Column { name, is_nullable: true } => {
                let _ = write!(self.text, "({name} IS NOT NULL AND ");
                self.check(name, check);
                self.push(")");
            }
            Storage::Column { name, is_nullable: false } => self.check(name, check),
            Storage::Component(component) => {
                let component = self.bind(SqlValue::Text(component.to_string()));
                let _ = write!(
                    self.text,
                    "EXISTS (SELECT 1 FROM device_components c WHERE c.tenant_id = d.tenant_id \
                     AND c.device_id = d.id AND c.component = {component} AND "
                );
                self.check("c.version_key", check);
                self.push(")");
            }
            Storage::Attribute(attribute) => {
                let attribute = self.bind(SqlValue::Text(attribute.to_owned()));
                let _ = write!(
                    self.text,
                    "EXISTS (SELECT 1 FROM device_attributes a WHERE a.tenant_id = d.tenant_id \
                     AND a.device_id = d.id AND a.name = {attribute}"
                );
                self.attribute(check);
                self.push(")");
            }
            Storage::Tags => {
                self.push("EXISTS (SELECT 1 FROM device_tags t WHERE t.tenant_id = d.tenant_id AND t.device_id = d.id");
                if let Check::Has(tag) = check {
                    let tag = self.bind(SqlValue::Text(tag.clone()));
                    let _ = write!(self.text, " AND t.tag = {tag}");
                }
                self.push(")");
            }
            Storage::Groups => {
                // Who is in a group below is in this one, too.
                self.push(
                    "EXISTS (SELECT 1 FROM group_members m JOIN group_tree t ON t.tenant_id = m.tenant_id \
                     AND t.descendant_id = m.group_id WHERE m.tenant_id = d.tenant_id AND m.device_id = d.id",
                );
                if let Check::Has(name) = check {
                    let id = self.group(name)?;
                    let _ = write!(self.text, " AND t.ancestor_id = {id}");
                }
                self.push(")");
            }
        }
        Ok(())
    }

    /// The rest of an attribute's WHERE: the column of the value's own kind is compared, and NULL in other kinds.
    fn attribute(&mut self, check: &Check) {
        match check {
            Check::Present => {}
            Check::OneOf(values) => {
                let columns = ["a.text_value", "a.number_value", "a.bool_value"].map(|column| {
                    (column, values.iter().filter(|value| attribute_column(value) == column).collect::<Vec<_>>())
                });
                // A column without values would keep the others' index from being used.
                let used = columns.iter().filter(|(_, own)| !own.is_empty() || values.is_empty());
                self.push(" AND (");
                for (position, (column, own)) in used.enumerate() {
                    self.push(if position > 0 { " OR " } else { "" });
                    self.one_of(column, own);
                }
                self.push(")");
            }
            Check::Compare(_, value) => {
                self.push(" AND ");
                self.check(attribute_column(value), check);
            }
            Check::StartsWith(_) | Check::EndsWith(_) | Check::Contains(_) | Check::Time(..) | Check::Has(_) => {
                self.push(" AND ");
                self.check("a.text_value", check);
            }
        }
    }

    /// A check of one column. NULL makes it NULL, which the places of use exclude or turn into "no row".
    fn check(&mut self, column: &str, check: &Check) {
        match check {
            Check::Present => {
                let _ = write!(self.text, "{column} IS NOT NULL");
            }
            Check::Compare(order, value) => self.compare(column, *order, value),
            Check::Time(order, moment) => {
                let micros = self.bind(SqlValue::Integer(moment.resolve(self.now).as_micros()));
                let _ = write!(self.text, "{column} {} {micros}", sign(*order));
            }
            Check::OneOf(values) => self.one_of(column, &values.iter().collect::<Vec<_>>()),
            Check::StartsWith(part) => {
                let (length, part) = (part.chars().count(), self.bind(SqlValue::Text(part.clone())));
                let _ = write!(self.text, "substr({column}, 1, {length}) = {part}");
            }
            // Where the text is shorter than the part, what substr makes of the position is shorter too.
            Check::EndsWith(part) => {
                let (length, part) = (part.chars().count(), self.bind(SqlValue::Text(part.clone())));
                let _ = write!(self.text, "substr({column}, length({column}) - {length} + 1) = {part}");
            }
            Check::Contains(part) if part.is_empty() => {
                let _ = write!(self.text, "{column} IS NOT NULL");
            }
            Check::Contains(part) => {
                let part = self.bind(SqlValue::Text(part.clone()));
                let _ = write!(self.text, "replace({column}, CAST({part} AS TEXT), '') <> {column}");
            }
            // Only lists of names are asked for one, and they are no column.
            Check::Has(_) => self.push("1 = 0"),
        }
    }

    fn compare(&mut self, column: &str, order: Order, value: &Value) {
        let value = self.bind(bind_value(value));
        let _ = write!(self.text, "{column} {} {value}", sign(order));
    }

    fn one_of(&mut self, column: &str, values: &[&Value]) {
        if values.is_empty() {
            return self.push("1 = 0");
        }
        let _ = write!(self.text, "{column} IN (");
        for (position, value) in values.iter().enumerate() {
            let value = self.bind(bind_value(value));
            let _ = write!(self.text, "{}{value}", if position > 0 { ", " } else { "" });
        }
        self.push(")");
    }
}

fn attribute_column(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "a.number_value",
        Value::Bool(_) => "a.bool_value",
        Value::Text(_) | Value::Id(_) | Value::Version(_) => "a.text_value",
    }
}

fn bind_value(value: &Value) -> SqlValue {
    match value {
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Number(number) => SqlValue::Number(*number),
        Value::Bool(truth) => SqlValue::Integer(i64::from(*truth)),
        Value::Id(id) => SqlValue::Id(*id),
        Value::Version(value) => SqlValue::Bytes(value.key.clone()),
    }
}

fn sign(order: Order) -> &'static str {
    match order {
        Order::Less => "<",
        Order::LessOrEqual => "<=",
        Order::Equal => "=",
        Order::GreaterOrEqual => ">=",
        Order::Greater => ">",
    }
}

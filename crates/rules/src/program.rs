//! A condition as a flat program over slots, for values that are in memory: one device's row, or its latest metrics.

use std::collections::HashMap;

use drover_types::Timestamp;
use uuid::Uuid;

use crate::expr::{Check, Expr, Value};
use crate::field::Field;

/// The fields that some programs read, each with a place in the array of values that they are run on. Programs that
/// are run together share one.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    fields: Vec<Field>,
    places: HashMap<Field, usize>,
}

impl Slots {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What belongs into each slot.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn place(&mut self, field: &Field) -> usize {
        if let Some(place) = self.places.get(field) {
            return *place;
        }
        self.fields.push(field.clone());
        self.places.insert(field.clone(), self.fields.len() - 1);
        self.fields.len() - 1
    }
}

/// What is known of one field.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum SlotValue<'v> {
    /// Nothing.
    #[default]
    Absent,
    /// Text of a field or attribute.
    Text(&'v str),
    /// Number of an attribute or metric.
    Number(f64),
    /// Truth value of an attribute.
    Bool(bool),
    /// Point in time.
    Time(Timestamp),
    /// [`drover_types::Version::sort_key`] of a version.
    Version(&'v [u8]),
    /// Id of the device.
    Id(Uuid),
    /// Tags, or names of groups.
    Names(&'v [String]),
}

/// A condition that can be run on values in memory, without allocation and in time bounded by its size.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    start: Next,
    steps: Vec<Step>,
}

/// Looks at one slot and goes on. Every step goes to one before it, so that a program ends.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    slot: usize,
    check: Check,
    if_true: Next,
    if_false: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Step(usize),
    End(bool),
}

impl Program {
    pub(crate) fn compile(expr: &Expr, slots: &mut Slots) -> Self {
        expr.for_each_test(&mut |test| {
            slots.place(&test.field);
        });
        let mut steps = Vec::new();
        let start = emit(expr, slots, &mut steps, Next::End(true), Next::End(false));
        Self { start, steps }
    }

    /// Whether the condition holds. `values` are those of the [`Slots`] that it was compiled with, in their order; what
    /// lies behind the end is absent.
    pub fn eval(&self, now: Timestamp, values: &[SlotValue<'_>]) -> bool {
        let mut next = self.start;
        loop {
            let step = match next {
                Next::End(truth) => return truth,
                Next::Step(index) => &self.steps[index],
            };
            let value = values.get(step.slot).copied().unwrap_or_default();
            next = if holds(&step.check, now, value) { step.if_true } else { step.if_false };
        }
    }
}

/// Adds the steps of `expr` and returns where they begin. What comes last is added first.
fn emit(expr: &Expr, slots: &mut Slots, steps: &mut Vec<Step>, if_true: Next, if_false: Next) -> Next {
    match expr {
        Expr::Always(true) => if_true,
        Expr::Always(false) => if_false,
        Expr::Not(inner) => emit(inner, slots, steps, if_false, if_true),
        Expr::All(parts) => parts.iter().rev().fold(if_true, |then, part| emit(part, slots, steps, then, if_false)),
        Expr::Any(parts) => parts.iter().rev().fold(if_false, |then, part| emit(part, slots, steps, if_true, then)),
        Expr::Test(test) => {
            let slot = slots.place(&test.field);
            steps.push(Step { slot, check: test.check.clone(), if_true, if_false });
            Next::Step(steps.len() - 1)
        }
    }
}

fn holds(check: &Check, now: Timestamp, value: SlotValue<'_>) -> bool {
    match (check, value) {
        (Check::Present, value) => value != SlotValue::Absent,
        (Check::Compare(order, Value::Text(right)), SlotValue::Text(left)) => order.holds(left, right.as_str()),
        (Check::Compare(order, Value::Number(right)), SlotValue::Number(left)) => order.holds(&left, right),
        (Check::Compare(order, Value::Bool(right)), SlotValue::Bool(left)) => order.holds(&left, right),
        (Check::Compare(order, Value::Id(right)), SlotValue::Id(left)) => order.holds(&left, right),
        (Check::Compare(order, Value::Version(right)), SlotValue::Version(left)) => {
            order.holds(left, right.key.as_slice())
        }
        (Check::Time(order, moment), SlotValue::Time(left)) => order.holds(&left, &moment.resolve(now)),
        (Check::OneOf(values), left) => values.iter().any(|right| is_equal(right, left)),
        (Check::StartsWith(part), SlotValue::Text(text)) => text.starts_with(part.as_str()),
        (Check::EndsWith(part), SlotValue::Text(text)) => text.ends_with(part.as_str()),
        (Check::Contains(part), SlotValue::Text(text)) => text.contains(part.as_str()),
        (Check::Has(wanted), SlotValue::Names(names)) => names.iter().any(|name| name == wanted),
        _ => false,
    }
}

#[expect(clippy::float_cmp, reason = "equality of the language is that of the numbers")]
fn is_equal(right: &Value, left: SlotValue<'_>) -> bool {
    match (right, left) {
        (Value::Text(right), SlotValue::Text(left)) => left == right,
        (Value::Number(right), SlotValue::Number(left)) => left == *right,
        (Value::Bool(right), SlotValue::Bool(left)) => left == *right,
        (Value::Id(right), SlotValue::Id(left)) => left == *right,
        (Value::Version(right), SlotValue::Version(left)) => left == right.key,
        _ => false,
    }
}

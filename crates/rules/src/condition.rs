//! A condition, from its text to what can be done with it.

use std::collections::BTreeSet;
use std::fmt;

use drover_types::Timestamp;

use crate::check;
use crate::error::ConditionError;
use crate::expr::{Check, Expr};
use crate::field::Field;
use crate::limits;
use crate::parse;
use crate::program::{Program, Slots};
use crate::rsql;
use crate::sql::{self, GroupIds, SqlCondition, Unselectable};

/// A condition on a device, typed and within the [limits](crate::limits). See the [crate's page](crate) for what the
/// language means.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    expr: Expr,
    text: String,
}

impl Condition {
    /// Reads a condition written in CEL. Takes milliseconds, not more for the largest texts and the worst ones.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let syntax = parse::parse(text)?;
        Self::bounded(text, check::check(&syntax)?)
    }

    /// Reads a condition written in RSQL, the language of hawkBit's filters; [`Condition::text`] is its translation.
    ///
    /// Fields are `name`, `type`, `version`, `status`, `tag`, `group`, `lastseen`, `createdat`, `attribute.x`, `component.x`
    /// and `telemetry.x`; a star may stand at the ends of text; a value takes the type of its field. Upper and lower case
    /// differ.
    pub fn parse_rsql(text: &str) -> Result<Self, ConditionError> {
        let condition = Self::bounded(text, rsql::parse(text)?)?;
        // What is stored is the translation: it must be readable again.
        match Self::parse(&condition.text) {
            Ok(again) if again == condition => Ok(condition),
            _ => Err(ConditionError::new(text, 0..text.len(), "this is too long for a condition: split it")),
        }
    }

    /// The condition, when it and its text are within the limits.
    fn bounded(text: &str, expr: Expr) -> Result<Self, ConditionError> {
        let nodes = expr.nodes();
        if nodes > limits::NODES {
            let message = format!("a condition has at most {} parts, this one has {nodes}: split it", limits::NODES);
            return Err(ConditionError::new(text, 0..text.len(), message));
        }
        let canonical = expr.to_string();
        if canonical.len() > limits::TEXT_BYTES {
            let message = format!("a condition has at most {} bytes: split it", limits::TEXT_BYTES);
            return Err(ConditionError::new(text, 0..text.len(), message));
        }
        Ok(Self { expr, text: canonical })
    }

    /// The canonical spelling in CEL; parses to the same condition.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Comparisons, their values and what joins them: what it costs to ask, at most [`limits::NODES`].
    pub fn parts(&self) -> usize {
        self.expr.nodes()
    }

    /// What it reads.
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.expr.for_each_test(&mut |test| {
            fields.insert(test.field.clone());
        });
        fields
    }

    /// The names of the groups that it asks for.
    pub fn groups(&self) -> BTreeSet<&str> {
        let mut groups = BTreeSet::new();
        self.expr.for_each_test(&mut |test| {
            if let (Field::Groups, Check::Has(name)) = (&test.field, &test.check) {
                groups.insert(name.as_str());
            }
        });
        groups
    }

    /// The condition for a WHERE over `devices d`, its placeholders numbered from `$first_bind`. Refused when a group that
    /// it asks for is not among `groups`.
    pub fn sql(&self, first_bind: usize, now: Timestamp, groups: &GroupIds) -> Result<SqlCondition, Unselectable> {
        sql::compile(&self.expr, first_bind, now, groups)
    }

    /// [`Condition::sql`] for a statement that asks all devices of the tenant in `$tenant_bind`: tags, groups and
    /// attributes that have to be there can be looked up in an index.
    pub fn search_sql(
        &self,
        tenant_bind: usize,
        first_bind: usize,
        now: Timestamp,
        groups: &GroupIds,
    ) -> Result<SqlCondition, Unselectable> {
        sql::compile_search(&self.expr, tenant_bind, first_bind, now, groups)
    }

    /// The condition for values in memory; `slots` gets the fields that it reads.
    pub fn program(&self, slots: &mut Slots) -> Program {
        Program::compile(&self.expr, slots)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

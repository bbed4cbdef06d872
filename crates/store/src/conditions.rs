//! What conditions add to a statement: text in the place of a mark, and values behind the statement's own parameters.

use std::sync::Arc;

use drover_rules::{Condition, GroupIds, SqlCondition, SqlValue, Unselectable};
use drover_types::Timestamp;

/// In a WHERE: what the target of a rollout asks for.
pub(crate) const TARGET: &str = "/*target*/";
/// In a CASE: who is outside of the target.
pub(crate) const OUTSIDE: &str = "/*outside*/";
/// In a WHERE: what a list asks for.
pub(crate) const CONDITIONS: &str = "/*conditions*/";

/// A condition that chooses devices at a moment.
#[derive(Debug, Clone)]
pub struct Selection {
    condition: Arc<Condition>,
    groups: GroupIds,
    now: Timestamp,
}

impl Selection {
    /// Refuses what is not in the tables of devices, and a group that is not among `groups`.
    pub fn new(condition: impl Into<Arc<Condition>>, groups: &GroupIds, now: Timestamp) -> Result<Self, Unselectable> {
        let condition = condition.into();
        condition.sql(1, now, groups)?;
        let names = condition.groups().into_iter();
        let groups = names.filter_map(|name| Some((name.to_owned(), *groups.get(name)?))).collect();
        Ok(Self { condition, groups, now })
    }

    /// The groups that it asks for.
    pub fn into_groups(self) -> GroupIds {
        self.groups
    }
}

/// The values that were added to a statement, in the order of their placeholders.
#[derive(Debug)]
pub(crate) struct Added {
    own: usize,
    pub(crate) values: Vec<SqlValue>,
}

impl Added {
    /// Placeholders go on behind the statement's `own` parameters.
    pub(crate) const fn behind(own: usize) -> Self {
        Self { own, values: Vec::new() }
    }

    /// The placeholder of a further value.
    pub(crate) fn value(&mut self, value: SqlValue) -> String {
        self.values.push(value);
        format!("${}", self.own + self.values.len())
    }

    /// The condition over the alias `d` of `devices`: true or false, never NULL.
    pub(crate) fn condition(&mut self, selection: &Selection) -> String {
        let compiled = selection.condition.sql(self.next(), selection.now, &selection.groups);
        self.push(compiled)
    }

    /// The same where all devices of the tenant in `$1` are asked: an index may find those that match.
    pub(crate) fn search(&mut self, selection: &Selection) -> String {
        let compiled = selection.condition.search_sql(1, self.next(), selection.now, &selection.groups);
        self.push(compiled)
    }

    fn next(&self) -> usize {
        self.own + self.values.len() + 1
    }

    fn push(&mut self, compiled: Result<SqlCondition, Unselectable>) -> String {
        let SqlCondition { text, binds } = compiled.expect("Selection::new refused what cannot be SQL");
        self.values.extend(binds);
        format!("({text})")
    }
}

/// Binds what was added to a statement; its own parameters are bound before.
macro_rules! bind_added {
    ($query:expr, $added:expr) => {{
        let mut query = $query;
        for value in &$added.values {
            query = match value {
                drover_rules::SqlValue::Text(text) => query.bind(text.as_str()),
                drover_rules::SqlValue::Number(number) => query.bind(*number),
                drover_rules::SqlValue::Integer(integer) => query.bind(*integer),
                drover_rules::SqlValue::Bytes(bytes) => query.bind(bytes.as_slice()),
                drover_rules::SqlValue::Id(id) => query.bind(*id),
            };
        }
        query
    }};
}
pub(crate) use bind_added;

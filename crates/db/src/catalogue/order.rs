//! Tables in an order in which their rows can be written.

use std::collections::BTreeSet;

use super::{Reference, Table};
use crate::CopyError;

/// Each table behind those that it refers to; otherwise in the given order. What refers to itself counts as free: one
/// statement writes all of its rows, or the check waits for the commit.
pub(super) fn parents_first(mut waiting: Vec<Table>, references: &[Reference]) -> Result<Vec<Table>, CopyError> {
    let mut ordered = Vec::with_capacity(waiting.len());
    let mut placed = BTreeSet::new();
    while !waiting.is_empty() {
        let is_free = |table: &Table| {
            let mut parents = references.iter().filter(|(child, _)| *child == table.name).map(|(_, parent)| parent);
            parents.all(|parent| *parent == table.name || placed.contains(parent))
        };
        let (free, bound): (Vec<Table>, Vec<Table>) = waiting.into_iter().partition(is_free);
        if free.is_empty() {
            return Err(CopyError::Circle { tables: bound.into_iter().map(|table| table.name).collect() });
        }
        placed.extend(free.iter().map(|table| table.name.clone()));
        ordered.extend(free);
        waiting = bound;
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(names: &[&str], references: &[(&str, &str)]) -> Result<Vec<String>, CopyError> {
        let table = |name: &&str| Table { name: (*name).to_owned(), columns: Vec::new(), key: Vec::new() };
        let owned = |(child, parent): &(&str, &str)| ((*child).to_owned(), (*parent).to_owned());
        let references: Vec<Reference> = references.iter().map(owned).collect();
        let ordered = parents_first(names.iter().map(table).collect(), &references)?;
        Ok(ordered.into_iter().map(|table| table.name).collect())
    }

    #[test]
    fn parents_come_first_and_a_table_may_refer_to_itself() {
        let references = [("a", "b"), ("b", "c"), ("c", "c"), ("d", "c")];
        assert_eq!(order(&["a", "b", "c", "d"], &references).unwrap(), ["c", "b", "d", "a"]);
    }

    #[test]
    fn a_circle_is_named() {
        let error = order(&["a", "b", "c"], &[("a", "b"), ("b", "a")]).unwrap_err();
        assert!(matches!(&error, CopyError::Circle { tables } if tables == &["a", "b"]), "{error}");
    }
}

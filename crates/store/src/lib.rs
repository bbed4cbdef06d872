//! SQL: one concrete store, a file per noun

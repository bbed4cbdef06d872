//! The list of all statements, for the tests that look at each one; and statements over lists.

/// In a list of values: further placeholders.
pub(crate) const MORE: &str = "/*more*/";

/// A statement whose list of values ends in `${last}` and the mark, for a list of `len` values, at least one.
pub(crate) fn with_list(sql: &str, last: usize, len: usize) -> String {
    let more: Vec<String> = (last + 1..last + len).map(|place| format!(", ${place}")).collect();
    sql.replace(MORE, &more.concat())
}

/// A statement's name and its text.
#[cfg(test)]
pub(crate) type Statement = (&'static str, &'static str);

/// Declares the SQL statements of a noun as constants, and lists them for tests.
macro_rules! statements {
    ($( $(#[$meta:meta])* $name:ident = $sql:expr; )+) => {
        $( $(#[$meta])* const $name: &str = $sql; )+
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[$crate::statements::Statement] = &[$(
            (concat!(module_path!(), "::", stringify!($name)), $name)
        ),+];
    };
}
pub(crate) use statements;

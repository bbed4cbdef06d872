//! The list of all statements, for the tests that look at each one.

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

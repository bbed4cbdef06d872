//! The list of all statements, for the tests that look at each one.

/// Declares the SQL statements of a noun as constants, and lists them for tests.
macro_rules! statements {
    ($( $(#[$meta:meta])* $name:ident = $sql:expr; )+) => {
        $( $(#[$meta])* const $name: &str = $sql; )+
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$(
            (concat!(module_path!(), "::", stringify!($name)), $name)
        ),+];
    };
}
pub(crate) use statements;

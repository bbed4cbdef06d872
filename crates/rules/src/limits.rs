//! How large a condition may be: what a person writes is far below, what would cost the server something is above.

/// Bytes of a condition's text.
pub const TEXT_BYTES: usize = 4096;
/// Brackets inside one another.
pub const DEPTH: usize = 32;
/// Comparisons, their values and what joins them.
pub const NODES: usize = 256;
/// Values of one list.
pub const LIST_ITEMS: usize = 100;
/// Bytes of the name of an attribute, tag, group or metric.
pub const NAME_BYTES: usize = 128;
/// The longest duration: one hundred years of 365 days.
pub const DURATION_MICROS: i64 = 100 * 365 * 24 * 3_600 * 1_000_000;

/// Operands and operators in a row, through all open brackets, without `&&`, `||` or a comma between them. The parser
/// recurses for each.
pub(crate) const RUN: usize = 128;

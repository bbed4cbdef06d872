//! The API over real HTTP, on both profiles: a file per noun.

mod groups;

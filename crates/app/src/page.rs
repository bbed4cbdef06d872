//! Pages of lists.

use std::str::FromStr;

use drover_api::{Cursor, Page};

use crate::{Error, Result};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;

/// One page: how many items, from behind which.
pub(crate) struct Paging<K> {
    /// Items on the page.
    limit: usize,
    /// The last item of the page before.
    pub(crate) after: Option<K>,
}

impl<K: FromStr + ToString> Paging<K> {
    /// From a request's `limit` and `cursor`.
    pub(crate) fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Self> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::field("limit", format!("must be 1 to {LIMIT_MAX}")));
        }
        let after = cursor.map(Self::decode).transpose()?;
        Ok(Self { limit: limit as usize, after })
    }

    fn decode(text: &str) -> Result<K> {
        let invalid = |_| Error::field("cursor", drover_api::InvalidCursor.to_string());
        let cursor = Cursor::decode(text).map_err(invalid)?;
        cursor.0.parse().map_err(|_| Error::field("cursor", drover_api::InvalidCursor.to_string()))
    }

    /// How many rows to ask for: one more than fits tells whether there is another page.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// Drops the extra row and makes the cursor.
    pub(crate) fn cut<R>(&self, rows: &mut Vec<R>, key: impl Fn(&R) -> K) -> Option<String> {
        if rows.len() <= self.limit {
            return None;
        }
        rows.truncate(self.limit);
        rows.last().map(|last| Cursor(key(last).to_string()).encode())
    }

    /// A page of views of the rows.
    pub(crate) fn page<R, V>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> K, view: impl Fn(R) -> V) -> Page<V> {
        let next_cursor = self.cut(&mut rows, key);
        Page { items: rows.into_iter().map(view).collect(), next_cursor }
    }
}

//! Count and digest of the rows of a table.

use aws_lc_rs::digest::{Context, SHA256};
use drover_types::Sha256Digest;

use super::{Malformed, RowReader};

/// What two copies of a table have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSum {
    /// Rows.
    pub rows: u64,
    /// The digest of the rows in their one form.
    pub sha256: Sha256Digest,
}

/// Counts and digests rows as they pass.
pub struct TableSummer {
    reader: RowReader,
    digest: Context,
    rows: u64,
}

impl Default for TableSummer {
    fn default() -> Self {
        Self { reader: RowReader::default(), digest: Context::new(&SHA256), rows: 0 }
    }
}

impl TableSummer {
    /// More bytes of the table.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.digest.update(bytes);
        self.reader.push(bytes);
        while self.reader.next_row()?.is_some() {
            self.rows += 1;
        }
        Ok(())
    }

    /// The sum of what passed, which must be whole.
    pub fn finish(self) -> Result<TableSum, Malformed> {
        self.reader.finish()?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.digest.finish().as_ref());
        Ok(TableSum { rows: self.rows, sha256: Sha256Digest::from_bytes(bytes) })
    }
}
